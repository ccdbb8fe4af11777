//! `kith-dataplane`: workers, slow path, statistics.
//!
//! Problem: packets must be forwarded by threads that never wait, while ARP, ICMP, controllers that write tables and people
//! with questions need threads that do. Idea: two kinds of thread, and between them only rings and snapshots.
//!
//! ```text
//!            ┌───────────────────── worker, one a CPU ─────────────────────┐
//!  port ────►│ rx burst ► pipeline ────────┬─ transmit ► tx burst          │────► port
//!   …        │                             ├─ drop: counted                │       …
//!            └──────▲──────────────────────┼───────────────▲───────────────┘
//!                   │ snapshot of tables   ▼ ring up       │ ring down
//!            ┌──────┴──────────────────────────────────────┴───────────────┐
//!            │ slow path: ARP, ICMP, path MTU                              │
//!            └──────▲───────────────────▲──────────────────▲───────────────┘
//!                   │ tables            │ packet-in, -out  │ lock, only between these three
//!                   P4Runtime: Unix socket, TCP with TLS   statistics socket: JSON lines
//! ```
//!
//! Of several workers one has a security association: the others hand its packets over by rings between workers. Keys come to it from P4Runtime
//! as orders in boxes, which it obeys between bursts and sends back.
//!
//! [`worker`] reads as the path of a packet, and can be driven without the rest. [`slow`] is sans-I/O, on any packet buffer.
//! [`dataplane`] puts everything together and takes it apart.
//!
//! Costs: a worker adds to the relay two burst calls and a sort of verdicts; no lock, allocation, syscall or log. Only
//! a worker that finds nothing may sleep, if so configured.
#![forbid(unsafe_code)]

pub mod clock;
pub mod control;
pub mod controllers;
pub mod dataplane;
pub mod neighbor;
pub mod slow;
pub mod stats;
pub mod worker;
