//! The virtual network manager.
#![forbid(unsafe_code)]

pub mod core;
pub mod policy;
