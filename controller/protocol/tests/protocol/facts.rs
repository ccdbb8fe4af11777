//! The facts in a TXT record (source document 001, figure 15).

use kith_protocol::facts::{FactsError, MAX_STRING, MAX_STRINGS, encode, parse};
use kith_protocol::member::{Location, Peer};
use kith_protocol::ticket::MAX_TICKET;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn peer() -> Peer {
    Peer {
        fqdn: "printer.acme.example".into(),
        virtual_address: Ipv4Addr::new(10, 77, 0, 3).to_bits(),
        location: Some(Location {
            director: Ipv4Addr::new(203, 0, 113, 10).to_bits(),
            director_port: 20202,
            address: Ipv4Addr::new(240, 0, 0, 7).to_bits(),
            port: 0,
        }),
        joined_at_ms: 1_760_000_000_000,
        program: "kith-agent 0.1.0".into(),
        netbios_name: "PRINTER".into(),
        ticket: vec![0xff; 200],
        sealed_key: vec![1, 2, 3],
    }
}

fn strings() -> Vec<String> {
    encode(&peer()).expect("facts")
}

#[test]
fn they_stand_there_as_written_down() {
    let strings = strings();
    let plain = [
        "v=1",
        "n=printer.acme.example",
        "vip=10.77.0.3",
        "at=240.0.0.7",
        "rd=203.0.113.10:20202",
        "join=1760000000000",
        "prog=kith-agent 0.1.0",
        "nb=PRINTER",
    ];
    assert_eq!(strings[..8], plain);
    assert_eq!(strings[8], format!("tk0={}", "/".repeat(240)));
    assert!(strings[9].starts_with("tk1=////") && strings[10] == "ky0=AQID");
    let location = Location {
        address: Ipv4Addr::new(198, 51, 100, 7).to_bits(),
        port: 20203,
        ..Location::default()
    };
    let public = encode(&Peer {
        location: Some(location),
        ..peer()
    })
    .expect("facts");
    assert!(
        public.contains(&"at=198.51.100.7:20203".into())
            && !public.iter().any(|fact| fact.starts_with("rd="))
    );
}

#[test]
fn their_order_does_not_matter_and_unknown_ones_are_passed_over() {
    let mut strings = strings();
    strings.reverse();
    strings.push("new=something".into());
    strings.push("no equals sign".into());
    strings.push("tkx=AAAA".into());
    assert_eq!(parse(&strings), Ok(peer()));
    let mut octets: Vec<Vec<u8>> = strings.into_iter().map(String::into_bytes).collect();
    octets.push(vec![0xff, b'=', 0xfe]);
    assert_eq!(parse(&octets), Ok(peer()));
}

#[test]
fn what_is_missing_twice_or_nonsense_is_named() {
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut strings = strings();
        change(&mut strings);
        parse(&strings)
    };
    let replaced = |from: &str, to: &str| {
        with(&|all| {
            *all.iter_mut()
                .find(|fact| fact.starts_with(from))
                .expect("this fact") = to.to_owned()
        })
    };
    assert_eq!(replaced("v=", "v=2"), Err(FactsError::Version));
    assert_eq!(parse::<&str>(&[]), Err(FactsError::Version));
    for (key, missing) in [
        ("n=", "n"),
        ("vip=", "vip"),
        ("at=", "at"),
        ("join=", "join"),
        ("tk0=", "tk"),
    ] {
        assert_eq!(replaced(key, "x=1"), Err(FactsError::Missing(missing)));
    }
    for (key, wrong, name) in [
        ("n=", "n=Printer", "n"),
        ("vip=", "vip=10.77.0.300", "vip"),
        ("at=", "at=240.0.0.7:70000", "at"),
        ("rd=", "rd=203.0.113.10", "rd"),
        ("join=", "join=-1", "join"),
        ("prog=", "prog=a\u{7}b", "prog"),
        ("tk0=", "tk0=AA=A", "tk"),
    ] {
        assert_eq!(replaced(key, wrong), Err(FactsError::Malformed(name)));
    }
    assert_eq!(
        with(&|all| all.push("vip=10.77.0.4".into())),
        Err(FactsError::Twice("vip"))
    );
    assert_eq!(
        with(&|all| all.push("tk1=AAAA".into())),
        Err(FactsError::Twice("tk"))
    );
    assert_eq!(
        with(&|all| all.resize(MAX_STRINGS + 1, "x=".into())),
        Err(FactsError::TooLong("the record"))
    );
    assert_eq!(
        with(&|all| all.push("x".repeat(256))),
        Err(FactsError::TooLong("a string"))
    );
}

#[test]
fn facts_that_nobody_could_read_are_not_written() {
    let wrong = [
        Peer {
            location: None,
            ..peer()
        },
        Peer {
            fqdn: "Printer".into(),
            ..peer()
        },
        Peer {
            program: "x".repeat(65),
            ..peer()
        },
        Peer {
            program: "ä".into(),
            ..peer()
        },
        Peer {
            netbios_name: "x".repeat(17),
            ..peer()
        },
        Peer {
            ticket: vec![0; MAX_TICKET + 1],
            ..peer()
        },
        Peer {
            sealed_key: vec![0; 257],
            ..peer()
        },
        Peer {
            location: Some(Location {
                port: 1 << 16,
                ..Location::default()
            }),
            ..peer()
        },
    ];
    assert!(wrong.iter().all(|peer| encode(peer).is_err()));
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        (label, addresses, ports, joined_at_ms) in ("[a-z]{1,63}", any::<[u32; 3]>(), any::<[u16; 2]>(), any::<u64>()),
        (program, netbios_name) in ("[ -~]{0,64}", "[ -~]{0,16}"),
        ticket in proptest::collection::vec(any::<u8>(), 0..=MAX_TICKET),
        sealed_key in proptest::collection::vec(any::<u8>(), 0..=256),
    ) {
        let [virtual_address, director, address] = addresses;
        let location = Location { director, director_port: ports[0].into(), address, port: ports[1].into() };
        let fqdn = format!("{label}.acme.example");
        let location = Some(location);
        let peer = Peer { fqdn, virtual_address, location, joined_at_ms, program, netbios_name, ticket, sealed_key };
        let strings = encode(&peer).expect("facts");
        prop_assert!(strings.len() <= MAX_STRINGS && strings.iter().all(|fact| fact.len() <= MAX_STRING));
        prop_assert_eq!(parse(&strings), Ok(peer));
    }

    #[test]
    fn no_strings_make_it_panic(strings in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40)) {
        prop_assert!(parse(&strings).is_err());
    }
}
