//! Strangers that begin IKE with the manager's ticket: who gets in, and what is left of who does not.

use super::member::{Identity, inside, now_ms};
use super::strangers::bad_tickets;
use super::{HOUR, KEYS, World, identity};
use crate::common::privileged;
use kith_agent::config::{Cipher, Secret};
use kith_agent::envelope;
use kith_agent::keying::{
    Action, Door, Event, KeyAgreement, Known, Method, Moment, PairSecret, Spis, Whereabouts, ike,
};
use kith_agent::orders::{Order, Peer, Report};
use kith_agent::status::KeyState;
use kith_esp::Limits;
use kith_pipeline::host::tables::MemberIndex;
use kith_wire::shim::{DataType, Shim};
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// The datagram with which `from` would begin IKE with `to`, showing this ticket; none if it is empty.
pub fn first_message(from: &Identity, to: &Identity, key: [u8; 32], ticket: &[u8]) -> Vec<u8> {
    let mut agreement = ike::Agreement::new(ike::Setup {
        own: (from.address, from.fqdn.into()),
        location: None,
        cipher: Cipher::Aes256Gcm,
        limits: Limits::default(),
        spis: Spis::new(16),
        entropy: Box::new(|octets| aws_lc_rs::rand::fill(octets).unwrap()),
        door: Door::new(true),
    });
    let now = Moment {
        micros: 0,
        wall_nanos: now_ms() * 1_000_000,
    };
    let known = Known {
        address: to.address,
        name: to.fqdn.into(),
        secret: Arc::new(PairSecret::new(Secret::new(key))),
        ticket: ticket.to_vec(),
    };
    agreement.add(now, MemberIndex(0), known);
    agreement.event(now, MemberIndex(0), Event::KeysNeeded);
    let Some(Action::Send(_, Method::Ike, message)) = agreement.next_action() else {
        panic!("no first message");
    };
    let shim = Shim::new(DataType::Virtual);
    envelope::keying(&shim, from.address, to.address, Method::Ike, &message).unwrap()
}

#[test]
fn a_stranger_is_let_in_by_the_ticket_in_its_first_message_of_ike() {
    if !privileged() {
        return;
    }
    let world = World::acquainted();
    let [a, b] = &world.members;
    b.reported(|report| *report == Report::Introduced(a.identity.address));
    assert!(world.net.pings(1));
    let peers = [a, b].map(|member| member.status().peers.remove(0));
    for peer in &peers {
        assert_eq!((peer.keys, peer.method), (KeyState::Up, Some(Method::Ike)));
        let tunnel = peer.tunnel.as_ref().expect("an association");
        assert!(tunnel.suite.contains("ML-KEM"), "{}", tunnel.suite);
    }
    let begun = peers.map(|peer| peer.tunnel.is_some_and(|tunnel| tunnel.initiator));
    assert_eq!(begun, [true, false]);
}

#[test]
fn a_bad_ticket_in_ike_is_refused_by_name_not_answered_and_leaves_nothing() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let (a, b) = (identity(0), identity(1));
    let address: SocketAddrV4 = "198.51.100.254:33333".parse().unwrap();
    let router = world.net.router_namespace();
    let socket = inside(&router, move || UdpSocket::bind(address).unwrap());
    let member = &world.members[1];
    let knock = |ticket: &[u8]| {
        let message = first_message(&a, &b, KEYS[0], ticket);
        socket.send_to(&message, b.public).unwrap();
    };
    let mut refused = bad_tickets(&a, &b);
    refused.push(("ticket_missing", Vec::new()));
    for (name, ticket) in &refused {
        knock(ticket);
        let is_counted = |_: &_| member.refused(name) == 1;
        world.net.until(name, Duration::from_secs(2), is_counted);
    }
    let status = member.status();
    assert!(status.peers.is_empty());
    assert_eq!(status.packets.keying_tx, 0, "not one answer");
    assert_eq!(status.refusals.len(), refused.len(), "{:?}", status.refusals);

    // One that was used, and replaced by whatever the manager said since: overheard, it is worth nothing.
    let used = now_ms() * 1000;
    world.members[0].order(a.peer(&b, KEYS[0], used, now_ms() + HOUR));
    let patience = Duration::from_secs(5);
    world.net.until("a reaches b", patience, |net| net.pings(0));
    world.members[0].order(Order::Gone(b.address));
    member.order(Order::Gone(a.address));
    knock(&a.ticket(&b, KEYS[0], |body| body.sequence = used));
    let is_counted = |_: &_| member.refused("ticket_replayed") > 0;
    world.net.until("a replay", patience, is_counted);
    assert!(member.status().peers.is_empty());
    crate::assert_conserved(|| member.status());
}

#[test]
fn an_overheard_ticket_is_answered_where_its_owner_is_and_without_its_key_gets_nobody_in() {
    if !privileged() {
        return;
    }
    let world = World::new();
    let [a, b] = &world.members;
    let (sequence, expires_ms) = (now_ms() * 1000, now_ms() + HOUR);
    let ticket = a
        .identity
        .ticket(&b.identity, KEYS[0], |body| body.sequence = sequence);
    let told = |key| {
        Order::Peer(Box::new(Peer {
            fqdn: b.identity.fqdn.into(),
            address: b.identity.address,
            location: Whereabouts::Public(b.identity.public),
            psk: Secret::new(key),
            sequence,
            ticket: ticket.clone(),
            expires_ms,
        }))
    };
    a.order(told(KEYS[1]));
    assert!(!world.net.pings(0));
    let patience = Duration::from_secs(5);
    world.net.until("it cannot prove itself", patience, |_| {
        b.refused("ike_not_authentic") > 0
    });
    assert!(b.status().peers.is_empty());
    // The ticket was not used up by that: its owner gets in with it.
    a.order(Order::Gone(b.identity.address));
    a.order(told(KEYS[0]));
    world.net.until("a reaches b", patience, |net| net.pings(0));
}
