//! The payloads of a message (RFC 7296 3.2 to 3.16).

use super::identity::Identity;
use super::limits;
use super::notify::Notify;
use super::proposal::{self, Proposal};
use super::reader::{Fault, Malformed, Reader};
use super::selector::{self, Selector};

/// Kind of a payload, as the one before it names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadKind(pub u8);

impl PayloadKind {
    /// Nothing follows.
    pub const NONE: Self = Self(0);
    /// Security association: proposals.
    pub const SA: Self = Self(33);
    /// Key exchange.
    pub const KE: Self = Self(34);
    /// Identification of the initiator.
    pub const ID_INITIATOR: Self = Self(35);
    /// Identification of the responder.
    pub const ID_RESPONDER: Self = Self(36);
    /// Certificate.
    pub const CERT: Self = Self(37);
    /// Certificate request.
    pub const CERTREQ: Self = Self(38);
    /// Authentication.
    pub const AUTH: Self = Self(39);
    /// Nonce.
    pub const NONCE: Self = Self(40);
    /// Notify.
    pub const NOTIFY: Self = Self(41);
    /// Delete.
    pub const DELETE: Self = Self(42);
    /// Vendor ID.
    pub const VENDOR: Self = Self(43);
    /// Traffic selectors of the initiator.
    pub const TS_INITIATOR: Self = Self(44);
    /// Traffic selectors of the responder.
    pub const TS_RESPONDER: Self = Self(45);
    /// Encrypted and authenticated: everything else is inside.
    pub const SK: Self = Self(46);
    /// Configuration.
    pub const CP: Self = Self(47);
    /// Extensible authentication.
    pub const EAP: Self = Self(48);
    /// A fragment of an encrypted message (RFC 7383).
    pub const SKF: Self = Self(53);
}

/// One payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Algorithms offered or chosen.
    Sa(Vec<Proposal>),
    /// One side's part of a key exchange.
    KeyExchange(KeyExchange),
    /// Who the initiator is.
    IdInitiator(Identity),
    /// Who the responder is.
    IdResponder(Identity),
    /// A certificate; encoding 4: X.509, DER.
    Certificate {
        /// How it is encoded.
        encoding: u8,
        /// The certificate.
        data: Vec<u8>,
    },
    /// Which certificates are wanted; for encoding 4 hashes of public keys of authorities, 20 octets each.
    CertificateRequest {
        /// How it should be encoded.
        encoding: u8,
        /// From whom.
        data: Vec<u8>,
    },
    /// Proof of an identity.
    Auth {
        /// Which kind of proof.
        method: u8,
        /// The proof.
        data: Vec<u8>,
    },
    /// 16 to 256 random octets.
    Nonce(Vec<u8>),
    /// Notification.
    Notify(Notify),
    /// Security associations that are no more.
    Delete(Delete),
    /// Who made the sender.
    VendorId(Vec<u8>),
    /// The initiator's side of the traffic.
    SelectorsInitiator(Vec<Selector>),
    /// The responder's side of the traffic.
    SelectorsResponder(Vec<Selector>),
    /// Configuration, as it came.
    Configuration(Vec<u8>),
    /// Extensible authentication, as it came.
    Eap(Vec<u8>),
    /// A kind that we do not know: if critical, the request is refused with UNSUPPORTED_CRITICAL_PAYLOAD (RFC 7296 2.5), else it
    /// is skipped.
    Unknown {
        /// Which kind.
        kind: u8,
        /// Whether it must be understood.
        critical: bool,
        /// What it says.
        data: Vec<u8>,
    },
}

/// One side's part of a key exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchange {
    /// The group, as transform id of kind [`super::TransformKind::KE`].
    pub group: u16,
    /// Public key, or ciphertext of an encapsulated key.
    pub data: Vec<u8>,
}

/// Security associations that their owner has deleted: the SPIs are the ones on which the sender receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delete {
    /// The IKE security association under which it is said, with all children.
    Ike,
    /// These children.
    Esp(Vec<u32>),
    /// These children of the other protocol.
    Ah(Vec<u32>),
}

impl Payload {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> PayloadKind {
        match self {
            Self::Sa(_) => PayloadKind::SA,
            Self::KeyExchange(_) => PayloadKind::KE,
            Self::IdInitiator(_) => PayloadKind::ID_INITIATOR,
            Self::IdResponder(_) => PayloadKind::ID_RESPONDER,
            Self::Certificate { .. } => PayloadKind::CERT,
            Self::CertificateRequest { .. } => PayloadKind::CERTREQ,
            Self::Auth { .. } => PayloadKind::AUTH,
            Self::Nonce(_) => PayloadKind::NONCE,
            Self::Notify(_) => PayloadKind::NOTIFY,
            Self::Delete(_) => PayloadKind::DELETE,
            Self::VendorId(_) => PayloadKind::VENDOR,
            Self::SelectorsInitiator(_) => PayloadKind::TS_INITIATOR,
            Self::SelectorsResponder(_) => PayloadKind::TS_RESPONDER,
            Self::Configuration(_) => PayloadKind::CP,
            Self::Eap(_) => PayloadKind::EAP,
            Self::Unknown { kind, .. } => PayloadKind(*kind),
        }
    }

