//! Proofs of identity in IKE_AUTH: shared secrets, Ed25519 and ECDSA P-256 signatures, certificates.
//!
//! **Problem.** After IKE_SA_INIT each side shares keys with somebody. Who that is, and that nobody stood in between, is proved
//! over exactly the octets that both saw.
//!
//! **Idea.** [`signed_octets`] binds a side's first message, the other's nonce and its own identity; [`OwnProof::prove`] and
//! [`PeerProof::check`] are the two ends of a proof over it. Who is checked how is decided by us, never by what the peer sends:
//! a peer with a [`PeerProof::Psk`] cannot authenticate by a certificate. Every refusal has a name for operators
//! ([`AuthError`]); the peer hears AUTHENTICATION_FAILED whatever it was.
//!
//! **Picture.** RFC 7296 2.15, RFC 9242 3.3.2:
//!
//! ```text
//!  own IKE_SA_INIT message │ other's nonce │ prf(SK_p, own identification) │ IntAuth_i │ IntAuth_r │ message id
//!  └───────────────────────── signed octets ─────────────────────────────┘└─ after IKE_INTERMEDIATE only ─┘
//! ```
//!
//! **Cost.** A proof by secret: three HMACs. A signature: some 20 to 100 µs. A chain: a signature for each certificate, four at most.

mod certificate;
mod error;
mod octets;
mod proof;
mod signature;

#[cfg(test)]
mod tests;

pub use certificate::{Anchors, MAX_CERTIFICATE, MAX_CHAIN};
pub use error::AuthError;
pub use octets::{IntAuth, signed_octets};
pub use proof::{METHOD_ECDSA_256, METHOD_PSK, METHOD_SIGNATURE, OwnProof, PeerProof};
pub use signature::{HASH_IDENTITY, HASH_SHA2_256, PublicKey, SigningKey};
