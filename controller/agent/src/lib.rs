//! Member agent: virtual adapter, director session, keys, encrypted datapath.
//!
//! Problem: programs on an ordinary computer should reach the other members of their community by virtual address, over
//! NATs and other people's networks, without noticing. Idea: a TUN adapter, one UDP socket, the packet path of
//! `kith-pipeline` between them, and beside it one thread that agrees on keys and keeps the director session.
//!
//! ```text
//!  applications ── TUN ──► datapath::outbound ──► UDP 20202 ──► director or member
//!                  TUN ◄── datapath::inbound  ◄── UDP 20202 ◄──
//!                               ▲ commands │ notes
//!                          control: keying, session, members ◄── status socket
//!                               ▲ orders │ reports
//!                          the manager's client, or a configuration file instead
//! ```
#![forbid(unsafe_code)]

pub mod agent;
pub mod clock;
pub mod commands;
pub mod config;
pub mod control;
pub mod datapath;
pub mod directory;
pub mod dns;
pub mod entropy;
pub mod envelope;
pub mod gateway;
pub mod keying;
pub mod lans;
pub mod link;
pub mod managed;
pub mod manager;
pub mod members;
pub mod orders;
pub mod server;
pub mod session;
pub mod standard;
pub mod state;
pub mod status;
pub mod supervisor;
pub mod tunnel;
