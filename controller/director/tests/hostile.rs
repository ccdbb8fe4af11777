//! Floods and forgeries: what an outsider can cost a director. Nothing but a bounded share of its time.

mod common;

use common::*;
use core::net::{Ipv4Addr, SocketAddrV4};
use kith_director::client::Phase;
use kith_director::server::{Action, Director, Refusal, Verdict};
use kith_wire::control::{LEN, Status};
use kith_wire::ping::Ping;
use kith_wire::shim::DataType::{AddressRequest, KeepAlive, Leave};
use proptest::prelude::*;

const MILLION: u64 = 1_000_000;

/// Made-up sources, all different for a while.
fn spoofed(number: u64) -> SocketAddrV4 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    SocketAddrV4::new(Ipv4Addr::from_bits((mixed >> 32) as u32), mixed as u16)
}

fn bound_to(director: &Director) -> Vec<(u64, SocketAddrV4)> {
    let sessions = director.sessions(at(0));
    sessions
        .map(|session| (session.key_id.0, session.bound))
        .collect()
}

#[test]
fn a_million_spoofed_requests_leave_no_state() {
    let mut director = director(config(100), 10);
    let before = director.occupancy();
    let forged: Vec<_> = (1..=20)
        .map(|id| sealed(&message(AddressRequest, id, 1)))
        .collect();
    for number in 0..MILLION {
        // Every other one is even made with the right key, as if its owner played the attacker.
        let mut octets = forged[(number / 2 % 20) as usize];
        octets[LEN - 1] ^= (number % 2) as u8;
        let verdict = director.datagram(at(number / 800), spoofed(number), &mut octets);
        assert!(verdict.0.is_err());
    }
    assert_eq!(director.occupancy(), before);
    assert_eq!(outputs(&mut director), []);
    let counters = director.counters();
    assert!(counters.refusal(Refusal::NoCookie) > 50_000 && counters.refusal(Refusal::RateLimited) > 100);
    assert_eq!(counters.received, MILLION);
}

#[test]
fn a_million_forgeries_never_move_or_end_a_session() {
    let mut director = director(config(100), 4);
    let mut recorded = Vec::new();
    for id in 1..=4 {
        let _ = join(&mut director, at(0), nat(id as u32, 4000), id, 1);
        for (data_type, counter) in [
            (Leave, 2),
            (KeepAlive, 2),
            (AddressRequest, 2),
            (KeepAlive, 9),
            (Leave, 9),
        ] {
            let mut genuine = message(data_type, id, counter);
            genuine.pseudo = pseudo(id as u32).to_bits();
            recorded.push(sealed(&genuine));
        }
    }
    outputs(&mut director);
    let before = bound_to(&director);
    for number in 0..MILLION {
        let mut octets = recorded[(number % 20) as usize];
        let id = number % 20 / 5 + 1;
        let from = match number % 3 {
            0 => nat(id as u32, 4000),
            1 => spoofed(number),
            _ => nat(66, 666),
        };
        // From the bound address only old or changed messages: a fresh genuine one would be the member's own.
        if number % 20 % 5 > 2 && number % 3 == 0 {
            octets[20 + (number / 20 % 68) as usize] ^= 1 << (number % 8);
        }
        let verdict = director.datagram(at(number / 20), from, &mut octets);
        assert!(verdict.0.is_err(), "{number}: {verdict:?}");
    }
    assert_eq!(bound_to(&director), before);
    assert_eq!(table_ops(&mut director), []);
    let counters = director.counters();
    for refusal in [
        Refusal::BadAuthenticator,
        Refusal::StaleCounter,
        Refusal::NoCookie,
        Refusal::WrongSource,
    ] {
        assert!(counters.refusal(refusal) > 1000, "{refusal:?} was really tried");
    }
}

