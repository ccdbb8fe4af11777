//! An invitation survives what mail programs and people do to it, or says what happened.

use crate::Counting;
use kith_protocol::authenticator::Argon2Cost;
use kith_protocol::invitation::{Invitation, InvitationError};
use kith_protocol::names::Fqdn;
use kith_protocol::tls::Fingerprint;
use proptest::prelude::*;

fn invitation() -> Invitation {
    let fqdn = Fqdn::parse("laptop.acme.example").expect("a name");
    let made = Invitation::generate(
        "192.0.2.1",
        8443,
        Fingerprint([4; 32]),
        fqdn,
        &mut Counting::from(1).rng(),
    );
    made.expect("a good host")
}

fn error(text: &str) -> Option<InvitationError> {
    Invitation::parse(text).err()
}

#[test]
fn what_was_invited_can_be_read() {
    let read = Invitation::parse(&invitation().text()).unwrap_or_else(|error| panic!("{error}"));
    assert!(read == invitation());
    assert_eq!(
        (read.host.as_str(), read.port, read.fqdn.as_str()),
        ("192.0.2.1", 8443, "laptop.acme.example")
    );
    let keys = [read, invitation()].map(|of| of.password_key(Argon2Cost::SIMULATION));
    assert!(keys[0] == keys[1]);
}

#[test]
fn line_breaks_blanks_and_quotes_do_not_matter() {
    let text = invitation().text();
    let (left, right) = text.split_at(40);
    for typed in [
        format!("  {left}{right}\n"),
        format!("{left}\r\n  {right}"),
        format!("\"{left}{right}\""),
        format!("<{left}{right}>"),
        format!("“{left} {right}”"),
    ] {
        assert!(
            Invitation::parse(&typed).is_ok_and(|read| read == invitation()),
            "{typed}"
        );
    }
}

#[test]
fn whatever_is_cut_off_is_called_so() {
    let text = invitation().text();
    for len in 1..text.len() {
        assert_eq!(
            error(&text[..len]),
            Some(InvitationError::CutOff),
            "{len} of {} characters",
            text.len()
        );
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let text = invitation().text();
    for at in "kith1-".len()..text.len() {
        for other in ['A', 'B', '_', '-'] {
            let mut bent = text.to_string();
            bent.replace_range(at..=at, &other.to_string());
            let wrong = Invitation::parse(&bent).err();
            assert!(wrong.is_some() || bent == *text, "{at}: {other}");
        }
        let mut bent = text.to_string();
        bent.replace_range(at..=at, "!");
        assert_eq!(error(&bent), Some(InvitationError::Character('!')));
    }
    assert_eq!(
        error(&format!("{}AAAA", text.as_str())),
        Some(InvitationError::Damaged)
    );
}

#[test]
fn other_words_are_told_apart() {
    for text in [
        "",
        "   ",
        "hello",
        "https://vpn.acme.example",
        "1234-5678",
        "KITH1-AAAA",
    ] {
        assert_eq!(error(text), Some(InvitationError::NotAnInvitation), "{text:?}");
    }
    assert_eq!(error("kith2-AAAA"), Some(InvitationError::Version));
    assert_eq!(
        error(&format!("kith1-{}", "A".repeat(2000))),
        Some(InvitationError::Damaged)
    );
    assert_eq!(
        error(&"k".repeat(1 << 20)),
        Some(InvitationError::NotAnInvitation)
    );
}

#[test]
fn nobody_is_invited_to_a_host_that_is_none() {
    let fqdn = Fqdn::parse("laptop.acme.example").expect("a name");
    for host in ["", "a b", "vpn/acme", &"a".repeat(254), "vpn\n"] {
        let made = Invitation::generate(
            host,
            443,
            Fingerprint([4; 32]),
            fqdn.clone(),
            &mut Counting::from(1).rng(),
        );
        assert!(made.is_none(), "{host:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(kith1-)?[A-Za-z0-9_\\- ä]{0,300}") {
        prop_assert!(Invitation::parse(&text).is_err());
    }

    #[test]
    fn each_invitation_reads_as_itself(
        host in "[a-z0-9.:-]{1,253}", label in "[a-z]{1,63}", port in any::<u16>(), seed in any::<u8>(), print in any::<[u8; 32]>(),
    ) {
        let fqdn = Fqdn::parse(&format!("{label}.acme.example")).expect("a name");
        let made = Invitation::generate(&host, port, Fingerprint(print), fqdn, &mut Counting::from(seed).rng());
        let made = made.expect("a good host");
        prop_assert!(Invitation::parse(&made.text()).is_ok_and(|read| read == made));
    }
}
