//! IKE_SA_INIT: what both ends say before anything is secret (RFC 7296 section 1.2).
//!
//! ```text
//!  N(COOKIE)? SA KE Ni N(NAT)* N(FRAGMENTATION) N(HASHES) N(INTERMEDIATE)? N(KITH_TICKET)? V(kith)
//! ```

use super::nat;
use super::protection::Protection;
use crate::auth::{HASH_IDENTITY, HASH_SHA2_256, IntAuth};
use crate::codec::IkeSpi;
use crate::codec::{KeyExchange, Notify, NotifyKind, Payload, Proposal, Ticket};
use crate::event::NatFound;
use crate::suite::{IkeKeys, IkeSuite};
use crate::terms::Nat;
use crate::units::Path;

/// Hashes of the signatures that we check (RFC 7427 section 4, RFC 8420).
pub(crate) const OWN_HASHES: [u16; 2] = [HASH_SHA2_256, HASH_IDENTITY];

/// How our own kind is told from others.
const VENDOR: &[u8] = b"kith member, protocol 1";

/// What one end said.
pub(crate) struct Hello {
    pub(crate) proposals: Vec<Proposal>,
    pub(crate) share: KeyExchange,
    pub(crate) nonce: Vec<u8>,
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) fragments: bool,
    pub(crate) intermediate: bool,
    /// Hash algorithms for signatures that it knows (RFC 7427 section 4).
    pub(crate) hashes: Vec<u16>,
    pub(crate) kith: bool,
}

/// Everything that IKE_SA_INIT gives both ends.
pub(crate) struct Negotiated {
    pub(crate) protection: Protection,
    pub(crate) suite: IkeSuite,
    pub(crate) keys: IkeKeys,
    /// The initiator's and the responder's.
    pub(crate) nonces: [Vec<u8>; 2],
    /// The first message of each, as they were on the wire: each end proves that it made its own.
    pub(crate) transcript: [Vec<u8>; 2],
    pub(crate) peer_hashes: Vec<u16>,
    pub(crate) nat: NatFound,
    /// Both ends look for address translators.
    pub(crate) detects: bool,
    pub(crate) kith: bool,
    /// What passed in IKE_INTERMEDIATE.
    pub(crate) intermediate: IntAuth,
}

/// What we say beside SA, KE and nonce.
pub(crate) fn extras(nat: Nat, spis: (IkeSpi, IkeSpi), path: Path, intermediate: bool) -> Vec<Payload> {
    let mut payloads = nat::notifications(nat, spis, path);
    let hashes = OWN_HASHES.iter().flat_map(|hash| hash.to_be_bytes()).collect();
    payloads.push(note(NotifyKind::IKEV2_FRAGMENTATION_SUPPORTED, Vec::new()));
    payloads.push(note(NotifyKind::SIGNATURE_HASH_ALGORITHMS, hashes));
    if intermediate {
        payloads.push(note(NotifyKind::INTERMEDIATE_EXCHANGE_SUPPORTED, Vec::new()));
    }
    payloads.push(Payload::VendorId(VENDOR.to_vec()));
    payloads
}

/// `None` unless SA, KE and nonce are there, once each.
pub(crate) fn read(payloads: &[Payload]) -> Option<Hello> {
    let (mut sa, mut share, mut nonce) = (None, None, None);
    let mut hello = Hello {
        proposals: Vec::new(),
        share: KeyExchange {
            group: 0,
            data: Vec::new(),
        },
        nonce: Vec::new(),
        cookie: None,
        ticket: None,
        fragments: false,
        intermediate: false,
        hashes: Vec::new(),
        kith: false,
    };
    for payload in payloads {
        let twice = match payload {
            Payload::Sa(proposals) => sa.replace(proposals).is_some(),
            Payload::KeyExchange(one) => share.replace(one).is_some(),
            Payload::Nonce(one) => nonce.replace(one).is_some(),
            // RFC 7296 section 3.12: who is not known by it is a stranger, and no worse for it.
            Payload::VendorId(id) => {
                hello.kith |= id == VENDOR;
                false
            }
            Payload::Notify(notify) => !hello.notified(notify),
            _ => false,
        };
        if twice {
            return None;
        }
    }
    hello.proposals.clone_from(sa?);
    hello.share.clone_from(share?);
    hello.nonce.clone_from(nonce?);
    Some(hello)
}

impl Hello {
    fn notified(&mut self, notify: &Notify) -> bool {
        match notify.kind {
            NotifyKind::COOKIE => self.cookie.replace(notify.data.clone()).is_none(),
            NotifyKind::KITH_TICKET => match Ticket::parse(&notify.data) {
                Ok(ticket) => self.ticket.replace(ticket).is_none(),
                Err(_) => false,
            },
            NotifyKind::IKEV2_FRAGMENTATION_SUPPORTED => {
                self.fragments = true;
                true
            }
            NotifyKind::INTERMEDIATE_EXCHANGE_SUPPORTED => {
                self.intermediate = true;
                true
            }
            NotifyKind::SIGNATURE_HASH_ALGORITHMS => {
                let pairs = notify.data.chunks_exact(2);
                self.hashes = pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                true
            }
            // RFC 7296 section 3.10.1: unknown status notifications are ignored.
            _ => true,
        }
    }
}

pub(crate) fn note(kind: NotifyKind, data: Vec<u8>) -> Payload {
    Payload::Notify(Notify::new(kind, data))
}

/// The first error that is notified.
pub(crate) fn error(payloads: &[Payload]) -> Option<&Notify> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Notify(notify) if notify.kind.is_error() => Some(notify),
        _ => None,
    })
}

/// The first notification of this kind.
pub(crate) fn noted(payloads: &[Payload], kind: NotifyKind) -> Option<&Notify> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Notify(notify) if notify.kind == kind => Some(notify),
        _ => None,
    })
}

/// A payload that must be understood and is not (RFC 7296 section 2.5).
pub(crate) fn critical(payloads: &[Payload]) -> Option<u8> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Unknown {
            kind, critical: true, ..
        } => Some(*kind),
        _ => None,
    })
}
