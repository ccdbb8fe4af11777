//! The cipher of IKE messages and of ESP packets: AES-GCM with a tag of 16 octets (RFC 5282, RFC 4106).

/// An authenticated cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-GCM with a key of 128 bits.
    Aes128Gcm16,
    /// AES-GCM with a key of 256 bits.
    Aes256Gcm16,
}

impl Cipher {
    /// Transform id of both: ENCR_AES_GCM_16.
    pub const ID: u16 = 20;
    /// Octets of a tag.
    pub(crate) const TAG: usize = 16;
    /// Octets of an initialisation vector on the wire.
    pub(crate) const IV: usize = 8;
    /// Octets of salt after each key (RFC 4106 8.1, RFC 5282 7.1).
    pub(crate) const SALT: usize = 4;

    /// Its key length attribute.
    #[must_use]
    pub fn key_bits(self) -> u16 {
        match self {
            Self::Aes128Gcm16 => 128,
            Self::Aes256Gcm16 => 256,
        }
    }

    /// Its name as operators know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm16 => "AES-128-GCM",
            Self::Aes256Gcm16 => "AES-256-GCM",
        }
    }

    /// Octets of key material for one direction: key and salt.
    #[must_use]
    pub fn keymat_len(self) -> usize {
        usize::from(self.key_bits() / 8) + Self::SALT
    }
}
