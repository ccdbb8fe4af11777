//! ESP in transport mode under a virtual IPv4 header, in place: what agents, gateways and the P4 program's crypto block have in common.
//!
//! ```text
//!  | IPv4 | payload |    seal ──►   | IPv4, 50 | SPI | IV | payload, trailer | ICV |    ──► open    | IPv4 | payload |
//! ```
//!
//! The payload stays where it is; the 20 octets of header move 16 to the front, and back. Who is who, what fits, and what may pass is
//! for the caller to know: the virtual header is not authenticated by ESP.

use crate::packet::Packet;
use crate::reason::DropReason;
use kith_esp::aead::Aead;
use kith_esp::{
    HEADER_LEN as ESP_FRONT, Inbound, Lifetime, Millis, NO_NEXT_HEADER, OpenError, Outbound, SealError,
    sealed_overhead,
};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ESP, PROTOCOL_IPV4};
use zerocopy::FromBytes;

/// What was inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// The packet is a virtual IPv4 packet, its header the one from outside.
    Packet,
    /// The packet is a fragment of one that was sealed whole behind a header of its own (next header 4), between the same addresses.
    Fragment,
    /// Authentic, but a dummy (RFC 4303 section 2.6): its sender is alive. What the packet holds is of no meaning.
    Dummy,
}

/// Makes the payload of a virtual packet ESP. The packet is all there is: an IPv4 header without options, and the payload.
#[inline]
pub fn seal<P: Packet, A: Aead>(
    packet: &mut P,
    sa: &mut Outbound<A>,
    now: Millis,
) -> Result<Lifetime, DropReason> {
    let payload_len = packet.bytes().len().checked_sub(ipv4::HEADER_LEN);
    let payload_len = payload_len.ok_or(DropReason::VirtualTruncated)?;
    let sealed_len = payload_len + sealed_overhead(payload_len);
    let total = u16::try_from(ipv4::HEADER_LEN + sealed_len).map_err(|_| DropReason::VirtualLength)?;
    if !packet.grow_front(ESP_FRONT) || !packet.grow_back(sealed_len - payload_len - ESP_FRONT) {
        return Err(DropReason::BufferRoom);
    }
    let bytes = packet.bytes_mut();
    bytes.copy_within(ESP_FRONT..ESP_FRONT + ipv4::HEADER_LEN, 0);
    let (ip, rest) = bytes.split_at_mut(ipv4::HEADER_LEN);
    let ip = Ipv4::mut_from_bytes(ip).map_err(|_| DropReason::BufferRoom)?;
    let sealed = sa
        .seal_in_place(rest, ESP_FRONT..ESP_FRONT + payload_len, ip.protocol(), now)
        .map_err(seal_error)?;
    ip.set_protocol_and_len(PROTOCOL_ESP, total);
    Ok(sealed.lifetime)
}

/// Opens a virtual packet whose payload is ESP, and accepts it: the replay window moves. The caller has seen that the association's
/// members are those of the header.
#[inline]
pub fn open<P: Packet, A: Aead>(
    packet: &mut P,
    sa: &mut Inbound<A>,
    now: Millis,
) -> Result<Opened, DropReason> {
    let (header, esp) = packet
        .bytes_mut()
        .split_at_mut_checked(ipv4::HEADER_LEN)
        .ok_or(DropReason::VirtualTruncated)?;
    let sealed_len = esp.len();
    let kith_esp::Opened {
        payload,
        next_header,
        token,
    } = sa.open_in_place(esp, now).map_err(open_error)?;
    let whole_packet = next_header == PROTOCOL_IPV4;
    if whole_packet {
        check_fragment(header, &esp[payload.clone()])?;
    }
    sa.commit(token).map_err(|why| match why {
        kith_esp::CommitError::TooOld => DropReason::EspTooOld,
        _ => DropReason::EspReplayed,
    })?;
    if next_header == NO_NEXT_HEADER {
        return Ok(Opened::Dummy);
    }
    let cut_back = sealed_len - payload.end;
    if whole_packet {
        let front = ipv4::HEADER_LEN + payload.start;
        return cut(packet, front, cut_back).map(|()| Opened::Fragment);
    }
    // `payload` begins right behind SPI, sequence number and IV.
    packet.bytes_mut().copy_within(..ipv4::HEADER_LEN, ESP_FRONT);
    cut(packet, ESP_FRONT, cut_back)?;
    let total = u16::try_from(packet.bytes().len()).map_err(|_| DropReason::VirtualLength)?;
    let (ip, _) = packet.bytes_mut().split_at_mut(ipv4::HEADER_LEN);
    let ip = Ipv4::mut_from_bytes(ip).map_err(|_| DropReason::VirtualTruncated)?;
    ip.set_protocol_and_len(next_header, total);
    Ok(Opened::Packet)
}

/// A whole packet inside ESP must be a fragment between the very addresses of the header outside.
fn check_fragment(outside: &[u8], inside: &[u8]) -> Result<(), DropReason> {
    let (outside, _) = Ipv4::ref_from_prefix(outside).map_err(|_| DropReason::VirtualTruncated)?;
    let (inside, _) = Ipv4::parse_any(inside).map_err(|_| DropReason::EspBadTrailer)?;
    if inside.source() != outside.source() || !inside.is_fragment() {
        return Err(DropReason::VirtualSourceSpoofed);
    }
    if inside.destination() != outside.destination() {
        return Err(DropReason::VirtualNotOurs);
    }
    Ok(())
}

#[inline]
fn cut<P: Packet>(packet: &mut P, front: usize, back: usize) -> Result<(), DropReason> {
    if packet.shrink_back(back) && packet.shrink_front(front) {
        Ok(())
    } else {
        Err(DropReason::VirtualLength)
    }
}

fn seal_error(error: SealError) -> DropReason {
    match error {
        SealError::NoRoom => DropReason::BufferRoom,
        SealError::TooLong => DropReason::VirtualLength,
        SealError::Expired | SealError::Cipher => DropReason::EspExpired,
        SealError::SequenceExhausted => DropReason::EspExhausted,
    }
}

fn open_error(error: OpenError) -> DropReason {
    match error {
        OpenError::Truncated => DropReason::EspTruncated,
        OpenError::BadLength | OpenError::BadPadding => DropReason::EspBadTrailer,
        OpenError::WrongSpi => DropReason::EspSpiUnknown,
        OpenError::Expired => DropReason::EspExpired,
        OpenError::Replayed => DropReason::EspReplayed,
        OpenError::TooOld => DropReason::EspTooOld,
        OpenError::BadTag => DropReason::EspBadTag,
    }
}
