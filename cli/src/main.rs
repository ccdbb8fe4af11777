//! `kith`: the command line. Everything is in the library.
#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = kith_cli::args::Cli::parse();
    match kith_cli::run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprint!("{}", error.render());
            ExitCode::from(error.exit_code())
        }
    }
}
