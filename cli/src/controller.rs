//! `kith controller`: asks a running `kith-controller` how it is.

use crate::dataplane::Target;
use crate::error::Error;
use crate::lab::plan::Kind;
use crate::output::{self, Format, age};
use clap::Subcommand;
use kith_controller::status::{Client, ManagerStanding, Named, Standing, Status};

/// `kith controller …`
#[derive(Debug, Subcommand)]
pub enum ControllerCommand {
    /// The dataplanes that it decides for, their sessions, and what became of members' requests
    Status(Target),
}

/// Runs a `kith controller` command. Exit status 1 if it does not decide for one of its dataplanes, or the manager of one is away.
pub fn run(command: ControllerCommand, format: Format) -> Result<u8, Error> {
    let ControllerCommand::Status(target) = command;
    let status = Client::connect(target.find(Kind::Controller)?)?.status()?;
    output::show(format, &status, describe)?;
    let good = status.directors.iter().all(|director| {
        let manager = director.manager.as_ref();
        let attended = manager.is_none_or(|link| link.standing == ManagerStanding::Attended);
        director.standing == Standing::Serving && attended
    });
    Ok(u8::from(!good))
}

fn describe(status: &Status) -> String {
    let mut out = format!(
        "{}: {}, process {}, up {}, election id {}\n\n",
        status.name,
        status.program,
        status.pid,
        age(status.uptime_ms),
        status.election_id
    );
    let rows: Vec<Vec<String>> = status
        .directors
        .iter()
        .map(|director| {
            vec![
                director.name.clone(),
                director.address.to_string(),
                director.dataplane.clone(),
                standing(director.standing, director.why.as_deref()),
                age(director.standing_ms),
                format!("{}/{}", director.sessions, director.session_capacity),
                director.grants.to_string(),
                director.lacking.to_string(),
            ]
        })
        .collect();
    let headers = [
        "director",
        "address",
        "dataplane",
        "standing",
        ">for",
        ">sessions",
        ">grants",
        ">lacking",
    ];
    out += &output::table(&headers, &rows);
    out += &managers(status);
    for director in &status.directors {
        out += &counts(&format!("messages to {}", director.name), &director.director);
        out += &counts(
            &format!("{} and its dataplane", director.name),
            &director.dataplane_side,
        );
    }
    out
}

/// Managers in other processes; nothing if there are none.
fn managers(status: &Status) -> String {
    let linked = status.directors.iter().filter_map(|director| {
        let link = director.manager.as_ref()?;
        let how = match (link.standing, link.why.as_deref()) {
            (ManagerStanding::Away, why) => format!("away: {}", why.unwrap_or("not connected yet")),
            (ManagerStanding::Reading, _) => "reading grants".into(),
            (ManagerStanding::Attended, _) => "attended".into(),
        };
        Some(vec![
            director.name.clone(),
            link.address.clone(),
            how,
            age(link.standing_ms),
            link.streams.to_string(),
            link.sequence.to_string(),
        ])
    });
    let rows: Vec<Vec<String>> = linked.collect();
    if rows.is_empty() {
        return String::new();
    }
    let headers = ["director", "manager", "standing", ">for", ">streams", ">change"];
    format!("\n{}", output::table(&headers, &rows))
}

fn standing(standing: Standing, why: Option<&str>) -> String {
    match standing {
        Standing::Away => format!("away: {}", why.unwrap_or("no connection")),
        Standing::Backup => "backup: another controller decides".into(),
        Standing::Comparing => "comparing entries".into(),
        Standing::Serving => "deciding".into(),
    }
}

/// Counts other than zero, under a heading; nothing if all are zero.
fn counts(heading: &str, counts: &[Named]) -> String {
    let some = counts.iter().filter(|named| named.count > 0);
    let rows: Vec<Vec<String>> = some
        .map(|named| vec![named.name.clone(), named.count.to_string()])
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", output::table(&[heading, ">count"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_controller::status::{DirectorStatus, ManagerLink};

    #[test]
    fn a_controller_reads_like_this() {
        let named = |name: &str, count| Named {
            name: name.into(),
            count,
        };
        let director = DirectorStatus {
            name: "nrd1".into(),
            address: "203.0.113.10:20202".parse().unwrap(),
            dataplane: "unix:/run/kith/lab/a/nrd1.p4".into(),
            device_id: 1,
            standing: Standing::Serving,
            why: None,
            standing_ms: 61_000,
            sessions: 3,
            session_capacity: 1024,
            resting: 0,
            grants: 3,
            restored: 0,
            kept: true,
            memory: 4096,
            lacking: 0,
            held: 0,
            director: vec![named("answered", 12), named("refused", 0)],
            dataplane_side: vec![named("writes", 4)],
            manager: None,
        };
        let away = DirectorStatus {
            name: "nrd2".into(),
            standing: Standing::Away,
            why: Some("connection refused".into()),
            director: Vec::new(),
            dataplane_side: Vec::new(),
            ..director.clone()
        };
        let link = ManagerLink {
            address: "manager.acme.example:443".into(),
            standing: ManagerStanding::Attended,
            why: None,
            standing_ms: 5_000,
            streams: 2,
            sequence: 7,
        };
        let site = DirectorStatus {
            name: "prd1".into(),
            manager: Some(link.clone()),
            ..away.clone()
        };
        let orphan = DirectorStatus {
            name: "prd2".into(),
            manager: Some(ManagerLink {
                standing: ManagerStanding::Away,
                why: Some("the manager does not answer".into()),
                ..link
            }),
            ..away.clone()
        };
        let status = Status {
            name: "quickstart".into(),
            program: "0.1.0".into(),
            pid: 7,
            uptime_ms: 62_000,
            election_id: 9,
            directors: vec![director, away, site, orphan],
        };
        insta::assert_snapshot!(describe(&status));
    }
}
