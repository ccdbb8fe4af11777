//! Why a packet was refused: one variant a reason, so that each maps to a named drop.

use crate::replay::ReplayError;

/// Why a packet was not sealed. The packet is unchanged, but for [`SealError::Cipher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The buffer lacks the 16 octets before the payload, the room behind it, or the payload itself.
    #[error("no room: leave 16 octets before the payload and the rest of sealed_overhead() behind it")]
    NoRoom,
    /// Longer than an IPv4 packet can carry once sealed.
    #[error("payload of more than {} octets", crate::MAX_PAYLOAD)]
    TooLong,
    /// A hard limit of the SA is reached: only a new SA helps.
    #[error("SA expired: a hard lifetime limit is reached, rekey")]
    Expired,
    /// All 2^64 - 1 sequence numbers are used (RFC 4303 3.3.3: the counter must never cycle).
    #[error("SA used its last sequence number, rekey")]
    SequenceExhausted,
    /// The back end refused to encrypt; the payload was wiped, its sequence number is spent.
    #[error("cipher failed, the payload is wiped")]
    Cipher,
}

/// Why a packet was not opened. Nothing of the SA has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than any ESP packet.
    #[error("truncated: shorter than {} octets", crate::MIN_SEALED)]
    Truncated,
    /// Not whole four-octet words (RFC 4303 2.4), or longer than an IPv4 packet can carry.
    #[error("ESP packet length is not a multiple of 4, or above {}", crate::MAX_SEALED)]
    BadLength,
    /// The packet's SPI is not this SA's: the caller looked it up wrongly.
    #[error("SPI of another SA")]
    WrongSpi,
    /// A hard limit of the SA is reached.
    #[error("SA expired: a hard lifetime limit is reached")]
    Expired,
    /// This sequence number was accepted before.
    #[error("replayed sequence number")]
    Replayed,
    /// Left of the replay window, or no sequence number at all. Rare: with extended sequence numbers most late packets
    /// are taken for ones 2^32 ahead (RFC 4303 A2) and end as [`OpenError::BadTag`].
    #[error("sequence number left of the replay window")]
    TooOld,
    /// Forged, damaged, or so late that its number was misread. Everything behind the header is wiped.
    #[error("integrity check failed")]
    BadTag,
    /// Authentic, but its padding is not 1, 2, 3... or longer than the packet. Everything behind the header is wiped.
    #[error("padding is not as RFC 4303 2.4 demands")]
    BadPadding,
}

/// Why an opened packet was not accepted after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A copy was committed between this packet's opening and now.
    #[error("replayed sequence number")]
    Replayed,
    /// The window moved past this packet between its opening and now.
    #[error("sequence number left of the replay window")]
    TooOld,
    /// The token came from another SA.
    #[error("replay token of another SA")]
    ForeignToken,
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Replayed => Self::Replayed,
            ReplayError::TooOld => Self::TooOld,
        }
    }
}

impl From<ReplayError> for CommitError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Replayed => Self::Replayed,
            ReplayError::TooOld => Self::TooOld,
        }
    }
}
