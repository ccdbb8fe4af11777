//! `kith-bench`: what the packet path costs, as a table.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand, ValueEnum};
use kith_perf::measure::Plan;
use kith_perf::port::Bench;
use kith_perf::report::{Report, Row, Standing};
use kith_perf::{
    BenchError, checksum, esp, handshakes, manager, names, overlay, plot, relay, sas, southbound, worker,
    wrap,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures the performance goals in interleaved runs and prints medians with their spread.
///
/// Exit status: 0 all was measured; 1 something failed, or with --enforce a goal was missed; 2 something could not be
/// run, its row says why.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What to measure.
    #[command(subcommand)]
    what: What,
    /// How many pairs of slices.
    #[arg(long, global = true, default_value_t = 15)]
    pairs: usize,
    /// Milliseconds of a slice.
    #[arg(long, global = true, default_value_t = 1000)]
    slice_ms: u64,
    /// 3 pairs of 200 ms, for a first look.
    #[arg(long, global = true)]
    quick: bool,
    /// The CPU to measure on; the last one this process may use if not given.
    #[arg(long, global = true)]
    cpu: Option<usize>,
    /// SAs in the largest table of P8. A million takes a gigabyte.
    #[arg(long, global = true, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sas: u32,
    /// Members that are written through P4Runtime: a sender and a session each.
    #[arg(long, global = true, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: u32,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Where JSON and plot go.
    #[arg(long, global = true, default_value = "target/bench")]
    results: PathBuf,
    /// Exit with 1 if a goal is missed.
    #[arg(long, global = true)]
    enforce: bool,
    /// The kith-agent to measure.
    #[arg(long, global = true, default_value = "target/release/kith-agent")]
    agent: PathBuf,
    /// The kith-controller to measure.
    #[arg(long, global = true, default_value = "target/release/kith-controller")]
    controller: PathBuf,
    /// Members of the manager that is measured.
    #[arg(long, global = true, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(200..=50_000))]
    members: u32,
    /// Have cargo build boringtun-cli into target/bench-tools if it is not there.
    #[arg(long, global = true)]
    with_boringtun: bool,
}

