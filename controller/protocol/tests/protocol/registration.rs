//! Registration and join, both sides, without a network between them.

use crate::{Counting, secret};
use kith_protocol::authenticator::{Argon2Cost, PasswordKey};
use kith_protocol::join::{Exchange, join_secret, refresh_secret};
use kith_protocol::member::{ConfirmAck, ManagerAddress, RegistrationFile};
use kith_protocol::registration::{Code, FileKey, NotACode, OpenError, seal_ack, verify_ack};
use kith_protocol::share::{BadShare, KeyShare};

const FQDN: &str = "laptop.acme.example";

fn shares() -> (KeyShare, KeyShare) {
    (
        KeyShare::from_private(secret(1)),
        KeyShare::from_private(secret(2)),
    )
}

fn file() -> RegistrationFile {
    RegistrationFile {
        version: 1,
        fqdn: FQDN.into(),
        community: "acme.example".into(),
        token_key: vec![3; 32],
        token_timestamp: 1_760_000_000_000,
        member_id: 7,
        managers: vec![ManagerAddress {
            host: "vpn.acme.example".into(),
            port: 443,
            fingerprint: vec![4; 32],
        }],
        managers_version: 1,
    }
}

#[test]
fn the_file_opens_for_the_device_that_asked_and_for_no_other() {
    let (member, manager) = shares();
    let at_member = FileKey::at_member(&member, &manager.public(), FQDN).expect("agrees");
    let at_manager = FileKey::at_manager(&manager, &member.public(), FQDN).expect("agrees");
    assert!(at_member == at_manager);
    let ack = at_manager.seal(FQDN, &file(), &mut Counting::from(0).rng());
    assert!(at_member.open(FQDN, &ack).is_ok_and(|read| read == file()));

    let other =
        FileKey::at_member(&KeyShare::from_private(secret(8)), &manager.public(), FQDN).expect("agrees");
    assert_eq!(other.open(FQDN, &ack).err(), Some(OpenError::NotAuthentic));
    let renamed = FileKey::at_member(&member, &manager.public(), "x.acme.example").expect("agrees");
    assert!(renamed != at_member);
    assert_eq!(
        at_member.open("x.acme.example", &ack).err(),
        Some(OpenError::NotAuthentic)
    );
    assert_eq!(FileKey::at_member(&member, &[0; 32], FQDN).err(), Some(BadShare));
}

#[test]
fn a_file_that_was_altered_or_holds_too_little_is_refused() {
    let (member, manager) = shares();
    let key = FileKey::at_member(&member, &manager.public(), FQDN).expect("agrees");
    let ack = key.seal(FQDN, &file(), &mut Counting::from(0).rng());
    for at in 0..ack.sealed.len() {
        let mut bent = ack.clone();
        bent.sealed[at] ^= 1;
        assert_eq!(
            key.open(FQDN, &bent).err(),
            Some(OpenError::NotAuthentic),
            "octet {at}"
        );
    }
    assert_eq!(
        key.open(
            FQDN,
            &ConfirmAck {
                crypto_type: 2,
                ..ack.clone()
            }
        )
        .err(),
        Some(OpenError::CryptoType(2))
    );
    assert_eq!(
        key.open(
            FQDN,
            &ConfirmAck {
                sealed: vec![0; 20],
                ..ack.clone()
            }
        )
        .err(),
        Some(OpenError::NotAuthentic)
    );
    assert_eq!(
        key.open(
            FQDN,
            &ConfirmAck {
                sealed: vec![0; 1 << 20],
                ..ack
            }
        )
        .err(),
        Some(OpenError::Malformed)
    );
    let short = RegistrationFile {
        token_key: vec![3; 31],
        ..file()
    };
    let nobody = RegistrationFile {
        managers: vec![],
        ..file()
    };
    let foreign = RegistrationFile {
        fqdn: "other.acme.example".into(),
        ..file()
    };
    for wrong in [short, nobody, foreign] {
        let ack = key.seal(FQDN, &wrong, &mut Counting::from(0).rng());
        assert_eq!(key.open(FQDN, &ack).err(), Some(OpenError::Malformed));
    }
}

