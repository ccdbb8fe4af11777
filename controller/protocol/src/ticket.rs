//! Tickets: how one member knows that another may talk to it, and with which key (source document 001, figures 15, 16B to 18).
//!
//! The manager issues a ticket to the initiator, sealed for the target under a key only the target and the manager have. It rides in the first
//! message of key agreement. The initiator gets the same shared key sealed for itself.
//!
//! ```text
//!  sealed, 24 + n * 16 + 16 octets (at most 648)
//!  0        4                12               24                    24 + n * 16
//!  ├────────┼────────────────┼────────────────┼─────── … ───────────┼────────────────┤
//!  │ "KTK1" │ key id         │ nonce          │ body, AES-256-GCM   │ tag            │
//!  └────────┴────────────────┴────────────────┴─────────────────────┴────────────────┘
//!  additional data: "kith ticket 1" | "KTK1" | key id | target's full name
//!
//!  body ("Peer Ticket data" of figure 18)
//!   0  version 1 │ prefix length of the    │ length of the      │ length of the     │ zero, 4
//!                │ initiator's subnet u8   │ initiator's name u8│ target's name u8  │
//!   8  sequence u64: issue time in microseconds, strictly growing per manager
//!  16  issued u64, ms since 1970              24  expires u64, ms since 1970
//!  32  shared key, 32
//!  64  target's virtual address               68  initiator's virtual address
//!  72  initiator's director, 0 if none        76  initiator's pseudo, private or public address
//!  80  director's port u16 │ port u16         84  initiator's private address
//!  88  zero, 8
//!  96  initiator's name │ target's name │ zeros up to a multiple of 16
//! ```
//!
//! The key id says for which member and token key it was sealed: so a foreign ticket is told from an altered one.
//!
//! Cost: one AES-GCM over some 150 octets, once an introduction.

use crate::Rng;
use crate::authenticator::TicketKey;
use crate::crypto;
use crate::member::Location;
use crate::names::MAX_NAME;
use crate::octets::Octets;
use crate::secret::Secret32;
use std::net::Ipv4Addr;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// Octets of a sealed ticket at most.
pub const MAX_TICKET: usize = HEADER + crypto::SEALED_OVERHEAD + (FIXED + 2 * MAX_NAME).next_multiple_of(16);
/// Octets of a sealed key.
pub const SEALED_KEY: usize = HEADER + crypto::SEALED_OVERHEAD + KEY_BODY;

const MAGIC: &[u8; 4] = b"KTK1";
const KEY_MAGIC: &[u8; 4] = b"KSK1";
const HEADER: usize = 12;
const VERSION: u8 = 1;
const FIXED: usize = 96;
const KEY_BODY: usize = 64;

/// Milliseconds that a ticket may be ahead of the reader's clock.
pub const CLOCK_TOLERANCE_MS: u64 = 60_000;

/// What a ticket says. No `Debug`: it holds a key.
#[derive(Clone, PartialEq)]
pub struct TicketBody {
    /// Issue time in microseconds; a higher one is a newer ticket.
    pub sequence: u64,
    /// When the manager made it, milliseconds since 1970 by its clock.
    pub issued_ms: u64,
    /// From when on it is worth nothing.
    pub expires_ms: u64,
    /// What the two members share.
    pub shared_key: Secret32,
    /// Whom it is for.
    pub target_virtual: Ipv4Addr,
    /// Who brings it.
    pub initiator_virtual: Ipv4Addr,
    /// Where that one is reached.
    pub initiator_location: Location,
    /// Its address in its own network.
    pub initiator_private: Ipv4Addr,
    /// Prefix length of that network, at most 32.
    pub initiator_subnet: u8,
    /// Its full name.
    pub initiator: String,
    /// Full name of whom it is for.
    pub target: String,
}

