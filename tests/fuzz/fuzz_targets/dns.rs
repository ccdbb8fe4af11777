//! Any octets as a question: dropped, or answered with a whole message that belongs to it and is no longer than the client takes.
#![no_main]

use kith_manager::dns::{self, MAX_TCP, MAX_UDP, MemberId, Names, Outcome, Query, Target, Transport, Unlocated};
use kith_protocol::member::{Location, Peer};
use libfuzzer_sys::fuzz_target;

struct Acme;

impl Names for Acme {
    fn ours(&self, _: MemberId, target: Target<'_>) -> bool {
        matches!(target, Target::Name(name) if name.ends_with("example")) || matches!(target, Target::Address(_))
    }

    fn locate(&mut self, _: u64, asker: MemberId, target: Target<'_>) -> Result<Peer, Unlocated> {
        match target {
            _ if !self.ours(asker, target) => Err(Unlocated::NotOurs),
            Target::Name(name) => {
                assert!(!name.bytes().any(|octet| octet.is_ascii_uppercase()) && name.len() <= 255);
                Ok(Peer {
                    fqdn: "printer.acme.example".into(),
                    location: Some(Location::default()),
                    ticket: vec![1; 240],
                    ..Peer::default()
                })
            }
            Target::Address(_) => Err(Unlocated::NotJoined),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut out = Vec::new();
    for (transport, most) in [(Transport::Udp, usize::from(MAX_UDP)), (Transport::Tcp, MAX_TCP)] {
        let query = Query {
            bytes: data,
            asker: Some(MemberId(1)),
            transport,
            now_ms: 0,
        };
        let outcome = dns::answer(&query, &mut Acme, &mut out);
        assert!(out.len() <= most);
        if matches!(outcome, Outcome::NotDns | Outcome::Response) {
            assert!(out.is_empty());
            continue;
        }
        assert_eq!(out[..2], data[..2], "the answer is to this question");
        assert!(out[2] & 0x80 != 0 && out[2] & 0x78 == data[2] & 0x78, "a response of the same opcode");
        assert!(out[2] & 0x02 == 0, "whole");
        // What we answer with is no question: two servers do not talk to each other.
        let answer = out.clone();
        let back = Query {
            bytes: &answer,
            ..query
        };
        assert_eq!(dns::answer(&back, &mut Acme, &mut out), Outcome::Response);
    }
});
