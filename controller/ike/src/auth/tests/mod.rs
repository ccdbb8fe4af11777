//! Proofs: who is believed, and everyone who must not be.

mod certificates;

use super::*;
use crate::codec::{Exchange, Header, Identity, IkeSpi, MessageId, Payload, PayloadKind, encode_chain};
use crate::suite::{Cipher, IkeKeys, Nonces, Plain, Prf, SharedSecret, Spis};
use data_encoding::HEXLOWER;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm};
use std::sync::Arc;
use zeroize::Zeroizing;

const OCTETS: &[u8] = b"what both sides saw";
const HASHES: &[u16] = &[HASH_SHA2_256, HASH_IDENTITY];
const PRF: Prf = Prf::HmacSha256;
/// 2026-07-01.
const NOW: u64 = 1_782_864_000;

fn psk(secret: &[u8]) -> (OwnProof, PeerProof) {
    let secret = Zeroizing::new(secret.to_vec());
    (OwnProof::Psk(secret.clone()), PeerProof::Psk(secret))
}

const SPIS: Spis = Spis {
    initiator: IkeSpi(0x1122_3344_5566_7788),
    responder: IkeSpi(0x99aa_bbcc_ddee_ff00),
};

fn keys() -> IkeKeys {
    let nonces: Vec<u8> = (0..64).collect();
    let nonces = Nonces {
        initiator: &nonces[..32],
        responder: &nonces[32..],
    };
    let secret = SharedSecret::known(&(64..96).collect::<Vec<u8>>());
    IkeKeys::first(PRF, Cipher::Aes256Gcm16, nonces, &secret, SPIS)
}

fn alice() -> Identity {
    Identity::Fqdn("alice.example".into())
}

fn signing(algorithm: &'static SignatureAlgorithm) -> (OwnProof, PublicKey) {
    let pair = KeyPair::generate_for(algorithm).unwrap_or_else(|e| panic!("{e}"));
    let key = SigningKey::from_pkcs8(&pair.serialize_der()).unwrap_or_else(|e| panic!("{e}"));
    let public = key.public_key();
    (
        OwnProof::Signature {
            key: Arc::new(key),
            chain: Vec::new(),
        },
        public,
    )
}

fn check(proof: &PeerProof, (method, data): &(u8, Vec<u8>), octets: &[u8]) -> Result<(), AuthError> {
    proof.check(&alice(), *method, data, octets, PRF, &[], HASHES, NOW)
}

fn prove(proof: &OwnProof, hashes: &[u16]) -> (u8, Vec<u8>) {
    proof.prove(OCTETS, PRF, hashes).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn who_has_the_secret_is_believed() {
    let (own, peer) = psk(b"secret");
    let proof = prove(&own, &[]);
    assert_eq!(proof.0, METHOD_PSK);
    assert_eq!(check(&peer, &proof, OCTETS), Ok(()));
    assert_eq!(
        check(&psk(b"Secret").1, &proof, OCTETS),
        Err(AuthError::WrongSecret)
    );
    assert_eq!(
        check(&peer, &proof, b"something else"),
        Err(AuthError::WrongSecret)
    );
    for data in [Vec::new(), proof.1[..31].to_vec(), [&proof.1[..], &[0]].concat()] {
        assert_eq!(
            check(&peer, &(METHOD_PSK, data), OCTETS),
            Err(AuthError::WrongSecret)
        );
    }
}

#[test]
fn who_has_the_key_is_believed() {
    for (algorithm, hashes, method) in [
        (&PKCS_ED25519, HASHES, METHOD_SIGNATURE),
        (&PKCS_ECDSA_P256_SHA256, HASHES, METHOD_SIGNATURE),
        // RFC 7427 3: a peer that announced no hash may know the older method.
        (&PKCS_ECDSA_P256_SHA256, &[][..], METHOD_ECDSA_256),
    ] {
        let (own, public) = signing(algorithm);
        let peer = PeerProof::PublicKey(public);
        let proof = prove(&own, hashes);
        assert_eq!(proof.0, method);
        assert_eq!(check(&peer, &proof, OCTETS), Ok(()));
        assert_eq!(
            check(&peer, &proof, b"something else"),
            Err(AuthError::WrongSignature)
        );
        let other = PeerProof::PublicKey(signing(algorithm).1);
        assert_eq!(check(&other, &proof, OCTETS), Err(AuthError::WrongSignature));
        for at in [0, 5, proof.1.len() - 1] {
            let mut forged = proof.clone();
            forged.1[at] ^= 1;
            assert!(check(&peer, &forged, OCTETS).is_err(), "octet {at}");
        }
        for length in 0..proof.1.len() {
            let cut = (proof.0, proof.1[..length].to_vec());
            assert!(check(&peer, &cut, OCTETS).is_err(), "{length} octets");
        }
    }
}

/// RFC 7427 4, RFC 8420 3.
#[test]
fn a_hash_has_to_be_announced() {
    let (own, public) = signing(&PKCS_ED25519);
    assert_eq!(own.prove(OCTETS, PRF, &[]), Err(AuthError::NoCommonHash));
    assert_eq!(
        own.prove(OCTETS, PRF, &[HASH_SHA2_256]),
        Err(AuthError::NoCommonHash)
    );
    // RFC 7427 3: a peer that announced hashes gets method 14 or nothing.
    let (ecdsa, _) = signing(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(ecdsa.prove(OCTETS, PRF, &[3, 4]), Err(AuthError::NoCommonHash));
    let (method, data) = prove(&own, HASHES);
    let refused =
        PeerProof::PublicKey(public).check(&alice(), method, &data, OCTETS, PRF, &[], &[HASH_SHA2_256], NOW);
    assert_eq!(refused, Err(AuthError::NoCommonHash));
}

/// How a peer proves itself is ours to say: else whoever has the weakest of all proofs is everybody.
#[test]
fn another_kind_of_proof_is_not_taken() {
    let (own, public) = signing(&PKCS_ED25519);
    let signature = prove(&own, HASHES);
    let mac = prove(&psk(b"").0, &[]);
    assert_eq!(
        check(&psk(b"").1, &signature, OCTETS),
        Err(AuthError::Method(METHOD_SIGNATURE))
    );
    assert_eq!(
        check(&PeerProof::PublicKey(public.clone()), &mac, OCTETS),
        Err(AuthError::Method(METHOD_PSK))
    );
    let nobody = Anchors::from_der(&[]).unwrap_or_else(|e| panic!("{e}"));
    let nobody = PeerProof::Certificate(Arc::new(nobody));
    assert_eq!(check(&nobody, &mac, OCTETS), Err(AuthError::Method(METHOD_PSK)));
    assert_eq!(check(&nobody, &signature, OCTETS), Err(AuthError::NoCertificate));
    // Of the right method, by the wrong algorithm.
    let ecdsa = prove(&signing(&PKCS_ECDSA_P256_SHA256).0, HASHES);
    assert_eq!(
        check(&PeerProof::PublicKey(public), &ecdsa, OCTETS),
        Err(AuthError::Algorithm)
    );
}

#[test]
fn keys_are_read_and_written_as_others_do() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let public = signing(algorithm).1;
        assert_eq!(PublicKey::from_octets(&public.to_spki()), Ok(public));
    }
    assert_eq!(PublicKey::from_octets(&[7; 32]), Ok(PublicKey::Ed25519([7; 32])));
    for bad in [&[7; 31][..], &[4; 65], &[]] {
        assert!(matches!(PublicKey::from_octets(bad), Err(AuthError::BadKey(_))));
    }
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(
        SigningKey::from_pkcs8(&p384.serialize_der()),
        Err(AuthError::BadKey(_))
    ));
}

