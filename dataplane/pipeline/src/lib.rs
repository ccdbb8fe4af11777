//! The packet path: tables, stages, drop reasons, counters.
//!
//! Problem: a route director on NICs, a gateway, and the agent on somebody's laptop must treat a packet in the same way,
//! at very different speeds and on very different buffers. Idea: everything between "a packet came in" and "send it
//! there / hand it up / drop it for this reason" is here, as stages over any buffer that implements [`packet::Packet`]; no
//! I/O, no clock, no allocation, no lock.
//!
//! ```text
//!            ┌── path (dataplane): frames in, frames out ────────────────────────────────────────────────────────────┐
//!            │ director: ethernet ► ipv4 ► own station ► udp ► shim ► sender ► session ► route ► neighbor ► rewrite │
//!  frame ───►│ gateway: lan ► translate ► esp seal ► shim; shim ► esp open ► translate ► lan                        │──► frame
//!            └──────┬─ arp, icmp, control, neighbour miss, no keys: punt ───────────────────────────────────────────┘
//!            ┌── host (agents): virtual packets in, shim packets out, and back ─────────────────────┐
//!  TUN    ───►│ virtual ipv4 ► own source ► member ► mtu ► mss ► esp seal ► shim                     │──► UDP socket
//!  TUN   ◄────│ own destination ◄ source check ◄ esp open ◄ sa ◄ virtual ipv4 ◄ shim                 │◄── UDP socket
//!            └──────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`path`] reads as the way from receive to transmit; so do [`gateway`], [`host::encap`] and [`host::decap`]. The tables are those of the P4 program,
//! under the same names and in the same order: [`tables`], [`schema`]. Every drop is a [`reason::DropReason`]; what goes up to the slow
//! path has a [`reason::PuntReason`]. Costs are measured by `make bench`.
#![forbid(unsafe_code)]

pub mod counters;
mod egress;
pub mod gateway;
pub mod host;
pub mod meter;
pub mod outer;
pub mod packet;
pub mod path;
pub mod reason;
mod receive;
mod relay;
pub mod schema;
mod sync;
pub mod table;
pub mod tables;
pub mod units;

/// Packets that a stage takes at once.
pub const BURST: usize = 32;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Out of this port, as it stands now.
    Transmit(units::PortIndex),
    /// Up to the slow path, untouched, for this reason.
    Punt(reason::PuntReason),
    /// Gone, counted under this name.
    Drop(reason::DropReason),
    /// For this worker, which has the security association: untouched, and counted nowhere yet.
    HandOver(units::WorkerIndex),
}
