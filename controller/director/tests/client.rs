//! The member's side, rule by rule: against a director, or against answers that no director would give.

mod common;

use common::*;
use core::time::Duration;
use kith_director::client::{Client, ClientConfig, Event, Ignored, Lost, Phase};
use kith_director::server::Director;
use kith_wire::control::{Control, FLAG_RESPONSE, KeyId, Status};
use kith_wire::shim::DataType::{AddressRequest, AddressResponse, KeepAlive, Leave};

fn sent(client: &mut Client) -> Option<Control> {
    client.poll_transmit().map(|octets| opened(&octets, 1))
}

fn events(client: &mut Client) -> Vec<Event> {
    core::iter::from_fn(|| client.poll_event()).collect()
}

/// Passes messages between both, losslessly, until nobody has anything to say.
fn exchange(client: &mut Client, director: &mut Director, now: u64, port: u16) {
    while let Some(mut octets) = client.poll_transmit() {
        if director
            .datagram(at(now), nat(1, port), &mut octets)
            .is_answered()
        {
            client.datagram(at(now), DIRECTOR, &octets).unwrap();
        }
    }
}

fn bound(director: &mut Director) -> Client {
    let mut client = client(1);
    client.start(at(0));
    exchange(&mut client, director, 0, 4000);
    assert_eq!(client.phase(), Phase::Bound);
    events(&mut client);
    client
}

/// The director's answer to `request`, with what is usual in it.
fn answer(request: &Control, status: Status) -> Control {
    let (data_type, flags) = match request.data_type {
        AddressRequest => (AddressResponse, 0),
        other => (other, FLAG_RESPONSE),
    };
    Control {
        data_type,
        flags,
        status,
        pseudo: pseudo(1).to_bits(),
        lifetime_ms: 60_000,
        keep_alive_ms: 15_000,
        cookie: [0; 16],
        ..*request
    }
}

/// Lets time pass until the client sends; when, and what.
fn next_sent(client: &mut Client) -> (u64, Control) {
    loop {
        let deadline = client.deadline().expect("a client that waits for something");
        client.tick(deadline);
        if let Some(message) = sent(client) {
            return (deadline.as_millis(), message);
        }
    }
}

#[test]
fn two_round_trips_to_a_session() {
    let mut director = director(config(10), 1);
    let mut client = client(1);
    assert_eq!((client.phase(), client.deadline()), (Phase::Idle, None));
    client.start(at(0));
    assert_eq!(client.phase(), Phase::Requesting);
    exchange(&mut client, &mut director, 0, 4000);
    let expected = Event::Bound {
        pseudo: pseudo(1),
        lifetime: Duration::from_secs(60),
        keep_alive: Duration::from_secs(15),
        observed: nat(1, 4000),
    };
    assert_eq!(events(&mut client), [expected]);
    assert_eq!(director.counters().received, 2);
}

#[test]
fn requests_are_repeated_with_growing_pauses_and_new_counters() {
    let mut client = client(1);
    client.start(at(0));
    let mut last = (0, sent(&mut client).unwrap().counter);
    for pause in [250, 500, 1000, 2000, 4000, 8000, 8000, 8000] {
        let (now, message) = next_sent(&mut client);
        assert!(
            (pause * 8 / 10..=pause).contains(&(now - last.0)),
            "{} for {pause}",
            now - last.0
        );
        assert_eq!(message.counter, last.1 + 1);
        last = (now, message.counter);
    }
}

