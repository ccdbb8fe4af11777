//! Which dataplane, controller or agent is meant: by its socket, by lab and node, or because it is the only one.

use crate::error::Error;
use crate::lab::directors::p4runtime_socket;
use crate::lab::plan::Kind;
use crate::lab::process::Process;
use crate::lab::record::{self, Record};
use clap::Args;
use kith_api::client::Client;
use std::path::{Path, PathBuf};

/// Says to programs that `kith lab exec` runs which lab they are in.
pub const LAB_VARIABLE: &str = "KITH_LAB";
/// Says to them on which node.
pub const NODE_VARIABLE: &str = "KITH_NODE";

/// Which program to ask.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// Its socket.
    #[arg(long, conflicts_with_all = ["lab", "node"])]
    pub socket: Option<PathBuf>,
    /// The lab that it runs in.
    #[arg(long)]
    pub lab: Option<String>,
    /// The node that it runs on.
    #[arg(long)]
    pub node: Option<String>,
}

impl Target {
    /// A connection to the dataplane that is meant.
    pub fn connect(&self) -> Result<Client, Error> {
        Ok(Client::connect(self.find(Kind::Director)?)?)
    }

    /// The socket of the program that is meant: a director's, a controller's or a member's.
    pub fn find(&self, kind: Kind) -> Result<PathBuf, Error> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let (what, system) = match kind {
            Kind::Director => ("dataplane", "/run/kith/dataplane.sock"),
            Kind::Controller => ("controller", "/run/kith/controller.sock"),
            _ => ("agent", "/run/kith/agent.sock"),
        };
        Ok(self
            .choose(what, system, kind, |_, process| process.socket.clone())?
            .1)
    }

    /// The P4Runtime socket of the dataplane that is meant.
    pub fn find_p4runtime(&self) -> Result<PathBuf, Error> {
        let socket = |lab: &Record, process: &Process| p4runtime_socket(lab, &process.node);
        Ok(self
            .choose("dataplane", "/run/kith/p4runtime.sock", Kind::Director, socket)?
            .1)
    }

    /// The name, `LAB/NODE` in a lab, and the socket of the dataplane that is meant.
    pub(super) fn find_named(&self) -> Result<(String, PathBuf), Error> {
        if let Some(socket) = &self.socket {
            return Ok(("this computer".into(), socket.clone()));
        }
        let socket = |_: &Record, process: &Process| process.socket.clone();
        self.choose("dataplane", "/run/kith/dataplane.sock", Kind::Director, socket)
    }

    fn choose(
        &self,
        what: &'static str,
        system: &str,
        kind: Kind,
        socket: impl Fn(&Record, &Process) -> PathBuf,
    ) -> Result<(String, PathBuf), Error> {
        let mut found = self.in_labs(kind, socket)?;
        if self.lab.is_none() && self.node.is_none() && Path::new(system).exists() {
            found.push(("this computer".into(), system.into()));
        }
        if self.lab.is_none() && self.node.is_none() && found.len() > 1 {
            prefer_here(&mut found);
        }
        match found.as_slice() {
            [] => Err(Error::NothingToAsk { what }),
            [only] => Ok(only.clone()),
            several => Err(Error::SeveralToAsk(
                several.iter().map(|(name, _)| name.clone()).collect(),
            )),
        }
    }

    fn in_labs(
        &self,
        kind: Kind,
        socket: impl Fn(&Record, &Process) -> PathBuf,
    ) -> Result<Vec<(String, PathBuf)>, Error> {
        let labs = match &self.lab {
            Some(name) => vec![record::choose(Some(name))?],
            // A lab that cannot be read has nobody to ask.
            None => record::names()
                .iter()
                .filter_map(|name| Record::read(name).ok().flatten())
                .collect(),
        };
        if let (Some(node), [lab]) = (&self.node, labs.as_slice()) {
            lab.node(node)?;
        }
        let asked = |name: &str, members: &[String]| {
            self.node
                .as_deref()
                .is_none_or(|node| node == name || members.iter().any(|member| member == node))
        };
        let mut found = Vec::new();
        for lab in &labs {
            let nodes = lab.of(kind).filter(|node| asked(&node.name, &node.members));
            for process in nodes.filter_map(|node| lab.process(&node.name)) {
                found.push((format!("{}/{}", lab.name, process.node), socket(lab, process)));
            }
        }
        Ok(found)
    }
}

/// Of several, a program inside a lab means the one on its own node, or else the ones of its own lab.
fn prefer_here(found: &mut Vec<(String, PathBuf)>) {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let (lab, node) = (format!("{}/", variable(LAB_VARIABLE)), variable(NODE_VARIABLE));
    let here = format!("{lab}{node}");
    if found.iter().any(|(name, _)| *name == here) {
        found.retain(|(name, _)| *name == here);
    } else if found.iter().any(|(name, _)| name.starts_with(&lab)) {
        found.retain(|(name, _)| name.starts_with(&lab));
    }
}

/// The sockets of all daemons of a kind in a lab, with their nodes.
#[must_use]
pub fn sockets(record: &Record, kind: Kind) -> Vec<(String, PathBuf)> {
    let processes = record.of(kind).filter_map(|node| record.process(&node.name));
    processes
        .map(|process| (process.node.clone(), process.socket.clone()))
        .collect()
}
