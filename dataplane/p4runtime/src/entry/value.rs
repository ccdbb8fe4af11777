//! Byte strings: how P4Runtime writes a number (specification 1.4, section 8.3).
//!
//! Written is the shortest string that holds the number; read is any length whose number fits the field's width.

use super::error::ValueError;
use kith_pipeline::units::{CommunityIndex, PortIndex};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use std::net::Ipv4Addr;

/// A type that a match field or parameter can have.
pub trait Scalar: Copy + PartialEq {
    /// The value as a number.
    fn to_number(self) -> u64;

    /// The number as a value.
    ///
    /// # Errors
    /// If the number means nothing in this type.
    fn from_number(number: u64) -> Result<Self, ValueError>;
}

/// The shortest byte string of a number.
#[must_use]
pub fn to_bytes(number: u64) -> Vec<u8> {
    let zeros = (number.leading_zeros() / 8).min(7) as usize;
    number.to_be_bytes()[zeros..].to_vec()
}

/// The number of a byte string for a field of `bits` bits, at most 64.
///
/// # Errors
/// If the string is empty or the number does not fit.
pub fn from_bytes(bytes: &[u8], bits: u32) -> Result<u64, ValueError> {
    if bytes.is_empty() {
        return Err(ValueError::Empty);
    }
    let zeros = bytes.iter().take_while(|&&octet| octet == 0).count();
    let rest = &bytes[zeros..];
    if rest.len() > 8 {
        return Err(ValueError::TooWide { bits });
    }
    let number = rest
        .iter()
        .fold(0u64, |number, &octet| number << 8 | u64::from(octet));
    if bits < 64 && number >> bits != 0 {
        return Err(ValueError::TooWide { bits });
    }
    Ok(number)
}

macro_rules! unsigned {
    ($($kind:ty)*) => { $(
        impl Scalar for $kind {
            fn to_number(self) -> u64 {
                u64::from(self)
            }
            fn from_number(number: u64) -> Result<Self, ValueError> {
                Self::try_from(number).map_err(|_| ValueError::TooWide { bits: Self::BITS })
            }
        }
    )* };
}
unsigned!(u8 u16 u32);

impl Scalar for Ipv4Addr {
    fn to_number(self) -> u64 {
        u64::from(self.to_bits())
    }
    fn from_number(number: u64) -> Result<Self, ValueError> {
        u32::from_number(number).map(Self::from_bits)
    }
}

impl Scalar for MacAddr {
    fn to_number(self) -> u64 {
        self.0
            .iter()
            .fold(0, |number, &octet| number << 8 | u64::from(octet))
    }
    fn from_number(number: u64) -> Result<Self, ValueError> {
        match number.to_be_bytes() {
            [0, 0, station @ ..] => Ok(Self(station)),
            _ => Err(ValueError::TooWide { bits: 48 }),
        }
    }
}

impl Scalar for PortIndex {
    fn to_number(self) -> u64 {
        u64::from(self.0)
    }
    fn from_number(number: u64) -> Result<Self, ValueError> {
        let expected = "a port of this dataplane (0 to 255)";
        u8::try_from(number)
            .map(Self)
            .map_err(|_| ValueError::Meaningless {
                value: number,
                expected,
            })
    }
}

impl Scalar for CommunityIndex {
    fn to_number(self) -> u64 {
        u64::from(self.get())
    }
    fn from_number(number: u64) -> Result<Self, ValueError> {
        let expected = "a community (1 to 65535)";
        Self::new(u16::from_number(number)?).ok_or(ValueError::Meaningless {
            value: number,
            expected,
        })
    }
}

impl Scalar for PseudoIp {
    fn to_number(self) -> u64 {
        u64::from(self.to_bits())
    }
    fn from_number(number: u64) -> Result<Self, ValueError> {
        let expected = "a pseudo address (0.0.0.0 is none)";
        Self::new(u32::from_number(number)?).ok_or(ValueError::Meaningless {
            value: number,
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables "valid" and "invalid bytestring encoding" of section 8.3, unsigned part.
    #[test]
    fn the_standards_own_examples() {
        for (bits, bytes, number) in [
            (8, &b"\x63"[..], 99),
            (16, b"\x00\x63", 99),
            (16, b"\x63", 99),
            (16, b"\x30\x64", 12_388),
            (16, b"\x00\x30\x64", 12_388),
            (12, b"\x00\x63", 99),
            (12, b"\x00\x00\x63", 99),
        ] {
            assert_eq!(from_bytes(bytes, bits), Ok(number), "bit<{bits}> {bytes:?}");
        }
        for (bits, bytes) in [
            (8, &b"\x01\x63"[..]),
            (16, b"\x01\x00\x63"),
            (12, b"\x10\x63"),
            (12, b"\x01\x00\x63"),
            (12, b"\x00\x40\x63"),
        ] {
            assert_eq!(
                from_bytes(bytes, bits),
                Err(ValueError::TooWide { bits }),
                "bit<{bits}> {bytes:?}"
            );
        }
        assert_eq!(from_bytes(b"", 8), Err(ValueError::Empty));
    }

    #[test]
    fn written_is_the_shortest_string() {
        assert_eq!(to_bytes(0), [0]);
        assert_eq!(to_bytes(0xff), [0xff]);
        assert_eq!(to_bytes(0x100), [1, 0]);
        assert_eq!(to_bytes(u64::MAX), [0xff; 8]);
    }

    #[test]
    fn many_leading_zeros_are_only_zeros() {
        let mut long = vec![0; 100];
        long.push(7);
        assert_eq!(from_bytes(&long, 8), Ok(7));
        long.extend([0; 9]);
        assert_eq!(from_bytes(&long, 64), Err(ValueError::TooWide { bits: 64 }));
    }

    #[test]
    fn what_fits_the_width_may_still_mean_nothing() {
        assert!(PortIndex::from_number(256).is_err());
        assert!(CommunityIndex::from_number(0).is_err());
        assert!(PseudoIp::from_number(0).is_err());
        assert!(MacAddr::from_number(1 << 48).is_err());
    }
}
