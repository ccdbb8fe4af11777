//! From the virtual adapter to the public network: who it is for, does it fit, seal, shim.
//!
//! ```text
//!  virtual packet                     | IPv4 | payload |
//!  ► own source ► policy ► member ► keys ► mtu
//!  ► mss, if a TCP SYN
//!  ► seal                  | IPv4, 50 | SPI | IV | payload, trailer | ICV |
//!  ► shim           | shim | IPv4, 50 | SPI | IV | payload, trailer | ICV |
//! ```
//!
//! The payload stays where it is; the 20 octets of virtual header move 16 to the front. ESP in transport mode takes
//! whole packets only (RFC 4303 section 3.1.1), so a fragment is sealed whole behind a virtual header of its own, as
//! next header 4.

use super::tables::{HostTables, Member, MemberIndex};
use super::{mss, transport, virtual_mtu};
use crate::counters::Counters;
use crate::packet::Packet;
use crate::reason::DropReason;
use kith_esp::aead::{Aead, DefaultAead};
use kith_esp::{Lifetime, Millis, NO_NEXT_HEADER, Outbound, sealed_overhead};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_IPV4, PROTOCOL_TCP};
use kith_wire::{shim, tcp};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::IntoBytes;

/// What became of a virtual packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encapsulated {
    /// Sealed, shim in front: send it there.
    Send {
        /// To whom.
        member: MemberIndex,
        /// Address and port.
        to: SocketAddrV4,
        /// The keys should be renewed soon.
        rekey: bool,
    },
    /// Untouched: there are no usable keys with the member yet.
    NeedKeys {
        /// With whom.
        member: MemberIndex,
    },
    /// Untouched: nobody is known at this address, but somebody may be brought.
    NeedMember {
        /// The address.
        to: Ipv4Addr,
    },
    /// Untouched and counted as dropped: tell the application that packets may be this large.
    TooBig {
        /// The largest virtual packet that fits.
        mtu: u16,
    },
    /// Gone and counted.
    Drop(DropReason),
}

/// One thread's way out: owns the outbound security associations.
pub struct Encap<A: Aead = DefaultAead> {
    outbound: Vec<Option<Outbound<A>>>,
}

impl Encap {
    /// A way out without any keys: nothing passes. The production cipher.
    #[must_use]
    pub fn new() -> Self {
        Self::with_aead()
    }
}

impl<A: Aead> Encap<A> {
    /// As [`Encap::new`], with the back end of the caller's choice.
    #[must_use]
    pub fn with_aead() -> Self {
        Self { outbound: Vec::new() }
    }

    /// From now on packets to `member` are sealed with this; what was before is wiped.
    pub fn install(&mut self, member: MemberIndex, sa: Outbound<A>) {
        let at = member.0 as usize;
        if self.outbound.len() <= at {
            self.outbound.resize_with(at + 1, || None);
        }
        self.outbound[at] = Some(sa);
    }

    /// Forgets the keys with a member.
    pub fn remove(&mut self, member: MemberIndex) {
        if let Some(place) = self.outbound.get_mut(member.0 as usize) {
            *place = None;
        }
    }

    /// Takes a packet from the adapter to its wire form.
    #[inline]
    pub fn encapsulate<P: Packet>(
        &mut self,
        tables: &HostTables,
        counters: &Counters,
        now: Millis,
        packet: &mut P,
    ) -> Encapsulated {
        let decided = self.path(tables, now, packet);
        match decided {
            Ok(sent) => sent,
            Err(Encapsulated::Drop(reason)) => {
                counters.dropped(reason).add(1);
                Encapsulated::Drop(reason)
            }
            Err(Encapsulated::TooBig { mtu }) => {
                counters.dropped(DropReason::MtuExceeded).add(1);
                Encapsulated::TooBig { mtu }
            }
            Err(other) => other,
        }
    }

