//! Ids of the compiled P4 program, generated from `p4/compiled/kith.p4info.txt`. None is written by hand.
//!
//! ```text
//! ids::table::SENDER                     id of a table
//! ids::field::sender::SOURCE_MEMBER      a match field: id, name, width
//! ids::action::AUTHORISE                 id of an action
//! ids::param::authorise::ADDRESS         a parameter: id, name, width
//! ids::metadata::packet_in::REASON       metadata of a packet to or from the controller
//! ids::size::SENDER                      entries that the table has room for
//! ```

use crate::proto::config::P4Info;
use prost::Message;
use std::sync::LazyLock;

/// A match field, a parameter or a piece of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its id within the table, action or packet header.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// Its width in bits.
    pub bits: u32,
}

include!(concat!(env!("OUT_DIR"), "/ids.rs"));

/// The P4Info of our program.
pub fn p4info() -> &'static P4Info {
    static INFO: LazyLock<P4Info> = LazyLock::new(|| {
        // The build made these octets from a P4Info it had read; they cannot fail to parse.
        P4Info::decode(&include_bytes!(concat!(env!("OUT_DIR"), "/p4info.bin"))[..]).unwrap_or_default()
    });
    &INFO
}
