//! Path MTU, journal, and size.

mod common;

use common::*;
use core::time::Duration;
use kith_director::journal::{self, Binding, Entry, NotAJournal, RECORD_LEN};
use kith_director::server::{Action, ConfigError, Director, Output, PoolRange, Restored, TableOp, Verdict};
use kith_wire::control::KeyId;
use kith_wire::shim::DataType::{KeepAlive, Leave};
use proptest::prelude::*;

fn mtus(director: &mut Director) -> Vec<u16> {
    let mtu = |op| match op {
        TableOp::Bind { mtu, .. } => Some(mtu),
        TableOp::Unbind { .. } => None,
    };
    table_ops(director).into_iter().filter_map(mtu).collect()
}

#[test]
fn a_path_mtu_is_lowered_to_a_floor_and_raised_after_ten_minutes() {
    let mut config = config(10);
    config.lifetime = Duration::from_secs(3600);
    let mut director = director(config, 1);
    let _ = join(&mut director, at(0), nat(1, 4000), 1, 1);
    assert_eq!(mtus(&mut director), [1500]);
    assert!(!director.path_mtu(at(0), pseudo(1), 1500));
    assert!(!director.path_mtu(at(0), pseudo(2), 1400), "no session");
    assert!(director.path_mtu(at(0), pseudo(1), 1400));
    assert!(
        !director.path_mtu(at(1), pseudo(1), 1450),
        "never raised by a packet"
    );
    assert!(director.path_mtu(at(1000), pseudo(1), 68));
    assert_eq!(mtus(&mut director), [1400, 576]);
    assert_eq!(director.deadline(), Some(at(601_000)));
    director.tick(at(600_999));
    assert_eq!(mtus(&mut director), []);
    director.tick(at(601_000));
    assert_eq!(mtus(&mut director), [1500]);
}

#[test]
fn a_session_that_moves_or_ends_forgets_its_path_mtu() {
    let mut director = director(config(10), 1);
    let _ = join(&mut director, at(0), nat(1, 4000), 1, 1);
    assert!(director.path_mtu(at(0), pseudo(1), 1400));
    let _ = join(&mut director, at(1), nat(1, 5000), 1, 5);
    assert_eq!(mtus(&mut director), [1500, 1400, 1500]);
    assert!(director.path_mtu(at(2), pseudo(1), 1400));
    let _ = say(&mut director, at(3), nat(1, 5000), &message(Leave, 1, 9));
    assert_eq!(director.deadline(), None);
}

#[test]
fn impossible_settings_are_named() {
    let pool = |first: [u8; 4], count| PoolRange {
        first: kith_wire::shim::PseudoIp::new(u32::from_be_bytes(first)).unwrap(),
        count,
    };
    let check = |change: &dyn Fn(&mut kith_director::server::DirectorConfig)| {
        let mut config = config(10);
        change(&mut config);
        Director::new(config, [0; 32]).err()
    };
    assert_eq!(check(&|_| ()), None);
    assert_eq!(check(&|config| config.pool.count = 0), Some(ConfigError::Pool));
    assert_eq!(
        check(&|config| config.pool = pool([255, 255, 255, 255], 2)),
        Some(ConfigError::Pool)
    );
    assert_eq!(check(&|config| config.port = 0), Some(ConfigError::Address));
    assert_eq!(check(&|config| config.mtu = 575), Some(ConfigError::Mtu(575)));
    assert_eq!(
        check(&|config| config.limits.pings.burst = 0),
        Some(ConfigError::Limits)
    );
    let too_rare = check(&|config| config.keep_alive = Duration::from_secs(21));
    assert!(matches!(too_rare, Some(ConfigError::KeepAlive { .. })));
}

/// A director with three sessions, one of which moved and one of which ended; and what it wrote.
fn lived() -> (Director, Vec<u8>) {
    let mut director = director(config(10), 3);
    for id in 1..=3 {
        let _ = join(&mut director, at(0), nat(id as u32, 4000), id, 1);
    }
    let _ = join(&mut director, at(0), nat(2, 5555), 2, 3);
    let _ = say(&mut director, at(0), nat(3, 4000), &message(Leave, 3, 9));
    let mut octets = journal::encode_all([]);
    for output in outputs(&mut director) {
        if let Output::Journal(entry) = output {
            octets.extend(entry.encode());
        }
    }
    (director, octets)
}

#[test]
fn a_killed_director_goes_on_where_it_was() {
    let (before, octets) = lived();
    let read = journal::read(&octets).unwrap();
    assert_eq!(
        (read.good_len, read.lost_len, read.freed.as_slice()),
        (octets.len(), 0, &[pseudo(3)][..])
    );
    let mut after = director(config(3), 4);
    assert_eq!(
        after.restore(at(0), &read),
        Restored {
            sessions: 2,
            outdated: 0
        }
    );
    assert_eq!(table_ops(&mut after).len(), 2);
    assert!(before.sessions(at(0)).eq(after.sessions(at(0))));
    // Members go on as if nothing had happened; what they said before is still a replay.
    let mut keep_alive = message(KeepAlive, 2, 4);
    keep_alive.pseudo = pseudo(2).to_bits();
    assert!(say(&mut after, at(1), nat(2, 5555), &keep_alive).0.0.is_err());
    keep_alive.counter = 5;
    assert_eq!(
        say(&mut after, at(1), nat(2, 5555), &keep_alive).0,
        Verdict(Ok(Action::Extended))
    );
    // The address that was free only just rests.
    assert!(join(&mut after, at(2), nat(4, 4000), 4, 1).0.0.is_err());
    assert_eq!(
        join(&mut after, at(60_000), nat(4, 4000), 4, 5).0,
        Verdict(Ok(Action::Opened))
    );
}