#[derive(Subcommand, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Everything.
    All,
    /// P1: the empty loop against dpdk-testpmd.
    Worker,
    /// P2, P3: relaying.
    Relay,
    /// P2 with UDP checksums.
    Checksum,
    /// P4: outer headers and shim, without ESP.
    Wrap,
    /// P6: the cipher against the whole path.
    Esp,
    /// P8: many security associations.
    Sas,
    /// D2, P15: P4Runtime writes while relaying.
    Southbound,
    /// P9, P10: two agents against other overlays.
    Overlay,
    /// P12: how soon members are told of a change, and how many.
    Push,
    /// P13: durable joins against etcd's writes.
    Joins,
    /// P14: the manager's name service against NSD.
    Names,
    /// I1: IKEv2 handshakes against strongSwan.
    Handshakes,
    /// P15: an agent's memory, and the manager's for each member.
    Memory,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            match arguments.output {
                Output::Table => println!("{}", report.table()),
                Output::Json => println!("{}", report.json()),
            }
            if arguments.enforce && report.any(Standing::Missed) {
                ExitCode::from(1)
            } else if report.any(Standing::NotRun) {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("kith-bench: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, BenchError> {
    let plan = if arguments.quick {
        Plan {
            pairs: 3,
            slice: Duration::from_millis(200),
        }
    } else {
        Plan {
            pairs: arguments.pairs.max(1),
            slice: Duration::from_millis(arguments.slice_ms.max(10)),
        }
    };
    let mut report = Report {
        processor: processor(),
        plan: format!("{} pairs of {} ms", plan.pairs, plan.slice.as_millis()),
        load: std::fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".into(), first_word),
        rows: rows(arguments, &plan)?,
    };
    report.rows.sort_by_key(|row| {
        (
            !row.id.starts_with('P'),
            row.id[1..].parse::<u32>().unwrap_or(u32::MAX),
        )
    });
    let name = if arguments.what == What::All {
        "all"
    } else {
        "part"
    };
    report.save(&arguments.results.join(format!("{name}.json")))?;
    plot::draw(&report, &arguments.results.join(format!("{name}.svg")))?;
    Ok(report)
}

fn rows(arguments: &Arguments, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let wants = |what| arguments.what == What::All || arguments.what == what;
    let mut rows = Vec::new();
    // The overlays first: afterwards this thread is bound to one CPU, and children would be, too.
    if wants(What::Overlay) {
        eprintln!("P9, P10: overlays");
        keep(&mut rows, "P9", overlay::run(plan, &overlay_options(arguments)))?;
    }
    if wants(What::Push) {
        eprintln!("P12: push");
        keep(&mut rows, "P12", manager::push(plan, &manager_options(arguments)))?;
    }
    if wants(What::Joins) {
        eprintln!("P13: joins");
        keep(
            &mut rows,
            "P13",
            manager::joins(plan, &manager_options(arguments)),
        )?;
    }
    if wants(What::Memory) {
        eprintln!("P15: memory");
        keep(&mut rows, "P15", manager::memory(&manager_options(arguments)))?;
    }
    if wants(What::Names) {
        eprintln!("P14: names");
        keep(
            &mut rows,
            "P14",
            names::run(plan, arguments.cpu.unwrap_or_else(last_cpu)),
        )?;
    }
    if wants(What::Handshakes) {
        eprintln!("I1: handshakes");
        keep(
            &mut rows,
            "I1",
            handshakes::run(plan, arguments.cpu.unwrap_or_else(last_cpu)),
        )?;
    }
    if [
        What::Worker,
        What::Relay,
        What::Checksum,
        What::Wrap,
        What::Esp,
        What::Sas,
        What::Southbound,
    ]
    .into_iter()
    .any(wants)
    {
        let cpu = arguments.cpu.unwrap_or_else(last_cpu);
        let mut bench = Bench::new(cpu)?;
        if wants(What::Worker) {
            eprintln!("P1: empty worker loop");
            keep(&mut rows, "P1", worker::run(&mut bench, plan))?;
        }
        if wants(What::Relay) {
            eprintln!("P2, P3: relay");
            keep(&mut rows, "P2", relay::run(&mut bench, plan))?;
        }
        if wants(What::Checksum) {
            eprintln!("P2: relay, UDP checksums");
            keep(&mut rows, "P2", checksum::run(&mut bench, plan))?;
        }
        if wants(What::Southbound) {
            eprintln!("D2, P15: southbound");
            keep(
                &mut rows,
                "D2",
                southbound::run(&mut bench, plan, arguments.sessions),
            )?;
        }
        if wants(What::Wrap) {
            eprintln!("P4: shim and outer headers");
            keep(&mut rows, "P4", wrap::run(&mut bench, plan))?;
        }
        if wants(What::Esp) {
            eprintln!("P6: cipher and path");
            keep(&mut rows, "P6", esp::run(plan))?;
        }
        if wants(What::Sas) {
            eprintln!("P8: security associations");
            keep(&mut rows, "P8", sas::run(plan, arguments.sas))?;
        }
    }
    Ok(rows)
}

/// A part that could not be measured costs its own rows, not those of the others. Wrong output is not to be passed over.
fn keep(rows: &mut Vec<Row>, id: &'static str, made: Result<Vec<Row>, BenchError>) -> Result<(), BenchError> {
    match made {
        Ok(made) => rows.extend(made),
        Err(error @ BenchError::Wrong { .. }) => return Err(error),
        Err(error) => rows.push(Row::not_run(id, "not measured", error.to_string())),
    }
    Ok(())
}

fn overlay_options(arguments: &Arguments) -> overlay::Options {
    overlay::Options {
        agent: arguments.agent.clone(),
        tools: Path::new("target/bench-tools").to_path_buf(),
        build_boringtun: arguments.with_boringtun,
    }
}

fn manager_options(arguments: &Arguments) -> manager::Options {
    manager::Options {
        controller: arguments.controller.clone(),
        agent: arguments.agent.clone(),
        members: arguments.members,
        disk: arguments.results.clone(),
    }
}

/// The last CPU this process may use: the first ones are where interrupts and other people's programs are.
fn last_cpu() -> usize {
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    allowed.map_or(0, |set| {
        (0..nix::sched::CpuSet::count())
            .rev()
            .find(|cpu| set.is_set(*cpu).unwrap_or(false))
            .unwrap_or(0)
    })
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    model.unwrap_or("unknown processor").trim().to_owned()
}

fn first_word(text: String) -> String {
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
