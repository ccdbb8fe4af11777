//! What the codec promises: everything comes back as it was, nothing lies about its length, nothing makes it panic.

mod properties;

use super::*;

/// An IKE_SA_INIT request by hand, octet for octet after RFC 7296 3.1 to 3.10: SA with AES-GCM-256, HMAC-SHA-256, X25519; a nonce; a
/// cookie notification.
const BY_HAND: &[u8] = &[
    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, // initiator's SPI
    0, 0, 0, 0, 0, 0, 0, 0, // responder's SPI
    33, 0x20, 34, 0x08, // SA follows, version 2.0, IKE_SA_INIT, from the initiator
    0, 0, 0, 0, // message id
    0, 0, 0, 102, // length
    40, 0, 0, 40, // SA, 40 octets, a nonce follows
    0, 0, 0, 36, 1, 1, 0, 3, // the last proposal, 36 octets: number 1, IKE, no SPI, 3 transforms
    3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 1, 0, // ENCR 20, key length 256
    3, 0, 0, 8, 2, 0, 0, 5, // PRF 5
    0, 0, 0, 8, 4, 0, 0, 31, // KE 31
    41, 0, 0, 20, // nonce, 20 octets, a notification follows
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, //
    0, 0, 0, 14, // notify, 14 octets, the last
    0, 0, 0x40, 6, 0xca, 0xfe, 0xba, 0xbe, 0, 1, // no protocol, no SPI, 16390 COOKIE, six octets
];

fn by_hand() -> (Header, Vec<Payload>) {
    let header = Header {
        initiator_spi: IkeSpi(0x1122_3344_5566_7788),
        responder_spi: IkeSpi::ZERO,
        exchange: Exchange::IkeSaInit,
        from_initiator: true,
        response: false,
        message_id: MessageId(0),
    };
    let aes = Transform {
        key_bits: Some(256),
        ..Transform::new(TransformKind::ENCR, 20)
    };
    let transforms = vec![
        aes,
        Transform::new(TransformKind::PRF, 5),
        Transform::new(TransformKind::KE, 31),
    ];
    let proposal = Proposal {
        number: 1,
        protocol: Protocol::Ike,
        spi: Vec::new(),
        transforms,
    };
    let cookie = Notify::new(NotifyKind::COOKIE, vec![0xca, 0xfe, 0xba, 0xbe, 0, 1]);
    (
        header,
        vec![
            Payload::Sa(vec![proposal]),
            Payload::Nonce((1..=16).collect()),
            Payload::Notify(cookie),
        ],
    )
}

fn changed(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut message = BY_HAND.to_vec();
    message[at..at + octets.len()].copy_from_slice(octets);
    message
}

fn refusal(octets: &[u8]) -> String {
    match parse(octets) {
        Ok(datagram) => unreachable!("taken: {datagram:?}"),
        Err(malformed) => malformed.to_string(),
    }
}

#[test]
fn a_message_written_by_hand_is_read_and_written_as_it_is() {
    let (header, payloads) = by_hand();
    assert_eq!(encode_clear(&header, &payloads), BY_HAND);
    assert_eq!(
        parse(BY_HAND),
        Ok(Datagram {
            header,
            body: Body::Clear(payloads),
            octets: BY_HAND
        })
    );
}

#[test]
fn every_refusal_says_what_and_where() {
    let cases: [(&str, Vec<u8>); 16] = [
        ("header at octet 0: ends too early", Vec::new()),
        (
            "message length at octet 0: impossible length",
            BY_HAND[..101].to_vec(),
        ),
        (
            "message length at octet 0: impossible length",
            [BY_HAND, &[0]].concat(),
        ),
        ("major version 1 of IKE, we speak 2", changed(17, &[0x10])),
        ("payload at octet 28: impossible length", changed(30, &[0, 3])),
        ("payload at octet 32: ends too early", changed(30, &[1, 0])),
        ("proposal at octet 32: impossible value", changed(32, &[1])),
        ("proposal at octet 68: ends too early", changed(32, &[2])),
        ("transform at octet 40: impossible value", changed(40, &[0])),
        (
            "transform at octet 68: ends too early",
            changed(39, &[4]).tap(60, 3),
        ),
        (
            "proposal at octet 60: octets left over",
            changed(39, &[2]).tap(52, 0),
        ),
        ("transform at octet 40: impossible length", changed(42, &[0, 3])),
        ("nonce payload at octet 72: impossible length", changed(71, &[19])),
        (
            "SPI of a notify payload at octet 96: ends too early",
            changed(93, &[7]),
        ),
        (
            "encrypted payload at octet 88: not allowed here",
            changed(68, &[46]),
        ),
        ("message at octet 88: octets left over", changed(68, &[0])),
    ];
    for (wanted, octets) in cases {
        assert_eq!(refusal(&octets), wanted);
    }
}

