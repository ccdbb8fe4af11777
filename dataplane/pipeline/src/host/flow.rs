//! What a virtual packet is to the policy.
//!
//! What is not parsed matches only rules that do not ask: behind the first fragment there are no ports to be seen, and of protocols other
//! than TCP and UDP nothing but the number. Ports are read wherever they are, even where the rest of their header is missing: who
//! cuts a TCP header in two (RFC 1858 section 3) is not let past a rule about its port.

use crate::table::policy::Flow;
use kith_wire::ipv4::{Ipv4, PROTOCOL_TCP, PROTOCOL_UDP};
use zerocopy::IntoBytes;

/// The flow that a packet with this header and payload belongs to.
#[inline]
pub(super) fn of(ip: &Ipv4, payload: &[u8]) -> Flow {
    // RFC 791 section 3.1: the low 13 bits of this word are the offset.
    let is_first =
        matches!(ip.as_bytes(), [_, _, _, _, _, _, high, low, ..] if (high & 0x1f, *low) == (0, 0));
    let has_ports = is_first && matches!(ip.protocol(), PROTOCOL_TCP | PROTOCOL_UDP);
    let (source_port, destination_port) = match payload.first_chunk() {
        Some([s0, s1, d0, d1]) if has_ports => {
            (u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1]))
        }
        _ => (0, 0),
    };
    Flow {
        community: 0,
        source: ip.source().to_bits(),
        destination: ip.destination().to_bits(),
        protocol: ip.protocol(),
        source_port,
        destination_port,
    }
}