#[test]
fn an_ack_is_of_who_knows_the_password_and_answers_this_share() {
    let key = PasswordKey::derive(b"initial", &[7; 16], Argon2Cost::SIMULATION).expect("a cost");
    let (member, manager) = shares();
    let ack = seal_ack(
        &key,
        &member.public(),
        600,
        manager.public(),
        "a…@acme.example".into(),
    );
    assert!(verify_ack(&key, &member.public(), &ack));
    assert!(!verify_ack(&key, &manager.public(), &ack));
    assert!(!verify_ack(
        &PasswordKey::from_secret(secret(1)),
        &member.public(),
        &ack
    ));
    let mut bent = [ack.clone(), ack.clone(), ack.clone(), ack];
    bent[0].time_to_live_s += 1;
    bent[1].key_share[0] ^= 1;
    bent[2].code_sent_to.push('x');
    bent[3].authenticator.truncate(16);
    assert!(bent.iter().all(|ack| !verify_ack(&key, &member.public(), ack)));
}

#[test]
fn codes_are_eight_digits_however_they_are_typed() {
    let code = |text: &str| Code::parse(text).map(|code| code.text().to_string());
    for text in [
        "12345678",
        "1234-5678",
        " 1234 5678\n",
        "12-34-56-78",
        "1234\u{2013}5678",
    ] {
        assert_eq!(code(text), Ok("1234-5678".into()), "{text:?}");
    }
    for text in ["", "1234-567", "1234-56789", "1234-567a", "１２３４５６７８"] {
        assert_eq!(code(text), Err(NotACode), "{text:?}");
    }
    let hash = |text, name| {
        Code::parse(text)
            .unwrap_or_else(|_| unreachable!("eight digits"))
            .hash(name)
    };
    assert_eq!(hash("1234-5678", FQDN), hash("12345678", FQDN));
    assert_ne!(hash("1234-5678", FQDN), hash("1234-5679", FQDN));
    assert_ne!(
        hash("1234-5678", FQDN),
        hash("1234-5678", "x.acme.example"),
        "a code is for one name"
    );
}

#[test]
fn every_code_is_equally_likely() {
    // What would favour small codes is drawn again.
    let mut draws = [
        [0xff; 4],
        4_200_000_000u32.to_be_bytes(),
        4_199_999_999u32.to_be_bytes(),
    ]
    .into_iter();
    let code = Code::generate(&mut |out| out.copy_from_slice(&draws.next().expect("three draws")));
    assert_eq!(code.text().as_str(), "9999-9999");
    let code = Code::generate(&mut |out| out.copy_from_slice(&42u32.to_be_bytes()));
    assert_eq!(code.text().as_str(), "0000-0042");
}

#[test]
fn join_and_refresh_give_both_sides_the_same_keys_and_nobody_else() {
    let (member, manager) = shares();
    let with = Exchange {
        member_seed: &[5; 32],
        manager_seed: &[6; 32],
        fqdn: FQDN,
        run_id: &[7; 16],
    };
    let ours = join_secret(&member, &manager.public(), with).expect("agrees");
    let theirs = join_secret(&manager, &member.public(), with).expect("agrees");
    assert!(ours == theirs);
    let keys = [&ours, &theirs].map(|secret| secret.keys());
    assert!(
        keys[0].to_manager.key == keys[1].to_manager.key && keys[0].to_member.salt == keys[1].to_member.salt
    );
    assert!(
        keys[0].to_manager.key != keys[0].to_member.key,
        "each direction has its own"
    );

    let others = [
        refresh_secret(&member, &manager.public(), with),
        join_secret(
            &member,
            &manager.public(),
            Exchange {
                member_seed: &[6; 32],
                manager_seed: &[5; 32],
                ..with
            },
        ),
        join_secret(
            &member,
            &manager.public(),
            Exchange {
                fqdn: "x.acme.example",
                ..with
            },
        ),
        join_secret(
            &member,
            &manager.public(),
            Exchange {
                run_id: &[8; 16],
                ..with
            },
        ),
        join_secret(&KeyShare::from_private(secret(9)), &manager.public(), with),
    ];
    assert!(
        others
            .iter()
            .all(|other| other.as_ref().is_ok_and(|other| *other != ours))
    );
    assert_eq!(join_secret(&member, &[0; 32], with).err(), Some(BadShare));
}
