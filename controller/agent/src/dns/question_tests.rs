//! What is decided about queries, hostile ones too.

use super::*;
use hickory_proto::rr::RecordType;
use tokio::sync::mpsc;

pub fn zones() -> Zones {
    let zones = Zones::default();
    zones.set(Zone {
        domain: "acme.example".into(),
        fqdn: "alice.acme.example".into(),
        adapter: "kith0".into(),
        own: Ipv4Addr::LOCALHOST,
        manager: Ipv4Addr::LOCALHOST,
        networks: vec!["10.77.0.0/24".parse().unwrap()],
        member: mpsc::channel(1).0,
    });
    zones
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn decided(query: &Message) -> Decision {
    decide(&query.to_vec().unwrap(), &zones())
}

fn replied(query: &Message) -> Message {
    match decided(query) {
        Decision::Reply(message) => *message,
        _ => panic!("a reply"),
    }
}

#[test]
fn addresses_of_our_names_and_names_of_our_addresses_are_asked_of_the_manager() {
    for name in ["printer.acme.example.", "PRINTER.Acme.Example.", "acme.example."] {
        assert!(
            matches!(decided(&query(name, RecordType::A)), Decision::Ask(..)),
            "{name}"
        );
    }
    assert!(matches!(
        decided(&query("3.0.77.10.in-addr.arpa.", RecordType::PTR)),
        Decision::Ask(..)
    ));
}

#[test]
fn other_kinds_of_our_names_do_not_exist_but_the_names_do() {
    for kind in [
        RecordType::AAAA,
        RecordType::TXT,
        RecordType::MX,
        RecordType::HTTPS,
        RecordType::ANY,
    ] {
        let reply = replied(&query("printer.acme.example.", kind));
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert!(reply.answers.is_empty() && reply.authorities[0].record_type() == RecordType::SOA);
        assert_eq!(
            (reply.metadata.id, reply.metadata.message_type),
            (7, MessageType::Response)
        );
    }
}

#[test]
fn everything_else_is_elsewhere() {
    for (name, kind) in [
        ("example.", RecordType::A),
        ("notacme.example.", RecordType::A),
        ("printer.acme.example.org.", RecordType::A),
        (".", RecordType::NS),
        ("3.1.77.10.in-addr.arpa.", RecordType::PTR),
        ("0.77.10.in-addr.arpa.", RecordType::PTR),
        ("1.3.0.77.10.in-addr.arpa.", RecordType::PTR),
        ("3.0.77.10.in-addr.arpa.", RecordType::A),
    ] {
        assert!(
            matches!(decided(&query(name, kind)), Decision::Elsewhere(_)),
            "{name} {kind}"
        );
    }
    let mut chaos = query("printer.acme.example.", RecordType::A);
    chaos.queries[0].query_class = DNSClass::CH;
    assert!(matches!(decided(&chaos), Decision::Elsewhere(_)));
}

#[test]
fn what_is_no_query_is_not_answered_and_what_is_a_bad_one_is_told_so() {
    let good = query("printer.acme.example.", RecordType::A).to_vec().unwrap();
    assert!(matches!(decide(&[], &zones()), Decision::Drop));
    assert!(matches!(decide(&good[..11], &zones()), Decision::Drop));
    let mut response = good.clone();
    response[2] |= 0x80;
    assert!(matches!(decide(&response, &zones()), Decision::Drop));
    let Decision::Reply(cut) = decide(&good[..good.len() - 1], &zones()) else {
        panic!("a reply")
    };
    assert_eq!(
        (cut.metadata.response_code, cut.metadata.id),
        (ResponseCode::FormErr, 7)
    );
    let mut two = query("printer.acme.example.", RecordType::A);
    two.add_query(two.queries[0].clone());
    assert_eq!(replied(&two).metadata.response_code, ResponseCode::FormErr);
    let mut status = query("printer.acme.example.", RecordType::A);
    status.metadata.op_code = OpCode::Status;
    assert_eq!(replied(&status).metadata.response_code, ResponseCode::NotImp);
}

#[test]
fn who_speaks_edns_is_answered_in_it_and_a_newer_version_is_refused() {
    let mut asked = query("printer.acme.example.", RecordType::AAAA);
    assert!(replied(&asked).edns.is_none());
    asked.set_edns(edns());
    assert_eq!(replied(&asked).edns.unwrap().max_payload(), PAYLOAD);
    let mut newer = edns();
    newer.set_version(1);
    asked.set_edns(newer);
    assert_eq!(replied(&asked).metadata.response_code, ResponseCode::BADVERS);
}

proptest::proptest! {
    #[test]
    fn no_octets_whatever_make_it_panic(octets in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        let _decided = decide(&octets, &zones());
    }
}
