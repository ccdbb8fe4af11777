//! Whoever knocks without a good ticket gets no answer, no place, and a name for why not.

use super::member::{Identity, inside, now_ms};
use super::{HOUR, KEYS, World, identity};
use crate::common::privileged;
use kith_agent::config::{Cipher, Secret};
use kith_agent::envelope;
use kith_agent::keying::{
    Action, Agreement, Event, KeyAgreement, Known, Method, Moment, PairSecret, Setup, Spis, message,
};
use kith_esp::Limits;
use kith_pipeline::host::tables::MemberIndex;
use kith_protocol::ticket::TicketBody;
use kith_wire::shim::{DataType, Shim};
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// The initiation that `from` would send to `to`.
fn initiation(from: &Identity, to: &Identity, key: [u8; 32]) -> [u8; message::LEN] {
    let mut agreement = Agreement::new(Setup {
        own: from.address,
        location: None,
        cipher: Cipher::Aes256Gcm,
        limits: Limits::default(),
        spis: Spis::new(16),
        entropy: Box::new(|octets| octets.fill(9)),
    });
    let now = Moment {
        micros: 0,
        wall_nanos: now_ms() * 1_000_000,
    };
    let known = Known {
        address: to.address,
        name: to.fqdn.into(),
        secret: Arc::new(PairSecret::new(Secret::new(key))),
        ticket: Vec::new(),
    };
    agreement.add(now, MemberIndex(0), known);
    agreement.event(now, MemberIndex(0), Event::KeysNeeded);
    match agreement.next_action() {
        Some(Action::Send(_, Method::Ticket, octets)) => octets.try_into().unwrap(),
        _ => panic!("no initiation"),
    }
}

/// Tickets that get nobody in, by the names they are refused under.
pub fn bad_tickets(from: &Identity, to: &Identity) -> Vec<(&'static str, Vec<u8>)> {
    let ticket = |change: fn(&mut TicketBody)| from.ticket(to, KEYS[0], change);
    let mut altered = ticket(|_| {});
    altered[60] ^= 1;
    let elsewhere = Identity {
        ticket_key: [9; 32],
        ..*to
    };
    let expired = ticket(|body| {
        (body.issued_ms, body.expires_ms) = (now_ms() - 2 * HOUR, now_ms() - HOUR);
    });
    let early = ticket(|body| {
        (body.issued_ms, body.expires_ms) = (now_ms() + HOUR, now_ms() + 2 * HOUR);
    });
    vec![
        ("ticket_altered", altered),
        ("ticket_foreign", from.ticket(&elsewhere, KEYS[0], |_| {})),
        ("ticket_malformed", b"KTK1".to_vec()),
        ("ticket_expired", expired),
        ("ticket_not_yet", early),
        (
            "ticket_wrong_target",
            ticket(|body| body.target_virtual = [10, 77, 0, 9].into()),
        ),
        (
            "ticket_not_theirs",
            ticket(|body| body.initiator_virtual = [10, 77, 0, 9].into()),
        ),
    ]
}

#[test]
fn a_stranger_without_a_good_ticket_is_refused_by_name_and_not_answered() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let (a, b) = (identity(0), identity(1));
    let address: SocketAddrV4 = "198.51.100.254:33333".parse().unwrap();
    let socket = inside(&world.net.router_namespace(), move || {
        UdpSocket::bind(address).unwrap()
    });
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let member = &world.members[1];
    let good = initiation(&a, &b, KEYS[0]);
    let knock = |message: &[u8; message::LEN], ticket: &[u8]| {
        let message = envelope::with_ticket(message, ticket);
        let shim = Shim::new(DataType::Virtual);
        let datagram = envelope::keying(&shim, a.address, b.address, Method::Ticket, &message).unwrap();
        socket.send_to(&datagram, b.public).unwrap();
    };
    let ticket = |change: fn(&mut TicketBody)| a.ticket(&b, KEYS[0], change);
    let refused = bad_tickets(&a, &b);
    for (name, ticket) in &refused {
        knock(&good, ticket);
        let is_counted = |_: &_| member.refused(name) == 1;
        world.net.until(name, Duration::from_secs(2), is_counted);
    }
    // The ticket is good, but who brings it does not know the key in it.
    knock(&initiation(&a, &b, KEYS[1]), &ticket(|_| {}));
    world.net.until("forged", Duration::from_secs(2), |_| {
        member.refused("introduction_forged") == 1
    });
    // No ticket at all.
    let before = member.dropped("member_unknown");
    knock(&good, &[]);
    world.net.until("nobody", Duration::from_secs(2), |_| {
        member.dropped("member_unknown") == before + 1
    });
    let mut buffer = [0; 2048];
    assert!(socket.recv(&mut buffer).is_err(), "not one answer");
    let status = member.status();
    assert!(status.peers.is_empty());
    assert_eq!(status.packets.keying_tx, 0);
    // The same from one whom the manager vouches for gets in.
    knock(&good, &ticket(|_| {}));
    world.net.until("let in", Duration::from_secs(2), |_| {
        member.status().peers.len() == 1
    });
    crate::assert_conserved(|| member.status());
}

#[test]
fn a_flood_of_introductions_is_limited_and_a_good_one_still_gets_in() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let (a, b) = (identity(0), identity(1));
    let address: SocketAddrV4 = "198.51.100.254:33333".parse().unwrap();
    let socket = inside(&world.net.router_namespace(), move || {
        UdpSocket::bind(address).unwrap()
    });
    let mut altered = a.ticket(&b, KEYS[0], |_| {});
    altered[60] ^= 1;
    let message = envelope::with_ticket(&initiation(&a, &b, KEYS[0]), &altered);
    let shim = Shim::new(DataType::Virtual);
    let junk = envelope::keying(&shim, a.address, b.address, Method::Ticket, &message).unwrap();
    for _ in 0..2_000 {
        socket.send_to(&junk, b.public).unwrap();
    }
    let member = &world.members[1];
    world.net.until("the flood is over", Duration::from_secs(5), |_| {
        member.dropped("punt_limited") > 1_000
    });
    world.introduce(now_ms() + HOUR);
    world
        .net
        .until("a reaches b", Duration::from_secs(5), |net| net.pings(0));
}
