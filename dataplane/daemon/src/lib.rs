//! `kith-dataplane`: workers, slow path, statistics.
//!
//! Problem: packets must be relayed by threads that never wait, while ARP, ICMP, director messages, tables, a journal and people
//! with questions need threads that do. Idea: two kinds of thread, and between them only rings and snapshots.
//!
//! ```text
//!            ┌───────────────────── worker, one a CPU ─────────────────────┐
//!  port ────►│ rx burst ► pipeline::relay ─┬─ transmit ► tx burst          │────► port
//!   …        │                             ├─ drop: counted                │       …
//!            └──────▲──────────────────────┼───────────────▲───────────────┘
//!                   │ snapshot of tables   ▼ ring up       │ ring down
//!            ┌──────┴──────────────────────────────────────┴───────────────┐
//!            │ slow path: ARP, ICMP, path MTU, director sessions, journal  │
//!            └──────────────────────────────▲──────────────────────────────┘
//!                                           │ lock, only between these two
//!                              statistics socket: JSON lines
//! ```
//!
//! [`worker`] reads as the path of a packet, and can be driven without the rest. [`slow`] is sans-I/O, on any packet buffer.
//! [`dataplane`] puts everything together and takes it apart.
//!
//! Costs: a worker adds to the relay two burst calls and a sort of verdicts; no lock, allocation, syscall or log. Only
//! a worker that finds nothing may sleep, if so configured.
#![forbid(unsafe_code)]

pub mod clock;
pub mod dataplane;
pub mod journal;
pub mod link;
pub mod neighbor;
pub mod slow;
pub mod stats;
pub mod worker;