/// 200,000 forged requests a second from made-up sources, with key ids that exist, for ten seconds: four times as many as
/// the director is willing to check.
#[test]
fn members_keep_working_through_a_flood() {
    const MEMBERS: u64 = 1000;
    const FLOOD_PER_MS: u64 = 200;
    let mut config = config(2000);
    config.limits.strangers.per_second = 50_000;
    let mut director = director(config, MEMBERS + 100);
    for id in 1..=MEMBERS {
        let _ = join(&mut director, at(0), nat(id as u32, 4000), id, 1);
    }
    outputs(&mut director);
    let mut flood: Vec<_> = (1..=MEMBERS)
        .map(|id| sealed(&message(AddressRequest, id, 99)))
        .collect();
    for (octets, cookie) in flood.iter_mut().zip(0u64..) {
        octets[LEN - 1] ^= 1;
        // Half pretend to have a cookie.
        octets[40] = (cookie % 2) as u8;
    }
    let mut newcomers: Vec<_> = (1..=100).map(|number| client(MEMBERS + number)).collect();
    let (mut kept, mut moved) = (0, 0);
    for ms in 1..=10_000u64 {
        // The members speak in the middle of the flood, not when the buckets have just been filled or emptied.
        let flood_on = |director: &mut Director, part: core::ops::Range<u64>| {
            for number in part {
                let mut octets = flood[(number % MEMBERS) as usize];
                let verdict = director.datagram(at(ms), spoofed(number), &mut octets);
                assert!(!verdict.is_answered());
            }
        };
        let middle = ms * FLOOD_PER_MS + ms * 7919 % FLOOD_PER_MS;
        flood_on(&mut director, ms * FLOOD_PER_MS..middle);
        // In the first five seconds each member keeps alive once; in the second five, each moves to another NAT mapping.
        if ms % 5 == 0 {
            let id = ms / 5 % MEMBERS + 1;
            let mut keep_alive = message(KeepAlive, id, 10 + ms);
            keep_alive.pseudo = pseudo(id as u32).to_bits();
            if ms <= 5000 {
                let (verdict, _) = say(&mut director, at(ms), nat(id as u32, 4000), &keep_alive);
                kept += u64::from(verdict == Verdict(Ok(Action::Extended)));
            } else if let Ok(hint) = director.rebound(at(ms), nat(id as u32, 5000), pseudo(id as u32), 200) {
                keep_alive.cookie = opened(&hint, id).cookie;
                let (verdict, _) = say(&mut director, at(ms), nat(id as u32, 5000), &keep_alive);
                moved += u64::from(verdict == Verdict(Ok(Action::Moved)));
            }
        }
        let newcomer = &mut newcomers[(ms % 100) as usize];
        newcomer.start(at(ms));
        newcomer.tick(at(ms));
        while let Some(mut octets) = newcomer.poll_transmit() {
            if director
                .datagram(at(ms), nat(5000 + ms as u32 % 100, 1), &mut octets)
                .is_answered()
            {
                newcomer.datagram(at(ms), DIRECTOR, &octets).unwrap();
            }
        }
        flood_on(&mut director, middle..(ms + 1) * FLOOD_PER_MS);
    }
    let joined = newcomers
        .iter()
        .filter(|client| client.phase() == Phase::Bound)
        .count();
    println!("under flood: {kept}/1000 kept alive, {moved}/1000 moved, {joined}/100 newcomers joined");
    assert_eq!(kept, MEMBERS, "a known source does not compete with the flood");
    assert!(moved >= MEMBERS * 95 / 100, "{moved}");
    assert!(
        joined >= 50,
        "without anything to show, a newcomer competes; repeating helps: {joined}"
    );
    assert!(
        director.counters().refusal(Refusal::RateLimited) > MILLION,
        "most of the flood cost no hash"
    );
}

/// One source, even with a member's true address, cannot spend what others need.
#[test]
fn who_forges_a_members_bound_address_hurts_that_member_alone() {
    let mut director = director(config(10), 2);
    let _ = join(&mut director, at(0), nat(1, 4000), 1, 1);
    let _ = join(&mut director, at(0), nat(2, 4000), 2, 1);
    let mut forged = sealed(&message(KeepAlive, 1, 50));
    forged[LEN - 1] ^= 1;
    for number in 0..100_000 {
        let _ = director.datagram(at(number / 1000), nat(1, 4000), &mut forged);
    }
    let mut keep_alive = message(KeepAlive, 2, 50);
    keep_alive.pseudo = pseudo(2).to_bits();
    assert_eq!(
        say(&mut director, at(100), nat(2, 4000), &keep_alive).0,
        Verdict(Ok(Action::Extended))
    );
}

#[test]
fn pings_are_answered_in_place_and_limited() {
    let mut director = director(config(10), 0);
    let mut data = [7u8; 1200];
    Ping::write_request(&mut data, 3).unwrap();
    let request = data;
    assert_eq!(
        director.datagram(at(0), nat(1, 1), &mut data),
        Verdict(Ok(Action::Ponged))
    );
    assert_eq!(
        director.datagram(at(0), nat(1, 1), &mut data),
        Verdict(Err(Refusal::UnexpectedType))
    );
    let ponged = |director: &mut Director, now, number| {
        director
            .datagram(at(now), spoofed(number), &mut request.clone())
            .is_answered()
    };
    let at_once = (0..MILLION / 10)
        .filter(|&number| ponged(&mut director, 0, number))
        .count();
    assert!(at_once < 2000, "{at_once}");
    let one_source = (0..1000).filter(|_| ponged(&mut director, 5000, 1)).count();
    assert!(one_source <= 400, "{one_source}");
}

