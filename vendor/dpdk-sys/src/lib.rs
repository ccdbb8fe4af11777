//! Raw bindings to the system's DPDK, 22.11 or newer.
//!
//! # How it is made
//!
//! ```text
//!  libdpdk.pc ── pkg-config ──► version check, what to link, all compiler flags (-march, -include rte_config.h)
//!  wrapper.h  ── bindgen ─────► bindings.rs   types, constants, exported functions, layout assertions
//!                     └───────► inlines.c     one callable function per static inline  ── cc ──► static library
//!  probe.c    ── cc ──────────► the layout of rte_mbuf as the C compiler sees it, compared in tests/layout.rs
//! ```
//!
//! DPDK's fast path (`rte_eth_rx_burst`, `rte_pktmbuf_alloc`, ring operations) is static inline functions in headers.
//! `wrap_static_fns` gives each an exported twin that the C compiler inlines it into, so a burst of 32 packets costs one
//! extra direct call. Fields that are touched for each packet are read and written in Rust directly, through
//! `dpdk_sys_mbuf`, a flat mirror of `rte_mbuf` whose offsets both compilers assert.
//!
//! Only what `kith-dpdk` uses is allow-listed (see `build.rs`): the list is short on purpose.
//!
//! # Drivers
//!
//! Debian's libdpdk is shared: drivers (buses, `net_null`, `net_af_packet`, the ring mempool) are plugins that `rte_eal_init`
//! loads from the folder compiled into libdpdk. Nothing has to be linked for them. Against a static libdpdk, drivers
//! would have to be linked whole; this crate does not do that.
//!
//! # Naming
//!
//! Constants that DPDK makes with macros taking arguments cannot be translated; `wrapper.h` restates them with the prefix
//! `DPDK_` in place of `RTE_`. `dpdk_sys_errno()` is the macro `rte_errno`.

#![no_std]

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

#[doc(hidden)]
pub mod probe {
    //! What `probe.c` measured; for the layout tests.
    unsafe extern "C" {
        /// Size, alignment, and field offsets of `rte_mbuf`, in the order of `probe.c`.
        pub safe static dpdk_sys_probe_mbuf: [usize; 16];
        /// The word `tx_offload` with these lengths in its bit fields.
        pub safe fn dpdk_sys_probe_tx_offload(l2_len: u32, l3_len: u32, l4_len: u32) -> u64;
    }
}
