//! Names over TCP, with a client stack at the member's end of the tunnel.

use super::*;
use crate::inband::tcp::{MAX_QUERY, PATIENCE_MS, PLACES, Pipe};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

/// A member with a TCP/IP stack.
struct Client {
    member: Member,
    interface: Interface,
    pipe: Pipe,
    sockets: SocketSet<'static>,
    port: u16,
}

impl Client {
    fn new(world: &mut World, number: u8) -> Self {
        let member = world.join(number);
        let mut pipe = Pipe::default();
        let mut interface = Interface::new(
            Config::new(HardwareAddress::Ip),
            &mut pipe,
            Instant::from_millis(0),
        );
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(IpAddress::Ipv4(member.virtual_address), 8))
                .unwrap();
        });
        Self {
            member,
            interface,
            pipe,
            sockets: SocketSet::new(Vec::new()),
            port: 40_000,
        }
    }

    fn connect(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 8_192]);
        let mut socket = Socket::new(buffer(), buffer());
        self.port += 1;
        socket
            .connect(
                self.interface.context(),
                (IpAddress::Ipv4(MANAGER), 53),
                self.port,
            )
            .unwrap();
        self.sockets.add(socket)
    }

    /// Packets go to and fro until there are none.
    fn settle(&mut self, world: &mut World) {
        loop {
            let now = Instant::from_millis(i64::try_from(world.now.clock.0).unwrap());
            self.interface.poll(now, &mut self.pipe, &mut self.sockets);
            let Some(packet) = self.pipe.outward.pop_front() else {
                return;
            };
            let back = world.inside(&mut self.member, &packet);
            self.pipe.inward.extend(back);
        }
    }

    fn later(&mut self, world: &mut World, milliseconds: u64) {
        for (to, datagram) in world.later(milliseconds) {
            let packet = self.member.take(to, &datagram, world.now);
            self.pipe.inward.push_back(packet);
        }
        self.settle(world);
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn say(&mut self, world: &mut World, handle: SocketHandle, octets: &[u8]) {
        assert_eq!(self.socket(handle).send_slice(octets), Ok(octets.len()));
        self.settle(world);
    }

    fn hear(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut octets = vec![0; 8_192];
        let len = self.socket(handle).recv_slice(&mut octets).unwrap_or(0);
        octets.truncate(len);
        octets
    }

    fn is_connected(&mut self, handle: SocketHandle) -> bool {
        self.socket(handle).state() == State::Established
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// The messages in a stream.
fn frames(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        let (message, next) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        found.push(message);
        stream = next;
    }
    found
}

#[test]
fn a_name_is_answered_over_a_stream() {
    let mut world = World::new(Settings::default());
    let mut client = Client::new(&mut world, 1);
    let handle = client.connect();
    client.settle(&mut world);
    client.say(&mut world, handle, &framed(&question()));
    let heard = client.hear(handle);
    assert_eq!(
        frames(&heard).into_iter().map(answered).collect::<Vec<_>>(),
        [PRINTER]
    );
    client.socket(handle).close();
    client.settle(&mut world);
    client.later(&mut world, 1);
    assert!(!client.is_connected(handle));
    assert_eq!(world.hub.counters().did(Did::TcpConnection), 1);
}

#[test]
fn questions_may_come_octet_by_octet_and_many_at_once() {
    let mut world = World::new(Settings::default());
    let mut client = Client::new(&mut world, 1);
    let handle = client.connect();
    client.settle(&mut world);
    for octet in framed(&question()) {
        client.say(&mut world, handle, &[octet]);
    }
    assert_eq!(frames(&client.hear(handle)).len(), 1);
    client.say(&mut world, handle, &framed(&question()).repeat(60));
    assert_eq!(
        frames(&client.hear(handle))
            .into_iter()
            .map(answered)
            .collect::<Vec<_>>(),
        [PRINTER; 60]
    );
}

#[test]
fn who_says_all_and_closes_is_told_all_before_the_end() {
    let mut world = World::new(Settings::default());
    let mut client = Client::new(&mut world, 1);
    let handle = client.connect();
    client.settle(&mut world);
    client
        .socket(handle)
        .send_slice(&framed(&question()).repeat(3))
        .unwrap();
    client.socket(handle).close();
    client.settle(&mut world);
    assert_eq!(frames(&client.hear(handle)).len(), 3);
    assert_eq!(
        client.socket(handle).state(),
        State::TimeWait,
        "closed from both sides"
    );
}

#[test]
fn a_connection_without_whole_questions_ends() {
    let mut world = World::new(Settings::default());
    let mut client = Client::new(&mut world, 1);
    let (silent, dripping, asking) = (client.connect(), client.connect(), client.connect());
    client.settle(&mut world);
    for _ in 0..PATIENCE_MS / 1_000 - 1 {
        client.later(&mut world, 1_000);
        client.say(&mut world, dripping, &[1]);
        client.say(&mut world, asking, &framed(&question()));
    }
    assert!(client.is_connected(silent) && client.is_connected(dripping));
    client.later(&mut world, 1_000);
    assert!(!client.is_connected(silent) && !client.is_connected(dripping) && client.is_connected(asking));
    assert_eq!(world.refused(Refused::TcpSlow), 2);
    let again = client.connect();
    client.settle(&mut world);
    assert!(client.is_connected(again), "the place is free again");
}

#[test]
fn lengths_that_no_question_has_end_the_connection() {
    for length in [0, u16::try_from(MAX_QUERY).unwrap() + 1, 0xffff] {
        let mut world = World::new(Settings::default());
        let mut client = Client::new(&mut world, 1);
        let handle = client.connect();
        client.settle(&mut world);
        client.say(&mut world, handle, &length.to_be_bytes());
        assert!(!client.is_connected(handle));
        assert_eq!(world.refused(Refused::TcpQueryLength), 1);
    }
}

#[test]
fn what_is_no_question_ends_the_connection() {
    let mut world = World::new(Settings::default());
    let mut client = Client::new(&mut world, 1);
    let handle = client.connect();
    client.settle(&mut world);
    client.say(&mut world, handle, &framed(b"GET / HTTP/1.1\r\n")[..10]);
    assert!(client.is_connected(handle), "not whole yet");
    let mut response = question();
    response[2] |= 0x80;
    let other = client.connect();
    client.settle(&mut world);
    client.say(&mut world, other, &framed(&response));
    assert!(!client.is_connected(other));
    assert_eq!(world.refused(Refused::TcpNoQuery), 1);
}

#[test]
fn a_member_has_its_own_places_and_takes_nobody_else_s() {
    let mut world = World::new(Settings::default());
    let mut greedy = Client::new(&mut world, 1);
    let handles: Vec<_> = (0..PLACES + 3).map(|_| greedy.connect()).collect();
    greedy.settle(&mut world);
    let connected = handles
        .iter()
        .filter(|handle| greedy.is_connected(**handle))
        .count();
    assert_eq!(connected, PLACES);
    let mut other = Client::new(&mut world, 2);
    let handle = other.connect();
    other.settle(&mut world);
    other.say(&mut world, handle, &framed(&question()));
    assert_eq!(frames(&other.hear(handle)).len(), 1);
}

#[test]
fn half_open_connections_go_away() {
    let mut world = World::new(Settings::default());
    let mut client = Client::new(&mut world, 1);
    for _ in 0..PLACES {
        client.connect();
    }
    let now = Instant::from_millis(i64::try_from(world.now.clock.0).unwrap());
    client.interface.poll(now, &mut client.pipe, &mut client.sockets);
    // The opening segments arrive; what comes back is lost, and never acknowledged.
    while let Some(packet) = client.pipe.outward.pop_front() {
        world.inside(&mut client.member, &packet);
    }
    client.sockets = SocketSet::new(Vec::new());
    for _ in 0..=PATIENCE_MS / 500 {
        world.later(500);
    }
    let handle = client.connect();
    client.settle(&mut world);
    client.say(&mut world, handle, &framed(&question()));
    assert_eq!(frames(&client.hear(handle)).len(), 1);
}

#[test]
fn questions_on_streams_count_against_the_member_s_rate() {
    let mut world = World::new(Settings {
        member_rate: Rate {
            burst: 20,
            per_second: 1,
        },
        ..Settings::default()
    });
    let mut client = Client::new(&mut world, 1);
    let handle = client.connect();
    client.settle(&mut world);
    client.say(&mut world, handle, &framed(&question()).repeat(30));
    assert!(!client.is_connected(handle));
    assert!(world.refused(Refused::MemberLimited) > 0);
    assert!(world.desk.asked.len() < 20);
}

#[test]
fn if_all_stacks_are_in_use_the_one_used_longest_ago_gives_way() {
    let mut world = World::new(Settings {
        tcp_members: 2,
        ..Settings::default()
    });
    let mut clients: Vec<Client> = (1..=3).map(|number| Client::new(&mut world, number)).collect();
    let handles: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            world.now.clock.0 += 1;
            let handle = client.connect();
            client.settle(&mut world);
            handle
        })
        .collect();
    assert_eq!(world.refused(Refused::TcpEvicted), 1);
    for (at, expected) in [(0, 0), (1, 1), (2, 1)] {
        clients[at].say(&mut world, handles[at], &framed(&question()));
        assert_eq!(
            frames(&clients[at].hear(handles[at])).len(),
            expected,
            "client {at}"
        );
    }
}

#[test]
fn a_stack_that_nobody_uses_is_gone() {
    let mut world = World::new(Settings::default());
    let mut client = Client::new(&mut world, 1);
    let handle = client.connect();
    client.settle(&mut world);
    client.socket(handle).close();
    client.settle(&mut world);
    for _ in 0..30 {
        world.later(1_000);
    }
    let beat = world.hub.deadline(world.now).unwrap();
    assert!(beat.0 > world.now.clock.0, "only heartbeats are due");
    let refused = world.refused(Refused::TcpUnknown);
    let segment = {
        let mut packet = Ipv4::new(client.member.virtual_address, MANAGER, 6, 40)
            .as_bytes()
            .to_vec();
        packet.extend([0, 99, 0, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
        packet
    };
    assert!(world.inside(&mut client.member, &segment).is_empty());
    assert_eq!(world.refused(Refused::TcpUnknown), refused + 1);
}
