//! From packets as they came to what the adapter takes at once: consecutive TCP segments of one stream, or UDP datagrams of
//! one flow, as one packet.
//!
//! ```text
//!  receive buffer:  …│IP│TCP│payload 1│…│IP│TCP│payload 2│…│IP│TCP│payload 3│…
//!                     └──┬──────────┘            │                    │
//!  one writev:  virtio header, headers and 1,    2,                   3
//! ```
//!
//! Payloads stay where they were opened. Segments join only if the kernel could have joined them: same headers but for
//! length, identification, sequence number and PSH; right checksums, for the joined packet is taken as checked. The kernel
//! cuts joined datagrams again for sockets that want them one by one; that needs Linux 6.2.

use super::segment::{GSO_NONE, GSO_TCPV4, GSO_UDP_L4, NEEDS_CSUM, PSH, VNET_LEN};
use super::sum::{addresses, pseudo};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_TCP, PROTOCOL_UDP};
use kith_wire::udp;
use std::io::IoSlice;
use std::ops::Range;
use zerocopy::FromBytes;

/// Segments that one write takes.
pub const MOST: usize = 64;
const LARGEST: usize = 65_535;
/// Places of the checksum behind the IPv4 header.
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// A stretch of segments being joined, as ranges of a buffer that the caller keeps.
pub struct Group {
    /// The first packet, whole.
    first: Range<usize>,
    headers: usize,
    size: usize,
    /// Payloads of the others.
    rest: [Range<usize>; MOST],
    count: usize,
    total: usize,
    next_sequence: u32,
    closed: bool,
    protocol: u8,
    join_udp: bool,
}

/// What one packet is to joining.
struct Segment {
    protocol: u8,
    headers: usize,
    sequence: u32,
    payload: usize,
    push: bool,
}

impl Group {
    /// Nothing in it; `join_udp` if the kernel takes joined datagrams.
    #[must_use]
    pub fn new(join_udp: bool) -> Self {
        Self {
            first: 0..0,
            headers: 0,
            size: 0,
            rest: std::array::from_fn(|_| 0..0),
            count: 0,
            total: 0,
            next_sequence: 0,
            closed: true,
            protocol: 0,
            join_udp,
        }
    }

