//! What can go wrong: what happened, why, and what to do.

use crate::dataplane::p4runtime::{EntryError, LinkError, Unknown};
use crate::manager::ManagerError;
use kith_p4runtime::client::ClientError;
use kith_topologies::Diagnostics;
use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The topology file has mistakes. They were, or are, shown one by one.
    #[error("the topology cannot be used")]
    Topology(Diagnostics),
    /// The agent deals with nobody of that name.
    #[error("there is no tunnel with {peer:?}; {}", known_tunnels(.known))]
    NoTunnel {
        /// Who was asked for.
        peer: String,
        /// With whom there are tunnels.
        known: Vec<String>,
    },
    /// This device is no such member.
    #[error("this device is not {member:?}; it is {}", .known.join(", "))]
    NoMembership {
        /// Who was asked for.
        member: String,
        /// Which there are.
        known: Vec<String>,
    },
    /// Namespaces are the superuser's.
    #[error("{0} needs root: network namespaces are made by the superuser")]
    NotRoot(&'static str),
    /// A word of the command line is no lab's name.
    #[error("`{name}` cannot be the name of a lab: {why}")]
    BadName {
        /// The word.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A lab of this name is there already.
    #[error("a lab named `{0}` stands already")]
    Stands(String),
    /// Somebody else works on this lab.
    #[error("another `kith lab` works on `{0}` right now")]
    Busy(String),
    /// Namespaces of these names exist and belong to nobody we know.
    #[error("network namespaces named {} exist already, and no lab's record has them", .0.join(", "))]
    Foreign(Vec<String>),
    /// No lab of this name.
    #[error("no lab named `{name}` stands{}", list(.standing))]
    UnknownLab {
        /// The name.
        name: String,
        /// Those that stand.
        standing: Vec<String>,
    },
    /// No lab at all.
    #[error("no lab stands")]
    NoLab,
    /// More than one, and none named.
    #[error("more than one lab stands: {}", .0.join(", "))]
    SeveralLabs(Vec<String>),
    /// No such node.
    #[error("lab `{lab}` has no node `{node}`")]
    UnknownNode {
        /// The lab.
        lab: String,
        /// The name.
        node: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// No running program to ask.
    #[error("there is no {what} to ask")]
    NothingToAsk {
        /// A dataplane, an agent.
        what: &'static str,
    },
    /// More than one, and none named.
    #[error("there are several: {}", .0.join(", "))]
    SeveralToAsk(Vec<String>),
    /// A helper program failed.
    #[error("`{command}` failed{}", said(.stderr))]
    Command {
        /// The command line.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A helper program could not be started.
    #[error("`{program}` cannot be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program of ours is not where it should be.
    #[error("the program `{name}` was not found in {}", places(.looked))]
    Missing {
        /// The program.
        name: &'static str,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// A daemon ended before it was ready.
    #[error("{program} of `{node}` ended before it was ready\n{log}")]
    Died {
        /// The node.
        node: String,
        /// The program.
        program: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A daemon did not get ready in time.
    #[error("{program} of `{node}` was not ready after {seconds} s: {state}\n{log}")]
    Late {
        /// The node.
        node: String,
        /// The program.
        program: &'static str,
        /// How long it was given.
        seconds: u64,
        /// What it said last.
        state: String,
        /// The end of its log.
        log: String,
    },
    /// A dataplane or a controller gave no answer.
    #[error(transparent)]
    Daemon(#[from] kith_api::lines::ClientError),
    /// An agent gave no answer.
    #[error(transparent)]
    Agent(#[from] kith_agent::status::StatusError),
    /// A device's agent gave no answer about its memberships.
    #[error(transparent)]
    Memberships(#[from] kith_agent::supervisor::control::AskError),
    /// A lab's manager gave no answer, or refused.
    #[error("the lab's manager at {}: {why}", .socket.display())]
    LabManager {
        /// Where it is asked.
        socket: PathBuf,
        /// What it said.
        why: String,
    },
    /// A member of a lab could not be enrolled.
    #[error("{fqdn} could not be enrolled: {said}")]
    NotEnrolled {
        /// Its name.
        fqdn: String,
        /// What its agent said.
        said: String,
    },
    /// A manager gave no answer, or refused.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// A P4Runtime target gave no answer, or refused.
    #[error(transparent)]
    P4Runtime(#[from] LinkError),
    /// What was asked for is not in the target's program.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// What was to be written is no entry of the target's program.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A batch file is none.
    #[error("{}: {why}", .file.display())]
    Batch {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// Another client of the target writes.
    #[error("nothing was written: another client is primary at {at}{}", election(.highest.as_ref()))]
    NotPrimary {
        /// The target.
        at: String,
        /// The highest election id, as far as the target tells.
        highest: Option<u128>,
    },
    /// No packet can be seen without taking the controller's place.
    #[error("a controller is primary at {at}, and packets go to the primary alone")]
    NoCapture {
        /// The target.
        at: String,
    },
    /// The system refuses.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The record of a lab cannot be read.
    #[error("the record of the lab at {path} cannot be read: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A value cannot be written as JSON.
    #[error("the result cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// A daemon's configuration cannot be written.
    #[error("the configuration of `{node}` cannot be written: {why}")]
    Config {
        /// The node.
        node: String,
        /// Why not.
        why: String,
    },
    /// Something on the command line means nothing.
    #[error("{0}")]
    Usage(String),
    /// The user wanted an end.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// 2 for what was asked wrongly, 1 for what went wrong, 130 for an interrupt, as shells have it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Topology(_)
            | Self::BadName { .. }
            | Self::UnknownLab { .. }
            | Self::UnknownNode { .. }
            | Self::NoMembership { .. }
            | Self::SeveralLabs(_)
            | Self::SeveralToAsk(_)
            | Self::Unknown(_)
            | Self::Entry(_)
            | Self::Batch { .. }
            | Self::Usage(_) => 2,
            Self::Manager(error) => error.exit_code(),
            Self::Interrupted => 130,
            _ => 1,
        }
    }

    /// What to do.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::NotRoot(_) => "run it with sudo".into(),
            Self::BadName { .. } => "take 1 to 15 of a-z, 0-9 and `-`, no `-` at an edge".into(),
            Self::Stands(name) => format!(
                "look at it with `kith lab status --name {name}`, remove it with `kith lab down --name {name}`, or bring \
                 this one up under another name with `--name`"
            ),
            Self::Manager(error) => error.advice()?.into(),
            Self::Busy(_) => "wait until it is done, or take another name with `--name`".into(),
            Self::Foreign(names) => format!(
                "take another name with `--name`, or remove them if they are left over: `ip netns del {}`",
                names.first().map_or("NAME", String::as_str)
            ),
            Self::UnknownLab { .. } | Self::NoLab => {
                "bring one up with `kith lab up FILE`, or see those that stand with `kith lab list`".into()
            }
            Self::SeveralLabs(_) => "say which with `--name`".into(),
            Self::UnknownNode { known, .. } => format!("its nodes are {}", known.join(", ")),
            Self::NothingToAsk { what } => {
                format!(
                    "start a {what}, name its socket with `--socket`, or bring a lab up with `kith lab up FILE`"
                )
            }
            Self::SeveralToAsk(_) => "say which with `--lab` and `--node`, or with `--socket`".into(),
            Self::Start { program, .. } => format!("is it installed? On Debian: {}", package(program)),
            Self::Missing { name, .. } => format!(
                "build it with `cargo build --release -p {}`, or name its folder in KITH_BIN_DIR",
                match *name {
                    "kith-dataplane" => "kith-daemon",
                    "kith" => "kith-cli",
                    other => other,
                }
            ),
            Self::P4Runtime(LinkError::Client(ClientError::Connect { .. })) => {
                "is the dataplane running? name its socket with `--p4runtime unix:/PATH`, or its lab with `--lab`".into()
            }
            Self::Unknown(_) | Self::Entry(_) => "`kith dataplane tables` lists names, widths and actions".into(),
            Self::Batch { .. } => "`kith dataplane write --help` shows what a file holds".into(),
            Self::NotPrimary { .. } => {
                "that is the dataplane's controller, as a rule; `--take-over` writes in its place. kith-controller comes back by itself \
                 some seconds later, and makes the tables of sessions again what it wants them to be"
                    .into()
            }
            Self::NoCapture { .. } => "`--take-over` takes its place until the capture ends: members go on reaching each other, but nobody answers their \
                 requests meanwhile"
                .into(),
            Self::Record { .. } => "remove the lab with `kith lab down --name NAME`".into(),
            Self::Died { .. } | Self::Late { .. } => {
                "try again with `--keep-logs` to keep the whole log; what was made has been removed again"
                    .into()
            }
            _ => return None,
        })
    }

    /// What is printed: what happened and why, then what to do.
    #[must_use]
    pub fn render(&self) -> String {
        if let Self::Topology(diagnostics) = self {
            use std::io::IsTerminal;
            return diagnostics.render(io::stderr().is_terminal());
        }
        match self.advice() {
            Some(advice) => format!("kith: {self}\n  help: {advice}\n"),
            None => format!("kith: {self}\n"),
        }
    }
}

/// The Debian package that has a program.
fn package(program: &str) -> &str {
    match program {
        "ip" => "apt install iproute2",
        "nft" => "apt install nftables",
        "conntrack" => "apt install conntrack",
        "ethtool" => "apt install ethtool",
        "ping" => "apt install iputils-ping",
        _ => "search it with `apt-file search`",
    }
}

fn list(standing: &[String]) -> String {
    match standing {
        [] => String::new(),
        names => format!("; those that do: {}", names.join(", ")),
    }
}

fn election(highest: Option<&u128>) -> String {
    highest.map_or_else(String::new, |id| format!(", with election id {id}"))
}

fn said(stderr: &str) -> String {
    match stderr.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

fn places(looked: &[PathBuf]) -> String {
    let places: Vec<_> = looked.iter().map(|path| path.display().to_string()).collect();
    places.join(", ")
}

/// With whom there are some, for who has asked for another.
fn known_tunnels(known: &[String]) -> String {
    if known.is_empty() {
        "the agent has dealt with nobody yet: send that member something first".to_owned()
    } else {
        format!(
            "there are tunnels with {}; full names, their first parts and addresses are taken",
            known.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_to_do() {
        let error = Error::Command {
            command: "ip netns add x".into(),
            stderr: "File exists\n".into(),
        };
        assert_eq!(error.render(), "kith: `ip netns add x` failed: File exists\n");
        let error = Error::UnknownLab {
            name: "b".into(),
            standing: vec!["a".into()],
        };
        assert_eq!(
            error.render(),
            "kith: no lab named `b` stands; those that do: a\n  help: bring one up with `kith lab up FILE`, or see \
             those that stand with `kith lab list`\n"
        );
        assert_eq!((error.exit_code(), Error::NoLab.exit_code()), (2, 1));
    }
}