trait Tap {
    fn tap(self, at: usize, octet: u8) -> Self;
}

impl Tap for Vec<u8> {
    fn tap(mut self, at: usize, octet: u8) -> Self {
        self[at] = octet;
        self
    }
}

/// RFC 7296 2.5: minor versions, the flag V and reserved bits change nothing; we send zero.
#[test]
fn what_is_reserved_is_ignored() {
    for octets in [
        changed(17, &[0x27]),
        changed(19, &[0xd8 | 0x07]),
        changed(29, &[0x7f]),
        changed(69, &[0x80]),
    ] {
        assert_eq!(
            parse(&octets).map(|datagram| datagram.body),
            Ok(Body::Clear(by_hand().1))
        );
    }
}

#[test]
fn a_truncated_message_is_refused_at_every_length() {
    for length in 0..BY_HAND.len() {
        let mut octets = BY_HAND[..length].to_vec();
        // Also if its header tells the truth about it.
        if let Some(field) = octets.get_mut(24..28) {
            field.copy_from_slice(&(length as u32).to_be_bytes());
        }
        assert!(parse(&octets).is_err(), "taken at {length}");
    }
}

#[test]
fn another_version_can_be_answered() {
    let octets = changed(17, &[0x30]);
    let (header, _) = by_hand();
    assert_eq!(parse(&octets), Err(Malformed::Version { major: 3, header }));
    assert_eq!(Header::peek(&octets), Some(header));
}

