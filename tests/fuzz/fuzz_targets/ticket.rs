//! Any octets as a sealed ticket, as a sealed key, and as what was sealed: refused under a name, or one that is written the same again.
#![no_main]

use kith_protocol::authenticator::TicketKey;
use kith_protocol::replay::Replay;
use kith_protocol::secret::Secret32;
use kith_protocol::ticket::{TicketBody, TicketRefusal, open, open_key, seal};
use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const NOW: u64 = 1_760_000_000_000;

/// The two that are good, from the protocol's golden vectors: all others are found by changing them.
const TICKET: &[u8] = include_bytes!("../corpus/ticket/seed-sealed");
const KEY: &[u8] = include_bytes!("../corpus/ticket/seed-key");

fuzz_target!(|data: &[u8]| {
    let key = TicketKey::of(&Secret32::new([1; 32]));
    let ticket = open(&key, "printer.acme.example", OWN, NOW, data);
    assert_eq!(ticket.is_ok(), data == TICKET, "nobody finds a tag by chance");
    let asker = Ipv4Addr::new(10, 77, 0, 2);
    let sealed_key = open_key(&key, "laptop.acme.example", "printer.acme.example", asker, NOW, data);
    assert_eq!(sealed_key.is_ok(), data == KEY, "nobody finds a tag by chance");

    let Some(body) = TicketBody::decode(data) else { return };
    let again = body.encode().expect("it was decoded");
    assert_eq!(again.as_slice(), data, "there is one way to write it");

    // A manager that is faulty or hostile: authentic, whatever it says.
    let mut octets = seal(&key, &body, &mut |out| out.fill(7)).expect("it was decoded");
    let outcome = open(&key, &body.target, body.target_virtual, NOW, &octets);
    match outcome {
        Ok(read) => {
            assert!(read.issued_ms <= NOW + 60_000 && NOW < read.expires_ms);
            let mut replay = Replay::new(1);
            assert!(replay.check(read.initiator_virtual, read.sequence).is_ok());
            assert!(read.sequence == 0 || replay.check(read.initiator_virtual, read.sequence - 1).is_err());
        }
        Err(why) => assert!(matches!(why, TicketRefusal::Expired | TicketRefusal::NotYet), "{why}"),
    }
    let at = usize::from(data[0]) % octets.len();
    octets[at] ^= 1;
    assert!(open(&key, &body.target, body.target_virtual, NOW, &octets).is_err(), "octet {at} changed unnoticed");
});
