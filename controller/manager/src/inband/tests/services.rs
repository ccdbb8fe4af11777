//! What members get inside the tunnel.

use super::*;
use kith_protocol::heartbeat::{PORT, Sender};

fn heartbeat(member: &Member, sequence: u64) -> Heartbeat {
    Heartbeat {
        sender: Sender::Member,
        sequence,
        run_id: member.run_id,
        octets_sent: 10,
        octets_received: 20,
        time_ms: 77,
        heard_sequence: 0,
        heard_time_ms: 0,
    }
}

#[test]
fn a_name_is_answered() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let packet = member.udp(4_242, 53, &question());
    let [reply] = &world.inside(&mut member, &packet)[..] else {
        panic!("one packet")
    };
    let (ip, payload) = Ipv4::parse(reply).unwrap();
    let (udp, data) = Udp::parse(payload).unwrap();
    udp.verify(ip, data).unwrap();
    assert_eq!((udp.source.get(), udp.destination.get()), (53, 4_242));
    assert_eq!(answered(data), PRINTER);
    assert_eq!(
        world.desk.asked,
        [member.id],
        "the asker is who sealed the question"
    );
    assert_eq!(world.hub.counters().dns(crate::dns::Outcome::Address), 1);
}

#[test]
fn a_ping_is_answered() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let packet = member.echo();
    let replies = world.inside(&mut member, &packet);
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0][20], &replies[0][28..]), (0, &b"are you there"[..]));
}

#[test]
fn heartbeats_go_both_ways() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    assert!(
        world.later(5_000).is_empty(),
        "nobody knows yet where the member is"
    );
    let beat = member.udp(PORT, PORT, &heartbeat(&member, 6).encode());
    assert!(world.inside(&mut member, &beat).is_empty());
    assert_eq!(world.desk.heard, [(member.id, 6, member.at)]);
    for sequence in 1..4 {
        let sent = world.later(5_000);
        let [(to, datagram)] = &sent[..] else {
            panic!("one heartbeat")
        };
        let packet = member.take(*to, datagram, world.now);
        let (udp, data) = Udp::parse(&packet[20..]).unwrap();
        assert_eq!((udp.source.get(), udp.destination.get()), (PORT, PORT));
        let beat = Heartbeat::decode(data).unwrap();
        assert_eq!(
            (beat.sender, beat.sequence, beat.run_id),
            (Sender::Manager, sequence, member.run_id)
        );
        assert_eq!(
            (beat.heard_sequence, beat.heard_time_ms, beat.time_ms),
            (6, 77, world.now.unix_ms)
        );
    }
}

#[test]
fn heartbeats_keep_their_interval_and_end_with_the_member() {
    let mut world = World::new(Settings::default());
    let mut members: Vec<Member> = (1..=3).map(|number| world.join(number)).collect();
    for member in &mut members {
        let packet = member.echo();
        world.inside(member, &packet);
    }
    assert_eq!(world.later(4_999).len(), 0);
    assert_eq!(world.later(1).len(), 3);
    world.hub.heartbeat(Millis(1_000), world.now);
    assert_eq!(
        world.hub.deadline(world.now),
        Some(Millis(world.now.clock.0 + 1_000))
    );
    assert_eq!(world.later(1_000).len(), 3);
    world.hub.remove(members[0].id);
    assert_eq!(world.later(1_000).len(), 2);
}

#[test]
fn many_heartbeats_that_are_due_at_once_go_out_in_portions() {
    let mut world = World::new(Settings::default());
    for number in 1..=200 {
        let mut member = world.join(number);
        world.ping(&mut member);
    }
    assert_eq!(world.later(5_000).len(), 128);
    assert!(
        world.hub.deadline(world.now) <= Some(world.now.clock),
        "the rest is due"
    );
    assert_eq!(world.later(0).len(), 72);
}

#[test]
fn heartbeats_of_another_run_or_of_no_member_are_refused() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let good = heartbeat(&member, 1);
    let mut foreign = good;
    foreign.run_id = [9; 16];
    let mut manager = good;
    manager.sender = Sender::Manager;
    for data in [
        foreign.encode().to_vec(),
        manager.encode().to_vec(),
        good.encode()[..71].to_vec(),
    ] {
        let packet = member.udp(PORT, PORT, &data);
        assert!(world.inside(&mut member, &packet).is_empty());
    }
    assert!(world.desk.heard.is_empty());
    assert_eq!(
        (
            world.refused(Refused::HeartbeatForeign),
            world.refused(Refused::HeartbeatMalformed)
        ),
        (1, 2)
    );
}

#[test]
fn whatever_else_is_inside_is_dropped_under_its_name() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let header = |protocol, len| {
        Ipv4::new(member.virtual_address, MANAGER, protocol, len)
            .as_bytes()
            .to_vec()
    };
    let mut bad_checksum = member.udp(1, 53, &question());
    bad_checksum[27] ^= 1;
    let mut echo_reply = member.echo();
    echo_reply[20] = 0;
    let sum = u16::from_be_bytes([echo_reply[22], echo_reply[23]]) + 0x0800;
    echo_reply[22..24].copy_from_slice(&sum.to_be_bytes());
    let cases = [
        (member.udp(1, 54, b"x"), Refused::PortUnknown),
        ([header(47, 24), vec![0; 4]].concat(), Refused::InnerProtocol),
        ([header(6, 24), vec![0; 4]].concat(), Refused::InnerMalformed),
        ([header(17, 24), vec![0; 4]].concat(), Refused::InnerMalformed),
        ([header(6, 40), vec![0; 20]].concat(), Refused::PortUnknown),
        (
            [header(6, 40), vec![0, 0, 0, 53], vec![0; 16]].concat(),
            Refused::TcpUnknown,
        ),
        (bad_checksum, Refused::InnerMalformed),
        (echo_reply, Refused::IcmpUnknown),
    ];
    for (packet, why) in cases {
        let before = world.refused(why);
        assert!(world.inside(&mut member, &packet).is_empty());
        assert_eq!(world.refused(why), before + 1, "{why:?}");
    }
}

#[test]
fn responses_and_what_is_no_question_get_no_answer() {
    let mut world = World::new(Settings::default());
    let mut member = world.join(1);
    let mut response = question();
    response[2] |= 0x80;
    for data in [&response[..], &question()[..11]] {
        let packet = member.udp(53, 53, data);
        assert!(world.inside(&mut member, &packet).is_empty());
    }
}
