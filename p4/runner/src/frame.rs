//! What the port layer puts in front of a frame, and what it finds in front of one.

use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet};
use kith_wire::ipv4::{Ipv4, PROTOCOL_UDP};
use kith_wire::udp::Udp;

/// Where a frame came from; constants.p4 has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Port = 0,
    Cpu = 1,
    Crypto = 2,
}

/// The receive descriptor, `receive_t` of headers.p4: the frame's length, whether its UDP checksum is wrong, and its origin.
pub(crate) const DESCRIPTOR: [(&str, u32); 3] = [("frame_len", 16), ("udp_checksum", 8), ("origin", 8)];

/// The descriptor's octets. The length is cut at what the field can say; the pipeline takes no such frames anyway.
pub(crate) fn descriptor(frame: &[u8], origin: Origin) -> [u8; 4] {
    let length = u16::try_from(frame.len()).unwrap_or(u16::MAX).to_be_bytes();
    let wrong = origin == Origin::Port && udp_checksum_is_wrong(frame);
    [length[0], length[1], u8::from(wrong), origin as u8]
}

/// Whether the frame is a whole IPv4 packet with a whole UDP datagram whose checksum is there and wrong. What is not whole is
/// for the program to find out.
fn udp_checksum_is_wrong(frame: &[u8]) -> bool {
    let Ok((ethernet, rest)) = Ethernet::parse(frame) else {
        return false;
    };
    if ethernet.ethertype.get() != ETHERTYPE_IPV4 {
        return false;
    }
    let Ok((ip, payload)) = Ipv4::parse(rest) else {
        return false;
    };
    if ip.protocol() != PROTOCOL_UDP || ip.is_fragment() {
        return false;
    }
    match Udp::parse(payload) {
        Ok((udp, data)) => udp.checksum() != 0 && udp.verify(ip, data).is_err(),
        Err(_) => false,
    }
}

/// A packet for the controller, as it leaves at the CPU port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketIn<'a> {
    /// The port it came by.
    pub ingress_port: u16,
    /// Why it is here: a punt reason.
    pub reason: u16,
    /// The frame as received.
    pub frame: &'a [u8],
}

impl<'a> PacketIn<'a> {
    /// Takes the header off. None if the packet is shorter than it.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (header, frame) = packet.split_first_chunk::<4>()?;
        Some(Self {
            ingress_port: u16::from_be_bytes([header[0], header[1]]),
            reason: u16::from_be_bytes([header[2], header[3]]),
            frame,
        })
    }
}
