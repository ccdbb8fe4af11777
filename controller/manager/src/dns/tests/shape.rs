//! What a granted answer looks like on the wire.

use super::*;
use hickory_proto::rr::RData;
use kith_protocol::facts;
use kith_protocol::ticket::MAX_TICKET;
use proptest::prelude::*;

#[test]
fn an_address_is_answered_with_authority() {
    let (outcome, message) = ask("printer.acme.example", A).decided();
    assert_eq!(outcome, Outcome::Address);
    assert_eq!((message.id, message.response_code), (ID, ResponseCode::NoError));
    assert!(
        message.authoritative
            && message.recursion_desired
            && !message.recursion_available
            && !message.truncation
    );
    let [record] = &message.answers[..] else {
        panic!("one answer")
    };
    assert_eq!((record.ttl, &record.data), (TTL_S, &RData::A(PRINTER.into())));
    assert!(
        message.edns.is_none(),
        "who does not speak EDNS is not answered in it"
    );
}

#[test]
fn an_address_has_its_name() {
    let (outcome, message) = ask("9.0.77.10.IN-ADDR.arpa", PTR).decided();
    assert_eq!(outcome, Outcome::Name);
    assert_eq!(message.answers[0].data.to_string(), "printer.acme.example.");
}

#[test]
fn letters_come_back_as_they_went_out() {
    let (outcome, out) = ask("PrInTeR.aCMe.exAMPle", A).of(Some(ASKER), &mut Acme::default(), Transport::Udp);
    assert_eq!(outcome, Outcome::Address);
    assert_eq!(out[12..34], wire_name("PrInTeR.aCMe.exAMPle"));
    assert_eq!(out[38..40], [0xc0, 12], "the owner is a pointer to the question");
}

#[test]
fn facts_and_ticket_ride_beside_the_answer() {
    for (name, kind) in [("Printer.acme.example", A), ("9.0.77.10.in-addr.arpa", PTR)] {
        let mut names = Acme {
            ticket: MAX_TICKET,
            ..Acme::default()
        };
        let (_, out) = ask(name, kind)
            .edns(0, 1232)
            .of(Some(ASKER), &mut names, Transport::Udp);
        let message = Message::from_vec(&out).unwrap();
        let [record] = &message.additionals[..] else {
            panic!("one record beside the answer")
        };
        let RData::TXT(strings) = &record.data else {
            panic!("TXT")
        };
        let peer = facts::parse(&strings.txt_data).unwrap();
        assert_eq!(peer, names.locate(0, ASKER, Target::Address(PRINTER)).unwrap());
        assert_eq!(record.name.to_ascii().to_lowercase(), "printer.acme.example.");
    }
}

#[test]
fn what_is_too_long_beside_the_answer_is_left_out_and_comes_over_tcp() {
    let mut names = Acme {
        ticket: MAX_TICKET,
        ..Acme::default()
    };
    let asked = ask("printer.acme.example", A);
    let beside = [Transport::Udp, Transport::Tcp].map(|transport| {
        let message = Message::from_vec(&asked.of(Some(ASKER), &mut names, transport).1).unwrap();
        assert_eq!(
            (message.answers.len(), message.truncation),
            (1, false),
            "{transport:?}"
        );
        message.additionals.len()
    });
    assert_eq!(beside, [0, 1], "512 octets without EDNS");
}

#[test]
fn edns_is_answered_in_kind() {
    let (_, message) = ask("printer.acme.example", A).edns(0, 4096).decided();
    let edns = message.edns.unwrap();
    assert_eq!(
        (edns.version(), edns.max_payload(), edns.flags().dnssec_ok),
        (0, MAX_UDP, false)
    );
}

#[test]
fn no_answer_is_longer_than_the_client_takes() {
    for (payload, limit) in [(0, 512), (511, 512), (700, 700), (65_535, usize::from(MAX_UDP))] {
        for ticket in 0..=MAX_TICKET {
            let mut names = Acme {
                ticket,
                ..Acme::default()
            };
            let asked = ask("printer.acme.example", A).edns(0, payload);
            let (_, out) = asked.of(Some(ASKER), &mut names, Transport::Udp);
            assert!(out.len() <= limit, "{} octets, {limit} taken", out.len());
            let message = Message::from_vec(&out).unwrap();
            assert_eq!(
                (message.answers.len(), message.truncation),
                (1, false),
                "the answer is whole"
            );
            assert!(message.edns.is_some());
        }
    }
}

#[test]
fn the_longest_of_names_fit_whom_the_least_is_taken_from() {
    struct Long(String);
    impl Names for Long {
        fn ours(&self, _: MemberId, _: Target<'_>) -> bool {
            true
        }
        fn locate(&mut self, _: u64, _: MemberId, _: Target<'_>) -> Result<Peer, Unlocated> {
            Ok(Peer {
                fqdn: self.0.clone(),
                location: Some(Location::default()),
                ..Peer::default()
            })
        }
    }
    let long = format!("{}.acme.example", vec!["x".repeat(59); 4].join("."));
    assert_eq!(wire_name(&long).len(), 254);
    for (asked, outcome) in [
        (ask(&long, A), Outcome::Address),
        (ask("9.0.77.10.in-addr.arpa", PTR), Outcome::Name),
    ] {
        let query = Query {
            bytes: &asked.bytes(),
            asker: Some(ASKER),
            transport: Transport::Udp,
            now_ms: 0,
        };
        let mut out = Vec::new();
        assert_eq!(answer(&query, &mut Long(long.clone()), &mut out), outcome);
        let message = Message::from_vec(&out).unwrap();
        assert_eq!((message.answers.len(), message.truncation), (1, false));
    }
}

proptest! {
    #[test]
    fn any_octets_are_dropped_or_answered_with_a_whole_message(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), tcp: bool, member: bool,
    ) {
        let mut out = Vec::new();
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let query = Query { bytes: &bytes, asker: member.then_some(ASKER), transport, now_ms: 0 };
        let outcome = answer(&query, &mut Acme::default(), &mut out);
        prop_assert_eq!(out.is_empty(), matches!(outcome, Outcome::NotDns | Outcome::Response));
        if !out.is_empty() {
            let message = Message::from_vec(&out).unwrap();
            prop_assert_eq!(message.id, u16::from_be_bytes([bytes[0], bytes[1]]));
            prop_assert!(out[2] & 0x80 != 0);
        }
    }

    #[test]
    fn a_good_query_with_one_octet_changed_is_dropped_or_answered(at in 0usize..60, value: u8) {
        let mut bytes = ask("printer.acme.example", A).edns(0, 1232).bytes();
        let at = 12 + at % (bytes.len() - 12);
        bytes[at] = value;
        let mut out = Vec::new();
        let query = Query { bytes: &bytes, asker: Some(ASKER), transport: Transport::Udp, now_ms: 0 };
        answer(&query, &mut Acme::default(), &mut out);
        let message = Message::from_vec(&out).unwrap();
        prop_assert!(message.queries.len() <= 1 && message.answers.len() <= 1);
    }
}
