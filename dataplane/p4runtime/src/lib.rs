//! P4Runtime v1 for Kith's dataplane: messages, typed entries, service, client.
#![forbid(unsafe_code)]

pub mod association;
pub mod client;
pub mod entry;
pub mod ids;
pub mod packet;
pub mod proto;
pub mod query;
mod resource;
pub mod service;
pub mod status;
pub mod target;
pub mod update;
