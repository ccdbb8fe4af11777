//! The rules of a director session, one test each.

mod common;

use common::*;
use kith_director::server::{Action, Ended, Event, GrantError, Output, Refusal, TableOp, Verdict};
use kith_wire::control::{FLAG_RESPONSE, FLAG_SENDER_ONLY, KeyId, LEN, Status};
use kith_wire::shim::DataType::{AddressRequest, AddressResponse, KeepAlive, Leave};

const OK: fn(Action) -> Verdict = |action| Verdict(Ok(action));
const NO: fn(Refusal) -> Verdict = |refusal| Verdict(Err(refusal));

#[test]
fn a_first_request_is_challenged_and_leaves_no_trace() {
    let mut director = director(config(10), 1);
    let (verdict, answer) = say(&mut director, at(0), nat(1, 4000), &message(AddressRequest, 1, 7));
    let answer = answer.unwrap();
    assert_eq!(verdict, NO(Refusal::NoCookie));
    assert_eq!(
        (answer.data_type, answer.status),
        (AddressResponse, Status::Challenge)
    );
    assert_eq!((answer.counter, answer.pseudo), (7, 0));
    assert_ne!(answer.cookie, [0; 16]);
    assert_eq!(director.occupancy().sessions, 0);
    assert_eq!(outputs(&mut director), []);
}

#[test]
fn a_request_with_cookie_gets_a_session() {
    let mut director = director(config(10), 1);
    let (verdict, answer) = join(&mut director, at(0), nat(1, 4000), 1, 7);
    assert_eq!(verdict, OK(Action::Opened));
    assert_eq!((answer.status, answer.pseudo), (Status::Ok, pseudo(1).to_bits()));
    assert_eq!((answer.lifetime_ms, answer.keep_alive_ms), (60_000, 15_000));
    assert_eq!(answer.observed, (nat(1, 4000).ip().to_bits(), 4000));
    let bind = TableOp::Bind {
        pseudo: pseudo(1),
        bound: nat(1, 4000),
        community: 1,
        mtu: 1500,
        sender_only: false,
    };
    assert_eq!(table_ops(&mut director), [bind]);
    let listed: Vec<_> = director.sessions(at(500)).collect();
    assert_eq!(listed[0].name, "member1.acme.example");
    assert_eq!((listed[0].age.as_millis(), listed[0].bound), (500, nat(1, 4000)));
}

#[test]
fn a_cookie_of_another_source_is_challenged_again() {
    let mut director = director(config(10), 1);
    let mut request = message(AddressRequest, 1, 1);
    let cookie = say(&mut director, at(0), nat(1, 4000), &request)
        .1
        .unwrap()
        .cookie;
    (request.cookie, request.counter) = (cookie, 2);
    for other in [nat(2, 4000), nat(1, 4001)] {
        let (verdict, answer) = say(&mut director, at(0), other, &request);
        assert_eq!(verdict, NO(Refusal::BadCookie));
        assert_eq!(answer.unwrap().status, Status::Challenge);
    }
    assert_eq!(
        say(&mut director, at(60_000), nat(1, 4000), &request).0,
        NO(Refusal::BadCookie)
    );
    assert_eq!(director.occupancy().sessions, 0);
}

#[test]
fn a_restarted_member_gets_the_same_pseudo_address_wherever_it_is() {
    let mut director = director(config(10), 2);
    let first = join(&mut director, at(0), nat(1, 4000), 1, 1).1.pseudo;
    join(&mut director, at(0), nat(2, 4000), 2, 1);
    let (verdict, again) = join(&mut director, at(10), nat(1, 4000), 1, 10);
    assert_eq!((verdict, again.pseudo), (OK(Action::Renewed), first));
    let (verdict, moved) = join(&mut director, at(20), nat(9, 999), 1, 20);
    assert_eq!((verdict, moved.pseudo), (OK(Action::Moved), first));
    assert_eq!(director.sessions(at(20)).next().unwrap().bound, nat(9, 999));
    assert_eq!(director.occupancy().sessions, 2);
}

