//! The two numbers that an ESP header carries, as types: an SPI is never a port, a sequence number never a length.

use std::fmt;

/// Security parameters index: names an SA at its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spi(u32);

/// An SPI below 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SPI {0} is reserved (RFC 4303 2.1): take one from 256 to 4294967295")]
pub struct ReservedSpi(pub u32);

impl Spi {
    /// RFC 4303 2.1: 0 is for local use, 1 to 255 belong to IANA; neither ever names an SA on the wire.
    pub const fn new(value: u32) -> Result<Self, ReservedSpi> {
        if value < 256 {
            Err(ReservedSpi(value))
        } else {
            Ok(Self(value))
        }
    }

    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Spi {
    type Error = ReservedSpi;

    fn try_from(value: u32) -> Result<Self, ReservedSpi> {
        Self::new(value)
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Extended sequence number (RFC 4303 2.2.1): 64 bits, of which the wire shows the low 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// The number whose halves are `high` and `low`.
    pub const fn from_halves(high: u32, low: u32) -> Self {
        Self(((high as u64) << 32) | low as u64)
    }

    /// High 32 bits: authenticated, never sent.
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Low 32 bits: what the ESP header carries.
    pub const fn low(self) -> u32 {
        self.0 as u32
    }
}

/// How long the sequence numbers of an SA are; both ends have agreed on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Numbers {
    /// 64 bits, the high half never sent (RFC 4303 2.2.1).
    #[default]
    Extended,
    /// 32 bits, for peers that have no others.
    Short,
}

impl Numbers {
    /// The last one: the counter must never cycle (RFC 4303 3.3.3).
    pub(crate) const fn last(self) -> u64 {
        match self {
            Self::Extended => u64::MAX,
            Self::Short => u32::MAX as u64,
        }
    }
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_spis_are_refused() {
        for value in 0..256 {
            assert_eq!(Spi::new(value), Err(ReservedSpi(value)));
        }
        assert_eq!(Spi::new(256).map(Spi::get), Ok(256));
        assert_eq!(Spi::new(u32::MAX).map(Spi::get), Ok(u32::MAX));
    }

    #[test]
    fn halves_join_to_the_number_they_came_from() {
        let seq = SeqNo(0x8765_4321_0000_0007);
        assert_eq!((seq.high(), seq.low()), (0x8765_4321, 7));
        assert_eq!(SeqNo::from_halves(seq.high(), seq.low()), seq);
    }
}
