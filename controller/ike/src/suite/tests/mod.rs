//! What the algorithms promise, against the vectors of their RFCs and against an independent implementation.

mod groups;
mod keys;
mod negotiation;
mod sealing;

use super::*;
use crate::codec::IkeSpi;
use data_encoding::HEXLOWER;

pub(super) fn hex(octets: &[u8]) -> String {
    HEXLOWER.encode(octets)
}

pub(super) fn octets(hex: &str) -> Vec<u8> {
    HEXLOWER
        .decode(hex.to_ascii_lowercase().replace(' ', "").as_bytes())
        .unwrap_or_else(|e| panic!("{e}"))
}

/// Octets that count from `first`: the inputs of the computed vectors.
pub(super) fn count(first: u8, length: u8) -> Vec<u8> {
    (first..first + length).collect()
}

pub(super) const SPIS: Spis = Spis {
    initiator: IkeSpi(0x1122_3344_5566_7788),
    responder: IkeSpi(0x99aa_bbcc_ddee_ff00),
};

/// Keys by AES-256-GCM and HMAC-SHA-256 from nonces 0.., 32.. and the secret 64...
pub(super) fn keys() -> IkeKeys {
    let (initiator, responder) = (count(0, 32), count(32, 32));
    let nonces = Nonces {
        initiator: &initiator,
        responder: &responder,
    };
    IkeKeys::first(
        Prf::HmacSha256,
        Cipher::Aes256Gcm16,
        nonces,
        &SharedSecret::known(&count(64, 32)),
        SPIS,
    )
}
