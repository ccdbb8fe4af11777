//! Any datagrams to a member's key agreement, raw or with a good shape: nothing without the pair's secret changes anything.
#![no_main]

use kith_agent::config::{Cipher, Secret};
use kith_agent::keying::{Agreement, KeyAgreement, Known, Method, Moment, PairSecret, Setup, Spis, message};
use kith_esp::Limits;
use kith_pipeline::host::tables::MemberIndex;
use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let mut agreement = Agreement::new(Setup {
        own: Ipv4Addr::new(10, 77, 0, 1),
        location: None,
        cipher: Cipher::Aes256Gcm,
        limits: Limits::default(),
        spis: Spis::new(16),
        entropy: Box::new(|octets| octets.fill(9)),
    });
    let known = Known {
        address: Ipv4Addr::new(10, 77, 0, 2),
        name: "bob.acme.example".into(),
        secret: Arc::new(PairSecret::new(Secret::new([7; 32]))),
        ticket: Vec::new(),
    };
    agreement.add(Moment { micros: 0, wall_nanos: 0 }, MemberIndex(0), known);
    for (at, chunk) in data.chunks(message::LEN).enumerate() {
        let now = Moment { micros: at as u64 * 1000, wall_nanos: at as u64 };
        agreement.receive(now, Method::Ticket, MemberIndex(0), chunk);
        let mut shaped = [0; message::LEN];
        shaped[..chunk.len()].copy_from_slice(chunk);
        (shaped[0], shaped[1], shaped[2], shaped[3]) = (1, 1 + shaped[1] % 2, 1 + shaped[2] % 2, 0);
        agreement.receive(now, Method::Ticket, MemberIndex(0), &shaped);
        assert!(agreement.next_action().is_none(), "a forger was obeyed or answered");
    }
});
