//! The secrets of the channel inside the tunnel, between a member and its manager (source document 001, figure 13).
//!
//! ```text
//!  join    = HKDF-SHA-256(X25519, salt SHA-256(member seed) | SHA-256(manager seed), info "kith join 1" | len u16 | fqdn | run id)
//!  refresh = HKDF-SHA-256(X25519, the same salt, info "kith refresh 1" | len u16 | fqdn | run id)
//!  keys    = HKDF-SHA-256(secret, info "kith channel 1" | direction u8), 36 octets: AES-256 key, 32 | salt, 4 (RFC 4106 8.1)
//! ```
//!
//! Keys never outlive a restart of either side: counters are nonces, and a lost counter would repeat one. Who restarts, or connects anew, refreshes
//! first. A refresh is a new exchange alone: nothing old is needed, and who learns an old secret learns nothing.

use crate::crypto;
use crate::secret::Secret32;
use crate::share::{BadShare, KeyShare};
use zeroize::Zeroizing;

/// What both seeds of an exchange are, and whom it is with.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The member's random seed.
    pub member_seed: &'a [u8],
    /// The manager's random seed.
    pub manager_seed: &'a [u8],
    /// The member's name.
    pub fqdn: &'a str,
    /// This run of the agent.
    pub run_id: &'a [u8],
}

/// From which the channel's keys come.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelSecret(Secret32);

/// Keys of one direction: AES-256-GCM in ESP.
pub struct DirectionKeys {
    /// The key.
    pub key: Secret32,
    /// The salt in front of every nonce (RFC 4106 section 4).
    pub salt: [u8; 4],
}

/// Keys of both directions.
pub struct ChannelKeys {
    /// The member seals, the manager opens.
    pub to_manager: DirectionKeys,
    /// The manager seals, the member opens.
    pub to_member: DirectionKeys,
}

/// The secret of a join.
///
/// # Errors
/// If the other side's share gives no secret.
pub fn join_secret(
    ours: &KeyShare,
    theirs: &[u8],
    exchange: Exchange<'_>,
) -> Result<ChannelSecret, BadShare> {
    secret(b"kith join 1", ours, theirs, exchange)
}

/// The secret of a refresh.
///
/// # Errors
/// If the other side's share gives no secret.
pub fn refresh_secret(
    ours: &KeyShare,
    theirs: &[u8],
    exchange: Exchange<'_>,
) -> Result<ChannelSecret, BadShare> {
    secret(b"kith refresh 1", ours, theirs, exchange)
}

impl ChannelSecret {
    /// As it was kept.
    #[must_use]
    pub fn from_secret(secret: Secret32) -> Self {
        Self(secret)
    }

    /// The octets.
    #[must_use]
    pub fn secret(&self) -> &Secret32 {
        &self.0
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> ChannelKeys {
        ChannelKeys {
            to_manager: self.direction(1),
            to_member: self.direction(2),
        }
    }

    fn direction(&self, direction: u8) -> DirectionKeys {
        let mut octets = Zeroizing::new([0; 36]);
        crypto::hkdf_into(
            &[],
            self.0.expose(),
            &[b"kith channel 1", &[direction]],
            octets.as_mut_slice(),
        );
        DirectionKeys {
            key: Secret32::new(std::array::from_fn(|at| octets[at])),
            salt: std::array::from_fn(|at| octets[32 + at]),
        }
    }
}

fn secret(
    label: &[u8],
    ours: &KeyShare,
    theirs: &[u8],
    with: Exchange<'_>,
) -> Result<ChannelSecret, BadShare> {
    // Hashed, so that seeds of odd lengths cannot be split in another way.
    let salt = [
        crypto::sha256(&[with.member_seed]),
        crypto::sha256(&[with.manager_seed]),
    ]
    .concat();
    let info = [
        label,
        &crypto::name_len(with.fqdn),
        with.fqdn.as_bytes(),
        with.run_id,
    ];
    ours.agree(theirs, |shared| ChannelSecret(crypto::hkdf(&salt, shared, &info)))
}
