//! Runs packets of a capture through the compiled P4 program, and says what became of each.
//!
//! ```text
//! kith-p4-run --program p4/compiled/kith.spec --entries director.yaml --pcap in.pcap --out out.pcap
//! #1   port 0, 122 octets: leaves by port 1
//!      - 0000  02 00 00 00 00 10 02 00  …
//!      + 0000  02 00 00 00 00 16 02 00  …
//! #2   port 0, 60 octets: to the controller, arp
//! #3   port 0, 60 octets: dropped, ethernet_not_ours
//! ```

#![forbid(unsafe_code)]

mod entries;
mod pcap;

use clap::Parser;
use entries::EntriesError;
use kith_p4_runner::{Output, Program, ProgramError, Runner, RunnerError};
use kith_pipeline::reason::{DropReason, PuntReason};
use pcap::PcapError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Run packets through the compiled P4 program, and see what becomes of each.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The compiled program; its P4Info is the .p4info.txt beside it
    #[arg(long, value_name = "FILE.spec")]
    program: PathBuf,
    /// Table entries, in YAML
    #[arg(long, value_name = "FILE.yaml")]
    entries: Option<PathBuf>,
    /// Frames that come in: a capture of Ethernet, in pcap format
    #[arg(long, value_name = "FILE.pcap")]
    pcap: PathBuf,
    /// Where to write frames that leave by a network port
    #[arg(long, value_name = "FILE.pcap")]
    out: Option<PathBuf>,
    /// The port they come in by
    #[arg(long, default_value_t = 0)]
    port: u32,
}

/// Why it ends early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Runner(#[from] RunnerError),
    #[error("entries: {0}")]
    Entries(#[from] EntriesError),
    #[error("{path}: {reason}", path = .path.display())]
    Pcap { path: PathBuf, reason: PcapError },
    #[error("{path}: {reason}", path = .path.display())]
    File { path: PathBuf, reason: io::Error },
    #[error("standard output: {0}")]
    Print(io::Error),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kith-p4-run: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = |path: &PathBuf, reason| Failure::File {
        path: path.clone(),
        reason,
    };
    let program = Program::read(&arguments.program)?;
    let mut runner = Runner::new(&program)?;
    if let Some(path) = &arguments.entries {
        let text = std::fs::read_to_string(path).map_err(|reason| file(path, reason))?;
        entries::load(&text, &mut runner)?;
    }
    let capture = std::fs::read(&arguments.pcap).map_err(|reason| file(&arguments.pcap, reason))?;
    let frames = pcap::read(&capture).map_err(|reason| Failure::Pcap {
        path: arguments.pcap.clone(),
        reason,
    })?;
    let mut left = pcap::Writer::new();
    let mut before = runner.counters("drops")?;
    for (index, frame) in frames.iter().enumerate() {
        let outputs = runner.send(arguments.port, frame)?;
        let after = runner.counters("drops")?;
        let mut text = format!(
            "#{:<4} port {}, {} octets: ",
            index + 1,
            arguments.port,
            frame.len()
        );
        tell(&mut text, &runner, frame, &outputs, &before, &after);
        io::stdout().write_all(text.as_bytes()).map_err(Failure::Print)?;
        before = after;
        for output in outputs.iter().filter(|output| runner.packet_in(output).is_none()) {
            left.frame(&output.bytes);
        }
    }
    if let Some(path) = &arguments.out {
        std::fs::write(path, left.finish()).map_err(|reason| file(path, reason))?;
    }
    Ok(())
}

/// What became of a frame. (Writing to a String cannot fail.)
fn tell(text: &mut String, runner: &Runner, frame: &[u8], outputs: &[Output], before: &[u64], after: &[u64]) {
    for (reason, _) in before
        .iter()
        .zip(after)
        .enumerate()
        .filter(|(_, (before, after))| before != after)
    {
        let name = DropReason::ALL
            .get(reason)
            .map_or("for a reason without name", |reason| reason.name());
        let _ = writeln!(text, "dropped, {name}");
    }
    for output in outputs {
        match runner.packet_in(output) {
            Some(up) => {
                let name = PuntReason::ALL
                    .get(usize::from(up.reason))
                    .map_or("?", |reason| reason.name());
                let _ = writeln!(text, "to the controller, {name}");
            }
            None => {
                let _ = writeln!(text, "leaves by port {}", output.port);
                difference(text, frame, &output.bytes);
            }
        }
    }
    if !text.ends_with('\n') {
        text.push_str("gone without a trace\n");
    }
}

/// The lines of 16 octets that differ.
fn difference(text: &mut String, before: &[u8], after: &[u8]) {
    let lines = before.len().max(after.len()).div_ceil(16);
    for line in 0..lines {
        let part = |octets: &'_ [u8]| octets.chunks(16).nth(line).unwrap_or_default().to_vec();
        let (old, new) = (part(before), part(after));
        if old == new {
            continue;
        }
        for (sign, octets) in [('-', old), ('+', new)] {
            if octets.is_empty() {
                continue;
            }
            let _ = write!(text, "      {sign} {:04x} ", line * 16);
            for octet in octets {
                let _ = write!(text, " {octet:02x}");
            }
            text.push('\n');
        }
    }
}
