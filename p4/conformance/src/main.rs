//! `kith-conformance`: shows what the P4 program and the Rust pipeline make of a packet.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use kith_p4_conformance::suite::Suite;
use kith_p4_conformance::watch::watch;
use std::process::ExitCode;

/// The P4 program and the Rust pipeline, side by side.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All cases.
    List,
    /// Send the packets of the cases whose name contains these words through both, and show all that can be seen.
    Watch {
        /// Words of the name.
        name: String,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("kith-conformance: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<String, Box<dyn std::error::Error>> {
    let suite = Suite::load()?;
    match command {
        Command::List => Ok(suite
            .cases
            .iter()
            .map(|case| format!("{:<24} {}\n", case.place, case.name))
            .collect()),
        Command::Watch { name } => {
            let cases: Vec<_> = suite
                .cases
                .iter()
                .filter(|case| case.name.contains(name.as_str()))
                .collect();
            if cases.is_empty() {
                return Err(
                    format!("no case has `{name}` in its name; `kith-conformance list` shows all").into(),
                );
            }
            let shown: Result<Vec<String>, _> = cases.into_iter().map(|case| watch(&suite, case)).collect();
            Ok(shown?.join("\n"))
        }
    }
}
