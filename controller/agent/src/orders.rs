//! What the part of the agent that talks to the manager orders of the part that moves packets, and what that reports back.
//!
//! ```text
//!  manager ◄── gRPC ──► membership ── Order ──► control thread ──► tables, keys, director session
//!                            ▲────── Report ───────┘
//! ```
//!
//! Both channels are bounded. Orders are idempotent: the newest about a thing is all that counts. Lifetimes of keys count by
//! [`crate::clock`]. Reports are never waited for: one that finds the channel full is made
//! again if it still matters, but for [`Report::Introduced`].

use crate::config::{Prefix, Secret};
pub use crate::datapath::hold::Refusal;
use crate::keying::Whereabouts;
use kith_esp::{Inbound, Outbound};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc::SyncSender;

/// To the control thread.
pub enum Order {
    /// Take a session at this director; replaces any other.
    Director(Director),
    /// Give the session back.
    NoDirector,
    /// We are joined: own virtual address and the community's networks. The adapter is set up for them. Another address than before
    /// means [`Order::Out`] first: channel, policy and members are to be ordered again.
    Joined(Joined),
    /// The manager's channel inside the tunnel has these keys from now on.
    Channel(Box<Channel>),
    /// This member may be talked to, is reached there, and shares this secret with us.
    Peer(Box<Peer>),
    /// Nobody is to be reached at this address for now, or nobody may be: who sends packets there is told.
    NoPeer(Ipv4Addr, Refusal),
    /// Forget this member and its keys at once.
    Gone(Ipv4Addr),
    /// What may pass, from now on: the first rule that matches decides, none denies.
    Policy(Vec<Rule>),
    /// This computer's address or way out is another one: the director and the manager are to see that at once.
    Roamed,
    /// Forget every member and key; nothing passes until [`Order::Joined`].
    Out,
    /// Say so when all orders before this one are in force.
    Barrier(SyncSender<()>),
}

/// A session at a director.
pub struct Director {
    /// Where it is.
    pub address: SocketAddrV4,
    /// Names the key.
    pub key_id: u64,
    /// The key.
    pub key: Secret,
    /// Only to send through it.
    pub sender_only: bool,
}

/// What a join gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Our virtual address.
    pub address: Ipv4Addr,
    /// The community's networks, routed into the adapter.
    pub networks: Vec<Prefix>,
    /// With which tickets for us are opened, and what they must name.
    pub fqdn: String,
    /// The manager's clock minus ours, milliseconds.
    pub clock_offset_ms: i64,
    /// Where we are reached, if we have a public address.
    pub public: Option<SocketAddrV4>,
}

/// The manager inside the tunnel.
pub struct Channel {
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Where it takes our packets.
    pub endpoint: SocketAddrV4,
    /// To open its packets. Its SPI is the client's choice.
    pub inbound: Inbound,
    /// To seal ours.
    pub outbound: Outbound,
    /// With which tickets are opened: a `kith_protocol` `TicketKey`.
    pub ticket_key: Secret,
}

/// Another member.
#[derive(Clone)]
pub struct Peer {
    /// Its full name.
    pub fqdn: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Where it is.
    pub location: Whereabouts,
    /// The secret that we share.
    pub psk: Secret,
    /// Orders secrets of one pair: the higher one counts.
    pub sequence: u64,
    /// For its eyes: rides in key agreement's first message.
    pub ticket: Vec<u8>,
    /// When secret and ticket lose their worth, milliseconds since 1970 by the manager's clock.
    pub expires_ms: u64,
}

/// Packets that pass, or do not. A mask of 0 and a number of 0 match anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Pass, or drop.
    pub allow: bool,
    /// Source address and the bits that are compared.
    pub source: (u32, u32),
    /// Destination address and the bits that are compared.
    pub destination: (u32, u32),
    /// IPv4 protocol.
    pub protocol: u8,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

/// From the control thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The director gave us this address, or took it.
    Session {
        /// Which director.
        director: SocketAddrV4,
        /// Our pseudo address there.
        pseudo: Option<Ipv4Addr>,
        /// Where the director sees us.
        observed: Option<SocketAddrV4>,
    },
    /// Something authentic came from the manager inside the tunnel.
    ManagerHeard,
    /// Packets go to an address of our networks that we know nobody at; or a member has not answered key agreement for 20 s: it may be
    /// elsewhere, or not know us.
    NeedPeer(Ipv4Addr),
    /// A member came with a ticket and has been let in.
    Introduced(Ipv4Addr),
    /// A member's secret loses its worth within ten minutes, and is in use. Every minute until there is a newer one; when it is over the
    /// member is forgotten with its keys.
    Expiring(Ipv4Addr),
}
