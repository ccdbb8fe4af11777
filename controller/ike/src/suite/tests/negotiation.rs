//! Choosing: what two sides with different preferences end with, and every answer that an initiator must not believe.

use super::*;
use crate::codec::{Proposal, Protocol, Transform, TransformKind};
use kith_esp::Spi;

fn spi(number: u32) -> Spi {
    Spi::new(number).unwrap_or_else(|e| panic!("{e}"))
}

fn ike(ciphers: &[Cipher], prfs: &[Prf], groups: &[Group], additional: Additional) -> IkePreferences {
    IkePreferences {
        ciphers: ciphers.into(),
        prfs: prfs.into(),
        groups: groups.into(),
        additional,
    }
}

use Cipher::{Aes128Gcm16 as Aes128, Aes256Gcm16 as Aes256};
use Group::{P256, X25519};
use Prf::{HmacSha256 as Sha256, HmacSha384 as Sha384};

/// The responder's answer, checked by the initiator as it would be.
fn agree(
    ours: &IkePreferences,
    theirs: &IkePreferences,
    sent: Option<Group>,
) -> Result<IkeSuite, NoProposal> {
    let offered = ours.proposals(None);
    let chosen = choose_ike(theirs, &offered, sent.map(Group::id), None)?;
    assert_eq!(accept_ike(&offered, &[chosen.answer]), Ok((chosen.suite, None)));
    Ok(chosen.suite)
}

#[test]
fn the_responders_first_choice_that_is_offered_is_taken() {
    let ours = ike(
        &[Aes128, Aes256],
        &[Sha256, Sha384],
        &[P256, X25519],
        Additional::Off,
    );
    let theirs = ike(&[Aes256, Aes128], &[Sha384], &[X25519, P256], Additional::Off);
    let suite = IkeSuite {
        cipher: Aes256,
        prf: Sha384,
        group: X25519,
        additional: None,
    };
    assert_eq!(agree(&ours, &theirs, None), Ok(suite));
    assert_eq!(suite.to_string(), "AES-256-GCM, HMAC-SHA-384, X25519");
    // But for the group whose public key is there already.
    assert_eq!(
        agree(&ours, &theirs, Some(P256)),
        Ok(IkeSuite { group: P256, ..suite })
    );
}

#[test]
fn without_something_of_each_kind_in_common_there_is_nothing() {
    let all = IkePreferences::default();
    for other in [
        ike(&[Aes128], &[Sha384], &[P256], Additional::Require),
        ike(&[], &[Sha384], &[P256], Additional::Off),
        ike(&[Aes128], &[], &[P256], Additional::Off),
        ike(&[Aes128], &[Sha384], &[], Additional::Off),
    ] {
        assert_eq!(agree(&all, &other, None), Err(NoProposal::NoneAcceptable));
        assert_eq!(agree(&other, &all, None), Err(NoProposal::NoneAcceptable));
    }
    assert_eq!(choose_ike(&all, &[], None, None), Err(NoProposal::NoneAcceptable));
}

/// RFC 9370: taken if both can, needed if one requires it.
#[test]
fn the_additional_exchange_is_taken_where_both_have_it() {
    let with = |additional| IkePreferences {
        additional,
        ..IkePreferences::default()
    };
    let outcome = |ours, theirs| agree(&with(ours), &with(theirs), None).map(|suite| suite.additional);
    let (yes, no) = (Ok(Some(Group::MlKem768)), Ok(None));
    use Additional::{Off, Offer, Require};
    let none = Err(NoProposal::NoneAcceptable);
    let table = [
        (Off, Off, no),
        (Off, Offer, no),
        (Off, Require, none),
        (Offer, Off, no),
        (Offer, Offer, yes),
        (Offer, Require, yes),
        (Require, Off, none),
        (Require, Offer, yes),
        (Require, Require, yes),
    ];
    for (ours, theirs, wanted) in table {
        assert_eq!(outcome(ours, theirs), wanted, "{ours:?} to {theirs:?}");
    }
}

fn proposal(transforms: &[Transform]) -> Proposal {
    Proposal {
        number: 1,
        protocol: Protocol::Ike,
        spi: Vec::new(),
        transforms: transforms.into(),
    }
}

const fn transform(kind: TransformKind, id: u16, key_bits: Option<u16>) -> Transform {
    Transform {
        kind,
        id,
        key_bits,
        unknown_attribute: false,
    }
}

const AES256: Transform = transform(TransformKind::ENCR, 20, Some(256));
const SHA256: Transform = transform(TransformKind::PRF, 5, None);
const CURVE: Transform = transform(TransformKind::KE, 31, None);

