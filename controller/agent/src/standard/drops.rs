//! Every packet that leads to nothing has a name.

use std::collections::BTreeMap;

macro_rules! drops {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet went no further.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Drop { $($(#[$doc])* $variant,)* }

        impl Drop {
            const NAMES: &'static [&'static str] = &[$($name),*];
        }
    };
}

drops! {
    /// The adapter gave what is not IPv4, or not whole.
    NotIpv4 = "not_ipv4",
    /// No pair of SAs is for this packet (RFC 4301 5.1: discard).
    NoTunnel = "no_tunnel",
    /// The pair for it takes no more packets.
    Worn = "worn",
    /// A datagram on port 4500 too short for anything.
    Short = "short",
    /// No inbound SA has this SPI.
    UnknownSpi = "unknown_spi",
    /// Not whole, or its tag or padding is wrong.
    NotAuthentic = "not_authentic",
    /// Seen before, or too late to know.
    Replayed = "replayed",
    /// A dummy (RFC 4303 2.6).
    Dummy = "dummy",
    /// What was inside is no IPv4 packet.
    NotTunnelled = "not_tunnelled",
    /// What was inside is not what this pair is for (RFC 4301 5.2 step 4).
    OutsideSelectors = "outside_selectors",
    /// The network did not take it.
    NotSent = "not_sent",
    /// The adapter did not take it.
    NotDelivered = "not_delivered",
}

/// How many packets, for each reason.
#[derive(Default)]
pub(super) struct Drops([u64; Drop::NAMES.len()]);

impl Drops {
    /// One more.
    pub(super) fn count(&mut self, why: Drop) {
        self.0[why as usize] += 1;
    }

    /// All that are not zero.
    pub(super) fn named(&self) -> BTreeMap<&'static str, u64> {
        let named = Drop::NAMES.iter().copied().zip(self.0);
        named.filter(|(_, count)| *count > 0).collect()
    }
}
