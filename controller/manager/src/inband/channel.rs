//! One member's end of the tunnel: its keys, where it was last heard from, what was counted for it.
//!
//! Keys are replaced without a gap. The manager hands out new ones before the member has them, so it goes on with the old ones until the
//! first packet under the new ones; from then on the old ones are gone.
//!
//! ```text
//!  install ──► current                       refresh ──► next
//!              opens, seals                              opens
//!                                            first packet under it: next becomes current, the old one is wiped
//! ```
//!
//! A member is heard every few seconds and there are thousands: associations are at rest in between, and woken for each packet.

use super::counters::Did;
use super::limits::{Bucket, Rate};
use crate::dns::MemberId;
use kith_esp::{Key, Millis, RestingInbound, RestingOutbound, SaKeys, Salt, Spi};
use kith_pipeline::host::transport::{self, Opened};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::DropReason;
use kith_protocol::join::{ChannelKeys, DirectionKeys};
use kith_wire::shim::{self, DataType, Shim};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::IntoBytes;

/// Both directions of one set of keys.
pub struct Association {
    pub(super) inbound: RestingInbound,
    pub(super) outbound: RestingOutbound,
}

impl Association {
    /// What a key exchange with a member gave: it seals for `manager_spi`, the manager for `member_spi`.
    #[must_use]
    pub fn new(manager_spi: Spi, member_spi: Spi, keys: &ChannelKeys, now: Millis) -> Self {
        let of = |keys: &DirectionKeys| SaKeys::new(Key::aes256(keys.key.expose()), Salt::new(&keys.salt));
        Self {
            inbound: RestingInbound::new(manager_spi, of(&keys.to_manager), now),
            outbound: RestingOutbound::new(member_spi, of(&keys.to_member), now),
        }
    }
}

/// A member that has joined, or has new keys.
pub struct Install {
    /// Who.
    pub member: MemberId,
    /// Its virtual address: what it sends has no other source.
    pub virtual_address: Ipv4Addr,
    /// The manager's address in its community: what it sends has no other destination.
    pub manager_address: Ipv4Addr,
    /// This run of its agent. The same run: new keys take over from the old ones. Another: they replace them at once.
    pub run_id: [u8; 16],
    /// The keys.
    pub association: Association,
}

/// A member's end of the tunnel.
pub(super) struct Channel {
    pub(super) member: MemberId,
    pub(super) virtual_address: Ipv4Addr,
    pub(super) manager_address: Ipv4Addr,
    pub(super) run_id: [u8; 16],
    /// Tells channels of one member apart.
    pub(super) generation: u64,
    current: Association,
    // Elsewhere: it is seldom there.
    next: Option<Box<Association>>,
    endpoint: Option<Endpoint>,
    pub(super) bucket: Bucket,
    pub(super) beats: Beats,
}

/// What heartbeats tell.
#[derive(Debug, Default)]
pub(super) struct Beats {
    /// Of the last one sent.
    pub(super) sent: u64,
    /// The highest one heard.
    pub(super) heard: u64,
    /// The time in it.
    pub(super) heard_ms: u64,
}

/// Where the newest authentic packet came from, and the shim that answers its shim.
struct Endpoint {
    to: SocketAddrV4,
    shim: Shim,
}

impl Channel {
    pub(super) fn new(install: Install, generation: u64, rate: Rate, now: Millis) -> Self {
        Self {
            member: install.member,
            virtual_address: install.virtual_address,
            manager_address: install.manager_address,
            run_id: install.run_id,
            generation,
            current: install.association,
            next: None,
            endpoint: None,
            bucket: Bucket::new(rate, now),
            beats: Beats::default(),
        }
    }

    /// Does this continue what is here?
    pub(super) fn continues(&self, install: &Install) -> bool {
        (self.run_id, self.virtual_address, self.manager_address)
            == (install.run_id, install.virtual_address, install.manager_address)
    }

    /// New keys for the same run. Gives the SPI that is no longer in use, if there was a set of keys that was never used.
    pub(super) fn refresh(&mut self, association: Association) -> Option<Spi> {
        self.next
            .replace(Box::new(association))
            .map(|unused| unused.inbound.spi())
    }

    /// Under which SPIs the member's packets are taken.
    pub(super) fn spis(&self) -> impl Iterator<Item = Spi> {
        let next = self.next.iter().map(|next| next.inbound.spi());
        std::iter::once(self.current.inbound.spi()).chain(next)
    }

    /// Opens a virtual packet whose source has been checked. Gives, too, what else came of it, and the SPI that is gone with it.
    pub(super) fn open(
        &mut self,
        packet: &mut impl Packet,
        spi: Spi,
        from: SocketAddrV4,
        shim: &Shim,
        now: Millis,
    ) -> Result<Heard, DropReason> {
        let is_next = self.next.as_ref().is_some_and(|next| next.inbound.spi() == spi);
        let sa = match &mut self.next {
            Some(next) if is_next => &mut next.inbound,
            _ => &mut self.current.inbound,
        };
        let (opened, newest) = sa.wake(|sa| {
            let before = sa.highest();
            let opened = transport::open(packet, sa, now);
            // What was under way for longer than newer ones says nothing about where the member is now.
            (opened, sa.highest() > before)
        });
        let opened = opened?;
        let retired = if is_next { self.promote() } else { None };
        let roamed = newest && self.heard_at(from, shim);
        Ok(Heard {
            opened,
            retired,
            did: roamed.then_some(Did::Roamed),
        })
    }

    /// Seals a virtual packet for the member and puts the shim in front. Gives where to send it.
    pub(super) fn seal(&mut self, packet: &mut impl Packet, now: Millis) -> Result<SocketAddrV4, DropReason> {
        let endpoint = self.endpoint.as_ref().ok_or(DropReason::MemberUnknown)?;
        self.current
            .outbound
            .wake(|sa| transport::seal(packet, sa, now))?;
        if !packet.grow_front(shim::LEN) {
            return Err(DropReason::BufferRoom);
        }
        packet.bytes_mut()[..shim::LEN].copy_from_slice(endpoint.shim.as_bytes());
        Ok(endpoint.to)
    }

    /// Has it been heard yet, so that it can be spoken to?
    pub(super) fn is_reachable(&self) -> bool {
        self.endpoint.is_some()
    }

    fn promote(&mut self) -> Option<Spi> {
        let next = self.next.take()?;
        let old = std::mem::replace(&mut self.current, *next);
        Some(old.inbound.spi())
    }

    /// True if it was heard elsewhere before.
    fn heard_at(&mut self, from: SocketAddrV4, shim: &Shim) -> bool {
        let moved = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.to != from);
        self.endpoint = Some(Endpoint {
            to: from,
            shim: answering(shim),
        });
        moved
    }
}

/// What opening a packet gave.
pub(super) struct Heard {
    pub(super) opened: Opened,
    /// An SPI that is no longer in use.
    pub(super) retired: Option<Spi>,
    pub(super) did: Option<Did>,
}

/// The shim of an answer: who sent is who receives.
fn answering(shim: &Shim) -> Shim {
    let mut answer = Shim::new(DataType::Virtual);
    answer.source_director = shim.destination_director;
    answer.source_member = shim.destination_member;
    answer.destination_director = shim.source_director;
    answer.destination_member = shim.source_member;
    answer
}
