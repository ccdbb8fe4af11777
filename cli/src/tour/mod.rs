//! `kith lab tour`: everything a network promises, tried with real programs, measured and judged.
//!
//! One file per step; a step does something with ping, curl, iperf3, tcpdump or the like, and gives a [`Check`]: what was done, what was
//! measured, and whether that is good. What a topology has no part for (no stranger, no narrow site) is said to be skipped.
//!
//! ```text
//!  FILE ──► lab up under a name of its own ──► steps, one after the other ──► summary ──► lab down, always
//!  --name ─► the lab that stands ────────────► steps, one after the other ──► summary
//! ```

mod capture;
mod conserved;
mod controller;
mod dataplane;
mod enrolment;
mod entries;
mod files;
mod idle;
mod keys;
mod leave;
mod manager;
mod member;
mod mtu;
mod names;
mod nat;
mod ping;
mod policy;
mod report;
mod revocation;
mod secrecy;
mod stranger;
mod sysping;
mod throughput;
mod tools;

pub use report::{Check, Report};

use crate::error::Error;
use crate::lab::progress::Progress;
use crate::lab::record::{self, Lock, Phase, Record};
use crate::lab::{down, up};
use crate::output::{self, Format};
use crate::stop::Stop;
use crate::topology;
use kith_topologies::compiled::Topology;
use member::Member;
use report::Figures;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, process};

/// What a step works on.
#[derive(Debug)]
pub struct Tour {
    record: Record,
    topology: Topology,
    members: Vec<Member>,
    stop: Stop,
    work: PathBuf,
    figures: Figures,
}

type Step = fn(&mut Tour) -> Result<Check, Error>;

/// All steps, in the order that they are taken. What learns a path comes before what fills it; what kills programs, and so starts
/// their counters anew, comes after the counters were compared.
const STEPS: &[(&str, Step)] = &[
    ("ping", ping::step),
    ("keys", keys::step),
    ("director-ping", sysping::step),
    ("path-mtu", mtu::step),
    ("files", files::step),
    ("throughput", throughput::step),
    ("entries", entries::step),
    ("names", names::step),
    ("policy", policy::step),
    ("secrecy", secrecy::step),
    ("nat-timeout", idle::step),
    ("nat-restart", nat::step),
    ("stranger", stranger::step),
    ("conservation", conserved::step),
    ("controller-away", controller::step),
    ("manager-away", manager::step),
    ("dataplane-restart", dataplane::step),
    ("leave", leave::step),
    ("revocation", revocation::step),
    ("enrolment", enrolment::step),
];

/// `kith lab tour`.
pub fn run(
    file: Option<&Path>,
    name: Option<&str>,
    only: &[String],
    report: Option<&Path>,
    format: Format,
) -> Result<u8, Error> {
    for word in only {
        if !STEPS.iter().any(|(step, _)| step == word) {
            let known: Vec<_> = STEPS.iter().map(|(step, _)| *step).collect();
            return Err(Error::Usage(format!(
                "there is no step `{word}`; there are {}",
                known.join(", ")
            )));
        }
    }
    let stop = Stop::on_signals()?;
    let result = match file {
        Some(file) => on_new(file, only, &stop)?,
        None => {
            let record = record::choose(name)?;
            on_standing(record, only, &stop)?
        }
    };
    if let Some(path) = report {
        let text = serde_json::to_string_pretty(&result).map_err(Error::Json)?;
        fs::write(path, text + "\n").map_err(|source| Error::Io {
            doing: "write",
            path: path.to_owned(),
            source,
        })?;
    }
    output::show(format, &result, Report::render)?;
    Ok(u8::from(!result.passed))
}

fn on_new(file: &Path, only: &[String], stop: &Stop) -> Result<Report, Error> {
    let topology = topology::read(file)?.topology;
    // Unique among running processes, and within 15 characters.
    let name = format!("tour-{}", process::id());
    let progress = Progress::new(false);
    let record = up::build(&name, file, &topology, false, &progress, stop)?;
    progress.done(&format!("lab `{name}` is up"));
    let tour =
        Lock::take(&name).and_then(|lock| Ok((lock, Tour::new(record.clone(), topology, stop.clone())?)));
    match tour {
        Ok((_lock, mut tour)) => {
            let result = tour.take(only);
            down::remove(&tour.record);
            result
        }
        Err(error) => {
            down::remove(&record);
            Err(error)
        }
    }
}

fn on_standing(record: Record, only: &[String], stop: &Stop) -> Result<Report, Error> {
    if record.phase != Phase::Up {
        return Err(Error::Usage(format!(
            "lab `{}` is half-built; remove it with `kith lab down`",
            record.name
        )));
    }
    crate::lab::need_root("a tour")?;
    // The tour restarts daemons: nobody else may change the lab meanwhile.
    let _lock = Lock::take(&record.name)?;
    let topology = topology::read(&record.file("topology.yaml"))?.topology;
    let mut tour = Tour::new(record, topology, stop.clone())?;
    let result = tour.take(only);
    let _left_for_down = fs::remove_dir_all(&tour.work);
    result
}

impl Tour {
    fn new(record: Record, topology: Topology, stop: Stop) -> Result<Self, Error> {
        let work = record.file("tour");
        fs::create_dir_all(&work).map_err(|source| Error::Io {
            doing: "make",
            path: work.clone(),
            source,
        })?;
        let members = member::members(&record, &topology)?;
        Ok(Self {
            record,
            topology,
            members,
            stop,
            work,
            figures: Figures::default(),
        })
    }

    fn take(&mut self, only: &[String]) -> Result<Report, Error> {
        let begin = Instant::now();
        let mut checks = Vec::new();
        for (name, step) in STEPS {
            if !only.is_empty() && !only.iter().any(|word| word == name) {
                continue;
            }
            eprintln!("· {name}");
            let since = Instant::now();
            let mut check = match self.look().and_then(|()| step(self)) {
                Ok(check) => check,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => Check::broken(&error),
            };
            check.name = (*name).to_owned();
            check.seconds = since.elapsed().as_secs_f64();
            eprint!("{}", check.lines());
            checks.push(check);
        }
        Ok(Report {
            lab: self.record.name.clone(),
            topology: self.record.topology.clone(),
            passed: checks.iter().all(|check| check.passed()),
            seconds: begin.elapsed().as_secs_f64(),
            figures: std::mem::take(&mut self.figures),
            checks,
        })
    }
}
