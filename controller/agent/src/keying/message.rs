//! The two messages of a key agreement, and how an unauthenticated one is kept apart from an authenticated one.
//!
//! Both have the same 128 octets, so that an answer is never larger than what asked for it. They are the data of a clear
//! virtual UDP packet between ports 20202.
//!
//! ```text
//!  0               8               16                             31
//! +---------------+---------------+---------------+----------------+
//! | version = 1   | kind: 1 init, | cipher: 1 AES | zero           |   0
//! |               |   2 response  | -128, 2 -256  |                |
//! | timestamp: nanoseconds since 1970 by the initiator's clock,     |   4
//! |   made to grow with every initiation; a response repeats it     |
//! | SPI on which the sender receives                                |  12
//! | sender's director, public address      (0: reached directly)    |  16
//! | sender's pseudo address there, or its own public address        |  20
//! | UDP port of that director or of the sender | zero               |  24
//! | nonce (32 octets)                                               |  28
//! | X25519 ephemeral public key (32 octets)                         |  60
//! | zero (4 octets)                                                 |  92
//! | authenticator (32 octets): HMAC-SHA-256 under a key made from   |  96
//! |   the pair's secret, over a label, both virtual addresses       |
//! |   (initiator first), in a response the whole initiation, and    |
//! |   this message up to here                                       |
//! +-----------------------------------------------------------------+
//! ```
//!
//! Behind an initiation may stand a ticket of the manager's: its length in two octets, at most 1,024, and the ticket, which is sealed
//! for the responder and stands for itself.

use crate::config::Cipher;
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of a message.
pub const LEN: usize = 128;
/// Octets that the authenticator covers.
pub const COVERED: usize = LEN - 32;

/// Octets of a ticket at most.
pub const MAX_TICKET: usize = 1024;

const VERSION: u8 = 1;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// "Let us agree on keys."
    Initiation = 1,
    /// "Here is my half."
    Response = 2,
}

/// Where the sender of a message is reached now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// Directly.
    Public(SocketAddrV4),
    /// Through its director, by a pseudo address.
    Director {
        /// The director's address and port.
        director: SocketAddrV4,
        /// The sender's pseudo address there.
        pseudo: Ipv4Addr,
    },
}

impl Whereabouts {
    /// The ten octets of a message or of a KITH_WHEREABOUTS notification: director, member, port; see above.
    #[must_use]
    pub fn encode(self) -> [u8; 10] {
        let (director, member, port) = match self {
            Self::Public(at) => (0, at.ip().to_bits(), at.port()),
            Self::Director { director, pseudo } => {
                (director.ip().to_bits(), pseudo.to_bits(), director.port())
            }
        };
        let mut octets = [0; 10];
        octets[..4].copy_from_slice(&director.to_be_bytes());
        octets[4..8].copy_from_slice(&member.to_be_bytes());
        octets[8..].copy_from_slice(&port.to_be_bytes());
        octets
    }

    /// The reverse; `None` if it is no place, or not of this shape.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (director, rest) = octets.split_first_chunk::<4>()?;
        let (member, rest) = rest.split_first_chunk::<4>()?;
        let port = u16::from_be_bytes(rest.try_into().ok()?);
        place(u32::from_be_bytes(*director), u32::from_be_bytes(*member), port)
    }
}

/// Does this message, authentic or not, say that it is an initiation?
#[must_use]
pub fn is_initiation(message: &[u8; LEN]) -> bool {
    message[1] == Kind::Initiation as u8
}

/// Parts a datagram into the message and the ticket behind it, which is empty if there is none; `None` if it is of neither shape.
#[must_use]
pub fn split(data: &[u8]) -> Option<(&[u8; LEN], &[u8])> {
    let (message, rest) = data.split_first_chunk::<LEN>()?;
    let Some((len, ticket)) = rest.split_first_chunk::<2>() else {
        return rest.is_empty().then_some((message, rest));
    };
    let whole = usize::from(u16::from_be_bytes(*len)) == ticket.len();
    let fits = (1..=MAX_TICKET).contains(&ticket.len());
    (is_initiation(message) && whole && fits).then_some((message, ticket))
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Initiation or response.
    pub kind: Kind,
    /// What the keys are for.
    pub cipher: Cipher,
    /// The initiator's timestamp.
    pub timestamp: u64,
    /// On which SPI the sender receives.
    pub spi: u32,
    /// Where the sender is; `None` if it does not know.
    pub location: Option<Whereabouts>,
    /// Fresh randomness.
    pub nonce: [u8; 32],
    /// Ephemeral public key.
    pub public_key: [u8; 32],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Layout {
    version: u8,
    kind: u8,
    cipher: u8,
    zero: u8,
    timestamp: U64,
    spi: U32,
    director: U32,
    member: U32,
    port: U16,
    zero2: U16,
    nonce: [u8; 32],
    public_key: [u8; 32],
    zero3: [u8; 4],
    authenticator: [u8; 32],
}

/// A message whose authenticator has not been checked.
pub struct Unauthenticated {
    message: Message,
    octets: [u8; LEN],
}

impl Message {
    /// Reads a message; `None` if it is not of this shape. Its content is hidden until it is authenticated.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Unauthenticated> {
        let octets: [u8; LEN] = data.try_into().ok()?;
        let layout = Layout::ref_from_bytes(data).ok()?;
        let message = Self {
            kind: match layout.kind {
                1 => Kind::Initiation,
                2 => Kind::Response,
                _ => return None,
            },
            cipher: match layout.cipher {
                1 => Cipher::Aes128Gcm,
                2 => Cipher::Aes256Gcm,
                _ => return None,
            },
            timestamp: layout.timestamp.get(),
            spi: layout.spi.get(),
            location: whereabouts(layout),
            nonce: layout.nonce,
            public_key: layout.public_key,
        };
        let spare_zero = layout.zero == 0 && layout.zero2.get() == 0 && layout.zero3 == [0; 4];
        (layout.version == VERSION && spare_zero).then_some(Unauthenticated { message, octets })
    }

    /// The octets; `authenticate` computes the authenticator over those it is given.
    #[must_use]
    pub fn encode(&self, authenticate: impl FnOnce(&[u8]) -> [u8; 32]) -> [u8; LEN] {
        let (director, member, port) = match self.location {
            None => (0, 0, 0),
            Some(Whereabouts::Public(at)) => (0, at.ip().to_bits(), at.port()),
            Some(Whereabouts::Director { director, pseudo }) => {
                (director.ip().to_bits(), pseudo.to_bits(), director.port())
            }
        };
        let mut layout = Layout {
            version: VERSION,
            kind: self.kind as u8,
            cipher: match self.cipher {
                Cipher::Aes128Gcm => 1,
                Cipher::Aes256Gcm => 2,
            },
            zero: 0,
            timestamp: U64::new(self.timestamp),
            spi: U32::new(self.spi),
            director: U32::new(director),
            member: U32::new(member),
            port: U16::new(port),
            zero2: U16::ZERO,
            nonce: self.nonce,
            public_key: self.public_key,
            zero3: [0; 4],
            authenticator: [0; 32],
        };
        layout.authenticator = authenticate(&layout.as_bytes()[..COVERED]);
        let mut octets = [0; LEN];
        octets.copy_from_slice(layout.as_bytes());
        octets
    }
}

