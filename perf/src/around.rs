//! What measurements put around the pipeline: the way to [`Decap`](kith_pipeline::host::decap::Decap) from a port, and a cipher
//! that does nothing.

use kith_esp::Key;
use kith_esp::aead::{Aead, AeadError, NONCE_LEN, TAG_LEN};
use kith_pipeline::outer;
use kith_pipeline::packet::Packet;
use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{Ipv4, PROTOCOL_UDP};
use kith_wire::udp::Udp;
use std::net::SocketAddrV4;

/// Checks and takes off the outer headers of a frame for `station` and `place`, as a gateway does before `Decap`.
#[inline(always)]
pub fn strip_outer<P: Packet>(packet: &mut P, station: MacAddr, place: SocketAddrV4) -> bool {
    let Ok((ethernet, rest)) = Ethernet::parse(packet.bytes()) else {
        return false;
    };
    if ethernet.destination != station || ethernet.ethertype.get() != ETHERTYPE_IPV4 {
        return false;
    }
    let Ok((ip, payload)) = Ipv4::parse(rest) else {
        return false;
    };
    if ip.destination() != *place.ip() || ip.protocol() != PROTOCOL_UDP {
        return false;
    }
    let padding = rest.len() - usize::from(ip.total_len());
    let Ok((udp, data)) = Udp::parse(payload) else {
        return false;
    };
    udp.destination.get() == place.port()
        && udp.verify(ip, data).is_ok()
        && packet.shrink_back(padding)
        && packet.shrink_front(outer::LEN)
}

/// A cipher that does nothing: only for measuring what is around ciphers. Its tag is zero.
pub struct NullAead;

impl Aead for NullAead {
    const NAME: &'static str = "null";

    fn new(_: &Key) -> Self {
        Self
    }

    #[inline(always)]
    fn seal(&self, _: &[u8; NONCE_LEN], _: &[u8], _: &mut [u8]) -> Result<[u8; TAG_LEN], AeadError> {
        Ok([0; TAG_LEN])
    }

    #[inline(always)]
    fn open(&self, _: &[u8; NONCE_LEN], _: &[u8], _: &mut [u8]) -> Result<(), AeadError> {
        Ok(())
    }
}
