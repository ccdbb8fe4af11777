//! From the public network to the virtual adapter: whose is it, open, is the source its own?
//!
//! ```text
//!  | shim | IPv4, 50 | SPI | IV | payload, trailer | ICV |
//!  ► shim ► virtual ipv4 ► own destination ► member
//!  ► SA of this SPI, and of this member ► open
//!  ► source check ► commit: the replay window moves
//!  ► policy
//!  | IPv4 | payload |
//! ```
//!
//! In transport mode the virtual header is not authenticated by ESP, so the security association is what says who sent
//! the packet: a source address other than its member's is refused, whatever the tag.

use super::mss;
use super::tables::{HostTables, Member, MemberIndex};
use super::transport::{self, Opened};
use crate::counters::Counters;
use crate::packet::Packet;
use crate::reason::DropReason;
use kith_esp::aead::{Aead, DefaultAead};
use kith_esp::{Inbound, Millis, Spi};
use kith_wire::esp::EspHeader;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ESP, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::shim::{self, DataType, Shim};
use kith_wire::tcp;
use kith_wire::udp::Udp;
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// The virtual UDP port of IKE (RFC 7296 section 2), by which members agree on keys.
pub const IKE_PORT: u16 = 500;

/// The virtual UDP port of the two-message exchange, for members that do without IKE.
pub const KEYING_PORT: u16 = 20202;

/// What became of a packet from the public network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decapsulated {
    /// Opened and accepted: a virtual packet for the adapter.
    Deliver {
        /// From whom.
        member: MemberIndex,
        /// Under which security association: it is alive.
        spi: Spi,
    },
    /// Authentic, but a dummy (RFC 4303 section 2.6): it says no more than that the member is alive.
    Dummy {
        /// From whom.
        member: MemberIndex,
        /// Under which security association.
        spi: Spi,
    },
    /// A key agreement message, in clear, unauthenticated: the packet is its UDP data.
    Keying {
        /// From whom it claims to be.
        member: MemberIndex,
        /// To [`IKE_PORT`] or to [`KEYING_PORT`].
        port: u16,
    },
    /// A key agreement message of somebody we do not know, in clear, unauthenticated: the packet is its UDP data. Only where tables say
    /// that strangers may introduce themselves.
    Stranger {
        /// From which virtual address it claims to be.
        source: Ipv4Addr,
        /// To [`IKE_PORT`] or to [`KEYING_PORT`].
        port: u16,
    },
    /// A director's message, unauthenticated: the packet begins with its shim.
    Control,
    /// Gone and counted. `stale` names a member that may have keys of an earlier run of ours.
    Drop {
        /// Why.
        reason: DropReason,
        /// Who seems to use keys that are not here.
        stale: Option<MemberIndex>,
    },
}

/// One thread's way in: owns the inbound security associations.
///
/// The receiver chooses SPIs, so the low bits of an SPI are its place in an array; the whole SPI is compared.
pub struct Decap<A: Aead = DefaultAead> {
    inbound: Vec<Option<(MemberIndex, Inbound<A>)>>,
    mask: u32,
    /// Few, with SPIs that others chose.
    beside: Vec<(MemberIndex, Inbound<A>)>,
}

impl Decap {
    /// A way in for at most `capacity` security associations, rounded up to a power of two. Without any, nothing passes.
    /// The production cipher.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self::with_aead(capacity)
    }
}

impl<A: Aead> Decap<A> {
    /// As [`Decap::new`], with the back end of the caller's choice.
    #[must_use]
    pub fn with_aead(capacity: u32) -> Self {
        let size = capacity.clamp(1, 1 << 24).next_power_of_two();
        Self {
            inbound: (0..size).map(|_| None).collect(),
            mask: size - 1,
            beside: Vec::new(),
        }
    }

    /// How many security associations fit.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.mask + 1
    }

    /// Packets with the SPI of `sa` are from `member`. What stood in its place is wiped.
    pub fn install(&mut self, member: MemberIndex, sa: Inbound<A>) {
        let at = sa.spi().get() & self.mask;
        self.inbound[at as usize] = Some((member, sa));
    }

    /// As [`Decap::install`], for an SPI whose low bits say nothing: it gets no place, but is looked for where its place has another.
    /// Meant for one member or two.
    pub fn install_beside(&mut self, member: MemberIndex, sa: Inbound<A>) {
        self.beside.retain(|(_, there)| there.spi() != sa.spi());
        self.beside.push((member, sa));
    }

    /// Forgets a security association.
    pub fn remove(&mut self, spi: Spi) {
        self.beside.retain(|(_, sa)| sa.spi() != spi);
        let place = &mut self.inbound[(spi.get() & self.mask) as usize];
        if place.as_ref().is_some_and(|(_, sa)| sa.spi() == spi) {
            *place = None;
        }
    }

    /// Takes a packet that begins with its shim to what it carries.
    #[inline]
    pub fn decapsulate<P: Packet>(
        &mut self,
        tables: &HostTables,
        counters: &Counters,
        now: Millis,
        packet: &mut P,
    ) -> Decapsulated {
        match self.path(tables, now, packet) {
            Ok(decided) => decided,
            Err((reason, stale)) => {
                counters.dropped(reason).add(1);
                Decapsulated::Drop { reason, stale }
            }
        }
    }

    #[inline]
    fn path<P: Packet>(
        &mut self,
        tables: &HostTables,
        now: Millis,
        packet: &mut P,
    ) -> Result<Decapsulated, (DropReason, Option<MemberIndex>)> {
        let plain = |reason| (reason, None);
        let (shim, _) = Shim::parse(packet.bytes()).map_err(|why| plain(DropReason::shim(why)))?;
        match shim.data_type() {
            Some(DataType::Virtual) => {}
            Some(DataType::AddressResponse | DataType::KeepAlive | DataType::Leave) => {
                return Ok(Decapsulated::Control);
            }
            _ => return Err(plain(DropReason::ShimTypeUnknown)),
        }
        if !packet.shrink_front(shim::LEN) {
            return Err(plain(DropReason::ShimTruncated));
        }
        let (index, member, protocol) = match find(tables, packet) {
            Ok(known) => known,
            Err(DropReason::MemberUnknown) if tables.takes_introductions() => {
                return introduction(packet).ok_or(plain(DropReason::MemberUnknown));
            }
            Err(reason) => return Err(plain(reason)),
        };
        match protocol {
            PROTOCOL_ESP => {}
            PROTOCOL_UDP => {
                let port = take_keying(packet).map_err(plain)?;
                return Ok(Decapsulated::Keying { member: index, port });
            }
            _ => return Err(plain(DropReason::CleartextRefused)),
        }
        let payload = &packet.bytes()[ipv4::HEADER_LEN..];
        let spi = EspHeader::parse(payload)
            .map_err(|_| plain(DropReason::EspTruncated))?
            .spi
            .get();
        let (owner, sa) = match &mut self.inbound[(spi & self.mask) as usize] {
            Some((owner, sa)) if sa.spi().get() == spi => (*owner, sa),
            _ => match beside(&mut self.beside, spi) {
                Some((owner, sa)) => (*owner, sa),
                None => return Err((DropReason::EspSpiUnknown, Some(index))),
            },
        };
        if owner != index {
            return Err(plain(DropReason::VirtualSourceSpoofed));
        }
        open(packet, sa, (tables, member), now)
            .map_err(|reason| (reason, (reason == DropReason::EspExpired).then_some(index)))
            .map(|is_dummy| match is_dummy {
                false => Decapsulated::Deliver {
                    member: index,
                    spi: sa.spi(),
                },
                true => Decapsulated::Dummy {
                    member: index,
                    spi: sa.spi(),
                },
            })
    }
}

