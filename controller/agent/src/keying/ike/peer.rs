//! What is kept of each member, and of each pair of ESP SAs with it.

use crate::keying::liveness::Liveness;
use crate::keying::{NewKeys, Whereabouts};
use kith_esp::{Millis, Spi};
use kith_ike::suite::EspSuite;
use kith_ike::{AssociationId, ChildId, Role};
use kith_pipeline::host::tables::MemberIndex;
use std::net::Ipv4Addr;

#[derive(Default)]
pub(super) struct Peer {
    pub(super) ticket: Vec<u8>,
    /// The newest one, up or under way.
    pub(super) association: Option<AssociationId>,
    pub(super) current: Option<Current>,
    /// Its packets are opened, but ours wait until one came: the other end may not have the keys yet.
    pub(super) held: Option<(ChildId, Millis)>,
    pub(super) replacing: bool,
    pub(super) rekey_at: Option<Millis>,
    pub(super) provoked: Option<Millis>,
    /// A handshake came to nothing.
    pub(super) failed: Option<Millis>,
    pub(super) liveness: Liveness,
    /// When it was asked whether it is there, because it was silent, and until when that may take.
    pub(super) asked: Option<(Millis, Millis)>,
    pub(super) data_sent: Option<Millis>,
    pub(super) whereabouts: Option<Whereabouts>,
    pub(super) agreements: u64,
    pub(super) rtt_micros: Option<u64>,
}

/// The keys in use for sending.
pub(super) struct Current {
    pub(super) association: AssociationId,
    pub(super) child: ChildId,
    pub(super) spi: Spi,
    pub(super) since: Millis,
    pub(super) ends: Millis,
    pub(super) role: Role,
}

/// An association, and whose it is.
pub(super) struct Bond {
    /// `None` while a stranger that has proved itself waits for a place.
    pub(super) index: Option<MemberIndex>,
    pub(super) address: Ipv4Addr,
    pub(super) up_at: Option<Millis>,
}

/// A pair of ESP SAs.
pub(super) struct Pair {
    pub(super) index: MemberIndex,
    pub(super) association: AssociationId,
    /// What the peer writes, and what we write.
    pub(super) spis: (Spi, Spi),
    pub(super) suite: EspSuite,
    pub(super) since: Millis,
    /// Until it is used.
    pub(super) outbound: Option<Box<NewKeys>>,
    pub(super) role: Role,
    pub(super) is_first: bool,
    /// Something authentic came on it.
    pub(super) heard: bool,
    /// When it is to be closed.
    pub(super) ends: Millis,
}
