//! `kith dataplane`: asks a running `kith-dataplane`, over its statistics socket or, for `ping`, over the network.

mod ping;
mod render;
mod target;
mod top;

pub use ping::{Pinged, Probe, probe};
pub use target::{LAB_VARIABLE, NODE_VARIABLE, Target, sockets};

use crate::error::Error;
use crate::output::{self, Format};
use clap::Subcommand;
use kith_api::client::{Client, ClientError};
use kith_api::stats::Session;

/// `kith dataplane …`
#[derive(Debug, Subcommand)]
pub enum DataplaneCommand {
    /// What runs, and on what
    Status(Target),
    /// Packets everywhere, and that none is unaccounted for
    Stats(Target),
    /// Dropped packets by name
    Drops {
        /// Which dataplane.
        #[command(flatten)]
        target: Target,
        /// Also names without a drop.
        #[arg(long)]
        all: bool,
    },
    /// Sessions of members
    Sessions(Target),
    /// Tables and how full they are
    Tables(Target),
    /// What is in a table
    Table {
        /// The table's name; `kith dataplane tables` lists them.
        table: String,
        /// Which dataplane.
        #[command(flatten)]
        target: Target,
    },
    /// Rates, drops and workers, live
    Top {
        /// Which dataplane.
        #[command(flatten)]
        target: Target,
        /// Measure for one interval, print it and end.
        #[arg(long)]
        once: bool,
        /// Seconds between two looks.
        #[arg(short, long, default_value = "1", value_parser = seconds)]
        interval: f64,
    },
    /// Ask a director whether it is alive, as anybody may: system ping over UDP
    Ping(Probe),
}

/// Runs a `kith dataplane` command.
pub fn run(command: DataplaneCommand, format: Format) -> Result<u8, Error> {
    use DataplaneCommand as C;
    match command {
        C::Status(target) => output::show(format, &target.connect()?.status()?, render::status)?,
        C::Stats(target) => output::show(format, &target.connect()?.stats()?, render::stats)?,
        C::Drops { target, all } => {
            let drops = target.connect()?.drops()?;
            output::show(format, &drops, |drops| render::drops(drops, all))?;
        }
        C::Sessions(target) => {
            let sessions = all_sessions(&mut target.connect()?)?;
            output::show(format, &sessions, |sessions| render::sessions(sessions))?;
        }
        C::Tables(target) => output::show(format, &target.connect()?.tables()?, render::tables)?,
        C::Table { table, target } => output::show(format, &target.connect()?.table(&table)?, render::table)?,
        C::Top {
            target,
            once,
            interval,
        } => return top::run(&target, once, interval, format),
        C::Ping(probe) => return ping::run(&probe, format),
    }
    Ok(0)
}

/// Every session, in as many answers as it takes.
pub fn all_sessions(client: &mut Client) -> Result<Vec<Session>, ClientError> {
    let mut all = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let part = client.sessions(offset, 0)?;
        if part.sessions.is_empty() {
            return Ok(all);
        }
        all.extend(part.sessions);
        if all.len() as u64 >= part.total {
            return Ok(all);
        }
    }
}

/// A length of time in seconds, at least a hundredth.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.01..=3600.0).contains(&value) => Ok(value),
        _ => Err("expected seconds, from 0.01 to 3600".into()),
    }
}
