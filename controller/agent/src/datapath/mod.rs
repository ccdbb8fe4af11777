//! The host datapath: virtual adapter and UDP socket around the pipeline's host path, with offloads on both sides.
//!
//! Problem: a system call and a walk through the kernel's stacks for every packet of 1,400 octets cost several times what
//! encryption does. Idea: move up to 64 KiB per call on all four edges; between them packets stay in one buffer.
//!
//! ```text
//!  outbound thread   read 64 KiB ─► segment ─► seal each in place ─► train ─► one sendmsg (UDP_SEGMENT)
//!                    (IFF_VNET_HDR, TSO)                                       │ network
//!  inbound thread    one writev ◄─ coalesce ◄─ open each in place ◄─ chunks ◄─ one recvmsg (UDP_GRO)
//!  control thread    keys, members, director session, status: commands to both through channels, notes from both
//! ```
//!
//! Each thread owns its keys; tables arrive as snapshots; counters have one writer. Nothing here allocates per packet,
//! but for packets that wait for keys or members, and messages to the control thread.

pub mod coalesce;
pub mod hold;
pub mod inbound;
pub mod outbound;
pub mod route;
pub mod segment;
pub mod shared;
mod sum;
pub mod train;
pub mod tun;
pub mod udp;
