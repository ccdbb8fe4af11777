//! Who is refused, how, and which refusal comes first.

use super::*;
use hickory_proto::op::OpCode;

#[test]
fn what_is_no_query_is_dropped() {
    let mut names = Acme::default();
    let mut out = vec![1];
    for len in 0..12 {
        let bytes = &ask("printer.acme.example", A).bytes()[..len];
        let query = Query {
            bytes,
            asker: Some(ASKER),
            transport: Transport::Udp,
            now_ms: 0,
        };
        assert_eq!(answer(&query, &mut names, &mut out), Outcome::NotDns);
        assert!(out.is_empty());
    }
}

#[test]
fn a_response_is_dropped_or_two_servers_would_talk_for_ever() {
    let mut response = ask("printer.acme.example", A);
    response.flags |= 0x8000;
    let (outcome, out) = response.of(Some(ASKER), &mut Acme::default(), Transport::Udp);
    assert_eq!((outcome, out.len()), (Outcome::Response, 0));
}

#[test]
fn no_opcode_but_query_is_implemented() {
    for opcode in 1..16 {
        let (outcome, message) = ask("printer.acme.example", A).opcode(opcode).decided();
        assert_eq!(outcome, Outcome::NotImplemented, "opcode {opcode}");
        assert_eq!(message.response_code, ResponseCode::NotImp);
        assert_eq!(
            message.op_code,
            OpCode::from_u8(opcode as u8),
            "the opcode comes back"
        );
        assert!(!message.authoritative);
    }
}

#[test]
fn no_class_but_internet_and_no_type_but_a_and_ptr() {
    for (kind, class) in [
        (A, CHAOS),
        (PTR, CHAOS),
        (A, 255),
        (A, 254),
        (AAAA, IN),
        (TXT, IN),
        (255, IN),
        (6, IN),
        (2, IN),
    ] {
        let mut asked = ask("printer.acme.example", kind);
        asked.questions = vec![question("printer.acme.example", kind, class)];
        let (outcome, message) = asked.decided();
        assert_eq!(outcome, Outcome::NotImplemented, "type {kind}, class {class}");
        assert_eq!(
            (message.response_code, message.queries.len()),
            (ResponseCode::NotImp, 1)
        );
    }
}

#[test]
fn not_implemented_comes_before_who_asks() {
    let asked = ask("printer.acme.example", AAAA);
    let (outcome, _) = asked.of(None, &mut Acme::default(), Transport::Udp);
    assert_eq!(outcome, Outcome::NotImplemented);
}

#[test]
fn a_later_edns_is_told_which_one_is_spoken() {
    let (outcome, message) = ask("printer.acme.example", A).edns(1, 1232).decided();
    assert_eq!(outcome, Outcome::EdnsVersion);
    assert_eq!(u16::from(message.response_code), 16);
    let edns = message.edns.unwrap();
    assert_eq!((edns.version(), edns.rcode_high()), (0, 1));
    assert!(message.answers.is_empty());
}

#[test]
fn who_is_no_member_is_told_of_a_server_failure() {
    let mut names = Acme::default();
    for asker in [None, Some(MemberId(8))] {
        let (outcome, out) = ask("printer.acme.example", A).of(asker, &mut names, Transport::Udp);
        assert_eq!(outcome, Outcome::ServerFailure);
        let message = Message::from_vec(&out).unwrap();
        assert_eq!(
            (message.response_code, message.authoritative),
            (ResponseCode::ServFail, false)
        );
    }
}

#[test]
fn a_name_of_nobody_here_is_a_server_failure() {
    for name in ["www.example.org", "acme.example.org", "notacme.example", ""] {
        assert_eq!(ask(name, A).outcome(), Outcome::ServerFailure, "{name}");
    }
    assert_eq!(ask("busy.acme.example", A).outcome(), Outcome::ServerFailure);
}

#[test]
fn a_name_that_no_message_can_carry_is_a_server_failure() {
    assert_eq!(
        ask("7.0.77.10.in-addr.arpa", PTR).outcome(),
        Outcome::ServerFailure
    );
}

