//! `kith manager`: the manager itself.

use super::backup;
use super::confirm::Yes;
use super::link::Link;
use super::place::Reach;
use super::view::Status;
use super::words::facts;
use crate::error::Error;
use crate::output::{self, Format, age};
use clap::{ArgGroup, Subcommand};
use kith_protocol::admin;
use std::path::PathBuf;

/// `kith manager …`
#[derive(Debug, Subcommand)]
pub enum ManagerCommand {
    /// How it is reached, what it keeps, and what became of requests
    #[command(after_long_help = "\
Examples:
  kith manager status
  kith -o json manager status | jq -r .fingerprint")]
    Status {
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Say by which name and port members reach it, in invitations from now on
    #[command(
        group = ArgGroup::new("settings").args(["host", "port"]).required(true).multiple(true),
        after_long_help = "\
Examples:
  kith manager set --host vpn.acme.example
  kith manager set --host 203.0.113.5 --port 8443"
    )]
    Set {
        /// A host name, or a public address.
        #[arg(long)]
        host: Option<String>,
        /// The TCP port.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Copy all that it keeps into a new file, while it runs
    #[command(after_long_help = "\
The copy has every key of the manager in it: keep it as you keep the manager.

Example:
  kith manager backup /var/backups/kith-$(date +%F).db")]
    Backup {
        /// The file; there must be none of this name.
        file: PathBuf,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Put a copy in the place of all that a manager keeps, while it is stopped
    #[command(after_long_help = "\
All members join again by themselves; whoever was invited or registered after the copy was made has to be invited again.

Example:
  systemctl stop kith-controller
  kith manager restore /var/backups/kith-2026-03-01.db --state-dir /var/lib/kith-controller
  systemctl start kith-controller")]
    Restore {
        /// The copy.
        file: PathBuf,
        /// Where the manager keeps its state: `state_dir` of its configuration.
        #[arg(long, value_name = "DIR")]
        state_dir: PathBuf,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
    },
}

/// Runs a `kith manager` command.
pub fn run(command: ManagerCommand, format: Format) -> Result<u8, Error> {
    match command {
        ManagerCommand::Status { reach } => {
            let status = status(&mut Link::connect(&reach)?)?;
            output::show(format, &Status::from(status), describe)?;
            Ok(0)
        }
        ManagerCommand::Set { host, port, reach } => {
            let mut link = Link::connect(&reach)?;
            let host = match host {
                Some(host) => host,
                None => status(&mut link)?.host,
            };
            let wish = admin::ManagerSettings {
                host,
                port: port.map_or(0, u32::from),
            };
            let status = link.ask("change its address", async |admin| admin.set_manager(wish).await)?;
            output::show(format, &Status::from(status), |status| {
                format!(
                    "members reach this manager at {}:{} from now on\n",
                    status.host, status.port
                )
            })?;
            Ok(0)
        }
        ManagerCommand::Backup { file, reach } => backup::make(&file, &reach, format),
        ManagerCommand::Restore { file, state_dir, yes } => backup::restore(&file, &state_dir, yes, format),
    }
}

fn status(link: &mut Link) -> Result<admin::ManagerStatus, Error> {
    link.ask("say how it is", async |admin| {
        admin.get_status(admin::Empty {}).await
    })
}

fn describe(status: &Status) -> String {
    let mut out = facts(&[
        (
            "program",
            format!("{}, up {}", status.program, age(status.uptime_ms)),
        ),
        (
            "members reach it at",
            format!(
                "{}:{}, tunnels at UDP {}",
                status.host, status.port, status.tunnel_port
            ),
        ),
        ("fingerprint", status.fingerprint.clone()),
        ("communities", status.communities.to_string()),
        (
            "members",
            format!(
                "{}, {} joined, {} listening for changes",
                status.members, status.joined, status.streams
            ),
        ),
        ("store", format!("{}, revision {}", status.store, status.revision)),
        ("mail", status.mail.clone()),
    ]);
    let counts = status.counts.iter().filter(|count| count.count > 0);
    let rows: Vec<Vec<String>> = counts
        .map(|count| vec![count.name.clone(), count.count.to_string()])
        .collect();
    if !rows.is_empty() {
        out += &format!("\n{}", output::table(&["requests", ">count"], &rows));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_reads_like_this() {
        let count = |name: &str, count| admin::Count {
            name: name.into(),
            count,
        };
        let status = admin::ManagerStatus {
            program: "0.1.0".into(),
            uptime_ms: 62_000,
            host: "vpn.acme.example".into(),
            port: 443,
            tunnel_port: 20202,
            fingerprint: "sha256:00".into(),
            revision: 42,
            communities: 2,
            members: 12,
            joined: 9,
            streams: 9,
            store: "/var/lib/kith-controller/store.db".into(),
            counts: vec![
                count("join.done", 12),
                count("join.no_director", 0),
                count("register.dropped", 3),
            ],
            mail: "letters are put into /var/lib/kith-controller/spool".into(),
        };
        insta::assert_snapshot!(describe(&status.into()));
    }
}
