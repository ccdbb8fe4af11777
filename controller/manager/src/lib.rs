//! The virtual network manager.
#![forbid(unsafe_code)]

pub mod admin;
pub mod core;
pub mod dns;
pub mod inband;
pub mod mail;
pub mod metrics;
pub mod policy;
pub mod serve;
