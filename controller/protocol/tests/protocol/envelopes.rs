//! A request counts only if every part of it is what its sender sealed.

use crate::secret;
use kith_protocol::authenticator::{
    Argon2Cost, AuthKey, Kind, PasswordKey, request_hash, seal_envelope, verify, verify_signature,
};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::Envelope;
use kith_protocol::registration::Code;

const FQDN: &str = "laptop.acme.example";

const KINDS: [Kind; 10] = [
    Kind::Register,
    Kind::Confirm,
    Kind::Init,
    Kind::Join,
    Kind::Move,
    Kind::Refresh,
    Kind::Locate,
    Kind::Query,
    Kind::Leave,
    Kind::Watch,
];

fn device() -> DeviceIdentity {
    DeviceIdentity::from_seed(secret(9))
}

fn sealed(kind: Kind, key: &AuthKey) -> Envelope {
    seal_envelope(
        kind,
        FQDN,
        1_760_000_000_000,
        b"payload".to_vec(),
        key,
        Some(&[5; 32]),
        Some(&device()),
    )
}

/// Every octet of an envelope, bent.
fn bent(envelope: &Envelope) -> Vec<Envelope> {
    let mut all = Vec::new();
    let mut keep = |bend: &dyn Fn(&mut Envelope)| {
        let mut copy = envelope.clone();
        bend(&mut copy);
        all.push(copy);
    };
    keep(&|e| e.fqdn = "laptoq.acme.example".into());
    keep(&|e| e.fqdn.push('p'));
    keep(&|e| e.token_timestamp ^= 1);
    keep(&|e| e.payload.push(0));
    keep(&|e| e.payload.truncate(e.payload.len() - 1));
    for at in 0..envelope.payload.len() {
        keep(&|e| e.payload[at] ^= 1);
    }
    // The end of the name becomes the begin of what follows.
    keep(&|e| {
        e.fqdn.pop();
        e.payload.insert(0, b'e');
    });
    all
}

#[test]
fn each_kind_passes_as_itself_and_as_nothing_else() {
    let key = AuthKey::of(&secret(1));
    for kind in KINDS {
        let envelope = sealed(kind, &key);
        for other in KINDS {
            assert_eq!(verify(other, &envelope, &key, Some(&[5; 32])), kind == other);
            assert_eq!(
                verify_signature(other, &envelope, &device().public()),
                kind == other
            );
        }
    }
}

#[test]
fn whatever_is_changed_is_noticed() {
    let key = AuthKey::of(&secret(1));
    let good = sealed(Kind::Join, &key);
    for envelope in bent(&good) {
        assert!(!verify(Kind::Join, &envelope, &key, None));
        assert!(!verify_signature(Kind::Join, &envelope, &device().public()));
        assert_ne!(
            request_hash(Kind::Join, &envelope),
            request_hash(Kind::Join, &good)
        );
    }
    for at in 0..32 {
        let mut envelope = good.clone();
        envelope.authenticator[at] ^= 0x80;
        assert!(!verify(Kind::Join, &envelope, &key, None));
    }
    for len in [0, 16, 31] {
        let mut envelope = good.clone();
        envelope.authenticator.truncate(len);
        assert!(
            !verify(Kind::Join, &envelope, &key, None),
            "{len} octets of authenticator are not enough"
        );
    }
    assert!(
        !verify(Kind::Join, &good, &AuthKey::of(&secret(2)), None),
        "another member's key"
    );
    assert!(
        !verify_signature(Kind::Join, &good, &DeviceIdentity::from_seed(secret(8)).public()),
        "another device"
    );
}

#[test]
fn a_wrong_code_is_told_from_a_stranger() {
    let key = PasswordKey::derive(b"initial", &[7; 16], Argon2Cost::SIMULATION).expect("a cost");
    let code = |text| {
        Code::parse(text)
            .unwrap_or_else(|_| unreachable!("eight digits"))
            .hash(FQDN)
    };
    let typed = code("1234-5678");
    let envelope = seal_envelope(
        Kind::Confirm,
        FQDN,
        0,
        vec![1],
        &key,
        Some(&typed),
        Some(&device()),
    );
    assert!(verify(Kind::Confirm, &envelope, &key, Some(&code("12345678"))));
    assert!(!verify(Kind::Confirm, &envelope, &key, Some(&code("1234-5679"))));
    assert!(
        !verify(Kind::Confirm, &envelope, &key, None),
        "Confirm without a code is never right"
    );
    assert!(
        verify_signature(Kind::Confirm, &envelope, &device().public()),
        "whatever the code: the device it is"
    );
}

#[test]
fn other_passwords_salts_and_costs_give_other_keys() {
    let derive =
        |password: &[u8], salt: &[u8], cost| PasswordKey::derive(password, salt, cost).expect("a cost");
    let key = derive(b"initial", &[7; 16], Argon2Cost::SIMULATION);
    assert!(key == derive(b"initial", &[7; 16], Argon2Cost::SIMULATION));
    assert!(key != derive(b"Initial", &[7; 16], Argon2Cost::SIMULATION));
    assert!(key != derive(b"initial", &[8; 16], Argon2Cost::SIMULATION));
    assert!(
        key != derive(
            b"initial",
            &[7; 16],
            Argon2Cost {
                passes: 2,
                ..Argon2Cost::SIMULATION
            }
        )
    );
    let none = Argon2Cost {
        lanes: 0,
        ..Argon2Cost::DEFAULT
    };
    assert!(PasswordKey::derive(b"initial", &[7; 16], none).is_err());
    assert!(PasswordKey::derive(b"initial", &[7; 4], Argon2Cost::SIMULATION).is_err());
}
