//! What members, managers and operators say to each other, and the cryptography of it.
//!
//! The patent's registration, join, tickets and DNS facts (source document 001, figures 11 to 18) with the algorithms of today: HMAC-SHA-256 for
//! HMAC-SHA-1, X25519 for Diffie-Hellman, Argon2id for a hashed password, AES-256-GCM for what is sealed, TLS 1.3 for the HTTP wrapper.
//!
//! ```text
//!  invitation ─► password ─Argon2id─► PasswordKey ──► authenticator of Register, Confirm      (figure 12)
//!  X25519 ─HKDF─► FileKey ──► sealed registration file ──► token key
//!  token key ─HKDF─► AuthKey ───► authenticator of Init, Join, Move, …                        (figure 13)
//!            └─HKDF─► TicketKey ► tickets for us, keys for us                                 (figures 15, 18)
//!  X25519 ─HKDF─► ChannelSecret ─► keys of the channel inside the tunnel
//! ```
//!
//! Everything but [`tls`] is pure: no I/O, no clock, randomness comes in as [`Rng`].
#![forbid(unsafe_code)]

pub mod attendance;
pub mod authenticator;
pub mod call;
pub mod facts;
pub mod heartbeat;
pub mod identity;
pub mod invitation;
pub mod join;
pub mod letter;
pub mod names;
pub mod registration;
pub mod replay;
pub mod secret;
pub mod share;
pub mod ticket;
pub mod tls;

mod crypto;
mod octets;

/// Fills the slice with random octets, good for keys. Passed in, so that whoever simulates decides.
pub type Rng<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Messages between a member and its manager.
#[allow(missing_docs, clippy::all)]
pub mod member {
    tonic::include_proto!("kith.member.v1");
}

/// What the manager keeps in its store.
#[allow(missing_docs, clippy::all)]
pub mod records {
    tonic::include_proto!("kith.store.v1");
}

/// Messages between an operator and a manager.
#[allow(missing_docs, clippy::all)]
pub mod admin {
    tonic::include_proto!("kith.admin.v1");
}

/// Messages between a route director in another process and its manager.
#[allow(missing_docs, clippy::all)]
pub mod director {
    tonic::include_proto!("kith.director.v1");
}
