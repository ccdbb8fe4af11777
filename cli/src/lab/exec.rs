//! `kith lab exec`: a command on a node, in whose eyes `/etc/hosts` has the community's names.
//!
//! The file is bound over `/etc/hosts` in a mount namespace that only this command and its children see; the computer's own file is
//! not written to.

use super::need_root;
use super::record::{self, Record};
use crate::dataplane::{LAB_VARIABLE, NODE_VARIABLE};
use crate::error::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

const WITH_NAMES: &str = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";

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
    Ok(command)
}
