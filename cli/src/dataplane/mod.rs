//! `kith dataplane`: asks a running `kith-dataplane`, over its statistics socket; over P4Runtime, which works with any target; or,
//! for `ping`, over the network.

pub mod p4runtime;
mod ping;
mod render;
mod sessions;
mod target;
mod top;

pub use ping::{Pinged, Probe, probe};
pub use target::{LAB_VARIABLE, NODE_VARIABLE, Target, sockets};

use crate::error::Error;
use crate::output::{self, Format};
use clap::Subcommand;
use p4runtime::{Capturing, P4Target, Reading, TableView, Writing};

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
    /// Sessions of members: where they are, packets to them; names, if the controller answers
    Sessions(Target),
    /// Who is on the links
    Neighbors(Target),
    /// Tables of the program, over P4Runtime: keys, actions, sizes, entries; counters and meters
    #[command(after_long_help = p4runtime::TABLES_EXAMPLES)]
    Tables(P4Target),
    /// Entries of a table, over P4Runtime
    #[command(after_long_help = p4runtime::TABLE_EXAMPLES)]
    Table {
        /// What of it.
        #[command(flatten)]
        view: TableView,
        /// Which target.
        #[command(flatten)]
        target: P4Target,
    },
    /// Security associations of a gateway, over P4Runtime: whose, how old, what went under them, what is left; never keys
    #[command(after_long_help = p4runtime::ASSOCIATIONS_EXAMPLES)]
    Associations(P4Target),
    /// Write entries and meters, over P4Runtime: one from the command line, or a batch
    #[command(after_long_help = p4runtime::WRITE_EXAMPLES)]
    Write {
        /// What.
        #[command(flatten)]
        writing: Writing,
        /// Which target.
        #[command(flatten)]
        target: P4Target,
    },
    /// Counters and meters, over P4Runtime
    #[command(after_long_help = p4runtime::READ_EXAMPLES)]
    Read {
        /// Which.
        #[command(flatten)]
        reading: Reading,
        /// Which target.
        #[command(flatten)]
        target: P4Target,
    },
    /// Packets for the controller as they come, over P4Runtime
    #[command(after_long_help = p4runtime::CAPTURE_EXAMPLES)]
    Capture {
        /// Which, and how many.
        #[command(flatten)]
        capturing: Capturing,
        /// Which target.
        #[command(flatten)]
        target: P4Target,
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
        C::Sessions(target) => return sessions::run(&target, format),
        C::Neighbors(target) => output::show(format, &target.connect()?.neighbors()?, render::neighbors)?,
        C::Tables(target) => return p4runtime::tables(&target, format),
        C::Table { view, target } => return p4runtime::table(&target, &view, format),
        C::Associations(target) => return p4runtime::associations(&target, format),
        C::Write { writing, target } => return p4runtime::write(&target, &writing, format),
        C::Read { reading, target } => return p4runtime::read(&target, &reading, format),
        C::Capture { capturing, target } => return p4runtime::capture(&target, &capturing, format),
        C::Top {
            target,
            once,
            interval,
        } => return top::run(&target, once, interval, format),
        C::Ping(probe) => return ping::run(&probe, format),
    }
    Ok(0)
}

/// A length of time in seconds, at least a hundredth.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.01..=3600.0).contains(&value) => Ok(value),
        _ => Err("expected seconds, from 0.01 to 3600".into()),
    }
}