impl TicketBody {
    /// The layout drawn above, before it is sealed.
    ///
    /// # Errors
    /// If something does not fit it.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, NotATicket> {
        encode(self).ok_or(NotATicket)
    }

    /// From the layout: exactly what [`Self::encode`] makes, and nothing else.
    #[must_use]
    pub fn decode(plain: &[u8]) -> Option<Self> {
        decode(plain)
    }
}

/// Why a ticket is not taken. Each is counted under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum TicketRefusal {
    /// Not what the manager sealed.
    #[error("ticket_altered")]
    Altered,
    /// Sealed for another member, or under a token key that is no more.
    #[error("ticket_foreign")]
    Foreign,
    /// Too old.
    #[error("ticket_expired")]
    Expired,
    /// From the future, by more than clocks may differ.
    #[error("ticket_not_yet")]
    NotYet,
    /// Ours by the key, and yet for another name or address.
    #[error("ticket_wrong_target")]
    WrongTarget,
    /// No ticket at all, or one that a manager would not make.
    #[error("ticket_malformed")]
    Malformed,
    /// A newer one of the same initiator was seen.
    #[error("ticket_replayed")]
    Replayed,
}

impl TicketRefusal {
    /// All, in the order of [`Self::index`].
    pub const ALL: [Self; 7] = [
        Self::Altered,
        Self::Foreign,
        Self::Expired,
        Self::NotYet,
        Self::WrongTarget,
        Self::Malformed,
        Self::Replayed,
    ];

    /// Its place in an array of counters.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A body that cannot be a ticket: names or prefix are too long, or a port is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a ticket needs names of 1 to 253 octets, a prefix of at most 32, ports of 16 bits, and to expire after it is issued"
)]
pub struct NotATicket;

/// Seals a ticket for its target (`body.target`).
///
/// # Errors
/// If the body does not fit the layout.
pub fn seal(key: &TicketKey, body: &TicketBody, rng: Rng<'_>) -> Result<Vec<u8>, NotATicket> {
    let plain = body.encode()?;
    Ok(seal_as(MAGIC, key, &[body.target.as_bytes()], &plain, rng))
}

/// Opens a ticket that somebody brought us. Whether it is a replay says [`Replay`](crate::replay::Replay).
///
/// # Errors
/// Why it is not taken.
pub fn open(
    key: &TicketKey,
    own_fqdn: &str,
    own_virtual: Ipv4Addr,
    now_ms: u64,
    sealed: &[u8],
) -> Result<TicketBody, TicketRefusal> {
    if sealed.len() > MAX_TICKET {
        return Err(TicketRefusal::Malformed);
    }
    let plain = open_as(MAGIC, key, &[own_fqdn.as_bytes()], sealed)?;
    let body = TicketBody::decode(&plain).ok_or(TicketRefusal::Malformed)?;
    if body.target != own_fqdn || body.target_virtual != own_virtual {
        return Err(TicketRefusal::WrongTarget);
    }
    in_time(now_ms, body.issued_ms, body.expires_ms)?;
    Ok(body)
}

/// The shared key for the member that asked (`Peer.sealed_key`), without the ticket around it.
///
/// ```text
///  "KSK1" | key id, 8 | nonce, 12 | AES-256-GCM( sequence u64 | issued u64 | expires u64 | shared key, 32 | peer's virtual address | own virtual
///  address ) | tag, 16          additional data: "kith ticket 1" | "KSK1" | key id | asker's name | 0 | peer's name
/// ```
#[derive(Clone, PartialEq)]
pub struct KeyBody {
    /// As in the ticket.
    pub sequence: u64,
    /// As in the ticket.
    pub issued_ms: u64,
    /// As in the ticket.
    pub expires_ms: u64,
    /// As in the ticket.
    pub shared_key: Secret32,
    /// The other member's virtual address.
    pub peer_virtual: Ipv4Addr,
    /// The asker's own.
    pub own_virtual: Ipv4Addr,
}

