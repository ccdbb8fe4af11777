//! The virtual network manager.
#![forbid(unsafe_code)]

pub mod dns;
pub mod inband;
pub mod core;
