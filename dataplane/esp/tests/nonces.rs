//! No nonce is made twice under one key: every packet's IV is above that of the packet before, whatever else happens.

mod common;

use common::{NOW, UDP, keys, pair, spi};
use kith_esp::{Bounds, HEADER_LEN, Lifetime, Limits, Millis, Outbound, SealError};
use proptest::prelude::*;

/// Three quarters of a million packets over a thousand rekeys; `KITH_NONCES=100000000` runs the security promise's campaign.
#[test]
fn ivs_only_rise_within_an_sa_and_an_sa_that_stopped_makes_no_more() {
    let packets = std::env::var("KITH_NONCES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(750_000u64);
    let of = |packets| Bounds {
        packets,
        ..Limits::default().soft()
    };
    let limits = Limits::new(of(700), of(750)).unwrap();
    let (mut made, mut rekeys) = (0, 0);
    while made < packets {
        // A successor has fresh keys in life; here the same ones, for only the counter is under test.
        let mut sa = Outbound::new(spi(), keys(), limits, NOW);
        let mut last = 0;
        loop {
            let mut buf = [0; 64];
            match sa.seal_in_place(&mut buf, HEADER_LEN..HEADER_LEN + 8, UDP, NOW) {
                Ok(sealed) => {
                    let iv = u64::from_be_bytes(buf[8..16].try_into().unwrap());
                    assert!(iv > last, "{iv} after {last}");
                    assert_eq!(iv, sealed.seq.0);
                    (last, made) = (iv, made + 1);
                }
                Err(error) => {
                    assert_eq!((error, last), (SealError::Expired, 750));
                    break;
                }
            }
        }
        assert_eq!(sa.lifetime(NOW), Lifetime::Expired);
        rekeys += 1;
    }
    assert_eq!(made, rekeys * 750);
}

#[derive(Clone, Debug)]
enum Attempt {
    Good(usize),
    NoRoom(usize),
    TooLong,
    Late,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    prop_oneof![
        4 => (0usize..200).prop_map(Attempt::Good),
        2 => (0usize..200).prop_map(Attempt::NoRoom),
        1 => Just(Attempt::TooLong),
        1 => Just(Attempt::Late),
    ]
}

proptest! {
    #[test]
    fn refused_packets_never_make_the_counter_repeat(attempts in prop::collection::vec(attempt(), 1..200)) {
        let (mut out, _) = pair();
        let (mut buf, mut expected) = (vec![0; 300], 1);
        for attempt in attempts {
            let (end, now) = match attempt {
                Attempt::Good(len) => (HEADER_LEN + len, NOW),
                Attempt::NoRoom(len) => (buf.len() - 8 + len, NOW),
                Attempt::TooLong => (HEADER_LEN + 65_536, NOW),
                Attempt::Late => (HEADER_LEN, Millis(u64::MAX)),
            };
            let sealed = out.seal_in_place(&mut buf, HEADER_LEN..end, UDP, now);
            prop_assert_eq!(sealed.is_ok(), matches!(attempt, Attempt::Good(_)));
            if let Ok(sealed) = sealed {
                prop_assert_eq!(sealed.seq.0, expected);
                prop_assert_eq!(&buf[8..16], &expected.to_be_bytes());
                expected += 1;
            }
        }
    }
}
