//! Pairs of ESP SAs and what they are for: which packet goes into which, and what may come out of it.

use super::drops::Drop;
use super::inner::Flow;
use kith_esp::{HEADER_LEN, Inbound, Lifetime, Limits, Millis, NO_NEXT_HEADER, Numbers, OpenError, Outbound};
use kith_ike::codec::Selector;
use kith_ike::{AssociationId, ChildId, NewChild};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

/// Next header of an IPv4 packet inside (RFC 4303 2.6).
const IPV4: u8 = 4;
/// The endpoint is told at most so often that something came.
const HEARD_EVERY: u64 = 1_000;
/// It is asked so often for a successor of a pair.
const REKEY_EVERY: u64 = 5_000;

/// All pairs.
pub(super) struct Tunnels {
    limits: Limits,
    inbound: HashMap<u32, Receiving>,
    /// The newest first.
    outbound: Vec<Sending>,
}

/// Name of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) association: AssociationId,
    pub(super) child: ChildId,
}

struct Receiving {
    pair: Pair,
    sa: Inbound,
    from: Vec<Selector>,
    to: Vec<Selector>,
    heard: u64,
}

struct Sending {
    pair: Pair,
    sa: Outbound,
    from: Vec<Selector>,
    to: Vec<Selector>,
    /// Where the peer is.
    peer: SocketAddr,
    /// The peer is known to have it.
    ready: bool,
    asked: Option<u64>,
}

/// A packet that came out of a tunnel.
pub(super) struct Came {
    /// Where it lies.
    pub(super) packet: Range<usize>,
    pub(super) pair: Pair,
    /// The endpoint is to be told.
    pub(super) tell: bool,
}

/// A packet that is to be sent.
pub(super) struct Leaves {
    /// Where it lies.
    pub(super) packet: Range<usize>,
    pub(super) pair: Pair,
    pub(super) to: SocketAddr,
    /// Its pair is due for a successor.
    pub(super) rekey: bool,
}

impl Tunnels {
    /// None yet; each lives so long.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            inbound: HashMap::new(),
            outbound: Vec::new(),
        }
    }

    /// A pair is agreed: what comes is opened from now on.
    pub(super) fn add(&mut self, now: Millis, association: AssociationId, new: NewChild, peer: SocketAddr) {
        let pair = Pair {
            association,
            child: new.id,
        };
        let numbers = if new.suite.esn {
            Numbers::Extended
        } else {
            Numbers::Short
        };
        let (spi, keys) = new.inbound;
        let receiving = Receiving {
            pair,
            sa: Inbound::new(spi, keys, self.limits, now).with_numbers(numbers),
            from: new.remote.clone(),
            to: new.local.clone(),
            heard: now.0,
        };
        self.inbound.insert(spi.get(), receiving);
        let (spi, keys) = new.outbound;
        let sending = Sending {
            pair,
            sa: Outbound::new(spi, keys, self.limits, now).with_numbers(numbers),
            from: new.local,
            to: new.remote,
            peer,
            ready: false,
            asked: None,
        };
        self.outbound.insert(0, sending);
    }

    /// The peer has the pair too: it is used, and those before it no more.
    pub(super) fn ready(&mut self, child: ChildId) {
        if let Some(at) = self
            .outbound
            .iter()
            .position(|sending| sending.pair.child == child)
        {
            let mut sending = self.outbound.remove(at);
            sending.ready = true;
            self.outbound.insert(0, sending);
        }
    }

    /// A pair is over.
    pub(super) fn forget(&mut self, child: ChildId) {
        self.inbound.retain(|_, receiving| receiving.pair.child != child);
        self.outbound.retain(|sending| sending.pair.child != child);
    }

    /// The peer is elsewhere.
    pub(super) fn moved(&mut self, association: AssociationId, peer: SocketAddr) {
        let all = self.outbound.iter_mut();
        all.filter(|sending| sending.pair.association == association)
            .for_each(|sending| sending.peer = peer);
    }

    /// Seals the packet of `len` octets that begins [`HEADER_LEN`] into `buffer`.
    pub(super) fn seal(
        &mut self,
        now: Millis,
        flow: &Flow,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<Leaves, Drop> {
        let fits = |sending: &&mut Sending| sending.ready && flow.is_between(&sending.from, &sending.to);
        let sending = self.outbound.iter_mut().find(fits).ok_or(Drop::NoTunnel)?;
        let sealed = sending
            .sa
            .seal_in_place(buffer, HEADER_LEN..HEADER_LEN + len, IPV4, now)
            .map_err(|_| Drop::Worn)?;
        Ok(Leaves {
            packet: sealed.packet,
            pair: sending.pair,
            to: sending.peer,
            rekey: sealed.lifetime != Lifetime::Fresh && sending.ask(now),
        })
    }

    /// Opens an ESP packet in place.
    pub(super) fn open(&mut self, now: Millis, octets: &mut [u8]) -> Result<Came, Drop> {
        let spi = octets.first_chunk().ok_or(Drop::Short)?;
        let receiving = self.inbound.get_mut(&u32::from_be_bytes(*spi));
        let receiving = receiving.ok_or(Drop::UnknownSpi)?;
        let opened = receiving
            .sa
            .open_in_place(octets, now)
            .map_err(|error| match error {
                OpenError::Replayed | OpenError::TooOld => Drop::Replayed,
                OpenError::Expired => Drop::Worn,
                _ => Drop::NotAuthentic,
            })?;
        receiving.sa.commit(opened.token).map_err(|_| Drop::Replayed)?;
        let tell = now.0 >= receiving.heard.saturating_add(HEARD_EVERY);
        if tell {
            receiving.heard = now.0;
        }
        match opened.next_header {
            IPV4 => {}
            NO_NEXT_HEADER => return Err(Drop::Dummy),
            _ => return Err(Drop::NotTunnelled),
        }
        let start = opened.payload.start;
        let (flow, len) = Flow::read(&octets[opened.payload]).ok_or(Drop::NotTunnelled)?;
        // RFC 4301 5.2 step 4: what came under this SA must be what it was agreed for.
        if !flow.is_between(&receiving.from, &receiving.to) {
            return Err(Drop::OutsideSelectors);
        }
        Ok(Came {
            packet: start..start + len,
            pair: receiving.pair,
            tell,
        })
    }

    /// Pairs that are due for a successor by now, those without traffic too.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Pair> {
        let mut due = Vec::new();
        for sending in self.outbound.iter_mut().filter(|sending| sending.ready) {
            let mut inbound = self.inbound.values();
            let worn = inbound.any(|receiving| {
                receiving.pair == sending.pair && receiving.sa.lifetime(now) != Lifetime::Fresh
            });
            if (worn || sending.sa.lifetime(now) != Lifetime::Fresh) && sending.ask(now) {
                due.push(sending.pair);
            }
        }
        due
    }

    /// How many pairs are used.
    pub(super) fn count(&self, association: AssociationId) -> usize {
        let all = self.outbound.iter();
        all.filter(|sending| sending.ready && sending.pair.association == association)
            .count()
    }

    /// The newest pair of an association.
    pub(super) fn newest(&self, association: AssociationId) -> Option<ChildId> {
        let mut all = self.outbound.iter();
        all.find(|sending| sending.ready && sending.pair.association == association)
            .map(|sending| sending.pair.child)
    }
}

impl Sending {
    /// May the endpoint be asked for a successor now?
    fn ask(&mut self, now: Millis) -> bool {
        let may = self
            .asked
            .is_none_or(|asked| now.0 >= asked.saturating_add(REKEY_EVERY));
        if may {
            self.asked = Some(now.0);
        }
        may
    }
}
