//! What a membership is told, and what it wants: the words between the machine and its host.

use super::super::Refused;
use super::super::request::{Answer, Failure, Manager, Request, RequestId, StreamId};
use crate::config::Prefix;
use crate::orders::{Order, Report};
use kith_protocol::heartbeat::Heartbeat;
use kith_protocol::member::{Envelope, ManagerAddress, Peer, Update};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What a membership is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our UDP port, at which members reach us if our address is public.
    pub udp_port: u16,
    /// The site this device is at, if it knows.
    pub site: String,
    /// Kind of computer, for those who query members.
    pub platform: String,
    /// This program and its version.
    pub program: String,
    /// The computer's own name.
    pub computer: String,
}

/// What this device is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The local address that reaches the manager.
    pub local: Ipv4Addr,
    /// All networks of the device but our own.
    pub lans: Vec<Prefix>,
}

/// What happens to a membership.
pub enum Input {
    /// A request was answered, or will not be.
    Answer {
        /// Which.
        id: RequestId,
        /// How.
        result: Result<Answer, Failure>,
    },
    /// A change came.
    Update {
        /// On which stream.
        stream: StreamId,
        /// What changed.
        update: Box<Update>,
    },
    /// The stream of changes broke, or never came about.
    StreamEnded {
        /// Which.
        stream: StreamId,
        /// Why.
        failure: Failure,
    },
    /// The control thread says.
    Report(Report),
    /// A heartbeat of the manager's, from inside the tunnel.
    Heartbeat(Heartbeat),
    /// What we are attached to; `None`: no way to the manager.
    Network(Option<Network>),
    /// Octets that applications have sent and received, since the adapter was made.
    Volume {
        /// Sent.
        sent: u64,
        /// Received.
        received: u64,
    },
    /// DNS told of a member.
    Found(Box<Peer>),
    /// The user wants out.
    Leave,
}

/// What a membership wants.
pub enum Output {
    /// Ask the manager.
    Request(Box<Request>),
    /// Open a stream of changes.
    Watch {
        /// Its name from now on.
        stream: StreamId,
        /// At whom.
        manager: Manager,
        /// With what.
        envelope: Envelope,
    },
    /// Close a stream.
    Unwatch(StreamId),
    /// For the control thread.
    Order(Order),
    /// Send this to the manager inside the tunnel.
    Heartbeat(Heartbeat),
    /// For people and for the host.
    Event(Event),
    /// Keep this list of managers.
    Managers {
        /// First one first.
        managers: Vec<ManagerAddress>,
        /// Which version of it.
        version: u64,
    },
}

/// What has happened, for people and for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// We are joined.
    Joined(Place),
    /// It does not work; the next attempt comes by itself.
    Trouble {
        /// What is wrong.
        why: Trouble,
        /// When it is tried again.
        retry_ms: u64,
    },
    /// The manager was silent for too long; this one is asked now.
    ManagerSilent(Manager),
    /// The manager knows that we are reached elsewhere.
    Moved,
    /// A member cannot be reached.
    NoPeer(Ipv4Addr, Refused),
    /// It is over.
    Over(Ending),
}

/// What a join gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Our full name.
    pub fqdn: String,
    /// Our virtual address.
    pub address: Ipv4Addr,
    /// The manager's.
    pub manager: Ipv4Addr,
    /// The community's networks.
    pub networks: Vec<Prefix>,
}

impl Place {
    /// Could another member of the community have this address?
    #[must_use]
    pub fn is_anothers(&self, address: Ipv4Addr) -> bool {
        let ours = self.networks.iter().any(|network| network.has_host(address));
        ours && address != self.address && address != self.manager
    }
}

/// Why it does not work for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No address, no route, no name service.
    #[error("this computer has no way to the manager {0}; is it connected?")]
    NoNetwork(Manager),
    /// The manager does not answer.
    #[error("the manager {0} does not answer: {1}")]
    Failed(Manager, Failure),
    /// It drops what we say.
    #[error(
        "the manager {0} does not accept this device. If this goes on, the member may have been deleted: \
         ask for a new invitation"
    )]
    Disowned(Manager),
    /// It refuses.
    #[error("{0}")]
    Refused(Refused),
    /// The director does not give a session.
    #[error("the route director {0} gives no session; is UDP let through?")]
    NoSession(SocketAddrV4),
    /// The same, and the manager knows no other way.
    #[error("UDP to route directors gets no answer here: have UDP port 20202 let through. {0}")]
    UdpBlocked(Refused),
    /// A director that takes TCP would do.
    #[error(
        "UDP to route directors gets no answer here, and the route director {0}, which takes TCP, is not to be reached by this version: \
         have UDP port 20202 let through"
    )]
    TcpOnly(String),
    /// What it says makes no sense.
    #[error("the manager's answer cannot be used ({0}); is it of another version?")]
    Untrue(&'static str),
}

/// Why it is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// We left.
    #[error("left")]
    Left,
    /// The manager ended it for good.
    #[error("{0}")]
    Refused(Refused),
}

/// How far it is, for status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// In a word.
    pub phase: &'static str,
    /// What the last join gave, while it is in force.
    pub place: Option<Place>,
    /// The manager that is asked.
    pub manager: Option<Manager>,
    /// The last trouble since it last worked.
    pub trouble: Option<String>,
}
