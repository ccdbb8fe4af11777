//! Member agent: virtual adapter, director session, keys, encrypted datapath.
#![forbid(unsafe_code)]

pub mod config;
pub mod status;
