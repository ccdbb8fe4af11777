//! The virtual network manager.
#![forbid(unsafe_code)]

pub mod admin;
pub mod core;
pub mod policy;