#[test]
fn what_there_may_be_at_most_is_taken_and_one_more_is_not() {
    let header = by_hand().0;
    let many = |payloads: Vec<Payload>| {
        parse(&encode_clear(&header, &payloads))
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    let vendor = |count| many(vec![Payload::VendorId(Vec::new()); count]);
    let spis = |count| many(vec![Payload::Delete(Delete::Esp(vec![7; count]))]);
    let proposal = |transforms| Proposal {
        number: 1,
        protocol: Protocol::Esp,
        spi: vec![1, 2, 3, 4],
        transforms: vec![Transform::new(TransformKind::ESN, 1); transforms],
    };
    let transforms = |count| many(vec![Payload::Sa(vec![proposal(count)])]);
    let proposals = |count| many(vec![Payload::Sa(vec![proposal(1); count])]);
    let any = Selector::v4([0; 4].into(), [255; 4].into());
    let selectors = |count| many(vec![Payload::SelectorsResponder(vec![any.clone(); count])]);
    let nonce = |count| many(vec![Payload::Nonce(vec![0; count])]);

    assert_eq!(
        [
            vendor(64),
            spis(64),
            transforms(64),
            proposals(16),
            selectors(64),
            nonce(256)
        ],
        [const { Ok(()) }; 6]
    );
    assert_eq!(vendor(65), Err("payload at octet 284: more than 64".into()));
    assert_eq!(spis(65), Err("delete payload at octet 32: more than 64".into()));
    assert_eq!(transforms(65), Err("transform at octet 44: more than 64".into()));
    assert_eq!(proposals(17), Err("proposal at octet 352: more than 16".into()));
    assert_eq!(
        selectors(65),
        Err("traffic selector at octet 36: more than 64".into())
    );
    assert_eq!(
        nonce(257),
        Err("nonce payload at octet 32: impossible length".into())
    );
    assert_eq!(
        nonce(15),
        Err("nonce payload at octet 32: impossible length".into())
    );
}

/// A chain may name itself as next for ever only as long as there are octets; a payload of nothing but a header is the densest.
#[test]
fn a_chain_without_end_is_cut_off() {
    let chain = [41, 0, 0, 4].repeat(1000);
    assert!(parse_chain(PayloadKind::VENDOR, &chain).is_err());
    let vendors = [43, 0, 0, 4].repeat(1000);
    let refused = parse_chain(PayloadKind::VENDOR, &vendors).map_err(|e| e.to_string());
    assert_eq!(refused, Err("payload at octet 256: more than 64".into()));
}

#[test]
fn an_unknown_payload_is_kept_with_its_critical_flag() {
    let chain = [0, 0x80, 0, 6, 1, 2];
    let unknown = Payload::Unknown {
        kind: 200,
        critical: true,
        data: vec![1, 2],
    };
    assert_eq!(parse_chain(PayloadKind(200), &chain), Ok(vec![unknown]));
}

/// RFC 7296 3.3.6: an attribute that we do not know bars its transform; so does a second key length.
#[test]
fn a_transform_with_an_unknown_attribute_is_marked() {
    let transform = |attributes: &[u8]| {
        let length = attributes.len() as u8;
        let head = [
            0,
            0,
            0,
            length + 20,
            0,
            0,
            0,
            length + 16,
            1,
            1,
            0,
            1,
            0,
            0,
            0,
            length + 8,
            1,
            0,
            0,
            20,
        ];
        match parse_chain(PayloadKind::SA, &[&head, attributes].concat()) {
            Ok(payloads) => match &payloads[..] {
                [Payload::Sa(proposals)] => Ok(proposals[0].transforms[0]),
                other => unreachable!("{other:?}"),
            },
            Err(malformed) => Err(malformed.to_string()),
        }
    };
    let aes = |key_bits, unknown_attribute| Transform {
        key_bits,
        unknown_attribute,
        ..Transform::new(TransformKind::ENCR, 20)
    };
    assert_eq!(transform(&[0x80, 14, 1, 0]), Ok(aes(Some(256), false)));
    assert_eq!(transform(&[0x80, 15, 1, 0]), Ok(aes(None, true)));
    assert_eq!(
        transform(&[0x80, 14, 1, 0, 0x80, 14, 0, 128]),
        Ok(aes(Some(256), true))
    );
    assert_eq!(
        transform(&[0, 99, 0, 2, 7, 7, 0x80, 14, 1, 0]),
        Ok(aes(Some(256), true))
    );
    assert_eq!(
        transform(&[0, 99, 0, 3, 7, 7]),
        Err("transform attribute at octet 24: ends too early".into())
    );
}

#[test]
fn a_name_that_could_deceive_is_refused() {
    let identity = |octets: &[u8]| {
        let length = 8 + octets.len() as u8;
        parse_chain(
            PayloadKind::ID_INITIATOR,
            &[&[0, 0, 0, length, 2, 0, 0, 0], octets].concat(),
        )
        .is_ok()
    };
    assert!(identity(b"alice.example"));
    for bad in [
        &b""[..],
        b"alice.example\0",
        b"alice\r\n",
        b"alice example",
        &[0xff, 0xfe],
        "a\u{2028}b".as_bytes(),
    ] {
        assert!(!identity(bad), "{bad:?}");
    }
    assert_eq!(Identity::Fqdn("a\u{202e}b".into()).to_string(), "a\\u{202e}b");
    assert!(Identity::Fqdn("Alice.Example".into()).same(&Identity::Fqdn("alice.example".into())));
    assert!(!Identity::Email("a@b".into()).same(&Identity::Fqdn("a@b".into())));
}

#[test]
fn a_delete_names_what_its_protocol_has() {
    let delete = |octets: &[u8]| {
        parse_chain(
            PayloadKind::DELETE,
            &[&[0, 0, 0, 4 + octets.len() as u8], octets].concat(),
        )
        .is_ok()
    };
    assert!(delete(&[1, 0, 0, 0]));
    assert!(delete(&[3, 4, 0, 1, 1, 2, 3, 4]));
    for bad in [
        &[1, 0, 0, 1][..],
        &[1, 8, 0, 0],
        &[3, 8, 0, 0],
        &[9, 4, 0, 0],
        &[3, 4, 0, 2, 1, 2, 3, 4],
    ] {
        assert!(!delete(bad), "{bad:?}");
    }
    assert!(!delete(&[3, 4, 0, 0, 1, 2, 3, 4]), "octets that nobody counted");
}

#[test]
fn a_sealed_message_is_left_sealed() {
    let octets = [&changed(16, &[46])[..28], &[33, 0, 0, 10, 1, 2, 3, 4, 5, 6]]
        .concat()
        .tap(27, 38);
    let sealed = Sealed {
        first: PayloadKind::SA,
        associated: &octets[..32],
        content: &[1, 2, 3, 4, 5, 6],
    };
    assert_eq!(
        parse(&octets).map(|datagram| datagram.body),
        Ok(Body::Sealed(sealed))
    );
    assert_eq!(
        refusal(&[&octets[..], &[0]].concat().tap(27, 39)),
        "message after SK at octet 38: octets left over"
    );
}

/// RFC 7383 2.5, 2.6.
#[test]
fn a_fragment_has_a_possible_number() {
    let message = |first: u8, number: u8, total: u8| {
        [
            &changed(16, &[53])[..28],
            &[first, 0, 0, 10, 0, number, 0, total, 8, 9],
        ]
        .concat()
        .tap(27, 38)
    };
    let octets = message(35, 1, 2);
    let first = PayloadKind::ID_INITIATOR;
    let fragment = Fragment {
        first,
        number: 1,
        total: 2,
        associated: &octets[..36],
        content: &[8, 9],
    };
    assert_eq!(
        parse(&octets).map(|datagram| datagram.body),
        Ok(Body::Fragment(fragment))
    );
    assert!(parse(&message(0, 2, 2)).is_ok());
    for (first, number, total) in [(35, 0, 2), (35, 3, 2), (35, 2, 2), (35, 0, 0)] {
        assert_eq!(
            refusal(&message(first, number, total)),
            "fragment at octet 28: impossible value"
        );
    }
}

#[test]
fn selectors_narrow_to_what_both_allow() {
    let v4 = |first: [u8; 4], last: [u8; 4]| Selector::v4(first.into(), last.into());
    let net = v4([10, 0, 0, 0], [10, 0, 0, 255]);
    let part = Selector {
        protocol: 17,
        ports: (500, 500),
        ..v4([10, 0, 0, 7], [10, 0, 1, 0])
    };
    let both = Selector {
        protocol: 17,
        ports: (500, 500),
        ..v4([10, 0, 0, 7], [10, 0, 0, 255])
    };
    assert_eq!(net.intersect(&part), Some(both.clone()));
    assert_eq!(part.intersect(&net), Some(both));
    assert_eq!(net.intersect(&v4([10, 0, 1, 0], [10, 0, 1, 1])), None);
    assert_eq!(
        part.intersect(&Selector {
            protocol: 6,
            ..net.clone()
        }),
        None
    );
    assert_eq!(
        part.intersect(&Selector {
            protocol: 17,
            ports: (501, 600),
            ..net.clone()
        }),
        None
    );
    assert_eq!(
        net.intersect(&Selector {
            addresses: Range::Other(9, vec![]),
            ..net.clone()
        }),
        None
    );
    assert!(net.covers([10, 0, 0, 255].into()) && !net.covers([10, 0, 1, 0].into()));
}

#[test]
fn notifications_have_their_names() {
    assert_eq!(NotifyKind(16388).to_string(), "NAT_DETECTION_SOURCE_IP");
    assert_eq!(NotifyKind(43), NotifyKind::TEMPORARY_FAILURE);
    assert_eq!(NotifyKind(12345).to_string(), "notify 12345");
    assert!(NotifyKind(16383).is_error() && !NotifyKind(16384).is_error());
}

/// RFC 7296 3.4, 3.5, 3.8, 3.13: octets that are reserved, all set, and the same without.
#[test]
fn reserved_octets_inside_payloads_are_ignored_and_sent_as_zero() {
    let selectors = [
        0, 0, 0, 24, 1, 9, 9, 9, 7, 0, 0, 16, 0, 0, 255, 255, 10, 0, 0, 1, 10, 0, 0, 1,
    ];
    let cases: [(PayloadKind, Vec<u8>, &[usize]); 4] = [
        (PayloadKind::KE, vec![0, 0, 0, 9, 0, 31, 9, 9, 1], &[6, 7]),
        (
            PayloadKind::ID_INITIATOR,
            vec![0, 0, 0, 9, 11, 9, 9, 9, 1],
            &[5, 6, 7],
        ),
        (PayloadKind::AUTH, vec![0, 0, 0, 9, 2, 9, 9, 9, 1], &[5, 6, 7]),
        (PayloadKind::TS_INITIATOR, selectors.to_vec(), &[5, 6, 7]),
    ];
    for (kind, mut octets, reserved) in cases {
        let set = parse_chain(kind, &octets);
        for at in reserved {
            octets[*at] = 0;
        }
        assert_eq!(set, parse_chain(kind, &octets), "{kind:?}");
        let (_, sent) = encode_chain(&set.unwrap_or_else(|e| unreachable!("{e}")));
        assert_eq!(sent, octets, "{kind:?}");
    }
}

/// RFC 7296 3.3.1, 3.3.2: the same for the parts of an SA payload.
#[test]
fn reserved_octets_of_proposals_and_transforms_are_ignored() {
    // Of the proposal, of each transform both.
    let reserved = [33, 41, 45, 53, 57, 61, 65];
    for at in reserved {
        let octets = changed(at, &[9]);
        let body = parse(&octets).map(|datagram| datagram.body);
        assert_eq!(body, Ok(Body::Clear(by_hand().1)), "octet {at}");
    }
}