/// Seals the shared key for the member that asked.
#[must_use]
pub fn seal_key(key: &TicketKey, asker: &str, peer: &str, body: &KeyBody, rng: Rng<'_>) -> Vec<u8> {
    let mut plain = Zeroizing::new(Vec::with_capacity(KEY_BODY));
    for number in [body.sequence, body.issued_ms, body.expires_ms] {
        plain.extend_from_slice(&number.to_be_bytes());
    }
    plain.extend_from_slice(body.shared_key.expose());
    plain.extend_from_slice(&body.peer_virtual.octets());
    plain.extend_from_slice(&body.own_virtual.octets());
    seal_as(
        KEY_MAGIC,
        key,
        &[asker.as_bytes(), b"\0", peer.as_bytes()],
        &plain,
        rng,
    )
}

/// Opens it.
///
/// # Errors
/// Why it is not taken.
pub fn open_key(
    key: &TicketKey,
    own_fqdn: &str,
    peer: &str,
    own_virtual: Ipv4Addr,
    now_ms: u64,
    sealed: &[u8],
) -> Result<KeyBody, TicketRefusal> {
    let plain = open_as(
        KEY_MAGIC,
        key,
        &[own_fqdn.as_bytes(), b"\0", peer.as_bytes()],
        sealed,
    )?;
    let body = decode_key(&plain).ok_or(TicketRefusal::Malformed)?;
    if body.own_virtual != own_virtual {
        return Err(TicketRefusal::WrongTarget);
    }
    in_time(now_ms, body.issued_ms, body.expires_ms)?;
    Ok(body)
}

/// One end of a pair: a member, and which of its registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairEnd {
    /// The member's number.
    pub id: u64,
    /// When its token key was made: a device that registers anew shares nothing with the one before.
    pub token_timestamp: u64,
}

/// What two members share within an epoch; the same whichever of them asks.
///
/// `HKDF-SHA-256(pair secret, "kith pair 1" | lower end | higher end | epoch)`, an end being id u64 | token timestamp u64.
#[must_use]
pub fn pair_key(pair_secret: &Secret32, a: PairEnd, b: PairEnd, epoch: u64) -> Secret32 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let ends = [low.id, low.token_timestamp, high.id, high.token_timestamp, epoch].map(u64::to_be_bytes);
    crypto::hkdf(&[], pair_secret.expose(), &[b"kith pair 1", ends.as_flattened()])
}

fn in_time(now_ms: u64, issued_ms: u64, expires_ms: u64) -> Result<(), TicketRefusal> {
    if issued_ms > now_ms.saturating_add(CLOCK_TOLERANCE_MS) {
        return Err(TicketRefusal::NotYet);
    }
    if expires_ms <= now_ms {
        Err(TicketRefusal::Expired)
    } else {
        Ok(())
    }
}

fn seal_as(magic: &[u8; 4], key: &TicketKey, whom: crypto::Parts<'_>, plain: &[u8], rng: Rng<'_>) -> Vec<u8> {
    let mut out = [magic.as_slice(), &key.id].concat();
    let aad = [b"kith ticket 1", out.as_slice(), &whom.concat()].concat();
    out.extend(crypto::seal(&key.secret, &[&aad], plain, rng));
    out
}