#[test]
fn a_keep_alive_from_the_bound_address_extends() {
    let mut director = director(config(10), 1);
    join(&mut director, at(0), nat(1, 4000), 1, 1);
    outputs(&mut director);
    let mut keep_alive = message(KeepAlive, 1, 3);
    keep_alive.pseudo = pseudo(1).to_bits();
    for (now, counter) in [(59_999, 3), (119_998, 4)] {
        keep_alive.counter = counter;
        let (verdict, answer) = say(&mut director, at(now), nat(1, 4000), &keep_alive);
        let answer = answer.unwrap();
        assert_eq!((verdict, answer.status), (OK(Action::Extended), Status::Ok));
        assert_eq!((answer.flags, answer.data_type), (FLAG_RESPONSE, KeepAlive));
    }
    assert_eq!(table_ops(&mut director), [], "the fast path has nothing to learn");
    assert_eq!(director.deadline(), Some(at(179_998)));
    director.tick(at(179_998));
    assert_eq!(table_ops(&mut director), [TableOp::Unbind { pseudo: pseudo(1) }]);
    assert_eq!(director.deadline(), None);
}

#[test]
fn a_keep_alive_from_elsewhere_moves_the_session_once_the_place_is_proven() {
    let mut director = director(config(10), 1);
    join(&mut director, at(0), nat(1, 4000), 1, 1);
    outputs(&mut director);
    let mut keep_alive = message(KeepAlive, 1, 3);
    keep_alive.pseudo = pseudo(1).to_bits();
    let (verdict, answer) = say(&mut director, at(5), nat(1, 4444), &keep_alive);
    assert_eq!(verdict, NO(Refusal::NoCookie));
    assert_eq!(director.sessions(at(5)).next().unwrap().bound, nat(1, 4000));
    (keep_alive.cookie, keep_alive.counter) = (answer.unwrap().cookie, 4);
    assert_eq!(
        say(&mut director, at(6), nat(1, 4444), &keep_alive).0,
        OK(Action::Moved)
    );
    let moved = Event::Moved {
        pseudo: pseudo(1),
        from: nat(1, 4000),
        to: nat(1, 4444),
    };
    assert!(outputs(&mut director).contains(&Output::Event(moved)));
}

#[test]
fn who_has_no_session_is_told_so_with_a_cookie() {
    let mut director = director(config(10), 1);
    let mut keep_alive = message(KeepAlive, 1, 3);
    keep_alive.pseudo = pseudo(4).to_bits();
    let (verdict, answer) = say(&mut director, at(0), nat(1, 4000), &keep_alive);
    let answer = answer.unwrap();
    assert_eq!(
        (verdict, answer.status),
        (NO(Refusal::NoSession), Status::NoSession)
    );
    let mut request = message(AddressRequest, 1, 4);
    request.cookie = answer.cookie;
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &request).0,
        OK(Action::Opened)
    );
    // The session is of another pseudo address than the one the member believes in.
    keep_alive.counter = 5;
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &keep_alive).0,
        NO(Refusal::NoSession)
    );
}

#[test]
fn a_member_leaves_only_from_its_bound_address() {
    let mut director = director(config(10), 1);
    join(&mut director, at(0), nat(1, 4000), 1, 1);
    outputs(&mut director);
    let mut leave = message(Leave, 1, 3);
    leave.pseudo = pseudo(1).to_bits();
    let (verdict, answer) = say(&mut director, at(0), nat(1, 4001), &leave);
    assert_eq!(
        (verdict, answer.unwrap().status),
        (NO(Refusal::WrongSource), Status::WrongSource)
    );
    assert_eq!(table_ops(&mut director), []);
    let (verdict, answer) = say(&mut director, at(0), nat(1, 4000), &leave);
    assert_eq!((verdict, answer.unwrap().status), (OK(Action::Left), Status::Ok));
    assert_eq!(table_ops(&mut director), [TableOp::Unbind { pseudo: pseudo(1) }]);
    leave.counter = 4;
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &leave).0,
        NO(Refusal::NoSession)
    );
}

#[test]
fn a_member_that_never_heard_its_pseudo_address_can_leave() {
    let mut director = director(config(10), 1);
    join(&mut director, at(0), nat(1, 4000), 1, 1);
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &message(Leave, 1, 3)).0,
        OK(Action::Left)
    );
}

#[test]
fn counters_strictly_grow_for_all_that_changes_state_even_after_the_session() {
    let mut director = director(config(10), 1);
    let mut request = message(AddressRequest, 1, 5);
    request.cookie = say(&mut director, at(0), nat(1, 4000), &request)
        .1
        .unwrap()
        .cookie;
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &request).0,
        OK(Action::Opened)
    );
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &request).0,
        NO(Refusal::StaleCounter)
    );
    let mut keep_alive = message(KeepAlive, 1, 5);
    keep_alive.pseudo = pseudo(1).to_bits();
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &keep_alive).0,
        NO(Refusal::StaleCounter)
    );
    let leave = message(Leave, 1, 6);
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &leave).0,
        OK(Action::Left)
    );
    for replay in [request, keep_alive, leave] {
        assert_eq!(
            say(&mut director, at(1), nat(1, 4000), &replay).0,
            NO(Refusal::StaleCounter)
        );
    }
    assert_eq!(director.occupancy().sessions, 0);
}

