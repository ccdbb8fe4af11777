//! Whole handshakes of strongSwan 5.9.8 with itself, read from outside: its messages, and the keys that its log shows at level 4.
//!
//! Two daemons in two network namespaces, one IKE_SA_INIT and one IKE_AUTH each. Everything is recomputed from the shared secret
//! and what passed on the wire: SKEYSEED, SK_*, the payloads inside SK and SKF, what AUTH covers, AUTH itself, certificates, and the
//! keys of the child. The keys served once, between two test daemons.

use crate::auth::{Anchors, HASH_IDENTITY, HASH_SHA2_256, PeerProof, signed_octets};
use crate::codec::{Body, Datagram, Identity, NotifyKind, Payload, parse, parse_chain};
use crate::suite::{
    Cipher, EspPreferences, Group, IkeKeys, IkeSuite, Nonces, Prf, SharedSecret, Spis, accept_esp, accept_ike,
};
use data_encoding::HEXLOWER;
use kith_esp::{HEADER_LEN, Inbound, Limits, Millis, Outbound, SaKeys, Spi};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Lines `name = hex`; a name may come more than once.
struct Capture(&'static str);

impl Capture {
    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        let lines = self
            .0
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .filter(|(key, _)| *key == name);
        lines
            .map(|(_, hex)| {
                HEXLOWER
                    .decode(hex.as_bytes())
                    .unwrap_or_else(|e| panic!("{name}: {e}"))
            })
            .collect()
    }

    fn one(&self, name: &str) -> Vec<u8> {
        let mut all = self.all(name);
        assert_eq!(all.len(), 1, "{name}");
        all.remove(0)
    }
}

struct Side {
    init: Vec<u8>,
    proposals: Vec<crate::codec::Proposal>,
    nonce: Vec<u8>,
}

fn clear<'a>(octets: &'a [u8]) -> (Datagram<'a>, Side) {
    let datagram = parse(octets).unwrap_or_else(|e| panic!("{e}"));
    let Body::Clear(payloads) = &datagram.body else {
        panic!("sealed")
    };
    let proposals = find(payloads, |p| {
        if let Payload::Sa(proposals) = p {
            Some(proposals.clone())
        } else {
            None
        }
    });
    let nonce = find(payloads, |p| {
        if let Payload::Nonce(nonce) = p {
            Some(nonce.clone())
        } else {
            None
        }
    });
    assert_eq!(
        crate::codec::encode_clear(&datagram.header, payloads),
        octets,
        "it is written as strongSwan writes it"
    );
    let side = Side {
        init: octets.to_vec(),
        proposals,
        nonce,
    };
    (datagram, side)
}

fn find<T>(payloads: &[Payload], pick: impl Fn(&Payload) -> Option<T>) -> T {
    payloads
        .iter()
        .find_map(pick)
        .unwrap_or_else(|| panic!("not in {payloads:?}"))
}

/// The payloads of an IKE_AUTH message, in one piece or in fragments.
fn open(keys: &IkeKeys, initiator: bool, messages: &[Vec<u8>]) -> Vec<Payload> {
    let opener = keys.opener(initiator).unwrap_or_else(|e| panic!("{e}"));
    let mut pieces = Vec::new();
    for octets in messages {
        let datagram = parse(octets).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(datagram.header.from_initiator, initiator);
        match &datagram.body {
            Body::Clear(_) => panic!("in the clear"),
            Body::Sealed(sealed) => return opener.open(sealed).unwrap_or_else(|e| panic!("{e}")),
            Body::Fragment(fragment) => {
                pieces.push(opener.open_fragment(fragment).unwrap_or_else(|e| panic!("{e}")))
            }
        }
    }
    assert!(
        pieces.len() > 1
            && pieces
                .iter()
                .all(|piece| usize::from(piece.total) == pieces.len())
    );
    pieces.sort_by_key(|piece| piece.number);
    let whole: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.plain.iter().copied())
        .collect();
    parse_chain(pieces[0].first, &whole).unwrap_or_else(|e| panic!("{e}"))
}

