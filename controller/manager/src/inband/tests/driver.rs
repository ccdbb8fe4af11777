//! The thread with its socket, on loopback.

use super::*;
use crate::inband::driver::{Handle, start};
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A manager that tells the test what it hears.
struct Told(Sender<MemberId>, Desk);

impl Names for Told {
    fn ours(&self, asker: MemberId, target: Target<'_>) -> bool {
        self.1.ours(asker, target)
    }

    fn locate(&mut self, now_ms: u64, asker: MemberId, target: Target<'_>) -> Result<Peer, Unlocated> {
        self.1.locate(now_ms, asker, target)
    }
}

impl Office for Told {
    fn heard(&mut self, member: MemberId, _: &Heartbeat, _: SocketAddrV4) {
        self.0.send(member).unwrap();
    }
}

fn bound() -> (UdpSocket, SocketAddrV4) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let std::net::SocketAddr::V4(at) = socket.local_addr().unwrap() else {
        unreachable!("bound to IPv4")
    };
    (socket, at)
}

struct Running {
    handle: Handle,
    manager: SocketAddrV4,
    socket: UdpSocket,
    member: Member,
    heard: Receiver<MemberId>,
}

fn running(settings: Settings) -> Running {
    let (theirs, manager) = bound();
    let (tell, heard) = channel();
    let handle = start(theirs, settings, 7, Box::new(Told(tell, Desk::default()))).unwrap();
    let (socket, at) = bound();
    let now = handle.now();
    let mut member = Member::new(1, now);
    member.at = at;
    handle
        .send(Command::Install(Box::new(member.install(now))))
        .unwrap();
    member.keys = Some(member.made(now));
    Running {
        handle,
        manager,
        socket,
        member,
        heard,
    }
}

impl Running {
    fn send(&mut self, packet: &[u8]) {
        let datagram = self.member.seal(packet, self.handle.now());
        self.socket.send_to(&datagram, self.manager).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut octets = [0; 2048];
        let (len, _) = self.socket.recv_from(&mut octets).unwrap();
        self.member
            .take(self.member.at, &octets[..len], self.handle.now())
    }
}

#[test]
fn names_and_heartbeats_over_a_socket() {
    let mut running = running(Settings {
        heartbeat: Millis(50),
        ..Settings::default()
    });
    // Sent right behind the order: the thread has taken it before.
    let packet = running.member.udp(4_242, 53, &question());
    running.send(&packet);
    let reply = running.receive();
    assert_eq!(answered(&reply[28..]), PRINTER);
    let port = kith_protocol::heartbeat::PORT;
    let beat = running.receive();
    let beat = Heartbeat::decode(&beat[28..]).unwrap();
    assert_eq!(beat.run_id, running.member.run_id);
    let own = Heartbeat {
        sender: kith_protocol::heartbeat::Sender::Member,
        ..beat
    };
    let packet = running.member.udp(port, port, &own.encode());
    running.send(&packet);
    assert_eq!(
        running.heard.recv_timeout(Duration::from_secs(10)),
        Ok(running.member.id)
    );
}

#[test]
fn an_order_takes_effect_without_any_packet() {
    let mut running = running(Settings {
        heartbeat: Millis(1_000_000),
        ..Settings::default()
    });
    let packet = running.member.echo();
    running.send(&packet);
    running.receive();
    running.handle.send(Command::Heartbeat(Millis(20))).unwrap();
    let beat = running.receive();
    assert!(Heartbeat::decode(&beat[28..]).is_ok());
    running.handle.send(Command::Remove(running.member.id)).unwrap();
    running.send(&packet);
    let counters = running.handle.counters();
    let begun = std::time::Instant::now();
    while counters.tunnel(DropReason::EspSpiUnknown) == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the packet of a removed member is dropped"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
