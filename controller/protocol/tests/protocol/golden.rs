//! Every derived octet against a second implementation, which knows the descriptions only (`tests/golden.py`).

use crate::{Counting, secret};
use data_encoding::HEXLOWER;
use kith_protocol::authenticator::{
    Argon2Cost, AuthKey, EnvelopeKey, Kind, PasswordKey, TicketKey, seal_envelope,
};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::invitation::Invitation;
use kith_protocol::join::{Exchange, join_secret, refresh_secret};
use kith_protocol::names::Fqdn;
use kith_protocol::registration::{Code, FileKey, seal_ack};
use kith_protocol::share::KeyShare;
use kith_protocol::ticket::{KeyBody, PairEnd, TicketBody, pair_key, seal, seal_key};
use kith_protocol::tls::Fingerprint;
use std::net::Ipv4Addr;

const FQDN: &str = "laptop.acme.example";
const PEER: &str = "printer.acme.example";
const NOW: u64 = 1_760_000_000_000;

/// A line of the file; each must be asked for by name.
fn golden(name: &str) -> &'static str {
    let mut lines = include_str!("../golden.txt")
        .lines()
        .filter_map(|line| line.split_once(' '));
    lines
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .expect("a line of this name")
}

#[track_caller]
fn same(name: &str, octets: &[u8]) {
    assert_eq!(HEXLOWER.encode(octets), golden(name), "{name}");
}

#[test]
fn keys_and_authenticators() {
    let password = PasswordKey::derive(b"initial", &[7; 16], Argon2Cost::DEFAULT).expect("a cost");
    same("password_key", password.secret().expose());
    let auth = AuthKey::of(&secret(1));
    same("auth_key", auth.envelope_key().expose());
    same("ticket_key", TicketKey::of(&secret(1)).secret().expose());
    let code = Code::parse("1234-5678")
        .unwrap_or_else(|_| unreachable!("eight digits"))
        .hash(FQDN);
    same("code_hash", &code);
    let device = DeviceIdentity::from_seed(secret(9));
    let seal = |kind| {
        seal_envelope(
            kind,
            FQDN,
            NOW,
            b"payload".to_vec(),
            &auth,
            Some(&code),
            Some(&device),
        )
    };
    same("join_authenticator", &seal(Kind::Join).authenticator);
    same("confirm_authenticator", &seal(Kind::Confirm).authenticator);
    same("join_signature", &seal(Kind::Join).signature);
}

#[test]
fn registration_and_join() {
    let (member, manager) = (
        KeyShare::from_private(secret(1)),
        KeyShare::from_private(secret(2)),
    );
    same("member_share", &member.public());
    let file_key = FileKey::at_manager(&manager, &member.public(), FQDN).expect("agrees");
    same("file_key", file_key.secret().expose());
    let key = PasswordKey::from_secret(secret(1));
    let ack = seal_ack(
        &key,
        &member.public(),
        600,
        manager.public(),
        "a@acme.example".into(),
    );
    same("ack_authenticator", &ack.authenticator);
    let with = Exchange {
        member_seed: &[5; 32],
        manager_seed: &[6; 32],
        fqdn: FQDN,
        run_id: &[7; 16],
    };
    let join = join_secret(&member, &manager.public(), with).expect("agrees");
    let refresh = refresh_secret(&member, &manager.public(), with).expect("agrees");
    for (name, secret) in [("join", join), ("refresh", refresh)] {
        let keys = secret.keys();
        same(&format!("{name}_secret"), secret.secret().expose());
        for (direction, keys) in [("to_manager", keys.to_manager), ("to_member", keys.to_member)] {
            same(
                &format!("{name}_{direction}"),
                &[keys.key.expose().as_slice(), &keys.salt].concat(),
            );
        }
    }
}

#[test]
fn tickets_and_keys() {
    let (a, b) = (
        PairEnd {
            id: 1,
            token_timestamp: 5,
        },
        PairEnd {
            id: 2,
            token_timestamp: 4,
        },
    );
    let shared_key = pair_key(&secret(1), b, a, 7);
    same("pair_key", shared_key.expose());
    let body = TicketBody {
        shared_key: shared_key.clone(),
        target: PEER.into(),
        initiator: FQDN.into(),
        ..crate::tickets::body()
    };
    let key = TicketKey::of(&secret(1));
    same(
        "ticket",
        &seal(&key, &body, &mut Counting::from(0).rng()).expect("fits"),
    );
    let body = KeyBody {
        sequence: NOW * 1000,
        issued_ms: NOW,
        expires_ms: NOW + 3_600_000,
        shared_key,
        peer_virtual: Ipv4Addr::new(10, 77, 0, 3),
        own_virtual: Ipv4Addr::new(10, 77, 0, 2),
    };
    same(
        "sealed_key",
        &seal_key(&key, FQDN, PEER, &body, &mut Counting::from(0).rng()),
    );
}

#[test]
fn invitations() {
    let fqdn = Fqdn::parse(FQDN).expect("a name");
    let mut counting = Counting::from(0);
    let made = Invitation::generate(
        "vpn.acme.example",
        443,
        Fingerprint([4; 32]),
        fqdn,
        &mut counting.rng(),
    );
    assert_eq!(made.expect("a good host").text().as_str(), golden("invitation"));
}
