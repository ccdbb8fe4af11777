//! From what the adapter gives, at once up to 64 KiB of a TCP or UDP stream, to packets of the network's size.
//!
//! ```text
//!  virtio header | IPv4 | TCP | payload of many segments
//!                   │      │      │   │   │
//!                   └──────┴──────┼───┼───┼── copied before each, then corrected: total length, identification, sequence
//!                                 ▼   ▼   ▼   number, flags, checksums
//! ```
//!
//! The kernel leaves checksums to the device (VIRTIO_NET_HDR_F_NEEDS_CSUM); they are computed here, one pass over the
//! payload while it is in cache.

use super::sum::{addresses, pseudo};
use kith_pipeline::reason::DropReason;
use kith_wire::checksum::Sum;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_TCP, PROTOCOL_UDP};
use zerocopy::FromBytes;

/// Octets of the virtio header before every packet (virtio 1.2, section 5.1.6; the legacy layout without merged buffers).
pub const VNET_LEN: usize = 10;

pub(super) const NEEDS_CSUM: u8 = 1;
pub(super) const GSO_NONE: u8 = 0;
pub(super) const GSO_TCPV4: u8 = 1;
pub(super) const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// TCP flags.
pub(super) const FIN: u8 = 0x01;
pub(super) const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// One read from the adapter.
#[derive(Debug)]
pub enum Read<'a> {
    /// One packet, its checksum complete.
    Single(&'a mut [u8]),
    /// A packet to be cut.
    Large(Segments<'a>),
}

/// Cuts a large packet.
#[derive(Debug)]
pub struct Segments<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    size: usize,
    tcp: bool,
    at: usize,
    count: u16,
}

/// Understands one read from the adapter.
#[inline]
pub fn parse(read: &mut [u8]) -> Result<Read<'_>, DropReason> {
    let (vnet, packet) = read
        .split_first_chunk_mut::<VNET_LEN>()
        .ok_or(DropReason::VirtualTruncated)?;
    let [
        flags,
        gso,
        _,
        _,
        size_low,
        size_high,
        start_low,
        start_high,
        offset_low,
        offset_high,
    ] = *vnet;
    // In the host's byte order.
    let size = u16::from_ne_bytes([size_low, size_high]);
    let start = usize::from(u16::from_ne_bytes([start_low, start_high]));
    let offset = usize::from(u16::from_ne_bytes([offset_low, offset_high]));
    match gso & !GSO_ECN {
        GSO_NONE => {
            if flags & NEEDS_CSUM != 0 {
                complete(packet, start, offset)?;
            }
            Ok(Read::Single(packet))
        }
        GSO_TCPV4 => large(packet, usize::from(size), true).map(Read::Large),
        GSO_UDP_L4 => large(packet, usize::from(size), false).map(Read::Large),
        // IPv6, which is not carried yet.
        _ => Err(DropReason::VirtualVersion),
    }
}