/// RFC 9242 3.3.2; computed with Python's `cryptography` from its formula, with the keys of `suite::tests`.
#[test]
fn what_passed_between_is_proved_too() {
    let keys = keys();
    let request = Header {
        initiator_spi: SPIS.initiator,
        responder_spi: SPIS.responder,
        exchange: Exchange::IkeIntermediate,
        from_initiator: true,
        response: false,
        message_id: MessageId(1),
    };
    let response = Header {
        from_initiator: false,
        response: true,
        ..request
    };
    let (first, chain) = encode_chain(&[Payload::Nonce(vec![0; 16])]);

    let mut int_auth = IntAuth::default();
    assert_eq!(int_auth.finish(MessageId(1)), None);
    int_auth.absorb(&request, first, &chain, PRF, keys.prove(true));
    int_auth.absorb(&response, PayloadKind::NONE, &[], PRF, keys.prove(false));
    let wanted = "efcfa35aa8ed02aa7befc6a7cc3ce591eb7dbe7a7916613843ca9fc482a00e9bb7cd9dd76daa152b4d7940f771b48412406a82da3988eceaab75424f750f5a7100000002";
    assert_eq!(
        int_auth
            .finish(MessageId(2))
            .map(|octets| HEXLOWER.encode(&octets))
            .as_deref(),
        Some(wanted)
    );
    int_auth.absorb(&request, first, &chain, PRF, keys.prove(true));
    let wanted = "a8dd8c06015e4e5a5a75d31723b62b30176dd382e163d5912c20da5e8f3f468db7cd9dd76daa152b4d7940f771b48412406a82da3988eceaab75424f750f5a7100000003";
    assert_eq!(
        int_auth
            .finish(MessageId(3))
            .map(|octets| HEXLOWER.encode(&octets))
            .as_deref(),
        Some(wanted)
    );
}

#[test]
fn what_is_reserved_is_covered_as_it_came() {
    let keys = keys();
    let header = Header {
        initiator_spi: IkeSpi(1),
        responder_spi: IkeSpi(2),
        exchange: Exchange::IkeIntermediate,
        from_initiator: true,
        response: false,
        message_id: MessageId(1),
    };
    let (first, chain) = encode_chain(&[Payload::Nonce(vec![7; 32])]);
    let mut front = [0; 32];
    front[..28].copy_from_slice(&header.encode(PayloadKind::SKF, 999));
    front[28] = first.0;
    let covered = |front| {
        let mut int_auth = IntAuth::default();
        let octets = chain.clone().into();
        int_auth.absorb_received(&Plain { first, octets, front }, PRF, keys.prove(true));
        int_auth.finish(MessageId(2)).unwrap()
    };
    let mut own = IntAuth::default();
    own.absorb(&header, first, &chain, PRF, keys.prove(true));
    assert_eq!(
        covered(front),
        own.finish(MessageId(2)).unwrap(),
        "with nothing set, both ends cover the same"
    );
    // Minor version, flags, the bits beside the critical one: nobody understands them, and both ends must agree on them.
    for (at, bit) in [(17, 1), (19, 0x80), (29, 1), (29, 0x80)] {
        let mut changed = front;
        changed[at] |= bit;
        let expected = {
            let length = (32 + chain.len()) as u32;
            let mut whole = changed;
            whole[16] = 46;
            whole[24..28].copy_from_slice(&length.to_be_bytes());
            whole[30..].copy_from_slice(&(length as u16 - 28).to_be_bytes());
            let once = PRF.prf(keys.prove(true).octets(), &[&whole, &chain]);
            [once.octets(), &2_u32.to_be_bytes()].concat()
        };
        assert_eq!(covered(changed), expected, "octet {at}");
        assert_ne!(covered(changed), covered(front));
    }
}