/// RFC 7296 3.3.6: a proposal is taken whole or not at all.
#[test]
fn a_proposal_with_something_unknown_is_not_taken() {
    let choose = |transforms: &[Transform]| {
        choose_ike(&IkePreferences::default(), &[proposal(transforms)], None, None)
            .map(|chosen| chosen.answer.transforms)
    };
    let base = [AES256, SHA256, CURVE];
    let and = |more: &[Transform]| [&base[..], more].concat();
    assert_eq!(choose(&base), Ok(base.to_vec()));
    // More of a kind that we know does not harm.
    let others = [
        transform(TransformKind::ENCR, 12, Some(128)),
        transform(TransformKind::KE, 14, None),
    ];
    assert_eq!(choose(&and(&others)), Ok(base.to_vec()));
    // RFC 5282 8: integrity beside an AEAD cipher only as NONE; RFC 9370 2.2.1: an additional exchange may be NONE.
    let none = transform(TransformKind::INTEG, 0, None);
    assert_eq!(choose(&and(&[none])), Ok(and(&[none])));
    let left_out = transform(TransformKind::ADDKE1, 0, None);
    assert_eq!(
        choose(&and(&[transform(TransformKind::ADDKE1, 36, None), left_out])),
        Ok(and(&[left_out]))
    );
    let refused = Err(NoProposal::NoneAcceptable);
    for more in [
        transform(TransformKind::INTEG, 12, None),
        transform(TransformKind::ADDKE1, 36, None),
        transform(TransformKind(99), 0, None),
        transform(TransformKind::ESN, 0, None),
    ] {
        assert_eq!(choose(&and(&[more])), refused, "{more:?}");
    }
    for encryption in [
        transform(TransformKind::ENCR, 20, None),
        transform(TransformKind::ENCR, 20, Some(192)),
        transform(TransformKind::ENCR, 19, Some(256)),
        Transform {
            unknown_attribute: true,
            ..AES256
        },
    ] {
        assert_eq!(choose(&[encryption, SHA256, CURVE]), refused, "{encryption:?}");
    }
    assert_eq!(choose(&[AES256, SHA256]), refused);
}

#[test]
fn an_answer_that_was_not_offered_is_not_believed() {
    let offered = ike(&[Aes256], &[Sha256], &[X25519, P256], Additional::Require).proposals(None);
    let additional = transform(TransformKind::ADDKE1, 36, None);
    let good = proposal(&[AES256, SHA256, CURVE, additional]);
    assert!(accept_ike(&offered, std::slice::from_ref(&good)).is_ok());
    // RFC 5282 8: some say that there is no integrity.
    let none = transform(TransformKind::INTEG, 0, None);
    assert!(accept_ike(&offered, &[proposal(&[AES256, none, SHA256, CURVE, additional])]).is_ok());
    let aes128 = transform(TransformKind::ENCR, 20, Some(128));
    let other_curve = transform(TransformKind::KE, 19, None);
    for bad in [
        vec![],
        vec![good.clone(), good.clone()],
        vec![Proposal {
            number: 2,
            ..good.clone()
        }],
        vec![Proposal {
            protocol: Protocol::Esp,
            ..good.clone()
        }],
        vec![proposal(&[aes128, SHA256, CURVE, additional])],
        vec![proposal(&[AES256, SHA256, CURVE])],
        vec![proposal(&[AES256, SHA256, CURVE, other_curve, additional])],
        vec![proposal(&[AES256, AES256, SHA256, CURVE, additional])],
        vec![proposal(&[AES256, SHA256, additional])],
    ] {
        assert_eq!(accept_ike(&offered, &bad), Err(NoProposal::NotOffered), "{bad:?}");
    }
    assert_eq!(
        accept_ike(
            &offered,
            &[Proposal {
                spi: vec![1; 8],
                ..good
            }]
        ),
        Err(NoProposal::Spi)
    );
}

#[test]
fn a_rekeying_has_spis() {
    let preferences = IkePreferences::default();
    let offered = preferences.proposals(Some(IkeSpi(7)));
    let chosen = choose_ike(&preferences, &offered, None, Some(IkeSpi(9))).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(chosen.peer_spi, Some(IkeSpi(7)));
    let accepted = accept_ike(&offered, &[chosen.answer]);
    assert_eq!(accepted, Ok((chosen.suite, Some(IkeSpi(9)))));
    let none = Err(NoProposal::NoneAcceptable);
    assert_eq!(
        choose_ike(&preferences, &offered, None, None),
        none,
        "an SPI where there may be none"
    );
    assert_eq!(
        choose_ike(&preferences, &preferences.proposals(None), None, Some(IkeSpi(9))),
        none
    );
    assert_eq!(
        choose_ike(
            &preferences,
            &preferences.proposals(Some(IkeSpi::ZERO)),
            None,
            Some(IkeSpi(9))
        ),
        none
    );
}

