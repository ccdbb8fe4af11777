//! Random flows, the same in every run.

use kith_wire::ethernet::MacAddr;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The station of the ports under test.
pub const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x10]);
/// The station of the router that everything goes through.
pub const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The public address under test.
pub const HERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The router's address.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// A generator of the SplitMix64 family: enough to scatter flows, no more.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((self.draw() >> 32).wrapping_mul(u64::from(bound)) >> 32) as u32
    }

    /// A public address off the link under test, and a port: somebody's NAT.
    pub fn nat(&mut self) -> SocketAddrV4 {
        // 16.0.0.0 to 111.255.255.255 has neither loopback nor multicast nor the link.
        let address = 0x1000_0000 + self.below(0x6000_0000);
        SocketAddrV4::new(Ipv4Addr::from_bits(address), 1024 + self.below(64_000) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nats_are_public_and_off_the_link() {
        let mut random = Random::new(1);
        let nats: Vec<_> = (0..10_000).map(|_| random.nat()).collect();
        assert!(
            nats.iter()
                .all(|nat| (16..112).contains(&nat.ip().octets()[0]) && nat.port() >= 1024)
        );
        let distinct: std::collections::HashSet<_> = nats.iter().collect();
        assert!(distinct.len() > 9_990);
    }
}
