//! What the dataplane and the tools around it say to each other, without linking DPDK.
//!
//! ```text
//!  kith lab ── writes ──► config::Config (YAML) ── read by ──► kith-dataplane
//!  kith dataplane stats ── client::Client ── one JSON object a line, Unix socket ──► kith-dataplane
//! ```
//!
//! [`config`] is the file, [`stats`] what the socket speaks, [`client`] a blocking client for it. Shared with kith-controller:
//! [`socket`], a Unix socket's place; [`lines`], questions and answers over it; [`service`], the shell of a daemon; and how
//! [`config`] reads files and collects mistakes.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
pub mod lines;
pub mod service;
pub mod socket;
pub mod stats;
