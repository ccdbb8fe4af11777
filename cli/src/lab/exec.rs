//! `kith lab exec`: a command on a node, in whose eyes `/etc/hosts` has the public network's names, and `/etc/resolv.conf` leads to the
//! node's own agent.
//!
//! The files are bound over the computer's own in a mount namespace that only this command and its children see; the computer's are not
//! written to.

use super::plan::Kind;
use super::record::{self, Record};
use super::{agents, need_root};
use crate::dataplane::{LAB_VARIABLE, NODE_VARIABLE};
use crate::error::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

const WITH_NAMES: &str =
    "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && shift 2 && exec \"$@\"";

/// `kith lab exec NODE -- COMMAND…`: becomes the command, so that its exit status is ours.
pub fn run(lab: Option<&str>, node: &str, command: &[String]) -> Result<u8, Error> {
    need_root("running a command in a namespace")?;
    let record = record::choose(lab)?;
    let source = inside(&record, node)?.args(command).exec();
    Err(Error::Start {
        program: "ip".into(),
        source,
    })
}

/// A command to which program and arguments are still to be added; it will run on this node.
pub fn inside(record: &Record, node: &str) -> Result<Command, Error> {
    let namespace = &record.node(node)?.namespace;
    let mut command = Command::new("ip");
    command
        .env(LAB_VARIABLE, &record.name)
        .env(NODE_VARIABLE, node)
        .args([
            "netns",
            "exec",
            namespace,
            "unshare",
            "--mount",
            "--propagation",
            "private",
        ])
        .args(["sh", "-c", WITH_NAMES, "sh"])
        .arg(record.file("hosts"));
    // Others than devices ask nobody: their names are those of the file.
    let resolver = match record.node(node)?.kind {
        Kind::Member => agents::resolv_conf(record, &record.node(node)?.name),
        _ => record.file("resolv"),
    };
    command.arg(resolver);
    Ok(command)
}
