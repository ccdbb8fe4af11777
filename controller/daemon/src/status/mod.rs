//! What the status socket speaks: a request is one JSON object on a line, so is its answer.
//!
//! ```text
//!  → {"version":1,"get":"sessions","director":"nrd1"}
//!  ← {"version":1,"kind":"sessions","data":{"total":2,"offset":0,"sessions":[{"pseudo":"240.0.0.1","member":"alice",…}]}}
//!  ← {"version":1,"kind":"error","data":"there is no director \"x\"; there are: nrd1, nrd2"}
//! ```
//!
//! A connection may ask as often as it likes, one request after the other. Counters only grow while a controller runs.
//! Times are milliseconds, sizes octets. Nothing secret is ever in an answer. [`Client`] asks; [`serve`] answers.

mod client;

pub use client::Client;
pub use kith_api::lines::ClientError;

use kith_api::lines::{self, Peer, Protocol, Server};
use kith_api::socket::{Setting, Socket};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What names the socket's place.
pub const SETTING: Setting = Setting::new("controller", "status_socket");
/// The version of these messages. Both sides refuse another one.
pub const VERSION: u32 = 1;
/// Sessions, or grants, in one answer at most.
pub const MAX_LISTED: u32 = 10_000;

/// The protocol of the status socket.
#[derive(Debug)]
pub struct StatusProtocol;

impl Protocol for StatusProtocol {
    const PEER: Peer = Peer {
        program: "controller",
        socket: "status socket",
        version: VERSION,
    };
    type Request = Request;
    type Response = Response;

    fn refusal(why: String) -> Response {
        Response::Error(why)
    }

    fn refused(response: Response) -> Result<Response, String> {
        match response {
            Response::Error(why) => Err(why),
            other => Ok(other),
        }
    }
}

/// Answers from now on. A director is held up only while an answer about it is put together.
pub fn serve(
    socket: Socket,
    answer: impl Fn(Request) -> Response + Send + Sync + 'static,
) -> io::Result<Server> {
    lines::serve::<StatusProtocol>(socket, "kith-status", answer)
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "get", rename_all = "snake_case")]
pub enum Request {
    /// What runs, and how it stands with each dataplane: [`Status`].
    Status,
    /// Sessions of a director, in order of their pseudo addresses: [`Sessions`].
    Sessions(Part),
    /// Who may have a session: [`Grants`].
    Grants(Part),
}

/// A part of a director's list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which director. Without it, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub director: Option<String>,
    /// Skip so many.
    #[serde(default)]
    pub offset: u32,
    /// Give so many; 0 stands for [`MAX_LISTED`], which more are cut to.
    #[serde(default)]
    pub limit: u32,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Sessions`].
    Sessions(Sessions),
    /// To [`Request::Grants`].
    Grants(Grants),
    /// Why there is no answer.
    Error(String),
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The controller's name.
    pub name: String,
    /// The program's version.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// Since it started.
    pub uptime_ms: u64,
    /// Its election id: of several controllers the one with the highest decides.
    pub election_id: u64,
    /// Its directors.
    pub directors: Vec<DirectorStatus>,
}

/// How it stands with a dataplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// There is no connection, or the manager has not said yet what it grants.
    Away,
    /// Another controller decides.
    Backup,
    /// The dataplane's entries are being read.
    Comparing,
    /// This controller decides.
    Serving,
}

/// A director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectorStatus {
    /// Its name.
    pub name: String,
    /// Members' address for it.
    pub address: SocketAddrV4,
    /// Its dataplane's P4Runtime address.
    pub dataplane: String,
    /// Which device there.
    pub device_id: u64,
    /// How it stands.
    pub standing: Standing,
    /// Why there is no connection, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For how long it stands so.
    pub standing_ms: u64,
    /// Sessions now.
    pub sessions: u64,
    /// Pseudo addresses in the pool.
    pub session_capacity: u64,
    /// Pseudo addresses that rest.
    pub resting: u64,
    /// Members that may have a session.
    pub grants: u64,
    /// Sessions that were brought back at the start.
    pub restored: u64,
    /// Are sessions kept over a restart?
    pub kept: bool,
    /// Octets in the director's tables.
    pub memory: u64,
    /// Members whose entries the dataplane lacks, or has for longer than wanted.
    pub lacking: u64,
    /// Answers that wait for entries.
    pub held: u64,
    /// Messages of members by what came of them.
    pub director: Vec<Named>,
    /// Packets, writes and reconciliations.
    pub dataplane_side: Vec<Named>,
    /// The manager in another process that grants sessions here, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<ManagerLink>,
}

/// How it stands with a manager in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManagerStanding {
    /// There is no stream. What was granted goes on to count.
    Away,
    /// The manager says what is granted.
    Reading,
    /// All grants are known, and every change comes.
    Attended,
}

/// A director's stream to its manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerLink {
    /// Where the manager is.
    pub address: String,
    /// How it stands.
    pub standing: ManagerStanding,
    /// Why there is no stream, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For how long it stands so.
    pub standing_ms: u64,
    /// Streams so far.
    pub streams: u64,
    /// The last change that is known.
    pub sequence: u64,
}

/// A count under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The count.
    pub count: u64,
}

/// Some of the sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// How many there are in all.
    pub total: u64,
    /// How many come before these.
    pub offset: u32,
    /// These.
    pub sessions: Vec<Session>,
}

/// A session. Its packets are counted by the dataplane: table `session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its pseudo address.
    pub pseudo: Ipv4Addr,
    /// The member.
    pub member: String,
    /// The member's key id.
    pub key_id: u64,
    /// The community's name.
    pub community: String,
    /// Its number.
    pub community_index: u16,
    /// Where the member is.
    pub bound: SocketAddrV4,
    /// Since it was opened or restored.
    pub age_ms: u64,
    /// Since the member was last heard, or could have been.
    pub idle_ms: u64,
    /// The largest outer packet to it.
    pub mtu: u16,
    /// Nothing is relayed to it.
    pub sender_only: bool,
}

/// Some of the grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// How many there are in all.
    pub total: u64,
    /// How many come before these.
    pub offset: u32,
    /// These.
    pub grants: Vec<Grant>,
}

/// Leave for one member to have a session; without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The member.
    pub name: String,
    /// How its messages name the key.
    pub key_id: u64,
    /// The community's name.
    pub community: String,
    /// Its number.
    pub community_index: u16,
    /// The pseudo address that only this member gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Ipv4Addr>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_api::lines::Versioned;

    #[test]
    fn messages_are_what_the_page_says() {
        let part = Part {
            director: Some("nrd1".into()),
            ..Part::default()
        };
        let request = serde_json::to_string(&Versioned::new(VERSION, Request::Sessions(part))).unwrap();
        let expected = r#"{"version":1,"get":"sessions","director":"nrd1","offset":0,"limit":0}"#;
        assert_eq!(request, expected);
        let short: Versioned<Request> = serde_json::from_str(r#"{"version":1,"get":"grants"}"#).unwrap();
        assert_eq!(short.body, Request::Grants(Part::default()));
        let status: Versioned<Request> = serde_json::from_str(r#"{"version":1,"get":"status"}"#).unwrap();
        assert_eq!(status.body, Request::Status);
        let answer = serde_json::to_string(&Versioned::new(VERSION, Response::Error("no".into()))).unwrap();
        assert_eq!(answer, r#"{"version":1,"kind":"error","data":"no"}"#);
    }
}
