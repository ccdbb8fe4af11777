//! Headers and checksums of everything Kith puts on or takes off a wire.
//!
//! The problem: lengths and fields that come from the network are lies until they are checked against the frame that
//! really arrived. The idea: each header is a plain `#[repr(C)]` struct of big-endian fields, laid over bytes by
//! `zerocopy`, and reached only through a `parse` that compares every length with the real slice and names what is
//! wrong. Nothing here does I/O, allocates or panics.
//!
//! A packet between two members, as it crosses the public network (source document 001, figure 6A):
//!
//! ```text
//!  14            20            8            20         20            8     8     n        0-3  1   1    16
//! +----------+---------------+------------+----------+-------------+-----+-----+--------+-----+---+----+-----+
//! | Ethernet | outer IPv4    | UDP 20202  | shim     | virtual IPv4| SPI | IV  | payload| pad |len|next| ICV |
//! |          | DF            |            |          | protocol 50 | seq |     |        |     |   |    |     |
//! +----------+---------------+------------+----------+-------------+-----+-----+--------+-----+---+----+-----+
//!                                                                  <--auth--->  <----- encrypted ----->
//! ```
//!
//! Costs: a parse is a handful of compares; a full IPv4 header check is one 20-octet sum.
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod control;
pub mod esp;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ping;
pub mod shim;
pub mod tcp;
pub mod udp;

/// Bytes that are no header of the kind asked for, and why.
///
/// Each variant is a reason a packet can be dropped for; `kith-pipeline` counts them under the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The frame ends before the header does.
    #[error("the frame ends before the header does")]
    Truncated,
    /// The version field names another protocol version.
    #[error("unknown version")]
    Version,
    /// A length field disagrees with the frame or with itself.
    #[error("a length field disagrees with the frame")]
    Length,
    /// The header's checksum is wrong.
    #[error("wrong checksum")]
    Checksum,
    /// An IPv4 header with options, which nothing of ours sends.
    #[error("IPv4 options are not accepted")]
    Options,
    /// A fragment of a packet; the path carries whole packets only.
    #[error("a fragment")]
    Fragment,
    /// A field holds a value that the protocol does not define.
    #[error("undefined field value")]
    Field,
}
