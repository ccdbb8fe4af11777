//! IPv4 networks: pools of virtual addresses and networks that members are attached to.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A network: its address and the number of leading bits that count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: u32,
    length: u8,
}

/// Text or numbers that are no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not `a.b.c.d/n`.
    #[error("\"{0}\" is no network; write it as 10.77.0.0/24")]
    Text(String),
    /// Longer than 32 bits.
    #[error("a network of {0} bits; at most 32 are possible")]
    Length(u32),
    /// The address has bits behind the length.
    #[error("{address}/{length} has bits behind its length; did you mean {meant}?")]
    HostBits {
        /// As given.
        address: Ipv4Addr,
        /// As given.
        length: u8,
        /// Without those bits.
        meant: Prefix,
    },
}

impl Prefix {
    /// The network that an address is in.
    pub fn around(address: Ipv4Addr, length: u32) -> Result<Self, PrefixError> {
        let length = u8::try_from(length).ok().filter(|length| *length <= 32);
        let length = length.ok_or(PrefixError::Length(33))?;
        Ok(Self {
            address: u32::from(address) & mask(length),
            length,
        })
    }

    /// Its first address, the network's own.
    #[must_use]
    pub fn network(self) -> Ipv4Addr {
        self.address.into()
    }

    /// Its last address, the broadcast.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        (self.address | !mask(self.length)).into()
    }

    /// How many leading bits count.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Is the address in it?
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.length) == self.address
    }

    /// Do the two have an address in common?
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.length.min(other.length));
        self.address & shorter == other.address & shorter
    }

    /// First and last address that hosts may have; none in networks of 31 and 32 bits.
    #[must_use]
    pub fn hosts(self) -> Option<(u32, u32)> {
        let last = u32::from(self.broadcast());
        (self.length <= 30).then(|| (self.address + 1, last - 1))
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let no = || PrefixError::Text(text.chars().take(64).collect());
        let (address, length) = text.split_once('/').ok_or_else(no)?;
        let address: Ipv4Addr = address.parse().map_err(|_| no())?;
        let length: u8 = length.parse().map_err(|_| no())?;
        let meant = Self::around(address, length.into())?;
        if meant.network() != address {
            return Err(PrefixError::HostBits {
                address,
                length,
                meant,
            });
        }
        Ok(meant)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_what_is_no_network() {
        for text in ["10.77.0.0/24", "0.0.0.0/0", "192.0.2.1/32"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        for text in [
            "10.77.0.0",
            "10.77.0/24",
            "10.77.0.0/33",
            "10.77.0.0/-1",
            "a/b",
            "",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        let error = "10.77.0.9/24".parse::<Prefix>().unwrap_err();
        assert!(error.to_string().contains("did you mean 10.77.0.0/24?"));
    }

    #[test]
    fn overlap_is_symmetric_and_about_the_shorter_one() {
        let of = |text: &str| text.parse::<Prefix>().unwrap();
        assert!(of("10.0.0.0/8").overlaps(of("10.77.0.0/24")));
        assert!(of("10.77.0.0/24").overlaps(of("10.0.0.0/8")));
        assert!(!of("10.77.0.0/24").overlaps(of("10.77.1.0/24")));
        assert!(of("0.0.0.0/0").overlaps(of("10.77.1.0/24")));
    }

    #[test]
    fn hosts_leave_out_network_and_broadcast() {
        let of = |text: &str| text.parse::<Prefix>().unwrap().hosts();
        let number = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
        assert_eq!(
            of("10.77.0.0/30"),
            Some((number("10.77.0.1"), number("10.77.0.2")))
        );
        assert_eq!(of("10.77.0.0/31"), None);
    }
}
