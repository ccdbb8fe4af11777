//! The two halves of one exchange: what the initiator keeps until the response, and how either message is made and read.

use super::message::{Kind, LEN, Message, Unauthenticated, Whereabouts};
use super::secrets::{AgreedKeys, Ephemeral, PairSecret, Roles};
use crate::config::Cipher;
use kith_esp::Spi;

/// What makes a message of ours.
pub(super) struct Half {
    pub(super) cipher: Cipher,
    pub(super) timestamp: u64,
    pub(super) spi: Spi,
    pub(super) location: Option<Whereabouts>,
    pub(super) nonce: [u8; 32],
    pub(super) ephemeral: Ephemeral,
}

/// An initiation of ours that waits for its response.
pub(super) struct Initiated {
    pub(super) octets: [u8; LEN],
    pub(super) timestamp: u64,
    pub(super) spi: Spi,
    cipher: Cipher,
    ephemeral: Ephemeral,
}

/// What an exchange gives one side.
pub(super) struct Agreed {
    pub(super) keys: AgreedKeys,
    /// SPI that the other side receives on.
    pub(super) their_spi: Spi,
    /// Where the other side says it is.
    pub(super) location: Option<Whereabouts>,
}

impl Initiated {
    pub(super) fn new(secret: &PairSecret, roles: Roles, half: Half) -> Self {
        let octets = half
            .message(Kind::Initiation)
            .encode(|covered| secret.authenticator(roles, None, covered));
        Self {
            octets,
            timestamp: half.timestamp,
            spi: half.spi,
            cipher: half.cipher,
            ephemeral: half.ephemeral,
        }
    }

    /// Checks a response and finishes; gives the initiation back if the response is not for it.
    pub(super) fn finish(
        self,
        secret: &PairSecret,
        roles: Roles,
        response: Unauthenticated,
    ) -> Result<Agreed, Self> {
        let verify = |covered: &[u8], tag: &[u8]| secret.verify(roles, Some(&self.octets), covered, tag);
        let Some((message, octets)) = response.authenticate(verify) else {
            return Err(self);
        };
        let good = message.timestamp == self.timestamp && strength(message.cipher) >= strength(self.cipher);
        let (true, Ok(their_spi)) = (good, Spi::new(message.spi)) else {
            return Err(self);
        };
        let transcript = [&self.octets, &octets];
        match secret.agree(&self.ephemeral, &message, roles, transcript, message.cipher) {
            Some(keys) => Ok(Agreed {
                keys,
                their_spi,
                location: message.location,
            }),
            None => Err(self),
        }
    }
}

impl Half {
    /// Answers an authentic initiation with this half: the response, and what was agreed.
    pub(super) fn answer(
        mut self,
        secret: &PairSecret,
        roles: Roles,
        initiation: (&Message, &[u8; LEN]),
    ) -> Option<([u8; LEN], Agreed)> {
        let (message, octets) = initiation;
        let their_spi = Spi::new(message.spi).ok()?;
        // Both sides may be configured differently: the stronger cipher wins.
        if strength(message.cipher) > strength(self.cipher) {
            self.cipher = message.cipher;
        }
        self.timestamp = message.timestamp;
        let response = self
            .message(Kind::Response)
            .encode(|covered| secret.authenticator(roles, Some(octets), covered));
        let keys = secret.agree(&self.ephemeral, message, roles, [octets, &response], self.cipher)?;
        let agreed = Agreed {
            keys,
            their_spi,
            location: message.location,
        };
        Some((response, agreed))
    }

    fn message(&self, kind: Kind) -> Message {
        Message {
            kind,
            cipher: self.cipher,
            timestamp: self.timestamp,
            spi: self.spi.get(),
            location: self.location,
            nonce: self.nonce,
            public_key: self.ephemeral.public(),
        }
    }
}

fn strength(cipher: Cipher) -> u8 {
    match cipher {
        Cipher::Aes128Gcm => 1,
        Cipher::Aes256Gcm => 2,
    }
}
