//! The route director: a packet between two sessions of one community (source document 001, figure 7, steps 673 to 677).
//!
//! ```text
//!  frame ► ethernet ► ipv4 ► own station ► udp ► shim ► virtual  │ relayable: is it beyond doubt a packet we relay?
//!        ► sender ► rate ► session ► community ► ttl ► mtu       │ authorise: may it go there?
//!        ► route ► neighbor ► egress port ► rewrite              │ forward
//! ```
//!
//! What only looks up reads nothing it has not checked; what rewrites changes nothing of a packet that is punted or
//! dropped, so that the slow path sees what came.

mod forward;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use forward::{authorise, forward};

use crate::outer;
use crate::packet::Packet;
use crate::receive::is_martian;
use crate::table::port::AcceptBy;
use crate::tables::Tables;
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{DataType, OUTER_OVERHEAD, Shim};
use kith_wire::udp::Udp;
use std::net::Ipv4Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A packet that parsed as data to relay: all that the later stages want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    source: u32,
    source_port: u16,
    pub(crate) total_len: u16,
    pub(crate) sender: u32,
    pub(crate) session: u32,
    ttl: u8,
}

/// Who relays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Director<'t> {
    pub(crate) tables: &'t Tables,
    pub(crate) address: Ipv4Addr,
    pub(crate) udp_port: u16,
}

/// All headers of a frame to relay, in one piece.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Headers {
    ethernet: Ethernet,
    ip: Ipv4,
    udp: Udp,
    shim: Shim,
    inner: Ipv4,
}

impl Candidate {
    pub(crate) const NONE: Self = Self {
        source: 0,
        source_port: 0,
        total_len: 0,
        sender: 0,
        session: 0,
        ttl: 0,
    };

    #[inline(always)]
    pub(crate) fn of(tables: &Tables, ip: &Ipv4, udp: &Udp, shim: &Shim) -> Self {
        let place = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        Self {
            source: ip.source().to_bits(),
            source_port: udp.source.get(),
            total_len: ip.total_len(),
            sender: place(tables.sender.pool().index(shim.source_member.get())),
            session: place(tables.session.pool().index(shim.destination_member.get())),
            ttl: ip.ttl(),
        }
    }

    /// Was there one? An IPv4 packet is never 0 octets long.
    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.total_len != 0
    }
}

impl Director<'_> {
    /// The candidate of a frame that is beyond doubt one to relay: what nearly all are. It is `None` for all others;
    /// [`crate::receive`] says about them what is to be said, and gives the same candidates. A UDP checksum that no port has
    /// verified is verified last, in a frame that has nothing else against it.
    #[inline(always)]
    pub(crate) fn relayable<P: Packet>(&self, port: &AcceptBy, packet: &P) -> Option<Candidate> {
        let frame = packet.bytes();
        // All lengths in one comparison: no header is looked for twice.
        let (
            Headers {
                ethernet,
                ip,
                udp,
                shim,
                ..
            },
            _,
        ) = Headers::ref_from_prefix(frame).ok()?;
        let (source, total) = (ip.source(), usize::from(ip.total_len()));
        let ours = packet.is_contiguous()
            && ethernet.ethertype.get() == ETHERTYPE_IPV4
            && ethernet.destination == port.station
            && ip.is_sound(frame.len() - ethernet::HEADER_LEN)
            && ip.protocol() == PROTOCOL_UDP
            && !is_martian(source.to_bits())
            && source != self.address
            && (ip.destination() == self.address || ip.destination() == port.address)
            && usize::from(udp.len()) == total - ipv4::HEADER_LEN
            && udp.destination.get() == self.udp_port
            && shim.carries(DataType::Virtual)
            && shim.destination_director.get() == self.address.to_bits()
            && total >= OUTER_OVERHEAD + ipv4::HEADER_LEN
            && (udp.checksum() == 0 || packet.checksums_verified() || sum_is_right(ip, udp, frame));
        ours.then(|| Candidate::of(self.tables, ip, udp, shim))
    }
}

/// Is the UDP checksum of a frame right whose lengths are? Not part of [`Director::relayable`]'s code, which is in every packet's way:
/// ports mostly verify, and what they leave to do takes longer than the call.
#[inline(never)]
fn sum_is_right(ip: &Ipv4, udp: &Udp, frame: &[u8]) -> bool {
    let end = ethernet::HEADER_LEN + usize::from(ip.total_len());
    // Link padding is not summed.
    let data = frame.get(outer::LEN..end);
    data.is_some_and(|data| udp.verify(ip, data).is_ok())
}