/// The field holds the sum of the pseudo header; what it covers begins at `start`.
fn complete(packet: &mut [u8], start: usize, offset: usize) -> Result<(), DropReason> {
    let covered = packet.get_mut(start..).ok_or(DropReason::VirtualLength)?;
    if offset + 2 > covered.len() {
        return Err(DropReason::VirtualLength);
    }
    let sum = Sum::ZERO.add_bytes(covered);
    let udp = start >= ipv4::HEADER_LEN && offset == 6;
    let sum = if udp { sum.finish_udp() } else { sum.finish() };
    packet[start + offset..start + offset + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

fn large(packet: &[u8], size: usize, tcp: bool) -> Result<Segments<'_>, DropReason> {
    let (ip, rest) = Ipv4::ref_from_prefix(packet).map_err(|_| DropReason::VirtualTruncated)?;
    if packet[0] != 0x45 {
        return Err(match packet[0] >> 4 {
            4 => DropReason::VirtualOptions,
            _ => DropReason::VirtualVersion,
        });
    }
    let expected = if tcp { PROTOCOL_TCP } else { PROTOCOL_UDP };
    if ip.protocol() != expected || ip.is_fragment() || size == 0 {
        return Err(DropReason::VirtualLength);
    }
    let transport = match tcp {
        true => usize::from(rest.get(12).ok_or(DropReason::VirtualLength)? >> 4) * 4,
        false => kith_wire::udp::HEADER_LEN,
    };
    if transport < kith_wire::udp::HEADER_LEN || (tcp && transport < 20) {
        return Err(DropReason::VirtualLength);
    }
    let (headers, payload) = packet
        .split_at_checked(ipv4::HEADER_LEN + transport)
        .ok_or(DropReason::VirtualLength)?;
    Ok(Segments {
        headers,
        payload,
        size,
        tcp,
        at: 0,
        count: 0,
    })
}

impl Segments<'_> {
    /// Octets of the next segment; `None` after the last.
    #[inline]
    pub fn next_len(&self) -> Option<usize> {
        let left = self.payload.len() - self.at;
        (left > 0).then(|| self.headers.len() + left.min(self.size))
    }

    /// Writes the next segment, of [`Segments::next_len`] octets, to the front of `out`.
    #[inline]
    pub fn write_next(&mut self, out: &mut [u8]) -> Result<(), DropReason> {
        let len = self.next_len().ok_or(DropReason::VirtualLength)?;
        let out = out.get_mut(..len).ok_or(DropReason::BufferRoom)?;
        let from = self.at;
        self.at += len - self.headers.len();
        let last = self.at == self.payload.len();
        let (head, body) = out.split_at_mut(self.headers.len());
        head.copy_from_slice(self.headers);
        body.copy_from_slice(&self.payload[from..self.at]);
        let (ip, transport) = head.split_at_mut(ipv4::HEADER_LEN);
        fix_ip(ip, len as u16, self.count)?;
        self.count = self.count.wrapping_add(1);
        if self.tcp {
            let sequence = u32::from_be_bytes([transport[4], transport[5], transport[6], transport[7]]);
            transport[4..8].copy_from_slice(&sequence.wrapping_add(from as u32).to_be_bytes());
            // RFC 9293: PSH and FIN belong to the last octet. RFC 3168 6.1.2: CWR belongs to the first packet.
            transport[13] &= if last { 0xff } else { !(PSH | FIN) };
            transport[13] &= if from == 0 { 0xff } else { !CWR };
        } else {
            let udp_len = (len - ipv4::HEADER_LEN) as u16;
            transport[4..6].copy_from_slice(&udp_len.to_be_bytes());
        }
        let (protocol, field) = if self.tcp {
            (PROTOCOL_TCP, 16)
        } else {
            (PROTOCOL_UDP, 6)
        };
        transport[field..field + 2].fill(0);
        let covered = (len - ipv4::HEADER_LEN) as u16;
        let pair = addresses(ip).ok_or(DropReason::VirtualTruncated)?;
        let sum = pseudo(pair, protocol, covered)
            .add_bytes(transport)
            .add_bytes(body);
        let sum = if self.tcp { sum.finish() } else { sum.finish_udp() };
        transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(())
    }
}