/// The member a virtual packet claims to be from, if it is for us. One whose total length is not all there is, is refused.
#[inline]
fn find<'t, P: Packet>(
    tables: &'t HostTables,
    packet: &mut P,
) -> Result<(MemberIndex, &'t Member, u8), DropReason> {
    let len = packet.bytes().len();
    let (ip, _) = Ipv4::parse(packet.bytes()).map_err(DropReason::virtual_ipv4)?;
    if ip.destination() != tables.own() {
        return Err(DropReason::VirtualNotOurs);
    }
    let (index, member) = tables.find(ip.source()).ok_or(DropReason::MemberUnknown)?;
    let (protocol, total) = (ip.protocol(), usize::from(ip.total_len()));
    // The virtual packet is all there is: octets behind it are not padding, they are a lie.
    if total != len {
        return Err(DropReason::VirtualLength);
    }
    Ok((index, member, protocol))
}

/// Among those without a place.
#[cold]
fn beside<A: Aead>(
    few: &mut [(MemberIndex, Inbound<A>)],
    spi: u32,
) -> Option<&mut (MemberIndex, Inbound<A>)> {
    few.iter_mut().find(|(_, sa)| sa.spi().get() == spi)
}

/// Of strangers nothing but an introduction is looked at. The packet is cut to it, if it is one.
#[cold]
fn introduction<P: Packet>(packet: &mut P) -> Option<Decapsulated> {
    let (ip, payload) = Ipv4::parse(packet.bytes()).ok()?;
    let (source, whole) = (
        ip.source(),
        ipv4::HEADER_LEN + payload.len() == packet.bytes().len(),
    );
    if ip.protocol() != PROTOCOL_UDP || !whole {
        return None;
    }
    let port = take_keying(packet).ok()?;
    Some(Decapsulated::Stranger { source, port })
}

/// Cuts a clear virtual packet to its UDP data, if it is key agreement, and says to which port it went; nothing else comes in clear.
fn take_keying<P: Packet>(packet: &mut P) -> Result<u16, DropReason> {
    let (ip, payload) = Ipv4::parse(packet.bytes()).map_err(DropReason::virtual_ipv4)?;
    let (udp, data) = Udp::parse(payload).map_err(DropReason::udp)?;
    let port = udp.destination.get();
    if port != IKE_PORT && port != KEYING_PORT {
        return Err(DropReason::CleartextRefused);
    }
    udp.verify(ip, data).map_err(DropReason::udp)?;
    if !packet.shrink_front(ipv4::HEADER_LEN + kith_wire::udp::HEADER_LEN) {
        return Err(DropReason::UdpTruncated);
    }
    Ok(port)
}

/// Opens the ESP payload, asks the policy about what was inside, and lowers the segment size that a TCP SYN asks for. True: a dummy.
#[inline]
fn open<P: Packet, A: Aead>(
    packet: &mut P,
    sa: &mut Inbound<A>,
    (tables, member): (&HostTables, &Member),
    now: Millis,
) -> Result<bool, DropReason> {
    let opened = transport::open(packet, sa, now)?;
    if opened != Opened::Dummy {
        let (ip, payload) =
            Ipv4::ref_from_prefix(packet.bytes()).map_err(|_| DropReason::VirtualTruncated)?;
        if !tables.allows(ip, payload) {
            return Err(DropReason::PolicyDenied);
        }
    }
    let bytes = packet.bytes_mut();
    if opened == Opened::Packet && bytes.len() > ipv4::HEADER_LEN && bytes[9] == PROTOCOL_TCP {
        // What our side may send that way is as narrow as what the member may send: clamp both directions here.
        let _unchanged = tcp::clamp_mss(&mut bytes[ipv4::HEADER_LEN..], mss(member.path_mtu));
    }
    Ok(opened == Opened::Dummy)
}