#[test]
fn a_source_seen_by_the_fast_path_is_challenged_rarely_and_never_believed() {
    let mut director = director(config(10), 1);
    let _ = join(&mut director, at(0), nat(1, 4000), 1, 1);
    outputs(&mut director);
    let hint = director.rebound(at(10), nat(1, 5000), pseudo(1), 88).unwrap();
    let hint = opened(&hint, 1);
    assert_eq!(
        (hint.data_type, hint.status, hint.pseudo),
        (KeepAlive, Status::Challenge, pseudo(1).to_bits())
    );
    assert_eq!(hint.observed, (nat(1, 5000).ip().to_bits(), 5000));
    let mut refused =
        |now, from, which, len| director.rebound(at(now), from, pseudo(which), len).unwrap_err();
    assert_eq!(refused(1009, nat(1, 5001), 1, 88), Refusal::RateLimited);
    assert_eq!(refused(1010, nat(1, 5001), 1, 87), Refusal::TooShort);
    assert_eq!(refused(1010, nat(1, 4000), 1, 88), Refusal::AlreadyBound);
    assert_eq!(refused(1010, nat(1, 5001), 2, 88), Refusal::NoSession);
    assert_eq!(refused(1010, nat(1, 5001), 99, 88), Refusal::NoSession);
    assert!(director.rebound(at(1010), nat(1, 5001), pseudo(1), 88).is_ok());
    assert_eq!(bound_to(&director), [(1, nat(1, 4000))]);
    assert_eq!(outputs(&mut director), []);
}

proptest! {
    #![proptest_config(keeping_failures())]
    #[test]
    fn any_octets_give_a_named_outcome(octets in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..9, fix in any::<bool>()) {
        let mut octets = octets;
        if fix && octets.len() > 2 {
            (octets[0], octets[1]) = (1, kind);
        }
        let mut director = director(config(10), 1);
        let mut client = client(1);
        client.start(at(0));
        let before = octets.clone();
        let verdict = director.datagram(at(0), nat(1, 1), &mut octets);
        prop_assert_eq!(octets.len(), before.len(), "an answer is as long as its request");
        prop_assert!(verdict.is_answered() || octets == before);
        prop_assert!(client.datagram(at(0), DIRECTOR, &before).is_err());
        prop_assert_eq!(director.counters().iter().map(|(_, count)| count).sum::<u64>(), 1);
    }

    /// Who has a key may say anything under it: he gets at most his one session, and only where he was challenged.
    #[test]
    fn a_member_may_say_anything(
        messages in proptest::collection::vec((3u8..7, any::<u16>(), any::<bool>(), 0u32..12, 0u64..40, 0u8..3, 0u16..3), 1..60),
        first in any::<u64>(),
    ) {
        let mut director = director(config(10), 2);
        let _ = join(&mut director, at(0), nat(2, 1), 2, 1);
        let mut cookies = [[0u8; 16]; 3];
        let mut ours = None;
        for (step, (kind, flags, random_flags, about, counter, cookie, port)) in messages.into_iter().enumerate() {
            let mut said = message(kith_wire::shim::DataType::from_number(kind).unwrap(), 1, first.saturating_add(counter));
            said.flags = if random_flags { flags } else { 0 };
            said.pseudo = 0xf000_0000 + about;
            said.cookie = cookies[usize::from(cookie)];
            let from = nat(1, port);
            let (verdict, answer) = say(&mut director, at(step as u64 * 200), from, &said);
            if let Some(answer) = answer.filter(|answer| answer.cookie != [0; 16]) {
                cookies[usize::from(port)] = answer.cookie;
            }
            let now = bound_to(&director).into_iter().find(|&(id, _)| id == 1).map(|(_, bound)| bound);
            if now != ours && now.is_some() {
                prop_assert_eq!(now, Some(from), "moved to where the message came from");
                prop_assert_eq!(said.cookie, cookies[usize::from(port)], "after the cookie of that place");
                prop_assert!(matches!(verdict.0, Ok(Action::Opened | Action::Moved)));
            }
            ours = now;
            prop_assert!(director.occupancy().sessions <= 2);
        }
        prop_assert!(bound_to(&director).contains(&(2, nat(2, 1))), "others do not notice");
    }
}
