//! The header of every message (RFC 7296 3.1).

use super::payload::PayloadKind;
use super::reader::{Fault, Malformed, Reader};
use std::fmt;

/// Octets of a header.
pub const HEADER_LEN: usize = 28;

const RESPONSE: u8 = 0x20;
const INITIATOR: u8 = 0x08;
const MAJOR: u8 = 2;

/// How one side names an IKE security association. Zero in the responder's place: not chosen yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IkeSpi(pub u64);

impl IkeSpi {
    /// Not chosen yet (RFC 7296 2.6).
    pub const ZERO: Self = Self(0);

    /// As it stands in a message.
    #[must_use]
    pub fn to_octets(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Number of a request and of its response, counted by each side for its own requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u32);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// 34: algorithms, key exchange, nonces; in the clear.
    IkeSaInit,
    /// 35: who we are, and the first child.
    IkeAuth,
    /// 36: another child, or new keys.
    CreateChildSa,
    /// 37: deletions, errors, signs of life.
    Informational,
    /// 43: between the first two (RFC 9242).
    IkeIntermediate,
    /// 44: further key exchanges of a CREATE_CHILD_SA (RFC 9370).
    IkeFollowupKe,
    /// Anything else.
    Other(u8),
}

impl Exchange {
    /// From the number on the wire.
    #[must_use]
    pub fn from_u8(number: u8) -> Self {
        match number {
            34 => Self::IkeSaInit,
            35 => Self::IkeAuth,
            36 => Self::CreateChildSa,
            37 => Self::Informational,
            43 => Self::IkeIntermediate,
            44 => Self::IkeFollowupKe,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            Self::IkeSaInit => 34,
            Self::IkeAuth => 35,
            Self::CreateChildSa => 36,
            Self::Informational => 37,
            Self::IkeIntermediate => 43,
            Self::IkeFollowupKe => 44,
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IkeSaInit => f.write_str("IKE_SA_INIT"),
            Self::IkeAuth => f.write_str("IKE_AUTH"),
            Self::CreateChildSa => f.write_str("CREATE_CHILD_SA"),
            Self::Informational => f.write_str("INFORMATIONAL"),
            Self::IkeIntermediate => f.write_str("IKE_INTERMEDIATE"),
            Self::IkeFollowupKe => f.write_str("IKE_FOLLOWUP_KE"),
            Self::Other(other) => write!(f, "exchange {other}"),
        }
    }
}

/// Header of a message. Its first payload and its length are the encoder's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by whoever began the security association.
    pub initiator_spi: IkeSpi,
    /// Chosen by the other; zero in the first request.
    pub responder_spi: IkeSpi,
    /// What the message is about.
    pub exchange: Exchange,
    /// Flag I: the sender began the security association (not: this exchange).
    pub from_initiator: bool,
    /// Flag R: it answers a request.
    pub response: bool,
    /// Which request, or the answer to which.
    pub message_id: MessageId,
}

impl Header {
    /// What the first octets say, whatever the version and however long the datagram really is: to find a security
    /// association, or to answer another version. Nothing but [`super::parse`] may be believed for more.
    #[must_use]
    pub fn peek(octets: &[u8]) -> Option<Self> {
        Raw::read(&mut Reader::new(octets, 0)).ok().map(|raw| raw.header)
    }

    /// The header with the kind of the first payload and the length of the whole.
    pub(crate) fn encode(&self, first: PayloadKind, length: u32) -> [u8; HEADER_LEN] {
        let mut octets = [0; HEADER_LEN];
        octets[..8].copy_from_slice(&self.initiator_spi.to_octets());
        octets[8..16].copy_from_slice(&self.responder_spi.to_octets());
        octets[16] = first.0;
        // RFC 7296 3.1: minor version 0, flag V zero, reserved flags zero.
        octets[17] = MAJOR << 4;
        octets[18] = self.exchange.to_u8();
        octets[19] =
            if self.response { RESPONSE } else { 0 } | if self.from_initiator { INITIATOR } else { 0 };
        octets[20..24].copy_from_slice(&self.message_id.0.to_be_bytes());
        octets[24..].copy_from_slice(&length.to_be_bytes());
        octets
    }

    /// Flag I of a header as it came.
    pub(crate) fn is_from_initiator(octets: &[u8]) -> bool {
        octets.get(19).is_some_and(|flags| flags & INITIATOR != 0)
    }

    /// The header and the kind of the first payload of a whole datagram.
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<(Self, PayloadKind), Malformed> {
        let whole = *reader;
        let raw = Raw::read(reader)?;
        // RFC 7296 2.5: a higher major version is not ours to read; minor versions and flag V change nothing.
        if raw.version >> 4 != MAJOR {
            return Err(Malformed::Version {
                major: raw.version >> 4,
                header: raw.header,
            });
        }
        if usize::try_from(raw.length) != Ok(whole.len()) {
            return Err(whole.refuse("message length", Fault::Length));
        }
        Ok((raw.header, raw.first))
    }
}

struct Raw {
    header: Header,
    first: PayloadKind,
    version: u8,
    length: u32,
}

impl Raw {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        const WHAT: &str = "header";
        let initiator_spi = IkeSpi(reader.u64(WHAT)?);
        let responder_spi = IkeSpi(reader.u64(WHAT)?);
        let [first, version, exchange, flags] = reader.array(WHAT)?;
        let message_id = MessageId(reader.u32(WHAT)?);
        let length = reader.u32(WHAT)?;
        let header = Header {
            initiator_spi,
            responder_spi,
            exchange: Exchange::from_u8(exchange),
            from_initiator: flags & INITIATOR != 0,
            response: flags & RESPONSE != 0,
            message_id,
        };
        Ok(Self {
            header,
            first: PayloadKind(first),
            version,
            length,
        })
    }
}