fn open_as(
    magic: &[u8; 4],
    key: &TicketKey,
    whom: crypto::Parts<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, TicketRefusal> {
    let (header, rest) = sealed.split_at_checked(HEADER).ok_or(TicketRefusal::Malformed)?;
    if &header[..4] != magic || rest.len() <= crypto::SEALED_OVERHEAD {
        return Err(TicketRefusal::Malformed);
    }
    if !bool::from(header[4..].ct_eq(&key.id)) {
        return Err(TicketRefusal::Foreign);
    }
    let aad = [b"kith ticket 1", header, &whom.concat()].concat();
    crypto::open(&key.secret, &[&aad], rest).ok_or(TicketRefusal::Altered)
}

fn encode(body: &TicketBody) -> Option<Zeroizing<Vec<u8>>> {
    let name = |name: &str| {
        (1..=MAX_NAME)
            .contains(&name.len())
            .then(|| u8::try_from(name.len()).ok())
            .flatten()
    };
    let (initiator, target) = (name(&body.initiator)?, name(&body.target)?);
    let location = &body.initiator_location;
    let (director_port, port) = (
        u16::try_from(location.director_port).ok()?,
        u16::try_from(location.port).ok()?,
    );
    if body.initiator_subnet > 32 || body.expires_ms <= body.issued_ms {
        return None;
    }
    let len = (FIXED + body.initiator.len() + body.target.len()).next_multiple_of(16);
    let mut out = Zeroizing::new(Vec::with_capacity(len));
    out.extend_from_slice(&[VERSION, body.initiator_subnet, initiator, target, 0, 0, 0, 0]);
    for number in [body.sequence, body.issued_ms, body.expires_ms] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(body.shared_key.expose());
    out.extend_from_slice(&body.target_virtual.octets());
    out.extend_from_slice(&body.initiator_virtual.octets());
    out.extend_from_slice(&location.director.to_be_bytes());
    out.extend_from_slice(&location.address.to_be_bytes());
    out.extend_from_slice(&director_port.to_be_bytes());
    out.extend_from_slice(&port.to_be_bytes());
    out.extend_from_slice(&body.initiator_private.octets());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(body.initiator.as_bytes());
    out.extend_from_slice(body.target.as_bytes());
    out.resize(len, 0);
    Some(out)
}

fn decode(plain: &[u8]) -> Option<TicketBody> {
    let mut octets = Octets(plain);
    let [version, initiator_subnet, initiator_len, target_len] = octets.array()?;
    let lens = [usize::from(initiator_len), usize::from(target_len)];
    let good =
        version == VERSION && initiator_subnet <= 32 && lens.iter().all(|len| (1..=MAX_NAME).contains(len));
    let len = (FIXED + lens[0] + lens[1]).next_multiple_of(16);
    if !good || plain.len() != len {
        return None;
    }
    octets.zeros(4)?;
    let (sequence, issued_ms, expires_ms) = (octets.u64()?, octets.u64()?, octets.u64()?);
    let shared_key = Secret32::from_slice(octets.take(32)?)?;
    let (target_virtual, initiator_virtual) = (octets.ipv4()?, octets.ipv4()?);
    let (director, address) = (octets.u32()?, octets.u32()?);
    let (director_port, port) = (u32::from(octets.u16()?), u32::from(octets.u16()?));
    let initiator_private = octets.ipv4()?;
    octets.zeros(8)?;
    let (initiator, target) = (octets.text(lens[0])?.to_owned(), octets.text(lens[1])?.to_owned());
    octets.zeros(octets.0.len())?;
    (expires_ms > issued_ms).then_some(TicketBody {
        sequence,
        issued_ms,
        expires_ms,
        shared_key,
        target_virtual,
        initiator_virtual,
        initiator_location: Location {
            director,
            director_port,
            address,
            port,
        },
        initiator_private,
        initiator_subnet,
        initiator,
        target,
    })
}

fn decode_key(plain: &[u8]) -> Option<KeyBody> {
    let mut octets = Octets(plain);
    let (sequence, issued_ms, expires_ms) = (octets.u64()?, octets.u64()?, octets.u64()?);
    let shared_key = Secret32::from_slice(octets.take(32)?)?;
    let (peer_virtual, own_virtual) = (octets.ipv4()?, octets.ipv4()?);
    let body = KeyBody {
        sequence,
        issued_ms,
        expires_ms,
        shared_key,
        peer_virtual,
        own_virtual,
    };
    (octets.0.is_empty() && expires_ms > issued_ms).then_some(body)
}
