//! Any datagrams to a member's key agreement, raw or with a good shape: nothing without the pair's secret changes anything.
#![no_main]

use kith_agent::config::{Cipher, Secret};
use kith_agent::keying::{Agreement, KeyAgreement, Moment, PairSecret, Setup, message};
use kith_esp::Limits;
use kith_pipeline::host::tables::MemberIndex;
use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;

fuzz_target!(|data: &[u8]| {
    let secret = PairSecret::new(Secret::new([7; 32]));
    let mut agreement = Agreement::new(Setup {
        own: Ipv4Addr::new(10, 77, 0, 1),
        location: None,
        cipher: Cipher::Aes256Gcm,
        limits: Limits::default(),
        peers: vec![(Ipv4Addr::new(10, 77, 0, 2), secret)],
        capacity: 16,
        entropy: Box::new(|octets| octets.fill(9)),
    });
    for (at, chunk) in data.chunks(message::LEN).enumerate() {
        let now = Moment { micros: at as u64 * 1000, wall_nanos: at as u64 };
        agreement.receive(now, MemberIndex(0), chunk);
        let mut shaped = [0; message::LEN];
        shaped[..chunk.len()].copy_from_slice(chunk);
        (shaped[0], shaped[1], shaped[2], shaped[3]) = (1, 1 + shaped[1] % 2, 1 + shaped[2] % 2, 0);
        agreement.receive(now, MemberIndex(0), &shaped);
        assert!(agreement.next_action().is_none(), "a forger was obeyed or answered");
    }
});
