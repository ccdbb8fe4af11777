//! ESP in transport mode: security associations, AEAD, sequence numbers, replay window, lifetimes.
//!
//! **Problem.** Virtual IPv4 packets cross networks whose operators must read, change, replay or invent none of them, at a
//! cost close to that of the cipher alone.
//!
//! **Idea.** RFC 4303 with AES-GCM (RFC 4106) and extended sequence numbers; short ones for standard peers that have no others
//! ([`Numbers`]). An SA has one direction and one owner:
//! [`Outbound`] makes the nonces itself, [`Inbound`] gives a [`ReplayToken`] that only its own `commit` takes, after the
//! caller has checked who the packet claims to be from. Everything works in place on slices; time is passed in.
//!
//! **Picture.** What [`Outbound::seal_in_place`] makes of a payload, and [`Inbound::open_in_place`] takes:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+ ─┐        ─┐
//! |               security parameters index (SPI)                 |  │ AAD,    │ HEADER_LEN
//! +---------------------------------------------------------------+  │ with    │ octets
//! |        sequence number, low 32 bits (high 32: AAD only)       |  │ high 32 │
//! +---------------------------------------------------------------+ ─┘ bits    │
//! |        initialisation vector: the 64-bit sequence number      |            │
//! |                                                               |            │
//! +---------------------------------------------------------------+ ─┐        ─┘
//! |                     payload (any length)                      |  │ encrypted
//! |               +-----------------------------------------------+  │
//! |               |  padding 1, 2, 3  |  pad length | next header |  │
//! +---------------------------------------------------------------+ ─┘
//! |                integrity check value, ICV_LEN octets          |
//! +---------------------------------------------------------------+
//! ```
//!
//! **Cost.** No allocation, lock, system call or clock per packet; one pass over the payload (the cipher's). State per
//! inbound SA is 1 KiB of window; [`RestingInbound`] keeps less of it between packets. `benches/esp.rs` measures the whole against the cipher alone, `benches/aead.rs` chose
//! the cipher.
//!
//! **Not here.** Finding the SA from the SPI, IP headers, the packet inside in tunnel mode, and recovery after more than 2^32 packets lost in a row (RFC 4303 A3).
#![forbid(unsafe_code)]

pub mod aead;
mod error;
mod ids;
mod inbound;
mod keys;
mod layout;
mod lifetime;
mod outbound;
mod replay;
mod resting;
#[cfg(test)]
mod rfc4106_vectors;

pub use aead::DefaultAead;
pub use error::{CommitError, OpenError, SealError};
pub use ids::{Numbers, ReservedSpi, SeqNo, Spi};
pub use inbound::{Inbound, Opened, ReplayToken};
pub use keys::{BadKeyLength, Key, SaKeys, Salt};
pub use layout::{HEADER_LEN, ICV_LEN, MAX_PAYLOAD, MAX_SEALED, MIN_SEALED, NO_NEXT_HEADER, sealed_overhead};
pub use lifetime::{Bounds, Lifetime, Limits, LooseLimits, Millis, Usage};
pub use outbound::{Outbound, Sealed};
pub use replay::{Recent, ReplayError, ReplayWindow};
pub use resting::{RestingInbound, RestingOutbound};
