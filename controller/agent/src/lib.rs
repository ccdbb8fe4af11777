//! Member agent: virtual adapter, director session, keys, encrypted datapath.
#![forbid(unsafe_code)]

pub mod config;
pub mod envelope;
pub mod keying;
pub mod status;
