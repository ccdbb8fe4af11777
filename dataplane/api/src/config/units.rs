//! Values that are written as words: an address with its prefix.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Writes a value as its `Display` shows it, and reads it as its `FromStr` takes it.
#[macro_export]
macro_rules! as_word {
    ($kind:ty) => {
        impl ::serde::Serialize for $kind {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $kind {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as ::serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(::serde::de::Error::custom)
            }
        }
    };
}

/// An address and the network it is in, written `203.0.113.10/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: Ipv4Addr,
    /// How many leading bits name the network: 0 to 32.
    pub prefix_len: u8,
}

impl Cidr {
    /// Is this address in the network?
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let differing = self.address.to_bits() ^ address.to_bits();
        differing
            .checked_shr(32 - u32::from(self.prefix_len.min(32)))
            .unwrap_or(0)
            == 0
    }

    /// Do the two networks share an address?
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.prefix_len <= other.prefix_len {
            self.contains(other.address)
        } else {
            other.contains(self.address)
        }
    }
}

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected an address with prefix length, such as 203.0.113.10/24";
        let (address, prefix_len) = text.split_once('/').ok_or(SHAPE)?;
        let address = address.parse().map_err(|_| SHAPE)?;
        match prefix_len.parse() {
            Ok(prefix_len @ 0..=32) => Ok(Self { address, prefix_len }),
            _ => Err("a prefix length is a number from 0 to 32"),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

crate::as_word!(Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_and_overlap() {
        let net = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(net("203.0.113.10/24").contains(Ipv4Addr::new(203, 0, 113, 255)));
        assert!(!net("203.0.113.10/24").contains(Ipv4Addr::new(203, 0, 114, 1)));
        assert!(net("0.0.0.0/0").contains(Ipv4Addr::BROADCAST));
        assert!(net("10.1.0.1/16").overlaps(&net("10.0.0.1/8")));
        assert!(!net("10.1.0.1/16").overlaps(&net("10.2.0.1/16")));
        for wrong in ["10.0.0.1", "10.0.0.1/33", "10.0.0/8", "x/8", "10.0.0.1/"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