/// What the whole handshake has to give; `proof` of whichever side has to prove itself.
fn handshake(capture: &Capture, suite: IkeSuite, proof: impl Fn() -> PeerProof, now: u64) {
    let (initiator, responder) = (capture.one("initiator_init"), capture.one("responder_init"));
    let (_, ours) = clear(&initiator);
    let (answer, theirs) = clear(&responder);
    assert_eq!(accept_ike(&ours.proposals, &theirs.proposals), Ok((suite, None)));

    let spis = Spis {
        initiator: answer.header.initiator_spi,
        responder: answer.header.responder_spi,
    };
    let nonces = Nonces {
        initiator: &ours.nonce,
        responder: &theirs.nonce,
    };
    let shared = SharedSecret::known(&capture.one("shared"));
    let keys = IkeKeys::first(suite.prf, suite.cipher, nonces, &shared, spis);
    let logged = ["sk_d", "sk_ei", "sk_er", "sk_pi", "sk_pr"]
        .map(|name| capture.one(name))
        .concat();
    assert_eq!(HEXLOWER.encode(&keys.stream()), HEXLOWER.encode(&logged));

    let inside = [
        open(&keys, true, &capture.all("initiator_auth")),
        open(&keys, false, &capture.all("responder_auth")),
    ];
    for (from_initiator, payloads) in [(true, &inside[0]), (false, &inside[1])] {
        let (own, other) = if from_initiator {
            (&ours, &theirs)
        } else {
            (&theirs, &ours)
        };
        let identity: Identity = find(payloads, |p| match p {
            Payload::IdInitiator(id) if from_initiator => Some(id.clone()),
            Payload::IdResponder(id) if !from_initiator => Some(id.clone()),
            _ => None,
        });
        let name = if from_initiator {
            "a.kith.example"
        } else {
            "b.kith.example"
        };
        assert_eq!(identity, Identity::Fqdn(name.into()));
        let sk_p = keys.prove(from_initiator);
        let octets = signed_octets(&own.init, &other.nonce, suite.prf, sk_p, &identity.body(), None);
        if let [logged] = &capture.all(if from_initiator { "octets_i" } else { "octets_r" })[..] {
            assert_eq!(HEXLOWER.encode(&octets), HEXLOWER.encode(logged));
        }
        let (method, data) = find(payloads, |p| match p {
            Payload::Auth { method, data } => Some((*method, data.clone())),
            _ => None,
        });
        let chain: Vec<Vec<u8>> = payloads
            .iter()
            .filter_map(|p| {
                if let Payload::Certificate { encoding: 4, data } = p {
                    Some(data.clone())
                } else {
                    None
                }
            })
            .collect();
        let check = |data: &[u8], octets: &[u8]| {
            let hashes = [HASH_SHA2_256, HASH_IDENTITY];
            proof().check(&identity, method, data, octets, suite.prf, &chain, &hashes, now)
        };
        assert_eq!(check(&data, &octets), Ok(()));
        let mut wrong = data.clone();
        *wrong.last_mut().unwrap_or_else(|| panic!("empty")) ^= 1;
        assert!(check(&wrong, &octets).is_err(), "a changed proof");
        assert!(check(&data, &octets[1..]).is_err(), "a proof of something else");
    }

    let sa = |payloads: &[Payload]| {
        find(payloads, |p| {
            if let Payload::Sa(sa) = p {
                Some(sa.clone())
            } else {
                None
            }
        })
    };
    let (esp, _) = accept_esp(&sa(&inside[0]), &sa(&inside[1])).unwrap_or_else(|e| panic!("{e}"));
    assert!(esp.group.is_none() && esp.cipher == suite.cipher);
    assert!(EspPreferences::default().ciphers.contains(&esp.cipher));
    let child = keys.child_keys(esp, nonces, &[]);
    assert_fits(child.initiator_to_responder, &capture.one("esp_i"));
    assert_fits(child.responder_to_initiator, &capture.one("esp_r"));
}

/// Keys are not shown: what ours seal, the other's open.
pub(crate) fn assert_fits(ours: SaKeys, keymat: &[u8]) {
    let spi = Spi::new(0x1234).unwrap_or_else(|e| panic!("{e}"));
    let theirs = SaKeys::from_keymat(keymat).unwrap_or_else(|e| panic!("{e}"));
    let (limits, now) = (Limits::default(), Millis(0));
    let (mut outbound, mut inbound) = (
        Outbound::new(spi, ours, limits, now),
        Inbound::new(spi, theirs, limits, now),
    );
    let mut packet = vec![7; HEADER_LEN + 100 + 64];
    let sealed = outbound
        .seal_in_place(&mut packet, HEADER_LEN..HEADER_LEN + 100, 17, now)
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(
        inbound.open_in_place(&mut packet[sealed.packet], now).is_ok(),
        "other keys"
    );
}

const X25519: IkeSuite = IkeSuite {
    cipher: Cipher::Aes256Gcm16,
    prf: Prf::HmacSha256,
    group: Group::X25519,
    additional: None,
};
const P256: IkeSuite = IkeSuite {
    cipher: Cipher::Aes128Gcm16,
    prf: Prf::HmacSha384,
    group: Group::P256,
    additional: None,
};

#[test]
fn strongswan_with_a_shared_secret() {
    let capture = Capture(include_str!("golden/strongswan-psk.txt"));
    let secret = || PeerProof::Psk(Zeroizing::new(b"correct horse battery staple".to_vec()));
    handshake(&capture, X25519, secret, 0);
    let responder = capture.one("responder_init");
    let Ok(Datagram {
        body: Body::Clear(payloads),
        ..
    }) = parse(&responder)
    else {
        panic!("sealed")
    };
    let notes: Vec<_> = payloads
        .iter()
        .filter_map(|p| {
            if let Payload::Notify(n) = p {
                Some(n.kind)
            } else {
                None
            }
        })
        .collect();
    let wanted = [
        NotifyKind::NAT_DETECTION_SOURCE_IP,
        NotifyKind::NAT_DETECTION_DESTINATION_IP,
        NotifyKind::IKEV2_FRAGMENTATION_SUPPORTED,
        NotifyKind::SIGNATURE_HASH_ALGORITHMS,
        NotifyKind::CHILDLESS_IKEV2_SUPPORTED,
        NotifyKind::MULTIPLE_AUTH_SUPPORTED,
    ];
    assert_eq!(notes, wanted);
}

fn certificates(capture: Capture, suite: IkeSuite) {
    let anchors = Arc::new(Anchors::from_der(&[capture.one("ca")]).unwrap_or_else(|e| panic!("{e}")));
    let now = u64::from_be_bytes(
        capture
            .one("now")
            .try_into()
            .unwrap_or_else(|_| panic!("not eight octets")),
    );
    handshake(&capture, suite, || PeerProof::Certificate(anchors.clone()), now);
}

#[test]
fn strongswan_with_ecdsa_certificates_in_fragments() {
    certificates(Capture(include_str!("golden/strongswan-ecdsa.txt")), P256);
}

#[test]
fn strongswan_with_ed25519_certificates_in_fragments() {
    certificates(Capture(include_str!("golden/strongswan-ed25519.txt")), X25519);
}
