//! What the statistics socket speaks: a request is one JSON object on a line, so is its answer.
//!
//! ```text
//!  → {"version":2,"get":"neighbors"}
//!  ← {"version":2,"kind":"neighbors","data":{"neighbors":[{"port":0,"address":"203.0.113.21","station":"02:00:…","state":"known"}],…}}
//!  ← {"version":2,"kind":"error","data":"no request that this dataplane knows: …"}
//! ```
//!
//! Tables and their entries are read over P4Runtime; here is what P4Runtime has no words for.
//! A connection may ask as often as it likes, one request after the other. Counters only grow while a dataplane runs. Times are
//! milliseconds, sizes octets. Nothing secret is ever in an answer.

use crate::lines::{Peer, Protocol};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The version of these messages. Both sides refuse another one.
pub const VERSION: u32 = 2;
/// Sessions or neighbours in one answer at most.
pub const MAX_SESSIONS: u32 = 10_000;

/// The protocol of the statistics socket.
#[derive(Debug)]
pub struct StatsProtocol;

impl Protocol for StatsProtocol {
    const PEER: Peer = Peer {
        program: "dataplane",
        socket: "statistics socket",
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

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "get", rename_all = "snake_case")]
pub enum Request {
    /// What runs, and on what: [`Status`].
    Status,
    /// Packets everywhere: [`Stats`].
    Stats,
    /// Drops by name: [`Drops`].
    Drops,
    /// Pseudo addresses in use, in their order: [`Sessions`].
    Sessions {
        /// Skip so many.
        #[serde(default)]
        offset: u32,
        /// Give so many; 0 stands for [`MAX_SESSIONS`], which more are cut to.
        #[serde(default)]
        limit: u32,
    },
    /// Who is on the links: [`Neighbors`].
    Neighbors,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Stats`].
    Stats(Stats),
    /// To [`Request::Drops`].
    Drops(Drops),
    /// To [`Request::Sessions`].
    Sessions(Sessions),
    /// To [`Request::Neighbors`].
    Neighbors(Neighbors),
    /// Why there is no answer.
    Error(String),
}

/// What runs, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The dataplane's name.
    pub name: String,
    /// The program's version.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// Since it started.
    pub uptime_ms: u64,
    /// What its controller made it, as its table `endpoint` says.
    pub endpoint: Endpoint,
    /// The number by which controllers address it.
    pub device_id: u64,
    /// Is a controller there that takes packets from it?
    pub controller: bool,
    /// The number of the snapshot of tables that workers use.
    pub generation: u64,
    /// Does packet memory come from huge pages?
    pub huge_pages: bool,
    /// Packet buffers: in all, and free.
    pub buffers: (u32, u32),
    /// Its ports.
    pub ports: Vec<PortStatus>,
    /// Its workers.
    pub workers: Vec<WorkerStatus>,
    /// Members who may send: entries of table `sender`.
    pub senders: u64,
    /// Members who are reached: entries of table `session`.
    pub sessions: u64,
    /// Room in each of the two.
    pub session_capacity: u64,
}

/// What a dataplane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Nothing yet: all tunnel traffic is dropped.
    Nothing,
    /// A route director, reached by members at this address.
    Director(SocketAddrV4),
    /// A group agent's gateway, reached at its ports' own addresses and this UDP port.
    Gateway(u16),
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Its number.
    pub index: u8,
    /// As configured, without arguments.
    pub device: String,
    /// DPDK's driver.
    pub driver: String,
    /// Its station address.
    pub mac: String,
    /// Its address and network.
    pub address: String,
    /// Who takes what is not on the link.
    pub gateway: Option<Ipv4Addr>,
    /// The largest IPv4 packet.
    pub mtu: u16,
    /// Is the link up?
    pub link_up: bool,
    /// Mbit/s, if known.
    pub link_speed: Option<u32>,
    /// What the driver granted: `rss`, `rx_ipv4_checksum` and so on.
    pub offloads: Vec<String>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number.
    pub index: u16,
    /// The CPU it is pinned to.
    pub core: Option<usize>,
    /// Polls that found packets, since the start.
    pub busy_polls: u64,
    /// Polls that found none.
    pub idle_polls: u64,
    /// Busy polls among all, 0 to 1, since the last time somebody asked for the status.
    pub busy: f64,
}

/// Packets everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Since the start, so that two answers make a rate.
    pub uptime_ms: u64,
    /// Each worker.
    pub workers: Vec<WorkerStats>,
    /// The slow path.
    pub slow_path: SlowPathStats,
    /// Each port, as its driver counts.
    pub ports: Vec<PortStats>,
    /// What went up to the slow path, by reason.
    pub punts: Vec<Named>,
    /// What went to the controller, by reason. Those of `source_mismatch` are copies of packets that are counted as drops.
    pub packet_ins: Vec<Named>,
    /// Packets that the controller made, among [`SlowPathStats::originated`].
    pub packet_outs: u64,
    /// Where every packet is.
    pub conservation: Conservation,
}

/// A worker's packets. `received + injected + taken_over = transmitted + punted + dropped + handed_over`, but for a burst in its hands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Its number.
    pub index: u16,
    /// From ports.
    pub received: u64,
    /// Their octets.
    pub received_bytes: u64,
    /// To ports.
    pub transmitted: u64,
    /// Their octets.
    pub transmitted_bytes: u64,
    /// From the slow path, to send or to decide about.
    pub injected: u64,
    /// To other workers, which have their security associations.
    #[serde(default)]
    pub handed_over: u64,
    /// From other workers.
    #[serde(default)]
    pub taken_over: u64,
    /// To the slow path.
    pub punted: u64,
    /// Gone.
    pub dropped: u64,
}

/// The slow path's packets. `taken + originated = sent + consumed + dropped + held`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowPathStats {
    /// From workers.
    pub taken: u64,
    /// Made here, or by the controller: ARP requests, ICMP errors, answers to members.
    pub originated: u64,
    /// To workers, to transmit.
    pub sent: u64,
    /// Read, and of no more use here: ARP replies, what the controller took.
    pub consumed: u64,
    /// Gone under a name.
    pub dropped: u64,
    /// Waiting for a neighbour's station address.
    pub held: u64,
}

/// A port's packets, as its driver counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStats {
    /// Its number.
    pub index: u8,
    /// Packets received.
    pub received: u64,
    /// Their octets.
    pub received_bytes: u64,
    /// Packets sent.
    pub transmitted: u64,
    /// Their octets.
    pub transmitted_bytes: u64,
    /// Lost because nobody took them in time.
    pub missed: u64,
    /// Received with errors.
    pub receive_errors: u64,
    /// Not sent for errors.
    pub transmit_errors: u64,
    /// Lost for want of a buffer.
    pub no_buffer: u64,
}

/// Where every packet is: `received + originated = transmitted + consumed + dropped + in_flight`.
///
/// Counters are read one after the other, so that the sum is exact only while nothing moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conservation {
    /// Taken from ports by workers.
    pub received: u64,
    /// Made by the slow path.
    pub originated: u64,
    /// Given to ports by workers.
    pub transmitted: u64,
    /// Read by the slow path, and done with.
    pub consumed: u64,
    /// Gone under a name, anywhere.
    pub dropped: u64,
    /// In queues between workers, and between them and the slow path, and waiting for neighbours.
    pub in_flight: u64,
    /// Do both sides agree?
    pub balanced: bool,
}

impl Conservation {
    /// The sums of workers and slow path, with so many packets in the queues between them.
    #[must_use]
    pub fn of(workers: &[WorkerStats], slow: &SlowPathStats, queued: u64) -> Self {
        let sum = |of: fn(&WorkerStats) -> u64| workers.iter().map(of).sum::<u64>();
        let handed = sum(|worker| worker.handed_over);
        let all = Self {
            received: sum(|worker| worker.received),
            originated: slow.originated,
            transmitted: sum(|worker| worker.transmitted),
            consumed: slow.consumed,
            dropped: sum(|worker| worker.dropped) + slow.dropped,
            in_flight: queued + slow.held + handed.saturating_sub(sum(|worker| worker.taken_over)),
            balanced: false,
        };
        let (came, went) = (
            all.received + all.originated,
            all.transmitted + all.consumed + all.dropped,
        );
        Self {
            balanced: came == went + all.in_flight,
            ..all
        }
    }
}

/// Drops by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// Every name there is, in the order of the stages, also those with zero.
    pub drops: Vec<Drop>,
    /// All together.
    pub total: u64,
}

/// One kind of drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    /// Its name.
    pub name: String,
    /// What it means, in a sentence.
    pub explanation: String,
    /// By workers, all together.
    pub workers: u64,
    /// By the slow path.
    pub slow_path: u64,
}

/// A count under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The count.
    pub count: u64,
}

/// Some of the pseudo addresses in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// How many there are in all.
    pub total: u64,
    /// How many come before these.
    pub offset: u32,
    /// These.
    pub sessions: Vec<Session>,
}

/// A pseudo address in use: a sender, a session, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its pseudo address.
    pub pseudo: Ipv4Addr,
    /// Its community's number.
    pub community: u16,
    /// Where the member may send from; none if it may not send.
    pub sends_from: Option<SocketAddrV4>,
    /// Where the member is reached; none if nothing is relayed to it.
    pub reached_at: Option<SocketAddrV4>,
    /// Packets relayed to the member.
    pub packets: u64,
    /// Their octets.
    pub bytes: u64,
    /// The largest outer packet to it.
    pub mtu: Option<u16>,
}

/// Who is on the links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbors {
    /// In order of port and address; no more than [`MAX_SESSIONS`].
    pub neighbors: Vec<Neighbor>,
    /// How many there are in all.
    pub total: u64,
    /// How many can be learnt.
    pub capacity: u64,
}

/// A neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// On the link of this port.
    pub port: u8,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its station address, if known.
    pub station: Option<String>,
    /// `asking`, `known`, `probing`; `written` by a controller, which is never asked for.
    pub state: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Versioned;

    #[test]
    fn messages_are_what_the_page_says() {
        let request = serde_json::to_string(&Versioned::new(VERSION, Request::Neighbors)).unwrap();
        assert_eq!(request, r#"{"version":2,"get":"neighbors"}"#);
        let sessions: Versioned<Request> = serde_json::from_str(r#"{"version":2,"get":"sessions"}"#).unwrap();
        assert_eq!(sessions.body, Request::Sessions { offset: 0, limit: 0 });
        let answer = serde_json::to_string(&Versioned::new(VERSION, Response::Error("no".into()))).unwrap();
        assert_eq!(answer, r#"{"version":2,"kind":"error","data":"no"}"#);
    }

    #[test]
    fn conservation_counts_every_packet_once() {
        // Of 100 received, 90 were relayed, 4 dropped, 6 punted; one of those waits in the ring, one for a neighbour, one was read, one
        // refused, two answered. An ARP request was made.
        let worker = WorkerStats {
            received: 100,
            injected: 2,
            transmitted: 92,
            punted: 6,
            dropped: 4,
            ..WorkerStats::default()
        };
        let slow = SlowPathStats {
            taken: 5,
            originated: 1,
            sent: 3,
            consumed: 1,
            dropped: 1,
            held: 1,
        };
        assert_eq!(
            worker.received + worker.injected,
            worker.transmitted + worker.punted + worker.dropped
        );
        assert_eq!(
            slow.taken + slow.originated,
            slow.sent + slow.consumed + slow.dropped + slow.held
        );
        // One punt and one answer are in rings.
        assert!(Conservation::of(std::slice::from_ref(&worker), &slow, 2).balanced);
        assert!(!Conservation::of(&[worker], &slow, 1).balanced);
    }
}
