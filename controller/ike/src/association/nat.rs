//! Finding address translators: each end hashes the addresses it sees (RFC 7296 section 2.23).

use crate::codec::{IkeSpi, Notify, NotifyKind, Payload};
use crate::event::NatFound;
use crate::terms::Nat;
use crate::units::Path;
use aws_lc_rs::digest;
use std::net::{IpAddr, SocketAddr};

/// The port for ESP and IKE through address translators.
pub(crate) const NAT_PORT: u16 = 4500;

/// What the peer is told of the addresses that we see.
pub(crate) fn notifications(nat: Nat, spis: (IkeSpi, IkeSpi), path: Path) -> Vec<Payload> {
    let mut source = hash(spis, path.local);
    if nat == Nat::Pretend {
        // No address has this hash, so the peer sees a translator before us.
        source[0] ^= 0xff;
    }
    [
        (NotifyKind::NAT_DETECTION_SOURCE_IP, source),
        (NotifyKind::NAT_DETECTION_DESTINATION_IP, hash(spis, path.remote)),
    ]
    .into_iter()
    .map(|(kind, data)| Payload::Notify(Notify::new(kind, data)))
    .collect()
}

/// What the peer's notifications say, `None` if it sent none.
pub(crate) fn found(payloads: &[Payload], nat: Nat, spis: (IkeSpi, IkeSpi), path: Path) -> Option<NatFound> {
    if nat == Nat::Never {
        return None;
    }
    let hashes = |kind| {
        payloads.iter().filter_map(move |payload| match payload {
            Payload::Notify(notify) if notify.kind == kind => Some(&notify.data),
            _ => None,
        })
    };
    // There may be several sources: a peer with many addresses.
    let mut sources = hashes(NotifyKind::NAT_DETECTION_SOURCE_IP).peekable();
    let mut destinations = hashes(NotifyKind::NAT_DETECTION_DESTINATION_IP).peekable();
    sources.peek()?;
    destinations.peek()?;
    let (seen, ours) = (hash(spis, path.remote), hash(spis, path.local));
    Some(NatFound {
        theirs: !sources.any(|source| *source == seen),
        ours: nat == Nat::Pretend || !destinations.any(|destination| *destination == ours),
    })
}

/// Whether the sender allows no translator (NO_NATS_ALLOWED) and names other addresses than those that the datagram has: source, destination,
/// and their ports (RFC 4555 section 4.2.6).
pub(crate) fn translated(payloads: &[Payload], path: Path) -> bool {
    let mut seen = Vec::with_capacity(36);
    for address in [path.remote.ip(), path.local.ip()] {
        match address {
            IpAddr::V4(address) => seen.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => seen.extend_from_slice(&address.octets()),
        }
    }
    seen.extend_from_slice(&path.remote.port().to_be_bytes());
    seen.extend_from_slice(&path.local.port().to_be_bytes());
    payloads.iter().any(|payload| {
        matches!(payload, Payload::Notify(notify) if notify.kind == NotifyKind::NO_NATS_ALLOWED && notify.data != seen)
    })
}

/// The same path through the port that translators expect.
pub(crate) fn float(path: Path) -> Path {
    let port = |mut address: SocketAddr| {
        if address.port() == 500 {
            address.set_port(NAT_PORT);
        }
        address
    };
    Path {
        local: port(path.local),
        remote: port(path.remote),
    }
}

/// SHA-1, as section 2.23 says: a label for addresses, not a secret and not a signature.
fn hash(spis: (IkeSpi, IkeSpi), address: SocketAddr) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(&spis.0.to_octets());
    context.update(&spis.1.to_octets());
    match address.ip() {
        IpAddr::V4(address) => context.update(&address.octets()),
        IpAddr::V6(address) => context.update(&address.octets()),
    }
    context.update(&address.port().to_be_bytes());
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIS: (IkeSpi, IkeSpi) = (IkeSpi(1), IkeSpi(2));

    fn path(local: &str, remote: &str) -> Path {
        Path {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn without_a_translator_both_see_the_same_addresses() {
        let said = notifications(Nat::Detect, SPIS, path("192.0.2.1:500", "192.0.2.2:500"));
        let seen = path("192.0.2.2:500", "192.0.2.1:500");
        assert_eq!(found(&said, Nat::Detect, SPIS, seen), Some(NatFound::default()));
        assert_eq!(found(&said, Nat::Never, SPIS, seen), None);
        assert_eq!(found(&[], Nat::Detect, SPIS, seen), None);
    }

    #[test]
    fn a_translator_before_either_end_is_seen_by_the_other() {
        let said = notifications(Nat::Detect, SPIS, path("192.168.0.1:500", "192.0.2.2:500"));
        let seen = path("192.0.2.2:500", "203.0.113.1:4711");
        let theirs = NatFound {
            ours: false,
            theirs: true,
        };
        assert_eq!(found(&said, Nat::Detect, SPIS, seen), Some(theirs));
        let answer = notifications(Nat::Detect, SPIS, seen);
        let back = path("192.168.0.1:500", "192.0.2.2:500");
        let ours = NatFound {
            ours: true,
            theirs: false,
        };
        assert_eq!(found(&answer, Nat::Detect, SPIS, back), Some(ours));
    }

    #[test]
    fn who_pretends_is_believed() {
        let (here, there) = (
            path("192.0.2.1:500", "192.0.2.2:500"),
            path("192.0.2.2:500", "192.0.2.1:500"),
        );
        let said = notifications(Nat::Pretend, SPIS, here);
        assert!(found(&said, Nat::Detect, SPIS, there).is_some_and(|nat| nat.theirs));
        assert!(found(&said, Nat::Pretend, SPIS, there).is_some_and(|nat| nat.ours));
        assert_eq!(float(here), path("192.0.2.1:4500", "192.0.2.2:4500"));
    }
}