#[test]
fn a_member_whose_clock_went_back_learns_where_its_counter_goes_on() {
    let mut director = director(config(10), 1);
    let counter = 0x0005_1234_89ab_cdef;
    join(&mut director, at(0), nat(1, 4000), 1, counter - 1);
    let (verdict, answer) = say(&mut director, at(0), nat(1, 4000), &message(AddressRequest, 1, 3));
    let answer = answer.unwrap();
    assert_eq!(verdict, NO(Refusal::NoCookie));
    assert_eq!(
        (answer.lifetime_ms, answer.keep_alive_ms),
        (0x0005_1234, 0x89ab_cdef)
    );
}

#[test]
fn a_sender_only_member_is_marked_in_the_table() {
    let mut director = director(config(10), 1);
    let mut request = message(AddressRequest, 1, 1);
    request.flags = FLAG_SENDER_ONLY;
    request.cookie = say(&mut director, at(0), nat(1, 4000), &request)
        .1
        .unwrap()
        .cookie;
    assert_eq!(
        say(&mut director, at(0), nat(1, 4000), &request).0,
        OK(Action::Opened)
    );
    let ops = table_ops(&mut director);
    assert!(
        matches!(
            ops[..],
            [TableOp::Bind {
                sender_only: true,
                ..
            }]
        ),
        "{ops:?}"
    );
}

#[test]
fn what_is_not_for_a_director_is_named_and_not_answered() {
    let mut director = director(config(10), 1);
    let mut refused = |mut octets: Vec<u8>| {
        let before = octets.clone();
        let verdict = director.datagram(at(0), nat(1, 1), &mut octets);
        assert_eq!((verdict.is_answered(), &octets), (false, &before));
        verdict.0.unwrap_err()
    };
    let good = sealed(&message(AddressRequest, 1, 1));
    assert_eq!(refused(good[..LEN - 1].to_vec()), Refusal::Malformed);
    assert_eq!(refused([&good[..], &[0]].concat()), Refusal::Malformed);
    assert_eq!(refused(vec![]), Refusal::Malformed);
    assert_eq!(
        refused(sealed(&message(AddressResponse, 1, 1)).to_vec()),
        Refusal::UnexpectedType
    );
    let mut echoed = message(KeepAlive, 1, 1);
    echoed.flags = FLAG_RESPONSE;
    assert_eq!(refused(sealed(&echoed).to_vec()), Refusal::UnexpectedType);
    for data_type in [1, 7] {
        let mut other = good.to_vec();
        other[1] = data_type;
        assert_eq!(refused(other), Refusal::UnexpectedType);
    }
    let mut elsewhere = message(AddressRequest, 1, 1);
    elsewhere.director += 1;
    assert_eq!(refused(sealed(&elsewhere).to_vec()), Refusal::NotForUs);
    assert_eq!(
        refused(sealed(&message(AddressRequest, 2, 1)).to_vec()),
        Refusal::UnknownKey
    );
    let counted: u64 = director.counters().iter().map(|(_, count)| count).sum();
    assert_eq!((counted, director.counters().received), (9, 9));
}

#[test]
fn every_changed_bit_is_refused() {
    let mut director = director(config(10), 1);
    let mut keep_alive = message(KeepAlive, 1, 3);
    join(&mut director, at(0), nat(1, 4000), 1, 1);
    keep_alive.pseudo = pseudo(1).to_bits();
    for bit in 0..LEN * 8 {
        let mut octets = sealed(&keep_alive);
        octets[bit / 8] ^= 1 << (bit % 8);
        // A second apart, so that no limit hides what is tested.
        let verdict = director.datagram(at(bit as u64 * 50), nat(1, 4000), &mut octets);
        assert!(
            verdict.0.is_err() && !verdict.is_answered(),
            "bit {bit}: {verdict:?}"
        );
    }
}

