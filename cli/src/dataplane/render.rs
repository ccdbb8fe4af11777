//! What a dataplane answers, as tables.

use crate::output::{age, table as rows_of};
use kith_api::stats::{Drops, Endpoint, Named, Neighbors, Stats, Status, WorkerStats};

pub(super) fn status(status: &Status) -> String {
    let (buffers, free) = status.buffers;
    let mut out = format!(
        "{}, {}: {}, process {}, up {}\n{}; device {}, generation {}\n{} of {} sessions, {} senders; {} of {} buffers free, {} pages\n\n",
        status.name,
        endpoint(status.endpoint),
        status.program,
        status.pid,
        age(status.uptime_ms),
        if status.controller {
            "a controller decides"
        } else {
            "no controller: it forwards as it was told last"
        },
        status.device_id,
        status.generation,
        status.sessions,
        status.session_capacity,
        status.senders,
        free,
        buffers,
        if status.huge_pages { "huge" } else { "ordinary" },
    );
    let ports: Vec<Vec<String>> = status
        .ports
        .iter()
        .map(|port| {
            vec![
                port.index.to_string(),
                port.device.clone(),
                port.driver.clone(),
                port.address.clone(),
                port.mac.clone(),
                port.mtu.to_string(),
                if port.link_up { "up" } else { "down" }.into(),
                if port.offloads.is_empty() {
                    "-".into()
                } else {
                    port.offloads.join(",")
                },
            ]
        })
        .collect();
    let headers = [
        ">port", "device", "driver", "address", "station", ">mtu", "link", "offloads",
    ];
    out += &rows_of(&headers, &ports);
    let workers: Vec<Vec<String>> = status
        .workers
        .iter()
        .map(|worker| {
            vec![
                worker.index.to_string(),
                worker.core.map_or_else(|| "any".into(), |core| core.to_string()),
                format!("{:.1} %", worker.busy * 100.0),
                worker.busy_polls.to_string(),
                worker.idle_polls.to_string(),
            ]
        })
        .collect();
    let headers = [
        ">worker",
        ">core",
        ">busy",
        ">polls with packets",
        ">polls without",
    ];
    out + "\n" + &rows_of(&headers, &workers)
}

