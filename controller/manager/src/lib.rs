//! The virtual network manager.
#![forbid(unsafe_code)]

pub mod dns;
pub mod inband;
pub mod core;
pub mod core;
pub mod dns;
pub mod mail;
pub mod metrics;
pub mod serve;
pub mod policy;