#[test]
fn a_full_pool_says_so_and_recovers_after_the_quarantine() {
    let mut director = director(config(2), 3);
    join(&mut director, at(0), nat(1, 1), 1, 1);
    join(&mut director, at(0), nat(2, 1), 2, 1);
    outputs(&mut director);
    let (verdict, answer) = join(&mut director, at(0), nat(3, 1), 3, 1);
    assert_eq!((verdict, answer.status), (NO(Refusal::Full), Status::Full));
    assert_eq!(outputs(&mut director), [Output::Event(Event::PoolExhausted)]);
    join(&mut director, at(0), nat(3, 1), 3, 3);
    assert_eq!(outputs(&mut director), [], "the alarm is given once");
    say(&mut director, at(1000), nat(1, 1), &message(Leave, 1, 3));
    assert_eq!(
        join(&mut director, at(59_000), nat(3, 1), 3, 5).0,
        NO(Refusal::Full)
    );
    say(&mut director, at(59_000), nat(2, 1), &{
        let mut keep_alive = message(KeepAlive, 2, 3);
        keep_alive.pseudo = pseudo(2).to_bits();
        keep_alive
    });
    let (verdict, answer) = join(&mut director, at(61_000), nat(3, 1), 3, 7);
    assert_eq!(
        (verdict, answer.pseudo),
        (OK(Action::Opened), pseudo(1).to_bits())
    );
}

#[test]
fn a_community_cannot_take_more_than_its_share() {
    let mut config = config(10);
    config.max_sessions_per_community = 1;
    let mut director = director(config, 2);
    let mut other = grant(3);
    other.community = 2;
    director.add_grant(at(0), other).unwrap();
    assert_eq!(join(&mut director, at(0), nat(1, 1), 1, 1).0, OK(Action::Opened));
    let (verdict, answer) = join(&mut director, at(0), nat(2, 1), 2, 1);
    assert_eq!(
        (verdict, answer.status),
        (NO(Refusal::CommunityFull), Status::Full)
    );
    assert_eq!(join(&mut director, at(0), nat(3, 1), 3, 1).0, OK(Action::Opened));
    say(&mut director, at(1), nat(1, 1), &message(Leave, 1, 3));
    assert_eq!(join(&mut director, at(2), nat(2, 1), 2, 3).0, OK(Action::Opened));
}

#[test]
fn a_reserved_address_is_for_its_member_alone() {
    let mut director = director(config(3), 2);
    let mut reserving = grant(7);
    reserving.reserved = Some(pseudo(1));
    director.add_grant(at(0), reserving.clone()).unwrap();
    assert_eq!(
        join(&mut director, at(0), nat(1, 1), 1, 1).1.pseudo,
        pseudo(2).to_bits()
    );
    assert_eq!(
        join(&mut director, at(0), nat(2, 1), 2, 1).1.pseudo,
        pseudo(3).to_bits()
    );
    for counter in [1, 11] {
        assert_eq!(
            join(&mut director, at(0), nat(7, 1), 7, counter).1.pseudo,
            pseudo(1).to_bits()
        );
        let leave = message(Leave, 7, counter + 2);
        assert_eq!(say(&mut director, at(0), nat(7, 1), &leave).0, OK(Action::Left));
    }
    reserving.key_id = KeyId(8);
    let refused = director.add_grant(at(0), reserving.clone());
    assert_eq!(refused, Err(GrantError::Taken(pseudo(1))));
    reserving.reserved = Some(pseudo(2));
    assert_eq!(
        director.add_grant(at(0), reserving.clone()),
        Err(GrantError::Taken(pseudo(2)))
    );
    reserving.reserved = Some(pseudo(4));
    assert_eq!(
        director.add_grant(at(0), reserving),
        Err(GrantError::OutsidePool(pseudo(4)))
    );
    assert_eq!(
        director.add_grant(at(0), grant(1)),
        Err(GrantError::Duplicate(KeyId(1)))
    );
}

#[test]
fn removing_a_grant_ends_its_session_and_its_key() {
    let mut director = director(config(3), 1);
    join(&mut director, at(0), nat(1, 1), 1, 1);
    outputs(&mut director);
    assert!(director.remove_grant(at(1), KeyId(1)));
    assert!(!director.remove_grant(at(1), KeyId(1)));
    let ended = Event::Ended {
        pseudo: pseudo(1),
        key_id: KeyId(1),
        why: Ended::Revoked,
    };
    let outputs = outputs(&mut director);
    assert!(outputs.contains(&Output::Table(TableOp::Unbind { pseudo: pseudo(1) })));
    assert!(outputs.contains(&Output::Event(ended)));
    let request = message(AddressRequest, 1, 10);
    assert_eq!(
        say(&mut director, at(2), nat(1, 1), &request).0,
        NO(Refusal::UnknownKey)
    );
    director.add_grant(at(3), grant(1)).unwrap();
    assert_eq!(join(&mut director, at(3), nat(1, 1), 1, 20).0, OK(Action::Opened));
}