/// A count of a worker's, and what stands above it.
type Column = (&'static str, fn(&WorkerStats) -> u64);

pub(super) fn stats(stats: &Stats) -> String {
    // What comes in stands before what goes out: both have the same sum, but for a burst in a worker's hands.
    let columns: [Column; 7] = [
        (">received", |w| w.received),
        (">injected", |w| w.injected),
        (">taken over", |w| w.taken_over),
        (">transmitted", |w| w.transmitted),
        (">punted", |w| w.punted),
        (">dropped", |w| w.dropped),
        (">handed over", |w| w.handed_over),
    ];
    let mut rows: Vec<Vec<String>> = stats
        .workers
        .iter()
        .map(|w| row(&format!("worker {}", w.index), &columns.map(|(_, of)| of(w))))
        .collect();
    let all = columns.map(|(_, of)| stats.workers.iter().map(of).sum::<u64>());
    rows.push(row("all workers", &all));
    let mut headers = vec![""];
    headers.extend(columns.map(|(header, _)| header));
    let mut out = rows_of(&headers, &rows);
    let s = &stats.slow_path;
    let slow = row(
        "slow path",
        &[s.taken, s.originated, s.sent, s.consumed, s.dropped, s.held],
    );
    let headers = [
        "",
        ">taken",
        ">originated",
        ">sent",
        ">consumed",
        ">dropped",
        ">held",
    ];
    out += &format!("\n{}", rows_of(&headers, &[slow]));
    let ports: Vec<Vec<String>> = stats
        .ports
        .iter()
        .map(|p| {
            let lost = [
                p.received,
                p.transmitted,
                p.missed,
                p.receive_errors,
                p.transmit_errors,
                p.no_buffer,
            ];
            row(&format!("port {}", p.index), &lost)
        })
        .collect();
    let headers = [
        "",
        ">received",
        ">transmitted",
        ">missed",
        ">rx errors",
        ">tx errors",
        ">no buffer",
    ];
    out += &format!("\n{}", rows_of(&headers, &ports));
    out += &named("to the slow path", &stats.punts);
    out += &named("to the controller", &stats.packet_ins);
    if stats.packet_outs > 0 {
        out += &format!("\n{} packets from the controller\n", stats.packet_outs);
    }
    let c = &stats.conservation;
    out + &format!(
        "\n{} received + {} originated {} {} transmitted + {} consumed + {} dropped + {} in flight\n",
        c.received,
        c.originated,
        if c.balanced { "=" } else { "≠" },
        c.transmitted,
        c.consumed,
        c.dropped,
        c.in_flight
    )
}

pub(super) fn drops(drops: &Drops, all: bool) -> String {
    let rows: Vec<Vec<String>> = drops
        .drops
        .iter()
        .filter(|drop| all || drop.workers + drop.slow_path > 0)
        .map(|drop| {
            vec![
                drop.name.clone(),
                drop.workers.to_string(),
                drop.slow_path.to_string(),
                drop.explanation.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "nothing was dropped\n".into();
    }
    rows_of(&["drop", ">workers", ">slow path", "meaning"], &rows) + &format!("\n{} in all\n", drops.total)
}

pub(super) fn neighbors(neighbors: &Neighbors) -> String {
    if neighbors.neighbors.is_empty() {
        return "no neighbor\n".into();
    }
    let rows: Vec<Vec<String>> = neighbors
        .neighbors
        .iter()
        .map(|neighbor| {
            vec![
                neighbor.port.to_string(),
                neighbor.address.to_string(),
                neighbor.station.clone().unwrap_or_else(|| "-".into()),
                neighbor.state.clone(),
            ]
        })
        .collect();
    let mut out = rows_of(&[">port", "address", "station", "state"], &rows);
    if neighbors.total > neighbors.neighbors.len() as u64 {
        out += &format!("\n{} of {}\n", neighbors.neighbors.len(), neighbors.total);
    }
    out
}

fn endpoint(endpoint: Endpoint) -> String {
    match endpoint {
        Endpoint::Nothing => "nothing yet".into(),
        Endpoint::Director(address) => format!("director at {address}"),
        Endpoint::Gateway(port) => format!("gateway on port {port}"),
    }
}

/// Counts other than zero, under a heading; nothing if all are zero.
fn named(heading: &str, counts: &[Named]) -> String {
    let some = counts.iter().filter(|named| named.count > 0);
    let rows: Vec<Vec<String>> = some.map(|named| row(&named.name, &[named.count])).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", rows_of(&[heading, ">packets"], &rows))
}

fn row(name: &str, counts: &[u64]) -> Vec<String> {
    let counts = counts.iter().map(u64::to_string);
    std::iter::once(name.to_owned()).chain(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_api::stats::{Conservation, Drop, SlowPathStats, WorkerStats};

    #[test]
    fn only_what_was_dropped_is_shown_unless_all_is_asked_for() {
        let drop = |name: &str, workers, slow_path| Drop {
            name: name.into(),
            explanation: format!("About {name}."),
            workers,
            slow_path,
        };
        let some = Drops {
            drops: vec![drop("source_unknown", 12, 0), drop("ttl_expired", 0, 0)],
            total: 12,
        };
        assert_eq!(
            drops(&some, false),
            "DROP            WORKERS  SLOW PATH  MEANING\n\
             source_unknown       12          0  About source_unknown.\n\n12 in all\n"
        );
        assert!(drops(&some, true).contains("ttl_expired"));
        let none = Drops {
            drops: vec![drop("ttl_expired", 0, 0)],
            total: 0,
        };
        assert_eq!(drops(&none, false), "nothing was dropped\n");
    }

    #[test]
    fn a_sum_that_does_not_add_up_is_shown_as_such() {
        let worker = WorkerStats {
            received: 10,
            transmitted: 8,
            dropped: 1,
            ..WorkerStats::default()
        };
        let slow_path = SlowPathStats::default();
        let mut all = Stats {
            uptime_ms: 1,
            conservation: Conservation::of(std::slice::from_ref(&worker), &slow_path, 0),
            workers: vec![worker],
            slow_path,
            ports: Vec::new(),
            punts: Vec::new(),
            packet_ins: Vec::new(),
            packet_outs: 0,
        };
        assert!(stats(&all).ends_with(
            "10 received + 0 originated ≠ 8 transmitted + 0 consumed + 1 dropped + 0 in flight\n"
        ));
        all.conservation = Conservation::of(&all.workers, &all.slow_path, 1);
        assert!(stats(&all).contains("10 received + 0 originated = 8"));
    }
}