#[test]
fn a_pointer_question_that_does_not_match_is_a_server_failure() {
    let not_reverse = [
        "printer.acme.example",
        "77.10.in-addr.arpa",
        "1.9.0.77.10.in-addr.arpa",
        "in-addr.arpa",
    ];
    let odd = [
        "09.0.77.10.in-addr.arpa",
        "+9.0.77.10.in-addr.arpa",
        "256.0.77.10.in-addr.arpa",
        ".0.77.10.in-addr.arpa",
    ];
    let nobody = ["1.0.77.10.in-addr.arpa", "9.0.77.10.ip6.arpa"];
    for name in not_reverse.iter().chain(&odd).chain(&nobody) {
        assert_eq!(ask(name, PTR).outcome(), Outcome::ServerFailure, "{name}");
    }
}

#[test]
fn none_or_several_questions_are_a_format_error() {
    for count in [0, 2, 3] {
        let mut asked = ask("printer.acme.example", A);
        asked.questions = vec![question("printer.acme.example", A, IN); count];
        let (outcome, message) = asked.decided();
        assert_eq!(outcome, Outcome::Malformed, "{count} questions");
        assert_eq!(
            (message.response_code, message.queries.len()),
            (ResponseCode::FormErr, 0)
        );
    }
}

#[test]
fn counts_that_lie_are_a_format_error() {
    for counts in [
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 1],
        [1, 0, 0, 0xffff],
        [0xffff, 0, 0, 0],
        [1, 0xffff, 0xffff, 0xffff],
    ] {
        let mut asked = ask("printer.acme.example", A);
        asked.counts = Some(counts);
        assert_eq!(asked.outcome(), Outcome::Malformed, "{counts:?}");
    }
}

#[test]
fn octets_behind_the_end_are_a_format_error() {
    let mut asked = ask("printer.acme.example", A);
    asked.tail = vec![0];
    assert_eq!(asked.outcome(), Outcome::Malformed);
}

#[test]
fn two_opt_records_are_a_format_error() {
    assert_eq!(
        ask("printer.acme.example", A)
            .edns(0, 1232)
            .edns(0, 1232)
            .outcome(),
        Outcome::Malformed
    );
}

#[test]
fn a_question_cut_short_or_looping_is_a_format_error() {
    let whole = ask("printer.acme.example", A);
    for cut in 1..whole.questions[0].len() {
        let mut asked = ask("printer.acme.example", A);
        asked.questions[0].truncate(cut);
        assert_eq!(asked.outcome(), Outcome::Malformed, "cut to {cut}");
    }
    for looping in [
        vec![0xc0, 12, 0, 1, 0, 1],
        vec![0xc0, 13, 0, 1, 0, 1],
        vec![0x80, 0, 0, 1, 0, 1],
        vec![64; 80],
    ] {
        let mut asked = ask("", A);
        asked.questions = vec![looping];
        assert_eq!(asked.outcome(), Outcome::Malformed);
    }
}

#[test]
fn whose_name_it_is_comes_before_the_format_and_nothing_is_noted() {
    let mut names = Acme::default();
    for (name, expected) in [
        ("www.example.org", Outcome::ServerFailure),
        ("scanner.acme.example", Outcome::Malformed),
    ] {
        let mut asked = ask(name, A);
        asked.tail = vec![0];
        assert_eq!(asked.of(Some(ASKER), &mut names, Transport::Udp).0, expected);
        assert_eq!(
            asked.of(None, &mut names, Transport::Udp).0,
            Outcome::ServerFailure
        );
    }
    assert_eq!(names.located, 0);
}

#[test]
fn who_has_not_joined_does_not_exist_now() {
    for (name, kind) in [
        ("scanner.acme.example", A),
        ("nobody.acme.example", A),
        ("8.0.77.10.in-addr.arpa", PTR),
    ] {
        let (outcome, message) = ask(name, kind).edns(0, 1232).decided();
        assert_eq!(outcome, Outcome::NotJoined, "{name}");
        assert_eq!(
            (message.response_code, message.authoritative),
            (ResponseCode::NXDomain, true)
        );
        assert!(
            message.answers.is_empty() && message.authorities.is_empty(),
            "no SOA: nobody may cache it"
        );
    }
}

#[test]
fn a_label_with_a_dot_inside_is_not_two_labels() {
    let mut asked = ask("", A);
    let mut wire = vec![12];
    wire.extend(b"printer.acme");
    wire.extend(wire_name("example"));
    wire.extend([0, 1, 0, 1]);
    asked.questions = vec![wire];
    assert_eq!(asked.outcome(), Outcome::ServerFailure);
}
