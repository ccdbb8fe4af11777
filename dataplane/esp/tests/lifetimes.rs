//! An SA says when it wants a successor, and refuses everything once a hard limit is reached.

mod common;

use common::{NOW, UDP, pair, pair_with, seal, spi};
use kith_esp::aead::DefaultAead;
use kith_esp::{
    Bounds, HEADER_LEN, Inbound, Lifetime, Limits, Millis, OpenError, Outbound, SealError, SeqNo, Usage,
};

fn at(millis: u64) -> Millis {
    Millis(NOW.0 + millis)
}

/// The default limits with one soft and one hard bound set by `set`.
fn tightened(set: impl Fn(&mut Bounds, u64), soft_to: u64, hard_to: u64) -> Limits {
    let (mut soft, mut hard) = (Limits::default().soft(), Limits::default().hard());
    set(&mut soft, soft_to);
    set(&mut hard, hard_to);
    Limits::new(soft, hard).unwrap()
}

fn try_seal(sa: &mut Outbound, now: Millis) -> Result<Lifetime, SealError> {
    sa.seal_in_place(&mut [0; 96], HEADER_LEN..HEADER_LEN + 30, UDP, now)
        .map(|sealed| sealed.lifetime)
}

#[test]
fn rekey_is_due_at_120_s_and_everything_stops_at_180_s() {
    let (mut out, mut inn) = pair();
    let mut early = seal(&mut out, b"sent in time");
    let mut late = early.clone();
    for (age, state) in [
        (0, Lifetime::Fresh),
        (119_999, Lifetime::Fresh),
        (120_000, Lifetime::RekeyDue),
    ] {
        assert_eq!(
            (out.lifetime(at(age)), inn.lifetime(at(age))),
            (state, state),
            "{age} ms"
        );
        assert_eq!(try_seal(&mut out, at(age)), Ok(state));
    }
    assert_eq!(try_seal(&mut out, at(179_999)), Ok(Lifetime::RekeyDue));
    assert_eq!(try_seal(&mut out, at(180_000)), Err(SealError::Expired));
    assert!(inn.open_in_place(&mut early, at(179_999)).is_ok());
    assert_eq!(
        inn.open_in_place(&mut late, at(180_000)).unwrap_err(),
        OpenError::Expired
    );
    assert_eq!(
        (out.lifetime(at(180_000)), inn.lifetime(at(180_000))),
        (Lifetime::Expired, Lifetime::Expired)
    );
}

#[test]
fn a_clock_that_steps_back_neither_expires_nor_panics() {
    let (mut out, _) = pair();
    assert_eq!(try_seal(&mut out, Millis(0)), Ok(Lifetime::Fresh));
    assert_eq!(try_seal(&mut out, Millis(u64::MAX)), Err(SealError::Expired));
}

/// 30 octets of payload are 32 encrypted ones: with the tag's block and the associated data's, four blocks.
#[test]
fn packets_octets_and_blocks_each_have_their_limits() {
    let limits = [
        tightened(|bounds, to| bounds.packets = to, 3, 5),
        tightened(|bounds, to| bounds.bytes = to, 3 * 32, 5 * 32),
        tightened(|bounds, to| bounds.blocks = to, 3 * 4, 5 * 4),
    ];
    use Lifetime::{Expired, Fresh, RekeyDue};
    for limits in limits {
        let (mut out, mut inn) = pair_with::<DefaultAead, DefaultAead>(limits);
        for state in [Fresh, Fresh, RekeyDue, RekeyDue, Expired] {
            let mut packet = seal(&mut out, &[9; 30]);
            assert_eq!(out.lifetime(NOW), state, "{limits:?}");
            let opened = inn.open_in_place(&mut packet, NOW).unwrap();
            inn.commit(opened.token).unwrap();
            assert_eq!(inn.lifetime(NOW), state, "{limits:?}");
        }
        assert_eq!(
            out.usage(),
            Usage {
                packets: 5,
                bytes: 160,
                blocks: 20
            }
        );
        assert_eq!(inn.usage(), out.usage());
        assert_eq!(try_seal(&mut out, NOW), Err(SealError::Expired));
        assert_eq!(out.usage().packets, 5, "a refused packet does not count");
    }
}

#[test]
fn a_packet_too_large_for_what_is_left_is_refused_and_a_smaller_one_passes() {
    let (mut out, _) =
        pair_with::<DefaultAead, DefaultAead>(tightened(|bounds, to| bounds.bytes = to, 100, 100));
    seal(&mut out, &[0; 62]);
    let mut buf = [0; 200];
    assert_eq!(
        out.seal_in_place(&mut buf, 16..16 + 63, UDP, NOW),
        Err(SealError::Expired)
    );
    assert_eq!(
        out.seal_in_place(&mut buf, 16..16 + 30, UDP, NOW).unwrap().seq,
        SeqNo(2)
    );
}

#[test]
fn only_authentic_packets_wear_an_inbound_sa_out() {
    let limits = tightened(|bounds, to| bounds.packets = to, 1, 2);
    let (mut out, mut inn) = pair_with::<DefaultAead, DefaultAead>(limits);
    let packet = seal(&mut out, b"honest");
    for _ in 0..100 {
        let mut forged = packet.clone();
        forged[HEADER_LEN] ^= 1;
        assert_eq!(
            inn.open_in_place(&mut forged, NOW).unwrap_err(),
            OpenError::BadTag
        );
    }
    assert!(inn.open_in_place(&mut packet.clone(), NOW).is_ok());
}

#[test]
fn the_default_is_the_loosest_and_no_limit_can_be_turned_off() {
    let (soft, hard) = (Limits::default().soft(), Limits::default().hard());
    assert_eq!((soft.blocks, hard.blocks), (1 << 35, (1 << 36) - 1));
    assert_eq!((soft.age, hard.age), (Millis(120_000), Millis(180_000)));
    assert_eq!(Limits::new(soft, hard), Ok(Limits::default()));
    let looser: [fn(&mut Bounds); 4] = [
        |b| b.packets += 1,
        |b| b.bytes += 1,
        |b| b.blocks += 1,
        |b| b.age = Millis(b.age.0 + 1),
    ];
    for loosen in looser {
        let (mut soft_up, mut hard_up) = (soft, hard);
        loosen(&mut soft_up);
        loosen(&mut hard_up);
        assert!(Limits::new(soft_up, hard).is_err());
        assert!(Limits::new(soft, hard_up).is_err());
    }
    assert!(Limits::new(hard, soft).is_err(), "soft above hard");
    let never = Bounds {
        packets: u64::MAX,
        bytes: u64::MAX,
        blocks: u64::MAX,
        age: Millis(u64::MAX),
    };
    assert!(Limits::new(never, never).is_err());
}

#[test]
fn limits_of_zero_make_an_sa_that_is_dead_from_birth() {
    let limits = tightened(|bounds, to| bounds.age = Millis(to), 0, 0);
    let mut out = Outbound::new(spi(), common::keys(), limits, NOW);
    let inn = Inbound::new(spi(), common::keys(), limits, NOW);
    assert_eq!(try_seal(&mut out, NOW), Err(SealError::Expired));
    assert_eq!(inn.lifetime(NOW), Lifetime::Expired);
}
