//! What the host decides once, and the two seams to the operators' half.

use super::command::{Actor, AdminError, AdminReply, Command};
use super::ids::{MemberId, Time};
use super::limits::Rate;
use super::{Manager, State};
use kith_protocol::member;
use std::net::SocketAddrV4;

/// What the host decides once.
#[derive(Clone)]
pub struct Settings {
    /// Name and version of this program.
    pub program: String,
    /// Where members reach managers, this one first.
    pub managers: Vec<member::ManagerAddress>,
    /// Grows when that changes.
    pub managers_version: u64,
    /// Where members reach this manager's end of the tunnel.
    pub tunnel: SocketAddrV4,
    /// Members' own port of the tunnel where nothing else is said.
    pub member_port: u16,
    /// Durations.
    pub times: Times,
    /// How often somebody may ask.
    pub limits: Limits,
    /// A policy as one member must keep it.
    pub compile_policy: CompilePolicy,
    /// What operators' commands do.
    pub command: RunCommand,
}

/// A policy as one member must keep it: the first rule that matches decides; what matches none is denied.
pub type CompilePolicy = fn(&State, MemberId) -> Vec<member::Rule>;

/// Runs a command. Either everything of it is done, or it fails and nothing is, but for the audit record.
pub type RunCommand = fn(&mut Manager, Time, &Actor, Command) -> Result<AdminReply, AdminError>;

/// Durations in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Phase two of registration must come within this time.
    pub registration: u64,
    /// New codes at most so often.
    pub code: u64,
    /// A mail that carries a code must be handed over within this time.
    pub mail: u64,
    /// A confirmation's answer is given again for this long.
    pub confirmed: u64,
    /// Phase two of the join must come within this time.
    pub join: u64,
    /// Members send heartbeats so often.
    pub member_heartbeat: u64,
    /// Managers send heartbeats so often.
    pub manager_heartbeat: u64,
    /// Members that were not heard for so long have left. Three of their heartbeats.
    pub silence: u64,
    /// After a restart of the manager, members have at least this long to come back.
    pub grace: u64,
    /// Tickets last so long where their community says nothing.
    pub ticket: u64,
    /// Accounting is written so often.
    pub accounting: u64,
    /// A director that was attended, and is not any more, is believed to work for so long.
    pub director_grace: u64,
    /// A director that somebody elsewhere may attend for is believed to work for so long after the start.
    pub director_start: u64,
}

/// How often somebody may ask, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls from one source address.
    pub source: Rate,
    /// Registrations, joins and new keys of one member.
    pub member: Rate,
    /// Initial passwords begin so many registrations.
    pub password_uses: u32,
    /// So many wrong codes end a registration.
    pub code_attempts: u32,
    /// Codes on their way to the mail server at once.
    pub mails: usize,
    /// Records in one answer to a query.
    pub query: usize,
    /// Networks that a member may name as its own.
    pub local_networks: usize,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            registration: 600_000,
            code: 30_000,
            mail: 30_000,
            confirmed: 600_000,
            join: 60_000,
            member_heartbeat: 20_000,
            manager_heartbeat: 20_000,
            silence: 60_000,
            grace: 180_000,
            ticket: 3_600_000,
            accounting: 60_000,
            director_grace: 10_000,
            director_start: 30_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source: Rate {
                per_second: 200,
                burst: 2000,
            },
            member: Rate {
                per_second: 1,
                burst: 10,
            },
            password_uses: 3,
            code_attempts: 5,
            mails: 256,
            query: 200,
            local_networks: 64,
        }
    }
}

impl Settings {
    /// With the usual durations and limits.
    #[must_use]
    pub fn new(
        managers: Vec<member::ManagerAddress>,
        tunnel: SocketAddrV4,
        compile_policy: CompilePolicy,
        command: RunCommand,
    ) -> Self {
        Self {
            program: concat!("kith ", env!("CARGO_PKG_VERSION")).to_owned(),
            managers,
            managers_version: 1,
            tunnel,
            member_port: 20202,
            times: Times::default(),
            limits: Limits::default(),
            compile_policy,
            command,
        }
    }
}
