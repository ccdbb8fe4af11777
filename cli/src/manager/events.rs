//! `kith events`: what happens, as it happens.
//!
//! The manager keeps no events. When the connection is lost, or the manager is started again, the watch goes on by itself, and says on the
//! standard error from when to when nothing was heard: what the audit log has is there, the rest is gone.

use super::error::ManagerError;
use super::link::{Client, Link};
use super::place::{Place, Reach};
use super::span::{now, stamp};
use super::view::Event;
use super::words::or_dash;
use crate::error::Error;
use crate::output::Format;
use clap::Args;
use kith_protocol::admin;
use std::io::{self, Write};
use std::time::Duration;
use tonic::{Code, Status};

/// Between two attempts to connect again.
const PAUSE: Duration = Duration::from_secs(1);

/// `kith events`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
With `-o json` each event is one line.

Examples:
  kith events
  kith events --community acme.example
  kith -o json events | jq -r 'select(.kind == \"member.joined\") | .subject'")]
pub struct Events {
    /// Of this community; without it, all, and those of the manager itself.
    #[arg(long, value_name = "DOMAIN", default_value = "", hide_default_value = true)]
    community: String,
    /// Which manager.
    #[command(flatten)]
    reach: Reach,
}

/// How a watch ended.
enum End {
    /// Nobody reads any more.
    Unread,
    /// It can be tried again.
    Lost(Status),
}

/// Runs until it is interrupted, nobody reads any more, or the manager refuses.
pub fn run(events: &Events, format: Format) -> Result<u8, Error> {
    let mut link = Link::connect(&events.reach)?;
    link.run(async |client, place| watch(client, place, &events.community, format).await)?;
    Ok(0)
}

async fn watch(client: &mut Client, place: &Place, community: &str, format: Format) -> Result<(), Error> {
    loop {
        let End::Lost(status) = stream(client, community, format).await else {
            return Ok(());
        };
        let why = match status.code() {
            // The manager says how many were missed.
            Code::DataLoss => status.message().to_owned(),
            Code::Ok => "the manager has stopped".to_owned(),
            _ => {
                let error = place.refusal("tell events", &status);
                if !error.may_pass() {
                    return Err(error.into());
                }
                "the connection was lost".to_owned()
            }
        };
        let lost = now();
        eprintln!("kith: {}: {why}; connecting again", stamp(lost));
        *client = again(place).await?;
        let again = now();
        eprintln!(
            "kith: {}: connected again; events of {} are missing",
            stamp(again),
            crate::output::age(again.saturating_sub(lost))
        );
    }
}

/// Prints events while they come.
async fn stream(client: &mut Client, community: &str, format: Format) -> End {
    let query = admin::EventQuery {
        community: community.to_owned(),
    };
    let mut events = match client.watch_events(query).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return End::Lost(status),
    };
    loop {
        match events.message().await {
            Ok(Some(event)) => {
                if io::stdout()
                    .write_all(line(&event.into(), format).as_bytes())
                    .is_err()
                {
                    return End::Unread;
                }
            }
            Ok(None) => return End::Lost(Status::ok("")),
            Err(status) => return End::Lost(status),
        }
    }
}

/// A new connection, however long it takes; an error only if waiting will not help.
async fn again(place: &Place) -> Result<Client, ManagerError> {
    loop {
        match place.dial().await {
            Ok(client) => return Ok(client),
            Err(error) if error.may_pass() => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

fn line(event: &Event, format: Format) -> String {
    if format == Format::Json {
        // Nothing in it can fail to be written.
        return serde_json::to_string(event).unwrap_or_default() + "\n";
    }
    let about = match (event.subject.as_str(), event.community.as_str()) {
        ("", community) => community.to_owned(),
        // A member's name has its community in it.
        (subject, community) if community.is_empty() || subject.ends_with(community) => subject.to_owned(),
        (subject, community) => format!("{subject} ({community})"),
    };
    let line = format!(
        "{}  {:<18}  {}  {}",
        stamp(event.at_ms),
        event.kind,
        or_dash(&about),
        event.detail
    );
    line.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let event = |kind: &str, community: &str, subject: &str, detail: &str| -> Event {
            admin::Event {
                at_ms: 1_772_366_407_000,
                kind: kind.into(),
                community: community.into(),
                subject: subject.into(),
                detail: detail.into(),
                revision: 7,
            }
            .into()
        };
        let events = [
            event(
                "member.joined",
                "acme.example",
                "laptop.acme.example",
                "10.77.0.2 through nrd1",
            ),
            event("policy.changed", "acme.example", "ssh", "priority: 0 -> 5"),
            event("community.changed", "acme.example", "acme.example", ""),
            event("director.changed", "", "nrd1", "draining: no -> yes"),
        ];
        let table: String = events.iter().map(|event| line(event, Format::Table)).collect();
        let json = line(&events[1], Format::Json);
        insta::assert_snapshot!(table + &json);
    }
}