fn fix_ip(ip: &mut [u8], total: u16, number: u16) -> Result<(), DropReason> {
    let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(number);
    ip[4..6].copy_from_slice(&id.to_be_bytes());
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    Ipv4::mut_from_bytes(ip)
        .map_err(|_| DropReason::VirtualTruncated)?
        .refill_checksum();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::coalesce::Group;
    use kith_wire::tcp;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    /// What the adapter gives for `payload` octets of TCP from sequence number 1,000.
    fn large_read(payload: &[u8], size: u16, flags: u8) -> Vec<u8> {
        let total = 52 + payload.len() as u16;
        let mut read = vec![NEEDS_CSUM, GSO_TCPV4, 52, 0];
        for field in [size, 20, 16] {
            read.extend(field.to_ne_bytes());
        }
        let (from, to) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
        let ip = Ipv4::new(from, to, PROTOCOL_TCP, total);
        read.extend(zerocopy::IntoBytes::as_bytes(&ip));
        let mut header = [0u8; 32];
        header[..4].copy_from_slice(&[0x9c, 0x40, 0x14, 0x51]);
        header[4..8].copy_from_slice(&1_000u32.to_be_bytes());
        header[12] = 8 << 4;
        header[13] = flags;
        header[20..].copy_from_slice(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        let pair: [u8; 8] = read[VNET_LEN + 12..VNET_LEN + 20].try_into().unwrap();
        header[16..18].copy_from_slice(&pseudo(&pair, PROTOCOL_TCP, total - 20).fold().to_be_bytes());
        read.extend(header);
        read.extend(payload);
        read
    }

    fn cut(read: &mut [u8]) -> Vec<Vec<u8>> {
        let Ok(Read::Large(mut segments)) = parse(read) else {
            panic!("not a large packet")
        };
        let mut all = Vec::new();
        while let Some(len) = segments.next_len() {
            let mut out = vec![0; len];
            segments.write_next(&mut out).unwrap();
            all.push(out);
        }
        all
    }

    fn checksum_is_right(packet: &[u8]) -> bool {
        let (ip, transport) = Ipv4::parse(packet).unwrap();
        let len = transport.len() as u16;
        let pair = addresses(&packet[..20]).unwrap();
        pseudo(pair, ip.protocol(), len).add_bytes(transport).fold() == 0xffff
    }

    #[test]
    fn segments_carry_right_lengths_sequence_numbers_and_flags() {
        let payload: Vec<u8> = (0..3_000).map(|at| at as u8).collect();
        let all = cut(&mut large_read(&payload, 1_346, 0x10 | PSH | FIN | CWR));
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [1_398, 1_398, 360]);
        let field = |packet: &[u8]| u32::from_be_bytes(packet[24..28].try_into().unwrap());
        assert_eq!(
            all.iter().map(|p| field(p)).collect::<Vec<_>>(),
            [1_000, 2_346, 3_692]
        );
        assert_eq!(
            all.iter().map(|p| p[33]).collect::<Vec<_>>(),
            [0x10 | CWR, 0x10, 0x10 | PSH | FIN]
        );
        assert!(all.iter().all(|packet| checksum_is_right(packet)));
    }

    #[test]
    fn what_was_cut_joins_to_the_same_again() {
        let payload: Vec<u8> = (0..50_000u32).map(|at| (at * 7) as u8).collect();
        let mut read = large_read(&payload, 1_346, 0x10 | PSH);
        let before = read.clone();
        let all = cut(&mut read);
        let mut buffer = Vec::new();
        let mut group = Group::new(true);
        for packet in &all {
            let range = buffer.len()..buffer.len() + packet.len();
            buffer.extend(packet);
            if range.start == 0 {
                group.begin(&buffer, range);
            } else {
                assert!(group.join(&mut buffer, range));
            }
        }
        assert_eq!(group.packets(), all.len());
        let joined = group.finish(&mut buffer, |pieces| {
            pieces
                .iter()
                .flat_map(|piece| piece.to_vec())
                .collect::<Vec<u8>>()
        });
        assert_eq!(joined.unwrap(), before);
    }

    #[test]
    fn a_damaged_or_foreign_segment_is_never_joined() {
        let all = cut(&mut large_read(&[7; 4_000], 1_000, 0x10));
        let changes: [(usize, &str); 7] = [
            (60, "payload"),
            (27, "sequence"),
            (8, "time to live"),
            (1, "type of service"),
            (21, "port"),
            (33, "flags"),
            (47, "timestamp"),
        ];
        for (at, what) in changes {
            let mut buffer = [all[0].clone(), all[1].clone()].concat();
            buffer[1_052 + at] ^= 1;
            let mut group = Group::new(true);
            group.begin(&buffer, 0..1_052);
            assert!(!group.join(&mut buffer, 1_052..2_104), "{what}");
        }
    }

    #[test]
    fn a_pushed_or_short_segment_ends_the_group() {
        let all = cut(&mut large_read(&[7; 3_500], 1_000, 0x10 | PSH));
        let mut buffer = all.concat();
        let mut group = Group::new(true);
        group.begin(&buffer, 0..1_052);
        assert!(group.join(&mut buffer, 1_052..2_104) && group.join(&mut buffer, 2_104..3_156));
        assert!(group.join(&mut buffer, 3_156..3_708));
        assert!(!group.join(&mut buffer, 0..1_052));
    }

    #[test]
    fn datagrams_of_one_flow_join_and_are_cut_to_the_same_again() {
        let (from, to) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
        let mut read = vec![NEEDS_CSUM, GSO_UDP_L4, 28, 0];
        for field in [500u16, 20, 6] {
            read.extend(field.to_ne_bytes());
        }
        read.extend(zerocopy::IntoBytes::as_bytes(&Ipv4::new(
            from,
            to,
            PROTOCOL_UDP,
            28 + 1_200,
        )));
        read.extend([0x9c, 0x40, 0x14, 0x51, 4, 184, 0, 0]);
        let pair: [u8; 8] = read[VNET_LEN + 12..VNET_LEN + 20].try_into().unwrap();
        let sum = pseudo(&pair, PROTOCOL_UDP, 1_208).fold().to_be_bytes();
        read[VNET_LEN + 26..VNET_LEN + 28].copy_from_slice(&sum);
        read.extend((0..1_200).map(|at| at as u8));
        let before = read.clone();
        let all = cut(&mut read);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [528, 528, 228]);
        assert!(all.iter().all(|packet| checksum_is_right(packet)));
        for takes in [true, false] {
            let mut buffer = all.concat();
            let mut group = Group::new(takes);
            group.begin(&buffer, 0..528);
            assert_eq!(group.join(&mut buffer, 528..1_056), takes);
            if takes {
                assert!(group.join(&mut buffer, 1_056..1_284));
                let joined = group.finish(&mut buffer, |pieces| {
                    pieces
                        .iter()
                        .flat_map(|piece| piece.to_vec())
                        .collect::<Vec<u8>>()
                });
                assert_eq!(joined.unwrap(), before);
            }
        }
    }

    #[test]
    fn a_partial_checksum_is_completed() {
        let mut read = large_read(&[1, 2, 3], 0, 0x10);
        read[1] = GSO_NONE;
        let Ok(Read::Single(packet)) = parse(&mut read) else {
            panic!()
        };
        assert!(checksum_is_right(packet));
        assert_eq!(tcp::clamp_mss(&mut packet[20..].to_vec(), 1_000), Ok(false));
    }

    proptest! {
        #[test]
        fn any_read_is_understood_or_refused(mut read in proptest::collection::vec(any::<u8>(), 0..200), gso in 0u8..8, four in any::<bool>()) {
            if read.len() > VNET_LEN + 20 {
                read[1] = gso;
                if four {
                    read[VNET_LEN] = 0x45;
                    read[VNET_LEN + 6..VNET_LEN + 8].fill(0);
                    read[VNET_LEN + 9] = if gso == GSO_TCPV4 { 6 } else { 17 };
                }
            }
            if let Ok(Read::Large(mut segments)) = parse(&mut read) {
                let mut out = [0; 65_536];
                while segments.next_len().is_some() {
                    segments.write_next(&mut out).unwrap();
                }
            }
        }

        #[test]
        fn any_packets_join_or_not_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let mut buffer = bytes;
            let cut = cut.min(buffer.len());
            let end = buffer.len();
            let mut group = Group::new(true);
            group.begin(&buffer, 0..cut);
            let _ = group.join(&mut buffer, cut..end);
            let _ = group.finish(&mut buffer, |pieces| pieces.len());
        }
    }
}
