//! The shim: 20 octets between outer UDP and virtual packet that steer it through address realms (source document 001,
//! figure 6B).
//!
//! ```text
//!  0               8               16                             31
//! +---------------+---------------+--------------------------------+
//! | version = 1   | data type     | flags                          |
//! | source route director, public address            (0: none)     |
//! | destination route director, public address       (0: none)     |
//! | source member, pseudo address at its director    (0: none)     |
//! | destination member, pseudo address at its director (0: none)   |
//! +----------------------------------------------------------------+
//! ```

use crate::Malformed;
use core::fmt;
use core::net::Ipv4Addr;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of a shim.
pub const LEN: usize = 20;
/// The UDP port of everything that starts with a shim, unless configured otherwise.
pub const DEFAULT_PORT: u16 = 20202;
/// The version this crate speaks.
pub const VERSION: u8 = 1;
/// What a packet of ours adds outside the virtual packet: outer IPv4, UDP, shim.
pub const OUTER_OVERHEAD: usize = crate::ipv4::HEADER_LEN + crate::udp::HEADER_LEN + LEN;

/// What follows a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DataType {
    /// A virtual IPv4 packet.
    Virtual = 1,
    /// A system ping, request or response ([`crate::ping`]).
    Ping = 2,
    /// A member asks its director for a pseudo address ([`crate::control`]).
    AddressRequest = 3,
    /// The director's answer.
    AddressResponse = 4,
    /// A member gives its pseudo address back, or the director confirms it.
    Leave = 5,
    /// A member keeps its session and its NAT mapping alive, or the director answers.
    KeepAlive = 6,
    /// The first message of a TCP session.
    TcpInit = 7,
}

impl DataType {
    /// The type with this number.
    #[inline]
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Virtual,
            2 => Self::Ping,
            3 => Self::AddressRequest,
            4 => Self::AddressResponse,
            5 => Self::Leave,
            6 => Self::KeepAlive,
            7 => Self::TcpInit,
            _ => return None,
        })
    }
}

/// A director's handle for a member's session. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PseudoIp(core::num::NonZeroU32);

impl PseudoIp {
    /// The pseudo address of these bits; `None` for 0, which in a shim means "none".
    #[inline]
    #[must_use]
    pub fn new(bits: u32) -> Option<Self> {
        core::num::NonZeroU32::new(bits).map(Self)
    }

    /// As 32 bits, host order.
    #[inline]
    #[must_use]
    pub fn to_bits(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for PseudoIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from_bits(self.to_bits()).fmt(f)
    }
}

impl fmt::Debug for PseudoIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 20 octets of a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Shim {
    version: u8,
    data_type: u8,
    /// Options; which bits mean what depends on the data type. All undefined bits are zero when sent, ignored when received.
    pub flags: U16,
    /// Public address of the sender's director.
    pub source_director: U32,
    /// Public address of the receiver's director.
    pub destination_director: U32,
    /// Pseudo address of the sender at its director.
    pub source_member: U32,
    /// Pseudo address of the receiver at its director.
    pub destination_member: U32,
}

impl Shim {
    /// Splits UDP data into shim and what follows; the version must be ours. The data type is not judged here.
    #[inline]
    pub fn parse(data: &[u8]) -> Result<(&Self, &[u8]), Malformed> {
        let (shim, body) = Self::ref_from_prefix(data).map_err(|_| Malformed::Truncated)?;
        if shim.version != VERSION {
            return Err(Malformed::Version);
        }
        Ok((shim, body))
    }

    /// A shim with no addresses and no flags.
    #[must_use]
    pub fn new(data_type: DataType) -> Self {
        Self {
            version: VERSION,
            data_type: data_type as u8,
            flags: U16::ZERO,
            source_director: U32::ZERO,
            destination_director: U32::ZERO,
            source_member: U32::ZERO,
            destination_member: U32::ZERO,
        }
    }

    /// Is it of our version, and is this what follows?
    #[inline]
    #[must_use]
    pub fn carries(&self, data_type: DataType) -> bool {
        (self.version, self.data_type) == (VERSION, data_type as u8)
    }

    /// What follows; `None` if the number means nothing to this version.
    #[inline]
    #[must_use]
    pub fn data_type(&self) -> Option<DataType> {
        DataType::from_number(self.data_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A virtual packet from pseudo address 240.0.0.2 to 240.0.0.1, both at director 203.0.113.10.
    const GOLDEN: [u8; LEN] = [
        1, 1, 0, 0, 203, 0, 113, 10, 203, 0, 113, 10, 240, 0, 0, 2, 240, 0, 0, 1,
    ];

    #[test]
    fn golden_shim_both_ways() {
        let mut bytes = GOLDEN.to_vec();
        bytes.push(0x45);
        let (shim, body) = Shim::parse(&bytes).unwrap();
        assert_eq!(shim.data_type(), Some(DataType::Virtual));
        assert_eq!(
            PseudoIp::new(shim.source_member.get()).unwrap().to_string(),
            "240.0.0.2"
        );
        assert_eq!(body, [0x45]);
        let mut built = Shim::new(DataType::Virtual);
        built.source_director = U32::new(0xcb00_710a);
        built.destination_director = U32::new(0xcb00_710a);
        built.source_member = U32::new(0xf000_0002);
        built.destination_member = U32::new(0xf000_0001);
        assert_eq!(built.as_bytes(), GOLDEN);
    }

    #[test]
    fn every_number_is_a_type_or_none() {
        for number in 0..=255u8 {
            assert_eq!(
                DataType::from_number(number).map(|kind| kind as u8),
                (1..=7).contains(&number).then_some(number)
            );
        }
    }

    #[test]
    fn wrong_version_and_truncation_are_named() {
        let mut bytes = GOLDEN;
        bytes[0] = 2;
        assert_eq!(Shim::parse(&bytes).unwrap_err(), Malformed::Version);
        assert_eq!(Shim::parse(&GOLDEN[..19]).unwrap_err(), Malformed::Truncated);
        assert_eq!(PseudoIp::new(0), None);
    }
}