impl Unauthenticated {
    /// Initiation or response: decides which transcript to check with.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.message.kind
    }

    /// The message, and all its octets, if `verify(covered octets, authenticator)` says so. `verify` must compare in constant time.
    pub fn authenticate(self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> Option<(Message, [u8; LEN])> {
        let (covered, tag) = self.octets.split_at(COVERED);
        verify(covered, tag).then_some((self.message, self.octets))
    }
}

fn whereabouts(layout: &Layout) -> Option<Whereabouts> {
    place(layout.director.get(), layout.member.get(), layout.port.get())
}

fn place(director: u32, member: u32, port: u16) -> Option<Whereabouts> {
    let member = Ipv4Addr::from_bits(member);
    if member.is_unspecified() || port == 0 {
        return None;
    }
    Some(match director {
        0 => Whereabouts::Public(SocketAddrV4::new(member, port)),
        director => Whereabouts::Director {
            director: SocketAddrV4::new(Ipv4Addr::from_bits(director), port),
            pseudo: member,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_golden() {
        let message = Message {
            kind: Kind::Initiation,
            cipher: Cipher::Aes256Gcm,
            timestamp: 0x0102_0304_0506_0708,
            spi: 0x1122_3344,
            location: Some(Whereabouts::Director {
                director: "203.0.113.10:20202".parse().unwrap(),
                pseudo: Ipv4Addr::new(240, 0, 0, 1),
            }),
            nonce: [0xaa; 32],
            public_key: [0xbb; 32],
        };
        let octets = message.encode(|covered| [covered.len() as u8; 32]);
        let mut golden = vec![
            1, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x22, 0x33, 0x44, 203, 0, 113, 10, 240, 0, 0, 1, 0x4e,
            0xea, 0, 0,
        ];
        golden.extend([0xaa; 32]);
        golden.extend([0xbb; 32]);
        golden.extend([0; 4]);
        golden.extend([96; 32]);
        assert_eq!(octets.as_slice(), golden);
        let (read, _) = Message::parse(&octets)
            .unwrap()
            .authenticate(|_, tag| tag == [96; 32])
            .unwrap();
        assert_eq!(read, message);
    }

    #[test]
    fn a_ticket_stands_behind_an_initiation_and_nowhere_else() {
        let with = |kind: Kind, said: u16, ticket: &[u8]| {
            let mut data = vec![0; LEN];
            data[1] = kind as u8;
            data.extend(said.to_be_bytes());
            data.extend(ticket);
            split(&data).map(|(_, ticket)| ticket.to_vec())
        };
        assert_eq!(with(Kind::Initiation, 3, b"abc"), Some(b"abc".to_vec()));
        assert_eq!(
            with(Kind::Initiation, 1024, &[7; 1024]).map(|ticket| ticket.len()),
            Some(1024)
        );
        for (kind, said, len) in [
            (Kind::Response, 3, 3),
            (Kind::Initiation, 2, 3),
            (Kind::Initiation, 4, 3),
            (Kind::Initiation, 0, 0),
            (Kind::Initiation, 1025, 1025),
        ] {
            assert_eq!(with(kind, said, &vec![7; len]), None, "{kind:?} {said} {len}");
        }
        assert_eq!(split(&[0; LEN]).map(|(_, ticket)| ticket.len()), Some(0));
        assert!(split(&[0; LEN + 1]).is_none() && split(&[0; LEN - 1]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&bytes);
            let _ = split(&bytes);
        }

        #[test]
        fn what_is_read_writes_the_same(mut bytes in proptest::array::uniform32(any::<u8>()), kind in 1u8..3, cipher in 1u8..3) {
            bytes[0] = 1;
            bytes[1] = kind;
            bytes[2] = cipher;
            bytes[3] = 0;
            bytes[26..28].fill(0);
            let mut all = [7u8; LEN];
            all[..32].copy_from_slice(&bytes);
            all[92..96].fill(0);
            let (message, _) = Message::parse(&all).unwrap().authenticate(|_, _| true).unwrap();
            let again = message.encode(|_| [7; 32]);
            let (back, _) = Message::parse(&again).unwrap().authenticate(|_, _| true).unwrap();
            prop_assert_eq!(back, message);
        }
    }
}