#[test]
fn a_child_is_agreed_with_its_own_secret_or_without() {
    let preferences = EspPreferences {
        additional: Additional::Offer,
        ..EspPreferences::default()
    };
    let offered = preferences.proposals(spi(256));
    let chosen = choose_esp(&preferences, &offered, Some(19), spi(300)).unwrap_or_else(|e| panic!("{e}"));
    let suite = EspSuite {
        cipher: Aes256,
        esn: true,
        group: Some(P256),
        additional: Some(Group::MlKem768),
    };
    assert_eq!((chosen.suite, chosen.peer_spi), (suite, spi(256)));
    assert_eq!(
        suite.to_string(),
        "AES-256-GCM, 64-bit sequence, P-256 + ML-KEM-768"
    );
    assert_eq!(accept_esp(&offered, &[chosen.answer]), Ok((suite, spi(300))));

    let first = preferences.without_exchange();
    let offered = first.proposals(spi(256));
    let chosen = choose_esp(&first, &offered, None, spi(300)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        chosen.suite,
        EspSuite {
            group: None,
            additional: None,
            ..suite
        }
    );
    assert_eq!(
        accept_esp(&offered, &[chosen.answer]),
        Ok((chosen.suite, spi(300)))
    );
    assert_eq!(
        choose_esp(&preferences, &offered, None, spi(300)),
        Err(NoProposal::NoneAcceptable)
    );
}

/// Debian's strongSwan has no extended sequence numbers with its user space ESP.
#[test]
fn sequence_numbers_of_32_bits_only_where_both_take_them() {
    let only = |esn: &[bool]| EspPreferences {
        esn: esn.into(),
        ..EspPreferences::default()
    };
    let outcome = |ours: &[bool], theirs: &[bool]| {
        choose_esp(&only(theirs), &only(ours).proposals(spi(256)), None, spi(300))
            .map(|chosen| chosen.suite.esn)
    };
    assert_eq!(outcome(&[true, false], &[false]), Ok(false));
    assert_eq!(outcome(&[true, false], &[true, false]), Ok(true));
    assert_eq!(outcome(&[true], &[false]), Err(NoProposal::NoneAcceptable));
}

/// RFC 4303 2.1: SPIs below 256 name nothing.
#[test]
fn a_child_without_a_usable_spi_is_not_taken() {
    let preferences = EspPreferences::default();
    for bad in [vec![], vec![0, 0, 0, 255], vec![0; 4], vec![1; 8]] {
        let mut offered = preferences.proposals(spi(256));
        offered[0].spi = bad.clone();
        let none = Err(NoProposal::NoneAcceptable);
        assert_eq!(choose_esp(&preferences, &offered, None, spi(300)), none);
        let mut answer = choose_esp(&preferences, &preferences.proposals(spi(256)), None, spi(300))
            .unwrap_or_else(|e| panic!("{e}"))
            .answer;
        answer.spi = bad;
        assert_eq!(
            accept_esp(&preferences.proposals(spi(256)), &[answer]),
            Err(NoProposal::Spi)
        );
    }
}

/// RFC 7296 3.3.1, 3.3.5: what we send ourselves.
#[test]
fn proposals_are_numbered_from_one_and_name_each_key_length_in_a_transform_of_its_own() {
    let all = IkePreferences {
        additional: Additional::Offer,
        ..IkePreferences::default()
    };
    let proposals = all.proposals(None);
    let numbers: Vec<u8> = proposals.iter().map(|proposal| proposal.number).collect();
    assert_eq!(numbers, [1, 2]);
    for proposal in &proposals {
        let ciphers = proposal
            .transforms
            .iter()
            .filter(|t| t.kind == TransformKind::ENCR);
        assert_eq!(
            ciphers.map(|t| t.key_bits).collect::<Vec<_>>(),
            [Some(256), Some(128)]
        );
        // A key length is only where the algorithm leaves it open.
        let others = proposal
            .transforms
            .iter()
            .filter(|t| t.kind != TransformKind::ENCR);
        assert!(others.clone().count() > 3 && others.clone().all(|t| t.key_bits.is_none()));
        assert!(proposal.spi.is_empty());
    }
}
