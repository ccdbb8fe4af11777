//! Notifications (RFC 7296 3.10): errors, status, and what later documents negotiate by them.

use super::proposal::Protocol;
use super::reader::{Malformed, Reader};
use std::fmt;

const WHAT: &str = "notify payload";

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Which kind of security association `spi` names; `Protocol::None` if there is none.
    pub protocol: Protocol,
    /// The security association it is about; empty: the IKE one, or none.
    pub spi: Vec<u8>,
    /// What it says.
    pub kind: NotifyKind,
    /// What belongs to it.
    pub data: Vec<u8>,
}

impl Notify {
    /// One about no child, with data.
    #[must_use]
    pub fn new(kind: NotifyKind, data: Vec<u8>) -> Self {
        Self {
            protocol: Protocol::None,
            spi: Vec::new(),
            kind,
            data,
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [protocol, spi_len] = reader.array(WHAT)?;
        let kind = NotifyKind(reader.u16(WHAT)?);
        let spi = reader.take(spi_len.into(), "SPI of a notify payload")?.to_vec();
        Ok(Self {
            protocol: Protocol::from_u8(protocol),
            spi,
            kind,
            data: reader.rest().to_vec(),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let spi_len =
            u8::try_from(self.spi.len()).unwrap_or_else(|_| unreachable!("an SPI has at most 8 octets"));
        out.extend_from_slice(&[self.protocol.to_u8(), spi_len]);
        out.extend_from_slice(&self.kind.0.to_be_bytes());
        out.extend_from_slice(&self.spi);
        out.extend_from_slice(&self.data);
    }
}

/// What a notification says: below 16384 an error, else a status.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotifyKind(pub u16);

impl NotifyKind {
    /// Whether it says that something failed (RFC 7296 3.10.1). An unknown error in a response ends the exchange; an unknown
    /// status is ignored.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.0 < 16384
    }
}

macro_rules! kinds {
    ($($number:literal $name:ident $doc:literal,)*) => {
        impl NotifyKind {
            $(#[doc = $doc] pub const $name: Self = Self($number);)*

            /// Its name in the registry, if we know it.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    1 UNSUPPORTED_CRITICAL_PAYLOAD "A payload marked critical is not known; data: its kind, one octet.",
    4 INVALID_IKE_SPI "No such IKE security association.",
    5 INVALID_MAJOR_VERSION "Another major version.",
    7 INVALID_SYNTAX "The message makes no sense; only under protection.",
    9 INVALID_MESSAGE_ID "A message id outside the window; never in a response.",
    11 INVALID_SPI "ESP or AH with an SPI that nobody here knows.",
    14 NO_PROPOSAL_CHOSEN "No proposal was acceptable.",
    17 INVALID_KE_PAYLOAD "Another group, please; data: which, two octets.",
    24 AUTHENTICATION_FAILED "The peer is not who it says.",
    34 SINGLE_PAIR_REQUIRED "One pair of addresses per child only.",
    35 NO_ADDITIONAL_SAS "No more children on this IKE security association.",
    36 INTERNAL_ADDRESS_FAILURE "No address to give.",
    37 FAILED_CP_REQUIRED "A configuration payload was expected.",
    38 TS_UNACCEPTABLE "None of the traffic is acceptable.",
    39 INVALID_SELECTORS "A packet outside the selectors of its child.",
    40 UNACCEPTABLE_ADDRESSES "The peer will not use these addresses (RFC 4555).",
    41 UNEXPECTED_NAT_DETECTED "A NAT where none was allowed (RFC 4555).",
    43 TEMPORARY_FAILURE "Not now; try again (RFC 7296 2.25).",
    44 CHILD_SA_NOT_FOUND "No such child (RFC 7296 2.25).",
    47 STATE_NOT_FOUND "No such additional key exchange (RFC 9370).",
    16384 INITIAL_CONTACT "The sender has no other IKE security association with us.",
    16385 SET_WINDOW_SIZE "Requests that may be outstanding; data: four octets.",
    16386 ADDITIONAL_TS_POSSIBLE "Some selectors were left for another child.",
    16387 IPCOMP_SUPPORTED "Compression.",
    16388 NAT_DETECTION_SOURCE_IP "Hash over the address it was sent from.",
    16389 NAT_DETECTION_DESTINATION_IP "Hash over the address it was sent to.",
    16390 COOKIE "To be returned in the request that is repeated.",
    16391 USE_TRANSPORT_MODE "The child is to be in transport mode.",
    16392 HTTP_CERT_LOOKUP_SUPPORTED "Certificates by hash and URL.",
    16393 REKEY_SA "The child that the new one replaces, in the SPI.",
    16394 ESP_TFC_PADDING_NOT_SUPPORTED "No padding for traffic flow confidentiality.",
    16395 NON_FIRST_FRAGMENTS_ALSO "Fragments may use the child.",
    16396 MOBIKE_SUPPORTED "Addresses may change (RFC 4555).",
    16397 ADDITIONAL_IP4_ADDRESS "Another address of the sender (RFC 4555).",
    16398 ADDITIONAL_IP6_ADDRESS "Another address of the sender (RFC 4555).",
    16399 NO_ADDITIONAL_ADDRESSES "No other address any more (RFC 4555).",
    16400 UPDATE_SA_ADDRESSES "Use the addresses of this message from now on (RFC 4555).",
    16401 COOKIE2 "To be returned: proof that the peer is reached (RFC 4555).",
    16402 NO_NATS_ALLOWED "The addresses as the sender sees them (RFC 4555).",
    16404 MULTIPLE_AUTH_SUPPORTED "More than one authentication (RFC 4739).",
    16417 EAP_ONLY_AUTHENTICATION "Without a certificate of the responder (RFC 5998).",
    16418 CHILDLESS_IKEV2_SUPPORTED "IKE_AUTH without a child (RFC 6023).",
    16420 IKEV2_MESSAGE_ID_SYNC_SUPPORTED "Message ids may be synchronised (RFC 6311).",
    16430 IKEV2_FRAGMENTATION_SUPPORTED "SKF payloads are understood (RFC 7383).",
    16431 SIGNATURE_HASH_ALGORITHMS "Hashes for signatures, two octets each (RFC 7427).",
    16435 USE_PPK "Post-quantum preshared keys are understood (RFC 8784).",
    16438 INTERMEDIATE_EXCHANGE_SUPPORTED "IKE_INTERMEDIATE is understood (RFC 9242).",
    16441 ADDITIONAL_KEY_EXCHANGE "Link between the exchanges of one rekeying (RFC 9370).",
    40977 KITH_TICKET "Ours: the ticket (source document 001, figure 18); see [`super::Ticket`].",
    40978 KITH_WHEREABOUTS "Ours (private use): where the sender is reached.",
}

impl fmt::Display for NotifyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "notify {}", self.0),
        }
    }
}

impl fmt::Debug for NotifyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
