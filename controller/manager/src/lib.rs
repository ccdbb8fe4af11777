//! The virtual network manager.
#![forbid(unsafe_code)]

pub mod policy;
