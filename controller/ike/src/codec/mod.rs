//! Octets to typed, owned payloads and back. No cryptography.
//!
//! **Problem.** Whoever can send a datagram can send any octets; a length that lies, a count that is too large or a chain without
//! end must cost nothing and break nothing.
//!
//! **Idea.** One bounded reader (`reader.rs`) that checks before it gives, and refusals that say what was wrong and where. What
//! the encoder makes, the parser takes, and it gives the same values back. What we do not know is kept, not guessed at:
//! [`Payload::Unknown`], [`Protocol::Other`], [`Range::Other`].
//!
//! **Picture.** RFC 7296 3.1 and 3.2:
//!
//! ```text
//!  0               1               2               3
//! +-------------------------------+-------------------------------+
//! |                   initiator's SPI (8 octets)                  |
//! |                   responder's SPI (8 octets)                  |
//! +---------------+-------+-------+---------------+---------------+
//! | next payload  | major | minor | exchange type | x x R V I x x |
//! +---------------+-------+-------+---------------+---------------+
//! |                           message id                          |
//! |              length of the whole message, octets              |
//! +---------------+-+-------------+-------------------------------+ ─┐
//! | next payload  |C|  reserved   |  length of this payload       |  │ at most MAX_PAYLOADS times
//! |                    what the payload says                      |  │
//! +---------------------------------------------------------------+ ─┘
//! ```
//!
//! **Cost.** One pass, one copy of each payload's octets, allocations bounded by [`limits`] and by the datagram's length.

mod header;
mod identity;
mod message;
mod notify;
mod payload;
mod proposal;
mod reader;
mod selector;
mod ticket;

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;

pub use header::{Exchange, HEADER_LEN, Header, IkeSpi, MessageId};
pub use identity::Identity;
pub use message::{
    Body, Datagram, Fragment, GENERIC_LEN, Sealed, encode_chain, encode_clear, parse, parse_chain,
};
pub use notify::{Notify, NotifyKind};
pub use payload::{Delete, KeyExchange, Payload, PayloadKind};
pub use proposal::{Proposal, Protocol, Transform, TransformKind};
pub use reader::{Fault, Malformed};
pub use selector::{Range, Selector};
pub use ticket::Ticket;

/// What one message may hold at most: more is refused before it is kept.
pub mod limits {
    /// Payloads of a message.
    pub const PAYLOADS: usize = 64;
    /// Proposals of a security association payload.
    pub const PROPOSALS: usize = 16;
    /// Transforms of a proposal.
    pub const TRANSFORMS: usize = 64;
    /// Selectors of a traffic selector payload.
    pub const SELECTORS: usize = 64;
    /// SPIs of a delete payload.
    pub const SPIS: usize = 64;
    /// Octets of a nonce, least and most (RFC 7296 3.9).
    pub const NONCE: std::ops::RangeInclusive<usize> = 16..=256;
}
