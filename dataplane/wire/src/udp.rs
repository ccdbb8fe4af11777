//! UDP (RFC 768).

use crate::Malformed;
use crate::checksum::{Sum, pseudo_header};
use crate::ipv4::{Ipv4, PROTOCOL_UDP};
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of a header.
pub const HEADER_LEN: usize = 8;

/// The 8 octets of a UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Udp {
    /// Port of the sender.
    pub source: U16,
    /// Port of the receiver.
    pub destination: U16,
    length: U16,
    checksum: U16,
}

impl Udp {
    /// Splits an IPv4 payload into header and data. The UDP length must equal the payload's.
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<(&Self, &[u8]), Malformed> {
        let (header, data) = Self::ref_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
        if usize::from(header.length.get()) != payload.len() {
            return Err(Malformed::Length);
        }
        Ok((header, data))
    }

    /// A header for `data_len` octets without checksum. `None` if that does not fit a UDP length.
    #[inline]
    #[must_use]
    pub fn new(source: u16, destination: u16, data_len: usize) -> Option<Self> {
        let length = u16::try_from(data_len.checked_add(HEADER_LEN)?).ok()?;
        Some(Self {
            source: U16::new(source),
            destination: U16::new(destination),
            length: U16::new(length),
            checksum: U16::ZERO,
        })
    }

    /// Octets of header and data, as the header says.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u16 {
        self.length.get()
    }

    /// Is there not even a header, as this header says?
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length.get() == 0
    }

    /// The checksum field; 0 means that the sender computed none.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Is the checksum right, or absent?
    #[inline]
    pub fn verify(&self, ip: &Ipv4, data: &[u8]) -> Result<(), Malformed> {
        if self.checksum.get() == 0 || self.sum(ip, data).fold() == 0xffff {
            Ok(())
        } else {
            Err(Malformed::Checksum)
        }
    }

    /// Computes and sets the checksum.
    pub fn fill_checksum(&mut self, ip: &Ipv4, data: &[u8]) {
        self.checksum.set(0);
        self.checksum.set(self.sum(ip, data).finish_udp());
    }

    /// Other ports, under an IPv4 header whose addresses change too. A checksum that is there is updated incrementally
    /// (RFC 1624); one that is absent stays absent.
    #[inline]
    pub fn readdress(&mut self, old_ip: (u32, u32), new_ip: (u32, u32), source: u16, destination: u16) {
        if self.checksum.get() != 0 {
            let sum = Sum::ZERO
                .add_u16(!self.checksum.get())
                .add_u32(!old_ip.0)
                .add_u32(!old_ip.1)
                .add_u16(!self.source.get())
                .add_u16(!self.destination.get())
                .add_u32(new_ip.0)
                .add_u32(new_ip.1)
                .add_u16(source)
                .add_u16(destination);
            self.checksum.set(sum.finish_udp());
        }
        self.source.set(source);
        self.destination.set(destination);
    }

    fn sum(&self, ip: &Ipv4, data: &[u8]) -> Sum {
        pseudo_header(
            ip.source().to_bits(),
            ip.destination().to_bits(),
            PROTOCOL_UDP,
            self.length.get(),
        )
        .add_bytes(self.as_bytes())
        .add_bytes(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    #[test]
    fn lengths_must_agree() {
        let mut bytes = [0u8; 10];
        bytes[5] = 10;
        assert_eq!(Udp::parse(&bytes).unwrap().1.len(), 2);
        bytes[5] = 9;
        assert_eq!(Udp::parse(&bytes).unwrap_err(), Malformed::Length);
        bytes[5] = 11;
        assert_eq!(Udp::parse(&bytes).unwrap_err(), Malformed::Length);
        assert_eq!(Udp::parse(&bytes[..7]).unwrap_err(), Malformed::Truncated);
        assert_eq!(Udp::new(1, 2, 65528), None);
    }

    proptest! {
        #[test]
        fn checksum_survives_readdressing(
            data in proptest::collection::vec(any::<u8>(), 0..1500),
            from: (u32, u32, u16, u16), to: (u32, u32, u16, u16),
        ) {
            let len = (28 + data.len()) as u16;
            let mut ip = Ipv4::new(Ipv4Addr::from_bits(from.0), Ipv4Addr::from_bits(from.1), PROTOCOL_UDP, len);
            let mut udp = Udp::new(from.2, from.3, data.len()).unwrap();
            udp.fill_checksum(&ip, &data);
            udp.verify(&ip, &data).unwrap();
            ip.readdress(to.0.into(), to.1.into());
            udp.readdress((from.0, from.1), (to.0, to.1), to.2, to.3);
            prop_assert_ne!(udp.checksum(), 0);
            prop_assert_eq!(udp.verify(&ip, &data), Ok(()));
            if let Some(first) = data.first() {
                let mut broken = data.clone();
                broken[0] = !first;
                prop_assert_eq!(udp.verify(&ip, &broken), Err(Malformed::Checksum));
            }
        }
    }
}
