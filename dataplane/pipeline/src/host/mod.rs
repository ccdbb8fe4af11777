//! A member's own path: virtual packets in, shim packets out, and back. Used by agents over TUN and UDP sockets, and by
//! gateways over ports.
//!
//! One thread seals and another opens: [`encap::Encap`] owns the outbound security associations, [`decap::Decap`] the
//! inbound ones, and they share only the [`tables::HostTables`] snapshot. [`transport`] is what a gateway does too.

pub mod decap;
pub mod encap;
mod flow;
#[cfg(all(test, not(loom)))]
mod managed_tests;
pub mod tables;
#[cfg(all(test, not(loom)))]
mod tests;
pub mod transport;

use kith_wire::{esp, ipv4, shim};

/// The largest virtual packet that always fits a path of `path_mtu` octets, 0 if the path is too narrow for any.
///
/// Outside go 48 octets of outer headers and shim, 20 of virtual header, 32 of ESP header, IV and ICV, and padding to 4. A
/// fragment travels whole inside ESP behind a virtual header of its own, hence all of it counts as payload.
#[must_use]
pub const fn virtual_mtu(path_mtu: u16) -> u16 {
    const FIXED: u16 =
        (shim::OUTER_OVERHEAD + ipv4::HEADER_LEN + esp::HEADER_LEN + esp::IV_LEN + esp::ICV_LEN) as u16;
    let room = path_mtu.saturating_sub(FIXED);
    (room - room % 4).saturating_sub(esp::TRAILER_LEN as u16)
}

/// The maximum segment size for TCP through such a path: without IPv4 and TCP headers.
pub(crate) const fn mss(path_mtu: u16) -> u16 {
    virtual_mtu(path_mtu).saturating_sub(40)
}
