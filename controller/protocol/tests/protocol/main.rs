//! The protocol's promises, one file a subject.

mod envelopes;
mod facts;
mod golden;
mod invitations;
mod registration;
mod secrets;
mod tickets;
mod tls;

use kith_protocol::secret::Secret32;

/// Octets that count on: reproducible, and never the same twice.
pub struct Counting(u8);

impl Counting {
    /// From here on.
    pub fn from(first: u8) -> Self {
        Self(first)
    }

    /// As [`kith_protocol::Rng`].
    pub fn rng(&mut self) -> impl FnMut(&mut [u8]) + '_ {
        |out| {
            for octet in out {
                *octet = self.0;
                self.0 = self.0.wrapping_add(1);
            }
        }
    }
}

/// A secret of one octet 32 times.
pub fn secret(octet: u8) -> Secret32 {
    Secret32::new([octet; 32])
}
