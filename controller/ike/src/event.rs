//! What an endpoint wants done, and what it has to tell.

use crate::auth::AuthError;
use crate::codec::{Identity, NotifyKind, Selector};
use crate::host::Refused;
use crate::suite::{EspSuite, IkeSuite};
use crate::terms::Mode;
use crate::units::{AssociationId, ChildId, Path, Role};
use kith_esp::{SaKeys, Spi};
use thiserror::Error;

/// To be done in this order.
pub enum Output {
    /// Send this datagram. On port 4500 the host puts four zero octets in front (RFC 3948 section 2.2).
    Send {
        /// From where to where.
        path: Path,
        /// An IKE message or a fragment of one.
        octets: Vec<u8>,
    },
    /// Something happened.
    Event(AssociationId, Event),
}

/// What happened.
pub enum Event {
    /// Both ends have proved who they are.
    Up(Box<Up>),
    /// A pair of ESP SAs is agreed: open packets with it from now on.
    Child(Box<NewChild>),
    /// Seal with the pair from now on: the peer is known to have it.
    Send(ChildId),
    /// Forget the pair.
    Forget(ChildId, Forgotten),
    /// The peer refused a pair that we asked for.
    ChildRefused {
        /// The pair that it was to replace.
        replaces: Option<ChildId>,
        /// What the peer said.
        why: NotifyKind,
    },
    /// The IKE SA was replaced by one under new keys.
    Rekeyed {
        /// Who began it.
        by: Role,
        /// Algorithms of the new one.
        suite: IkeSuite,
    },
    /// The peer is reached on another path, and proved it.
    Moved(Path),
    /// The peer, one of ours, says where it is; what it says is for the host to read.
    Whereabouts(Vec<u8>),
    /// It is over; all pairs of it are forgotten.
    Down(Down),
}

/// An association that is up.
pub struct Up {
    /// Who the peer is.
    pub peer: Identity,
    /// Who began.
    pub role: Role,
    /// How the IKE SA is protected.
    pub suite: IkeSuite,
    /// Where both are.
    pub path: Path,
    /// An address translator stands between the ends: ESP must travel in UDP.
    pub nat: NatFound,
    /// The peer is one of ours.
    pub kith: bool,
    /// Round trip of the first exchange that needed no repetition, milliseconds.
    pub rtt: Option<u64>,
}

/// Where address translators stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NatFound {
    /// Before us.
    pub ours: bool,
    /// Before the peer.
    pub theirs: bool,
}

impl NatFound {
    /// Is there any?
    #[must_use]
    pub fn any(self) -> bool {
        self.ours || self.theirs
    }
}

/// A pair of ESP SAs.
pub struct NewChild {
    /// Its name here.
    pub id: ChildId,
    /// The pair that it replaces.
    pub replaces: Option<ChildId>,
    /// Who asked for it.
    pub role: Role,
    /// The SPI that the peer writes.
    pub inbound: (Spi, SaKeys),
    /// The SPI that we write. Not before [`Event::Send`].
    pub outbound: (Spi, SaKeys),
    /// Algorithms.
    pub suite: EspSuite,
    /// What is inside.
    pub mode: Mode,
    /// Our side of the traffic.
    pub local: Vec<Selector>,
    /// The peer's side.
    pub remote: Vec<Selector>,
}

/// Why a pair is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// Another took its place.
    Replaced,
    /// The peer or we closed it.
    Closed,
    /// The association is over.
    Down,
}

/// Why an association is over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Down {
    /// We closed it.
    #[error("closed by us")]
    Closed,
    /// The peer closed it.
    #[error("closed by the peer")]
    ClosedByPeer,
    /// The peer does not answer.
    #[error("the peer does not answer")]
    Silent,
    /// The IKE SA reached its hard lifetime.
    #[error("the IKE SA is too old and could not be replaced")]
    Expired,
    /// The peer began anew and says that this is its only association.
    #[error("replaced by a newer one of the same peer")]
    Replaced,
    /// The peer could not prove who it is.
    #[error("the peer is not who it says: {0}")]
    NotAuthentic(AuthError),
    /// We do not deal with it.
    #[error("refused: {0}")]
    Refused(Refused),
    /// The peer does not deal with us; or no further on this IKE SA (NO_ADDITIONAL_SAS, TEMPORARY_FAILURE for minutes), which was closed so
    /// that the host can begin anew.
    #[error("the peer refused: {0}")]
    RefusedByPeer(NotifyKind),
    /// Both want different algorithms.
    #[error("no algorithms that both ends accept")]
    NoProposal,
    /// The peer's answer makes no sense.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// A key or a number could not be made.
    #[error("no more numbers or keys can be made here")]
    Exhausted,
}
