//! A device of a topology as a `kith-agent`: enrolled in its communities with the manager's invitations, then up.
//!
//! ```text
//!  invitation ─► kith-agent enroll ─► manager ─► letter in the mail folder ─► code ─► kith-agent enroll ─► registration
//!                                                                 registrations ─► kith-agent up ─► joined
//! ```

use super::daemons::{self, Health};
use super::managers;
use super::record::{self, Record};
use crate::error::Error;
use crate::stop::Stop;
use kith_agent::status::Status;
use kith_agent::supervisor::control::{Answer, AskError, Membership, Request, ask};
use kith_protocol::admin::Invitation;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where a device keeps its registrations.
#[must_use]
pub fn state(record: &Record, node: &str) -> PathBuf {
    record.file(&format!("{node}.state"))
}

/// The file that a device's programs find its name server in.
#[must_use]
pub fn resolv_conf(record: &Record, node: &str) -> PathBuf {
    record.file(&format!("{node}.resolv"))
}

/// What is behind `kith-agent` on a device's command line.
#[must_use]
pub fn up(record: &Record, node: &str, socket: &Path, udp_port: u16, site: Option<&str>) -> Vec<String> {
    let path = |path: PathBuf| path.display().to_string();
    let mut words = vec![
        "up".to_owned(),
        "--foreground".into(),
        "--state-dir".into(),
        path(state(record, node)),
        "--socket".into(),
        path(socket.to_owned()),
        "--port".into(),
        udp_port.to_string(),
        "--dns".into(),
        "resolv-conf".into(),
        "--dns-listen".into(),
        STUB.into(),
        "--resolv-conf".into(),
        path(resolv_conf(record, node)),
    ];
    if let Some(site) = site {
        words.extend(["--site".to_owned(), site.to_owned()]);
    }
    words
}

/// Where a device's agent answers names.
pub const STUB: &str = "127.0.0.54:53";

/// How an enrolment ended.
#[derive(Debug)]
pub struct Enrolled {
    /// There is a registration now.
    pub ok: bool,
    /// What the agent said.
    pub said: String,
}

/// Enrols a node with an invitation: the code is read from the letter that comes, as its owner would.
pub fn enrol(record: &Record, node: &str, invitation: &Invitation, stop: &Stop) -> Result<Enrolled, Error> {
    let before = managers::letters(record);
    let typed = || {
        let code = managers::code(record, &invitation.fqdn, &before, stop)?;
        Ok(code.into_iter().collect())
    };
    enrol_with(record, node, &state(record, node), &invitation.text, typed)
}

/// Forgets a registration of a node whose agent does not run.
pub fn forget(record: &Record, node: &str, fqdn: &str) -> Result<(), Error> {
    let words = ["forget", fqdn, "--state-dir"].map(str::to_owned);
    let path = |path: PathBuf| path.display().to_string();
    let socket = record.file(&format!("{node}.sock"));
    let rest = [path(state(record, node)), "--socket".into(), path(socket)];
    let program = path(daemons::find("kith-agent")?);
    let argv = [program].into_iter().chain(words).chain(rest);
    super::command::Command::new(argv).run().map(drop)
}

/// Enrols a device that keeps its registrations in `state`; `typed` is called once the agent runs, for the lines that are typed then.
pub fn enrol_with(
    record: &Record,
    node: &str,
    state: &Path,
    invitation: &str,
    typed: impl FnOnce() -> Result<Vec<String>, Error>,
) -> Result<Enrolled, Error> {
    let file = record.file(&format!("{node}.invitation"));
    record::write_private(&file, invitation)?;
    let agent = daemons::find("kith-agent")?;
    let start = |source| Error::Start {
        program: "ip".into(),
        source,
    };
    let mut child = Command::new("ip")
        .args(["netns", "exec", &record.node(node)?.namespace])
        .arg(agent)
        .arg("enroll")
        .arg(&file)
        .arg("--state-dir")
        .arg(state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let typed = typed();
    if let (Some(mut input), Ok(lines)) = (child.stdin.take(), &typed) {
        // An agent that ended already says why below.
        let _ended = lines.iter().try_for_each(|line| writeln!(input, "{line}"));
    }
    if typed.is_err() {
        // It waits for a code that will not come.
        let _gone = child.kill();
    }
    let output = child.wait_with_output().map_err(start)?;
    let removed = std::fs::remove_file(&file);
    removed.map_err(|source| record::io("remove", &file, source))?;
    typed?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    Ok(Enrolled {
        ok: output.status.success(),
        said: format!("{}\n{}", text(&output.stdout), text(&output.stderr)),
    })
}

/// All memberships of the agent at this socket.
pub fn memberships(socket: &Path) -> Result<Vec<Membership>, Error> {
    match ask(socket, &Request::Memberships)? {
        Answer::Memberships { memberships } => Ok(memberships),
        _ => Err(unexpected()),
    }
}

/// The datapath of one membership.
pub fn status(socket: &Path, fqdn: &str) -> Result<Status, Error> {
    let request = Request::Status {
        fqdn: Some(fqdn.to_owned()),
    };
    match ask(socket, &request)? {
        Answer::Status(status) => Ok(*status),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::Memberships(AskError::Refused("the agent answers something else".into()))
}

/// Whether an agent answers at this socket and is joined to everything that it is enrolled in.
pub fn health(socket: &Path) -> Health {
    let memberships = match memberships(socket) {
        Ok(memberships) => memberships,
        Err(error) => return Health::bad(error.to_string()),
    };
    let joined = |membership: &&Membership| membership.phase == "joined" && membership.address.is_some();
    let addresses: Vec<_> = memberships.iter().filter_map(|m| m.address).collect();
    let missing = memberships.iter().find(|membership| !joined(membership));
    let mut health = match missing {
        None if memberships.is_empty() => Health::bad("enrolled nowhere"),
        None => Health::good("joined"),
        Some(membership) => Health::bad(match &membership.trouble {
            Some(trouble) => format!("{}: {}, {trouble}", membership.fqdn, membership.phase),
            None => format!("{}: {}", membership.fqdn, membership.phase),
        }),
    };
    let pseudo = memberships.iter().filter_map(|membership| {
        let status = status(socket, &membership.fqdn).ok()?;
        status.director?.pseudo
    });
    health.pseudo = pseudo.collect();
    health.addresses = addresses;
    health
}
