//! `kith dataplane top`: rates, drops and workers, live.
//!
//! Counters only grow, so two looks make a rate. `--once` takes two, prints and ends: for scripts and tests.

use super::Target;
use crate::error::Error;
use crate::output::{self, Format, scaled};
use crate::terminal::Screen;
use kith_api::client::Client;
use kith_api::stats::{Drops, Stats, Status};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use serde::Serialize;
use std::thread;
use std::time::Duration;

/// Until the first rates are shown.
const FIRST: Duration = Duration::from_millis(250);

struct Look {
    stats: Stats,
    drops: Drops,
    status: Status,
}

/// What happened between two looks.
#[derive(Debug, Serialize)]
struct Rates {
    name: String,
    seconds: f64,
    sessions: u64,
    session_capacity: u64,
    received_pps: f64,
    received_bps: f64,
    transmitted_pps: f64,
    transmitted_bps: f64,
    workers: Vec<WorkerRates>,
    drops: Vec<DropRate>,
    balanced: bool,
}

#[derive(Debug, Serialize)]
struct WorkerRates {
    index: u16,
    received_pps: f64,
    transmitted_pps: f64,
    punted_pps: f64,
    dropped_pps: f64,
    busy: f64,
}

#[derive(Debug, Serialize)]
struct DropRate {
    name: String,
    total: u64,
    pps: f64,
}

/// `kith dataplane top`.
pub(super) fn run(target: &Target, once: bool, interval: f64, format: Format) -> Result<u8, Error> {
    let mut client = target.connect()?;
    let interval = Duration::from_secs_f64(interval);
    let first = look(&mut client)?;
    if once || format == Format::Json {
        thread::sleep(interval);
        let second = look(&mut client)?;
        output::show(format, &rates(&first, &second), describe)?;
        return Ok(0);
    }
    live(&mut client, first, interval).map(|()| 0)
}

fn look(client: &mut Client) -> Result<Look, Error> {
    Ok(Look {
        stats: client.stats()?,
        drops: client.drops()?,
        status: client.status()?,
    })
}

fn live(client: &mut Client, mut last: Look, interval: Duration) -> Result<(), Error> {
    let mut screen = Screen::take("use the terminal (without one, take --once)")?;
    thread::sleep(interval.min(FIRST));
    loop {
        let now = look(client)?;
        let rates = rates(&last, &now);
        if !screen.show(|frame| draw(frame, &rates), interval)? {
            return Ok(());
        }
        last = now;
    }
}

fn rates(old: &Look, new: &Look) -> Rates {
    // The dataplane's own clock: what it took to ask does not count.
    let millis = new.stats.uptime_ms.saturating_sub(old.stats.uptime_ms).max(1);
    let seconds = millis as f64 / 1e3;
    let per_second = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
    let mut rates = Rates {
        name: new.status.name.clone(),
        seconds,
        sessions: new.status.sessions,
        session_capacity: new.status.session_capacity,
        received_pps: 0.0,
        received_bps: 0.0,
        transmitted_pps: 0.0,
        transmitted_bps: 0.0,
        workers: Vec::new(),
        drops: Vec::new(),
        balanced: new.stats.conservation.balanced,
    };
    for (new_worker, old_worker) in new.stats.workers.iter().zip(&old.stats.workers) {
        let status = new
            .status
            .workers
            .iter()
            .find(|status| status.index == new_worker.index);
        let worker = WorkerRates {
            index: new_worker.index,
            received_pps: per_second(new_worker.received, old_worker.received),
            transmitted_pps: per_second(new_worker.transmitted, old_worker.transmitted),
            punted_pps: per_second(new_worker.punted, old_worker.punted),
            dropped_pps: per_second(new_worker.dropped, old_worker.dropped),
            busy: status.map_or(0.0, |status| status.busy),
        };
        rates.received_pps += worker.received_pps;
        rates.transmitted_pps += worker.transmitted_pps;
        rates.received_bps += 8.0 * per_second(new_worker.received_bytes, old_worker.received_bytes);
        rates.transmitted_bps += 8.0 * per_second(new_worker.transmitted_bytes, old_worker.transmitted_bytes);
        rates.workers.push(worker);
    }
    for drop in &new.drops.drops {
        let total = drop.workers + drop.slow_path;
        let before = old.drops.drops.iter().find(|before| before.name == drop.name);
        let before = before.map_or(0, |before| before.workers + before.slow_path);
        if total > 0 {
            rates.drops.push(DropRate {
                name: drop.name.clone(),
                total,
                pps: per_second(total, before),
            });
        }
    }
    rates
        .drops
        .sort_by(|a, b| b.pps.total_cmp(&a.pps).then(b.total.cmp(&a.total)));
    rates
}

fn head(rates: &Rates) -> String {
    format!(
        "{}  {} of {} sessions  in {}pps {}bit/s  out {}pps {}bit/s{}",
        rates.name,
        rates.sessions,
        rates.session_capacity,
        scaled(rates.received_pps),
        scaled(rates.received_bps),
        scaled(rates.transmitted_pps),
        scaled(rates.transmitted_bps),
        if rates.balanced { "" } else { "  packets in motion" },
    )
}