#[test]
fn sessions_without_grant_or_address_are_not_restored() {
    let (_, octets) = lived();
    let read = journal::read(&octets).unwrap();
    let mut without_grant = director(config(10), 1);
    assert_eq!(
        without_grant.restore(at(0), &read),
        Restored {
            sessions: 1,
            outdated: 1
        }
    );
    let mut other_pool = director(config(1), 3);
    assert_eq!(
        other_pool.restore(at(0), &read),
        Restored {
            sessions: 1,
            outdated: 1
        }
    );
    let mut elsewhere = Director::new(config(10), [0; 32]).unwrap();
    let mut moved = grant(1);
    moved.community = 9;
    elsewhere.add_grant(at(0), moved).unwrap();
    let mut reserving = grant(2);
    reserving.reserved = Some(pseudo(1));
    elsewhere.add_grant(at(0), reserving).unwrap();
    assert_eq!(
        elsewhere.restore(at(0), &read),
        Restored {
            sessions: 0,
            outdated: 2
        }
    );
}

#[test]
fn a_compacted_journal_says_the_same() {
    let (director, octets) = lived();
    let compact = journal::encode_all(director.journal());
    assert!(compact.len() < octets.len());
    let (short, long) = (journal::read(&compact).unwrap(), journal::read(&octets).unwrap());
    assert_eq!((short.bindings, short.freed), (long.bindings, long.freed));
    assert!(!journal::wants_compaction(compact.len(), 2));
    assert!(journal::wants_compaction(RECORD_LEN * 10_000, 2000));
    assert!(!journal::wants_compaction(RECORD_LEN * 10_000, 3000));
}

#[test]
fn a_journal_cut_anywhere_keeps_all_whole_records() {
    let (_, octets) = lived();
    for len in 0..=octets.len() {
        let read = journal::read(&octets[..len]).unwrap();
        assert_eq!(read.good_len + read.lost_len, len);
        let whole = len.saturating_sub(8) / RECORD_LEN * RECORD_LEN;
        assert_eq!(read.good_len, if len < 8 { 0 } else { 8 + whole });
    }
    assert_eq!(journal::read(b"something else"), Err(NotAJournal));
}

#[test]
fn every_changed_bit_of_a_record_is_noticed() {
    let (_, octets) = lived();
    let record: [u8; RECORD_LEN] = octets[8..8 + RECORD_LEN].try_into().unwrap();
    assert!(matches!(Entry::decode(&record), Some(Entry::Bound(binding)) if binding.key_id == KeyId(1)));
    assert_eq!(Entry::decode(&record).unwrap().encode(), record);
    for bit in 0..RECORD_LEN * 8 {
        let mut damaged = record;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Entry::decode(&damaged), None, "bit {bit}");
    }
}

/// The sums were made by another implementation, zlib's.
#[test]
fn the_journals_format_is_fixed() {
    let mut unbound = [0u8; RECORD_LEN];
    (unbound[0], unbound[4], unbound[7]) = (2, 240, 1);
    unbound[32..].copy_from_slice(&0x1e257306u32.to_be_bytes());
    assert_eq!(Entry::Unbound(pseudo(1)).encode(), unbound);
    #[rustfmt::skip]
    let bound = [
        1, 1, 2, 3,   240, 0, 0, 1,   198, 51, 100, 1,   0x0f, 0xa0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 7,
        0, 0, 0, 0, 0, 0, 0, 9,
        0xf6, 0x23, 0x7a, 0xe0,
    ];
    let binding = Binding {
        pseudo: pseudo(1),
        key_id: KeyId(7),
        bound: nat(1, 4000),
        community: 0x0203,
        counter: 9,
        sender_only: true,
    };
    assert_eq!(Entry::Bound(binding).encode(), bound);
}

proptest! {
    #![proptest_config(keeping_failures())]
    #[test]
    fn any_octets_are_a_journal_or_not(octets in proptest::collection::vec(any::<u8>(), 0..300), fix in any::<bool>()) {
        let octets = if fix { [&journal::MAGIC[..], &octets].concat() } else { octets };
        if let Ok(read) = journal::read(&octets) {
            prop_assert_eq!(read.good_len + read.lost_len, octets.len());
        }
    }
}

#[test]
fn a_host_that_could_not_hear_gives_every_session_a_whole_lifetime() {
    let mut director = director(config(10), 2);
    let _ = join(&mut director, at(0), nat(1, 4000), 1, 1);
    let _ = join(&mut director, at(20_000), nat(2, 4000), 2, 1);
    assert_eq!(director.journal_len(), director.journal().count());
    director.hear_all(at(600_000));
    director.tick(at(659_999));
    assert_eq!(director.occupancy().sessions, 2);
    // Who is heard then goes to the end of the line, as always.
    assert_eq!(
        say(
            &mut director,
            at(659_999),
            nat(1, 4000),
            &kith_wire::control::Control {
                pseudo: pseudo(1).to_bits(),
                ..message(KeepAlive, 1, 9)
            }
        )
        .0,
        Verdict(Ok(Action::Extended))
    );
    director.tick(at(660_000));
    let left: Vec<_> = director.sessions(at(660_000)).map(|it| it.key_id).collect();
    assert_eq!(left, [KeyId(1)]);
    assert_eq!(director.journal_len(), director.journal().count());
}