#[test]
fn only_the_directors_authentic_timely_answers_count() {
    let mut client = client(1);
    client.start(at(0));
    let request = sent(&mut client).unwrap();
    let good = answer(&request, Status::Ok);
    let refused = |client: &mut Client, message: &Control| {
        client.datagram(at(1), DIRECTOR, &sealed(message)).unwrap_err()
    };
    assert_eq!(
        client.datagram(at(1), nat(1, 20202), &sealed(&good)),
        Err(Ignored::Source(nat(1, 20202)))
    );
    let other_key = key(2).seal(&good);
    assert_eq!(
        client.datagram(at(1), DIRECTOR, &other_key),
        Err(Ignored::Authenticator)
    );
    assert!(matches!(
        client.datagram(at(1), DIRECTOR, b"?"),
        Err(Ignored::Malformed(_))
    ));
    let changed = |change: fn(&mut Control)| {
        let mut message = good;
        change(&mut message);
        message
    };
    assert_eq!(
        refused(&mut client, &changed(|it| it.key_id.0 = 2)),
        Ignored::Key(KeyId(2))
    );
    assert_eq!(
        refused(&mut client, &changed(|it| it.counter += 1)),
        Ignored::Outdated
    );
    assert_eq!(
        refused(&mut client, &changed(|it| it.counter -= 1)),
        Ignored::Outdated
    );
    assert_eq!(
        refused(&mut client, &changed(|it| it.director += 1)),
        Ignored::Unexpected
    );
    assert_eq!(
        refused(&mut client, &changed(|it| it.pseudo = 0)),
        Ignored::Unexpected
    );
    assert_eq!(
        refused(&mut client, &changed(|it| it.data_type = Leave)),
        Ignored::Unexpected
    );
    assert_eq!(
        refused(&mut client, &request),
        Ignored::Unexpected,
        "its own request, reflected"
    );
    assert_eq!((client.phase(), events(&mut client)), (Phase::Requesting, vec![]));
    assert_eq!(client.datagram(at(1), DIRECTOR, &sealed(&good)), Ok(()));
    assert_eq!(refused(&mut client, &good), Ignored::Outdated, "twice");
}

#[test]
fn keep_alives_come_at_the_directors_interval_or_the_members_shorter_one() {
    for (at_most, interval) in [(None, 15_000), (Some(4), 4000), (Some(60), 15_000)] {
        let mut director = director(config(10), 1);
        let mut config = ClientConfig::new(DIRECTOR, KeyId(1), key(1), 5, 1);
        config.keep_alive_at_most = at_most.map(Duration::from_secs);
        let mut client = Client::new(config);
        client.start(at(0));
        exchange(&mut client, &mut director, 0, 4000);
        let mut last = 0;
        for _ in 0..5 {
            let now = client.deadline().unwrap();
            client.tick(now);
            assert!((interval * 8 / 10..=interval).contains(&(now.as_millis() - last)));
            exchange(&mut client, &mut director, now.as_millis(), 4000);
            last = now.as_millis();
        }
        assert_eq!(client.phase(), Phase::Bound);
    }
}

#[test]
fn unanswered_keep_alives_are_repeated_quickly_then_the_session_is_asked_for_again() {
    let mut director = director(config(10), 1);
    let mut client = bound(&mut director);
    let (first, _) = next_sent(&mut client);
    for _ in 0..4 {
        assert_eq!(next_sent(&mut client).1.data_type, KeepAlive);
    }
    let (now, request) = next_sent(&mut client);
    assert_eq!(request.data_type, AddressRequest);
    assert!(now - first < 10_000, "{}", now - first);
    assert_eq!(events(&mut client), [Event::Lost { reason: Lost::Silent }]);
}

#[test]
fn a_director_without_the_session_is_asked_for_one_at_once_with_its_cookie() {
    let mut forgetful = director(config(10), 1);
    let mut client = bound(&mut forgetful);
    let mut restarted = director(config(10), 1);
    let now = client.deadline().unwrap();
    client.tick(now);
    exchange(&mut client, &mut restarted, now.as_millis(), 4000);
    let events = events(&mut client);
    assert!(
        matches!(
            events[..],
            [
                Event::Lost {
                    reason: Lost::NoSession
                },
                Event::Bound { .. }
            ]
        ),
        "{events:?}"
    );
    assert_eq!(
        restarted.counters().received,
        2,
        "keep-alive, request: no challenge between them"
    );
}

#[test]
fn a_hint_is_answered_at_once_and_a_move_is_told() {
    let mut director = director(config(10), 1);
    let mut client = bound(&mut director);
    let hint = director.rebound(at(100), nat(1, 5000), pseudo(1), 1400).unwrap();
    client.datagram(at(100), DIRECTOR, &hint).unwrap();
    exchange(&mut client, &mut director, 100, 5000);
    assert_eq!(
        events(&mut client),
        [Event::Rebound {
            observed: nat(1, 5000)
        }]
    );
    assert_eq!(director.sessions(at(100)).next().unwrap().bound, nat(1, 5000));
}

