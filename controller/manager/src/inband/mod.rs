//! The manager inside its members' tunnels: names, heartbeats, pings, at the manager's virtual address of each community.
//!
//! **Problem.** Members ask for names and show that they are alive inside the tunnel, thousands of them on one UDP port, some of them hostile.
//! **Idea.** A member is its security association and nothing else: the SPI finds the channel, the channel says which virtual source
//! is the member's own, and only what opens under its keys is believed, says where the member is, or is answered.
//!
//! ```text
//!  | shim | IPv4, 50 | SPI ... |   ► SPI: whose channel? ► source and destination its own? ► ESP opens ► new endpoint if newest
//!                                  ► member's and total rate ►  ICMP echo ........ answered
//!                                                               UDP 53 ........... dns, answered
//!                                                               UDP 9001 ......... heartbeat, to the office
//!                                                               TCP 53 ........... the member's own stack ► dns
//!  | shim swapped | IPv4, 50 | member's SPI ... |  ◄ sealed ◄── what goes back, and heartbeats every few seconds
//! ```
//!
//! [`Hub`] does no I/O; [`driver`] is a thread that gives it a UDP socket. Who knows the names is [`Office`].
//!
//! **Cost.** A packet: two hash look-ups, two key schedules, the cipher, and what the answer costs. A member: some 500 octets, and a TCP stack
//! while it uses one.

mod channel;
mod counters;
pub mod driver;
mod hub;
mod limits;
mod packet;
mod tcp;
#[cfg(test)]
mod tests;

pub use channel::{Association, Install};
pub use counters::{Counters, Did, Refused};
pub use hub::{Datagram, Hub};
pub use limits::Rate;

use crate::dns::{MemberId, Names};
use kith_esp::Millis;
use kith_protocol::heartbeat::Heartbeat;
use std::net::SocketAddrV4;

/// Now, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// By which things grow old: never steps.
    pub clock: Millis,
    /// Milliseconds since 1970, for names and heartbeats: never goes back.
    pub unix_ms: u64,
}

/// The manager, as the hub knows it.
pub trait Office: Names {
    /// A member's heartbeat: it is of the run that has joined.
    fn heard(&mut self, member: MemberId, heartbeat: &Heartbeat, from: SocketAddrV4);
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Members at most.
    pub members: usize,
    /// Packets that one member may have answered.
    pub member_rate: Rate,
    /// Packets that all may have answered.
    pub total_rate: Rate,
    /// Between two heartbeats to a member.
    pub heartbeat: Millis,
    /// Members that may use TCP at a time.
    pub tcp_members: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            members: 100_000,
            member_rate: Rate {
                burst: 400,
                per_second: 200,
            },
            total_rate: Rate {
                burst: 40_000,
                per_second: 100_000,
            },
            heartbeat: Millis(5_000),
            tcp_members: 256,
        }
    }
}

/// What the manager tells the hub.
pub enum Command {
    /// A member has joined, or has new keys.
    Install(Box<Install>),
    /// A member is out: its keys are wiped.
    Remove(MemberId),
    /// Send heartbeats this often from now on.
    Heartbeat(Millis),
}

/// Why a member was not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uninstalled {
    /// No room.
    #[error("{0} members have channels, and no more may: raise the manager's limit of members")]
    Full(usize),
    /// The SPI is another channel's.
    #[error("SPI {0:#010x} is in use: give another")]
    SpiTaken(u32),
}
