//! `kith-p4`: compiles, checks and draws the P4 program.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use kith_p4::{Error, Folder, check, compile, draw};
use std::path::PathBuf;
use std::process::ExitCode;

/// The P4 program of Kith: compile it, check what was compiled, draw it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The folder that holds kith.p4.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile with p4c-dpdk from PATH; refresh compiled outputs, manifest and picture.
    Compile,
    /// Are compiled outputs, manifest and picture those of this source? Compiles too, if p4c-dpdk is on PATH.
    Check,
    /// Write pipeline.svg.
    Draw,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder = arguments.folder.map_or_else(Folder::of_this_crate, Folder::at);
    match run(&folder, &arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kith-p4: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Folder, command: &Command) -> Result<ExitCode, Error> {
    match command {
        Command::Compile => {
            let warnings = compile::refresh(folder)?;
            eprint!("{warnings}");
            draw::refresh(folder)?;
        }
        Command::Draw => draw::refresh(folder)?,
        Command::Check => {
            let outcome = check::check(folder)?;
            for difference in &outcome.differences {
                eprintln!("kith-p4: {difference}");
            }
            if !outcome.compiled {
                eprintln!(
                    "kith-p4: p4c-dpdk is not on PATH: hashes and picture were compared, nothing was compiled"
                );
            }
            if !outcome.differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