    #[inline]
    fn path<P: Packet>(
        &mut self,
        tables: &HostTables,
        now: Millis,
        packet: &mut P,
    ) -> Result<Encapsulated, Encapsulated> {
        let (index, member, fragment) = find(tables, packet)?;
        let sa = self.outbound.get_mut(index.0 as usize).and_then(Option::as_mut);
        // An SA that cannot seal is found out before the packet is touched: it will wait for the next one.
        let sa = sa
            .filter(|sa| sa.lifetime(now) != Lifetime::Expired)
            .ok_or(Encapsulated::NeedKeys { member: index })?;
        let wrapping = if fragment { ipv4::HEADER_LEN } else { 0 };
        let payload_len = packet.bytes().len() - ipv4::HEADER_LEN + wrapping;
        let outer_len = shim::OUTER_OVERHEAD + ipv4::HEADER_LEN + payload_len + sealed_overhead(payload_len);
        if outer_len > usize::from(member.path_mtu) {
            return Err(Encapsulated::TooBig {
                mtu: virtual_mtu(member.path_mtu),
            });
        }
        if fragment {
            wrap_fragment(packet).map_err(Encapsulated::Drop)?;
        } else {
            clamp(packet, member);
        }
        let lifetime = transport::seal(packet, sa, now).map_err(Encapsulated::Drop)?;
        push_shim(packet, member).map_err(Encapsulated::Drop)?;
        Ok(Encapsulated::Send {
            member: index,
            to: member.endpoint,
            rekey: lifetime != Lifetime::Fresh,
        })
    }
}

impl Default for Encap {
    fn default() -> Self {
        Self::new()
    }
}

/// The member a virtual packet is for, and whether it is a fragment. The packet is cut to its total length.
#[inline]
fn find<'t, P: Packet>(
    tables: &'t HostTables,
    packet: &mut P,
) -> Result<(MemberIndex, &'t Member, bool), Encapsulated> {
    let drop = Encapsulated::Drop;
    let len = packet.bytes().len();
    let (ip, payload) =
        Ipv4::parse_any(packet.bytes()).map_err(|malformed| drop(DropReason::virtual_ipv4(malformed)))?;
    if ip.source() != tables.own() {
        return Err(drop(DropReason::VirtualSourceSpoofed));
    }
    // Dummies say no more than that we are alive: the receiver throws away what they hold.
    if ip.protocol() != NO_NEXT_HEADER && !tables.allows(ip, payload) {
        return Err(drop(DropReason::PolicyDenied));
    }
    let to = ip.destination();
    let (index, member) = tables
        .find(to)
        .ok_or_else(|| match tables.takes_introductions() {
            true => Encapsulated::NeedMember { to },
            false => drop(DropReason::MemberUnknown),
        })?;
    let (fragment, total) = (ip.is_fragment(), usize::from(ip.total_len()));
    if !packet.shrink_back(len - total) {
        return Err(drop(DropReason::VirtualLength));
    }
    Ok((index, member, fragment))
}

/// Puts a virtual header of its own before a fragment.
fn wrap_fragment<P: Packet>(packet: &mut P) -> Result<(), DropReason> {
    let (ip, _) = Ipv4::parse_any(packet.bytes()).map_err(DropReason::virtual_ipv4)?;
    let total = packet.bytes().len() + ipv4::HEADER_LEN;
    let total = u16::try_from(total).map_err(|_| DropReason::VirtualLength)?;
    let mut header = Ipv4::new(ip.source(), ip.destination(), PROTOCOL_IPV4, total);
    header.tos = ip.tos;
    header.refill_checksum();
    if !packet.grow_front(ipv4::HEADER_LEN) {
        return Err(DropReason::BufferRoom);
    }
    packet.bytes_mut()[..ipv4::HEADER_LEN].copy_from_slice(header.as_bytes());
    Ok(())
}

/// Lowers the segment size that a TCP SYN asks for. Options that lie are left to the receiver's TCP.
#[inline]
fn clamp<P: Packet>(packet: &mut P, member: &Member) {
    let bytes = packet.bytes_mut();
    if bytes.len() > ipv4::HEADER_LEN && bytes[9] == PROTOCOL_TCP {
        let _unchanged = tcp::clamp_mss(&mut bytes[ipv4::HEADER_LEN..], mss(member.path_mtu));
    }
}

#[inline]
fn push_shim<P: Packet>(packet: &mut P, member: &Member) -> Result<(), DropReason> {
    if !packet.grow_front(shim::LEN) {
        return Err(DropReason::BufferRoom);
    }
    packet.bytes_mut()[..shim::LEN].copy_from_slice(member.shim.as_bytes());
    Ok(())
}
