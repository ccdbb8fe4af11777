//! Algorithms: which ones, what is agreed with them, and how messages are protected.
//!
//! **Problem.** Two sides with different preferences choose the same algorithms, agree on a secret through a hostile network,
//! and turn it into the keys of both directions without ever using one twice.
//!
//! **Idea.** Few algorithms, all of RFC 8247's first choice: AES-GCM, HMAC-SHA-2, X25519, P-256 and ML-KEM-768 beside them. A key
//! is born in [`IkeKeys`], lives in [`Sealer`], [`Opener`] or `kith_esp::SaKeys`, and is wiped with it.
//!
//! **Picture.**
//!
//! ```text
//!  Ephemeral::offer ─► public ─► peer         IkePreferences::proposals ─► peer
//!  peer's public ─► finish ─► SharedSecret    peer's proposals ─► choose ─► IkeSuite
//!                                 │ nonces, SPIs
//!                                 ▼
//!        IkeKeys: SK_d  SK_ei  SK_er  SK_pi  SK_pr
//!                  │      └──┬──┘       └──┬──┘
//!         child_keys   Sealer, Opener    auth
//! ```
//!
//! **Cost.** X25519 and P-256: some 30 to 100 µs a side. ML-KEM-768: some 30 µs. Keys: ten HMACs. Sealing: one pass.

mod cipher;
mod group;
mod keys;
mod negotiation;
mod offer;
mod prf;
mod sealing;

#[cfg(test)]
mod tests;

pub use cipher::Cipher;
pub use group::{CryptoError, Ephemeral, Group, SharedSecret, answer};
pub use keys::{ChildKeys, IkeKeys, Nonces, Spis};
pub use negotiation::{ChosenEsp, ChosenIke, NoProposal, accept_esp, accept_ike, choose_esp, choose_ike};
pub use offer::{Additional, EspPreferences, EspSuite, IkePreferences, IkeSuite};
pub use prf::{Prf, Secret};
pub use sealing::{Front, OpenError, Opener, Piece, Plain, Sealer};
