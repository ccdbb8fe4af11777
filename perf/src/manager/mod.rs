//! P12, P13, P15: the manager as a process of its own, with ten thousand members.
//!
//! ```text
//!  namespace kb-m-…, no way out
//!  ┌──────────────────────────────────────────────────────────────────────────┐
//!  │ this process: members ── TLS, a connection each ──► kith-controller ► store │ on the disk where results go
//!  │               operator ── Unix socket ─────────────►       │             │
//!  │               members ◄── streams of changes ──────────────┘             │
//!  └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Members are written into the store as registered before the manager starts, since ten thousand Argon2id values would take minutes;
//! everything after that, init, join, watch, goes over TLS as an agent would do it. Both processes share the computer: on two CPUs,
//! half of what is measured is the members' own work.

mod etcd;
mod joins;
mod members;
mod memory;
mod process;
mod push;

use crate::BenchError;
use crate::measure::Plan;
use crate::report::Row;
use std::path::PathBuf;

/// What is measured, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The manager.
    pub controller: PathBuf,
    /// A member's agent.
    pub agent: PathBuf,
    /// Members.
    pub members: u32,
    /// A folder on the disk to be measured.
    pub disk: PathBuf,
}

/// P12: how soon members are told, and that nobody else is.
pub fn push(plan: &Plan, options: &Options) -> Result<Vec<Row>, BenchError> {
    let (plan, own) = (*plan, options.clone());
    if let Some(why) = lacking(options) {
        return Ok(vec![Row::not_run("P12", push::WHAT, why)]);
    }
    process::World::run(options, move |world| push::run(&plan, &own, world))
}

/// P13: durable joins against etcd's writes.
pub fn joins(plan: &Plan, options: &Options) -> Result<Vec<Row>, BenchError> {
    let (plan, own) = (*plan, options.clone());
    let etcd = etcd::program()
        .is_none()
        .then(|| "no etcd: tests/setup bench installs it".to_owned());
    if let Some(why) = lacking(options).or(etcd) {
        return Ok(vec![Row::not_run("P13", joins::WHAT, why)]);
    }
    process::World::run(options, move |world| joins::run(&plan, &own, world))
}

/// P15: an agent's memory, and the manager's for each member.
pub fn memory(options: &Options) -> Result<Vec<Row>, BenchError> {
    let own = options.clone();
    if let Some(why) = lacking(options) {
        return Ok(vec![Row::not_run("P15", memory::WHAT, why)]);
    }
    process::World::run(options, move |world| memory::run(&own, world))
}

/// Why nothing can be measured here.
fn lacking(options: &Options) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("run as root: a network namespace is to be made".into());
    }
    [&options.controller, &options.agent]
        .into_iter()
        .find(|program| !program.is_file())
        .map(|program| format!("{} is not there: make build", program.display()))
}

fn failed(what: impl Into<String>) -> BenchError {
    BenchError::Program {
        program: "kith-controller".into(),
        what: what.into(),
    }
}