#[test]
fn hints_played_back_cost_a_few_keep_alives_at_most() {
    let mut director = director(config(10), 1);
    let mut client = bound(&mut director);
    let hint = director.rebound(at(100), nat(1, 5000), pseudo(1), 1400).unwrap();
    let sent = (0..10_000u64).filter(|number| {
        let _limited = client.datagram(at(100 + number / 10), DIRECTOR, &hint);
        client.poll_transmit().is_some()
    });
    assert!(sent.count() <= 8);
}

#[test]
fn a_director_that_always_challenges_starts_no_storm() {
    let mut client = client(1);
    client.start(at(0));
    let mut count = 0;
    for ms in 0..10_000 {
        client.tick(at(ms));
        while let Some(request) = sent(&mut client) {
            count += 1;
            let mut challenge = answer(&request, Status::Challenge);
            (challenge.cookie, challenge.lifetime_ms, challenge.keep_alive_ms) = ([1; 16], 0, 0);
            client.datagram(at(ms), DIRECTOR, &sealed(&challenge)).unwrap();
        }
    }
    assert!((3..70).contains(&count), "{count}");
}

#[test]
fn a_counter_behind_goes_on_after_the_directors() {
    let mut director = director(config(10), 1);
    let _ = join(&mut director, at(0), nat(1, 4000), 1, 1 << 40);
    let mut client = client(1);
    client.start(at(0));
    exchange(&mut client, &mut director, 0, 4000);
    assert_eq!((client.phase(), client.counter()), (Phase::Bound, (1 << 40) + 2));
}

#[test]
fn a_refusal_is_told_and_asked_again_later() {
    for (status, lifetime_ms, pause) in [(Status::Full, 0, 8000), (Status::Busy, 3000, 3000)] {
        let mut client = client(1);
        client.start(at(0));
        let request = sent(&mut client).unwrap();
        let mut refusal = answer(&request, status);
        refusal.lifetime_ms = lifetime_ms;
        client.datagram(at(0), DIRECTOR, &sealed(&refusal)).unwrap();
        assert_eq!(events(&mut client), [Event::Refused { status }]);
        let (now, _) = next_sent(&mut client);
        assert!((pause * 8 / 10..=pause).contains(&now));
    }
}

#[test]
fn leaving_is_confirmed_or_over_after_a_few_tries() {
    let mut director = director(config(10), 1);
    let mut client = bound(&mut director);
    client.leave(at(10));
    assert_eq!(client.phase(), Phase::Leaving);
    exchange(&mut client, &mut director, 10, 4000);
    assert_eq!(events(&mut client), [Event::Left { confirmed: true }]);
    assert_eq!(
        (client.phase(), client.deadline(), director.occupancy().sessions),
        (Phase::Left, None, 0)
    );

    client.start(at(20));
    exchange(&mut client, &mut director, 20, 4000);
    events(&mut client);
    client.leave(at(30));
    let mut tries = 0;
    while let Some(deadline) = client.deadline() {
        tries += u64::from(client.poll_transmit().is_some());
        client.tick(deadline);
        assert!(deadline < at(10_000));
    }
    assert_eq!(
        (tries, events(&mut client)),
        (4, vec![Event::Left { confirmed: false }])
    );
}

#[test]
fn a_session_whose_grant_was_not_heard_of_is_left_too() {
    let mut director = director(config(10), 1);
    let mut client = client(1);
    client.start(at(0));
    for _ in 0..2 {
        let mut octets = client.poll_transmit().unwrap();
        assert!(director.datagram(at(0), nat(1, 4000), &mut octets).is_answered());
        if client.phase() == Phase::Requesting {
            client.datagram(at(0), DIRECTOR, &octets).unwrap();
        }
    }
    assert_eq!(
        (client.phase(), director.occupancy().sessions),
        (Phase::Challenged, 1)
    );
    client.leave(at(1));
    exchange(&mut client, &mut director, 1, 4000);
    assert_eq!(director.occupancy().sessions, 0);
}

#[test]
fn a_changed_network_is_told_to_the_director_at_once() {
    let mut director = director(config(10), 1);
    let mut client = bound(&mut director);
    client.network_changed(at(50));
    exchange(&mut client, &mut director, 50, 6000);
    assert_eq!(
        events(&mut client),
        [Event::Rebound {
            observed: nat(1, 6000)
        }]
    );
}