    /// Whether the flag C is to be set: never for what RFC 7296 itself defines (3.2).
    pub(crate) fn critical(&self) -> bool {
        matches!(self, Self::Unknown { critical: true, .. })
    }

    /// What is inside a payload; `reader` ends where it ends.
    pub(crate) fn parse(
        kind: PayloadKind,
        critical: bool,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        Ok(match kind {
            PayloadKind::SA => Self::Sa(proposal::parse_all(reader)?),
            PayloadKind::KE => {
                // RFC 7296 3.4: what is reserved is ignored.
                const WHAT: &str = "key exchange payload";
                let (group, _reserved) = (reader.u16(WHAT)?, reader.u16(WHAT)?);
                Self::KeyExchange(KeyExchange {
                    group,
                    data: reader.rest().to_vec(),
                })
            }
            PayloadKind::ID_INITIATOR => Self::IdInitiator(Identity::parse(reader)?),
            PayloadKind::ID_RESPONDER => Self::IdResponder(Identity::parse(reader)?),
            PayloadKind::CERT => Self::Certificate {
                encoding: reader.u8("certificate payload")?,
                data: reader.rest().to_vec(),
            },
            PayloadKind::CERTREQ => {
                let encoding = reader.u8("certificate request payload")?;
                Self::CertificateRequest {
                    encoding,
                    data: reader.rest().to_vec(),
                }
            }
            PayloadKind::AUTH => {
                // RFC 7296 3.8: what is reserved is ignored.
                let [method, _, _, _] = reader.array("authentication payload")?;
                Self::Auth {
                    method,
                    data: reader.rest().to_vec(),
                }
            }
            PayloadKind::NONCE => {
                if !limits::NONCE.contains(&reader.len()) {
                    return Err(reader.refuse("nonce payload", Fault::Length));
                }
                Self::Nonce(reader.rest().to_vec())
            }
            PayloadKind::NOTIFY => Self::Notify(Notify::parse(reader)?),
            PayloadKind::DELETE => Self::Delete(Delete::parse(reader)?),
            PayloadKind::VENDOR => Self::VendorId(reader.rest().to_vec()),
            PayloadKind::TS_INITIATOR => Self::SelectorsInitiator(selector::parse_all(reader)?),
            PayloadKind::TS_RESPONDER => Self::SelectorsResponder(selector::parse_all(reader)?),
            PayloadKind::CP => Self::Configuration(reader.rest().to_vec()),
            PayloadKind::EAP => Self::Eap(reader.rest().to_vec()),
            PayloadKind(kind) => Self::Unknown {
                kind,
                critical,
                data: reader.rest().to_vec(),
            },
        })
    }

    /// What is inside, without the generic header.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sa(proposals) => proposal::encode_all(proposals, out),
            Self::KeyExchange(KeyExchange { group, data }) => {
                out.extend_from_slice(&group.to_be_bytes());
                out.extend_from_slice(&[0, 0]);
                out.extend_from_slice(data);
            }
            Self::IdInitiator(identity) | Self::IdResponder(identity) => {
                out.extend_from_slice(&identity.body())
            }
            Self::Certificate { encoding, data } | Self::CertificateRequest { encoding, data } => {
                out.push(*encoding);
                out.extend_from_slice(data);
            }
            Self::Auth { method, data } => {
                out.extend_from_slice(&[*method, 0, 0, 0]);
                out.extend_from_slice(data);
            }
            Self::Notify(notify) => notify.encode(out),
            Self::Delete(delete) => delete.encode(out),
            Self::SelectorsInitiator(selectors) | Self::SelectorsResponder(selectors) => {
                selector::encode_all(selectors, out);
            }
            Self::Nonce(data)
            | Self::VendorId(data)
            | Self::Configuration(data)
            | Self::Eap(data)
            | Self::Unknown { data, .. } => out.extend_from_slice(data),
        }
    }
}

impl Delete {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        const WHAT: &str = "delete payload";
        let start = *reader;
        let [protocol, spi_len] = reader.array(WHAT)?;
        let count = usize::from(reader.u16(WHAT)?);
        if count > limits::SPIS {
            return Err(start.refuse(WHAT, Fault::TooMany(limits::SPIS)));
        }
        // RFC 7296 3.11: IKE without an SPI, AH and ESP with SPIs of four octets.
        let delete = match (protocol, spi_len) {
            (1, 0) if count == 0 => Self::Ike,
            (2, 4) => Self::Ah(spis(reader, count)?),
            (3, 4) => Self::Esp(spis(reader, count)?),
            _ => return Err(start.refuse(WHAT, Fault::Value)),
        };
        reader.end(WHAT)?;
        Ok(delete)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (protocol, spi_len, spis): (u8, u8, &[u32]) = match self {
            Self::Ike => (1, 0, &[]),
            Self::Ah(spis) => (2, 4, spis),
            Self::Esp(spis) => (3, 4, spis),
        };
        let count = u16::try_from(spis.len())
            .unwrap_or_else(|_| unreachable!("we delete at most {} at once", limits::SPIS));
        out.extend_from_slice(&[protocol, spi_len]);
        out.extend_from_slice(&count.to_be_bytes());
        spis.iter()
            .for_each(|spi| out.extend_from_slice(&spi.to_be_bytes()));
    }
}

fn spis(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u32>, Malformed> {
    (0..count)
        .map(|_| reader.u32("SPI of a delete payload"))
        .collect()
}