    /// Packets in it.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.count
    }

    /// Joins the packet at `range`; false if it does not belong: then write the group out and [`Group::begin`] another.
    #[inline]
    pub fn join(&mut self, buffer: &mut [u8], range: Range<usize>) -> bool {
        if self.count == 0 || self.closed || self.count >= MOST {
            return false;
        }
        let Some(segment) = inspect(&buffer[range.clone()]) else {
            return false;
        };
        let same = segment.protocol == self.protocol
            && segment.headers == self.headers
            && segment.sequence == self.next_sequence
            && segment.payload <= self.size
            && self.total + segment.payload <= LARGEST
            && same_stream(&buffer[self.first.clone()], &buffer[range.clone()], &segment);
        if !same {
            return false;
        }
        self.rest[self.count - 1] = range.start + segment.headers..range.end;
        self.count += 1;
        self.total += segment.payload;
        self.next_sequence = segment.follower();
        self.closed = segment.push || segment.payload < self.size;
        if segment.push {
            buffer[self.first.start + ipv4::HEADER_LEN + 13] |= PSH;
        }
        true
    }

    /// Starts again with the packet at `range`.
    #[inline]
    pub fn begin(&mut self, buffer: &[u8], range: Range<usize>) {
        self.total = range.len();
        self.count = 1;
        self.closed = true;
        if let Some(segment) = inspect(&buffer[range.clone()]) {
            self.headers = segment.headers;
            self.size = segment.payload;
            self.next_sequence = segment.follower();
            self.protocol = segment.protocol;
            self.closed = segment.push || (segment.protocol == PROTOCOL_UDP && !self.join_udp);
        }
        self.first = range;
    }

    /// Hands the pieces of the joined packet to `write`, then is empty.
    #[inline]
    pub fn finish<R>(&mut self, buffer: &mut [u8], write: impl FnOnce(&[IoSlice<'_>]) -> R) -> Option<R> {
        let count = std::mem::take(&mut self.count);
        if count == 0 {
            return None;
        }
        let mut vnet = [0u8; VNET_LEN];
        vnet[1] = GSO_NONE;
        if count > 1 {
            vnet = self.offload(&mut buffer[self.first.clone()]);
        }
        let mut pieces = [IoSlice::new(&[]); MOST + 2];
        pieces[0] = IoSlice::new(&vnet);
        pieces[1] = IoSlice::new(&buffer[self.first.clone()]);
        for (piece, range) in pieces[2..].iter_mut().zip(&self.rest[..count - 1]) {
            *piece = IoSlice::new(&buffer[range.clone()]);
        }
        Some(write(&pieces[..count + 1]))
    }

    /// Makes the first packet's headers those of the whole; gives the virtio header.
    fn offload(&self, first: &mut [u8]) -> [u8; VNET_LEN] {
        let (ip, transport) = first.split_at_mut(ipv4::HEADER_LEN);
        let total = self.total as u16;
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        if let Ok(ip) = Ipv4::mut_from_bytes(ip) {
            ip.refill_checksum();
        }
        let covered = total - ipv4::HEADER_LEN as u16;
        let (gso, field) = match self.protocol {
            PROTOCOL_UDP => {
                transport[4..6].copy_from_slice(&covered.to_be_bytes());
                (GSO_UDP_L4, UDP_CHECKSUM)
            }
            _ => (GSO_TCPV4, TCP_CHECKSUM),
        };
        if let Some(pair) = addresses(ip) {
            let sum = pseudo(pair, self.protocol, covered).fold();
            transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let [headers, size] = [self.headers as u16, self.size as u16].map(u16::to_ne_bytes);
        let [start, offset] = [ipv4::HEADER_LEN as u16, field as u16].map(u16::to_ne_bytes);
        [
            NEEDS_CSUM, gso, headers[0], headers[1], size[0], size[1], start[0], start[1], offset[0],
            offset[1],
        ]
    }
}

impl Segment {
    /// The sequence number that comes next; datagrams have none, and come as they come.
    fn follower(&self) -> u32 {
        match self.protocol {
            PROTOCOL_TCP => self.sequence.wrapping_add(self.payload as u32),
            _ => 0,
        }
    }
}

/// What can be joined, with a right checksum: a TCP segment with data and no flag but ACK and PSH, or a datagram with data. Its
/// IPv4 header has been checked by the pipeline.
#[inline]
fn inspect(packet: &[u8]) -> Option<Segment> {
    let (ip, transport) = packet.split_at_checked(ipv4::HEADER_LEN)?;
    if ip[6] & 0x3f != 0 || ip[7] != 0 {
        return None;
    }
    let segment = match ip[9] {
        PROTOCOL_TCP => inspect_tcp(transport)?,
        PROTOCOL_UDP => inspect_udp(transport)?,
        _ => return None,
    };
    let len = u16::try_from(transport.len()).ok()?;
    let sum = pseudo(addresses(ip)?, segment.protocol, len).add_bytes(transport);
    (sum.fold() == 0xffff).then_some(segment)
}

fn inspect_tcp(transport: &[u8]) -> Option<Segment> {
    let header = usize::from(transport.get(12)? >> 4) * 4;
    let payload = transport.len().checked_sub(header)?;
    let flags = *transport.get(13)?;
    if header < 20 || payload == 0 || flags & !PSH != 0x10 {
        return None;
    }
    Some(Segment {
        protocol: PROTOCOL_TCP,
        headers: ipv4::HEADER_LEN + header,
        sequence: u32::from_be_bytes([transport[4], transport[5], transport[6], transport[7]]),
        payload,
        push: flags & PSH != 0,
    })
}

fn inspect_udp(transport: &[u8]) -> Option<Segment> {
    let payload = transport.len().checked_sub(udp::HEADER_LEN)?;
    let len = usize::from(u16::from_be_bytes([transport[4], transport[5]]));
    // Without a checksum there is nothing to check (RFC 768): such datagrams stay alone.
    if payload == 0 || len != transport.len() || transport[UDP_CHECKSUM..UDP_CHECKSUM + 2] == [0, 0] {
        return None;
    }
    Some(Segment {
        protocol: PROTOCOL_UDP,
        headers: ipv4::HEADER_LEN + udp::HEADER_LEN,
        sequence: 0,
        payload,
        push: false,
    })
}

/// Everything that must be equal: all but lengths, identification, sequence number, PSH and checksums.
#[inline]
fn same_stream(a: &[u8], b: &[u8], segment: &Segment) -> bool {
    const TCP: usize = ipv4::HEADER_LEN;
    let flow = a[1] == b[1] && a[6..10] == b[6..10] && a[12..TCP + 4] == b[12..TCP + 4];
    let tcp = || {
        a[TCP + 8..TCP + 13] == b[TCP + 8..TCP + 13]
            && a[TCP + 14..TCP + 16] == b[TCP + 14..TCP + 16]
            && a[TCP + 18..segment.headers] == b[TCP + 18..segment.headers]
    };
    flow && (segment.protocol == PROTOCOL_UDP || tcp())
}