const WORKERS: [&str; 6] = [
    ">worker",
    ">busy",
    ">in pps",
    ">out pps",
    ">slow path pps",
    ">drop pps",
];
const DROPS: [&str; 3] = ["drop", ">pps", ">total"];

fn worker_rows(rates: &Rates) -> Vec<Vec<String>> {
    let row = |worker: &WorkerRates| {
        vec![
            worker.index.to_string(),
            format!("{:.1} %", worker.busy * 100.0),
            scaled(worker.received_pps),
            scaled(worker.transmitted_pps),
            scaled(worker.punted_pps),
            scaled(worker.dropped_pps),
        ]
    };
    rates.workers.iter().map(row).collect()
}

fn drop_rows(rates: &Rates) -> Vec<Vec<String>> {
    let row = |drop: &DropRate| vec![drop.name.clone(), scaled(drop.pps), drop.total.to_string()];
    rates.drops.iter().map(row).collect()
}

fn describe(rates: &Rates) -> String {
    let mut out = format!(
        "{}\n\n{}",
        head(rates),
        output::table(&WORKERS, &worker_rows(rates))
    );
    if !rates.drops.is_empty() {
        out += &format!("\n{}", output::table(&DROPS, &drop_rows(rates)));
    }
    out
}

fn draw(frame: &mut Frame<'_>, rates: &Rates) {
    let workers = u16::try_from(rates.workers.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let parts = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(workers),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [top, middle, rest, foot] = parts.areas(frame.area());
    frame.render_widget(
        Line::styled(head(rates), Style::new().add_modifier(Modifier::BOLD)),
        top,
    );
    frame.render_widget(live_table(&WORKERS, worker_rows(rates), 15), middle);
    if rates.drops.is_empty() {
        frame.render_widget(Paragraph::new("nothing was dropped"), rest);
    } else {
        frame.render_widget(live_table(&DROPS, drop_rows(rates), 26), rest);
    }
    frame.render_widget(
        Line::styled("q: end", Style::new().add_modifier(Modifier::DIM)),
        foot,
    );
}

fn live_table<'a>(headers: &[&'a str], rows: Vec<Vec<String>>, width: u16) -> Table<'a> {
    let right: Vec<bool> = headers.iter().map(|header| header.starts_with('>')).collect();
    let cell = |(at, text): (usize, String)| {
        let line = Line::from(text);
        if right.get(at).copied().unwrap_or(false) {
            line.right_aligned()
        } else {
            line
        }
    };
    let titles = headers
        .iter()
        .map(|header| header.trim_start_matches('>').to_owned())
        .enumerate()
        .map(cell);
    let header = Row::new(titles.collect::<Vec<_>>()).style(Style::new().add_modifier(Modifier::DIM));
    let rows = rows
        .into_iter()
        .map(|row| Row::new(row.into_iter().enumerate().map(cell).collect::<Vec<_>>()));
    let rows: Vec<_> = rows.collect();
    Table::new(rows, vec![Constraint::Length(width); headers.len()]).header(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn example() -> Rates {
        Rates {
            name: "nrd1".into(),
            seconds: 1.0,
            sessions: 3,
            session_capacity: 65_536,
            received_pps: 125_000.0,
            received_bps: 1.4e9,
            transmitted_pps: 124_999.0,
            transmitted_bps: 1.4e9,
            workers: vec![WorkerRates {
                index: 0,
                received_pps: 125_000.0,
                transmitted_pps: 124_999.0,
                punted_pps: 0.0,
                dropped_pps: 1.0,
                busy: 0.5,
            }],
            drops: vec![DropRate {
                name: "source_mismatch".into(),
                total: 12,
                pps: 1.0,
            }],
            balanced: true,
        }
    }

    #[test]
    fn one_look_reads_like_this() {
        assert_eq!(
            describe(&example()),
            "nrd1  3 of 65536 sessions  in 125.0 kpps 1.40 Gbit/s  out 125.0 kpps 1.40 Gbit/s\n\n\
             WORKER    BUSY   IN PPS  OUT PPS  SLOW PATH PPS  DROP PPS\n     \
             0  50.0 %  125.0 k  125.0 k              0         1\n\n\
             DROP             PPS  TOTAL\nsource_mismatch    1     12\n"
        );
    }

    #[test]
    fn the_live_view_shows_the_same_figures() {
        let mut terminal = Terminal::new(TestBackend::new(110, 12)).unwrap();
        terminal.draw(|frame| draw(frame, &example())).unwrap();
        let cells = terminal.backend().buffer().content().iter();
        let text: String = cells.map(|cell| cell.symbol()).collect();
        for shown in [
            "3 of 65536 sessions",
            "50.0 %",
            "125.0 k",
            "source_mismatch",
            "q: end",
        ] {
            assert!(text.contains(shown), "{shown} is missing in {text}");
        }
    }
}
