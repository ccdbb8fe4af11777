//! Keys of one direction as they were agreed on, before anything is sealed or opened with them.

use kith_esp::{Inbound, Limits, Millis, Outbound, SaKeys, Spi};

/// What makes one security association. It cannot be copied, so it makes only one: in this process, or in a dataplane.
pub struct NewKeys {
    /// Its SPI.
    pub spi: Spi,
    /// Cipher, key and salt.
    pub keys: SaKeys,
    /// How long it lives.
    pub limits: Limits,
    /// Since when.
    pub since: Millis,
}

impl NewKeys {
    /// To open with.
    #[must_use]
    pub fn inbound(self) -> Inbound {
        Inbound::new(self.spi, self.keys, self.limits, self.since)
    }

    /// To seal with.
    #[must_use]
    pub fn outbound(self) -> Outbound {
        Outbound::new(self.spi, self.keys, self.limits, self.since)
    }
}
