//! The messages of the standard, generated from `proto/`.
//!
//! The modules nest as the packages do, for generated code refers to its neighbours by relative paths.
#![allow(missing_docs, clippy::all, rustdoc::all)]

/// `google.rpc`: the detailed status of a call.
pub mod google {
    /// `google.rpc`.
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google.rpc.rs"));
    }
}

/// `p4`: P4Runtime and P4Info.
pub mod p4 {
    /// `p4.v1`: the service and its messages.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/p4.v1.rs"));
    }
    /// `p4.config`.
    pub mod config {
        /// `p4.config.v1`: P4Info.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/p4.config.v1.rs"));
        }
    }
}

/// `kith`: contents of our extern instances.
mod kith_messages {
    /// `kith.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kith.v1.rs"));
    }
}

mod secret;

pub use google::rpc;
pub use kith_messages::v1 as kith;
pub use p4::{config::v1 as config, v1};
