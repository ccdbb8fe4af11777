//! A gateway's security associations on real packets: a device behind the dataplane, and a member made of `kith-esp` on the other side.
//!
//! ```text
//!   device 203.0.113.21 ──► .200 stands for the member ── kith-dataplane ──ESP──► member 203.0.113.22
//!   10.1.0.1                                              203.0.113.10            10.1.0.2
//! ```
//!
//! Both are on the one link. The member opens what comes, whichever key it is under, and sends it back under that key's twin.

mod common;

use common::controller::{Controller, community};
use common::{ALICE, BOB, DIRECTOR, Lab, is_root};
use kith_esp::{Bounds, Inbound, Key, Limits, Millis, NO_NEXT_HEADER, Outbound, SaKeys, Salt, Spi};
use kith_p4runtime::association::{Association, AssociationKey, Direction};
use kith_p4runtime::entry::{
    AssociationKey as AssociationEntryKey, Deliver, Entry, MemberAction, MemberKey, OpenWith, StandIn,
    VirtualDestinationKey, VirtualSourceKey,
};
use kith_p4runtime::packet::PacketOutMode;
use kith_p4runtime::target::Atomicity;
use kith_p4runtime::update::Update;
use kith_pipeline::host::transport::{self, Opened};
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::units::{PortIndex, SaIndex};
use kith_wire::ethernet::{ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::ipv4::{Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{self, DataType, Shim};
use kith_wire::udp::Udp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tonic::Code;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// What stands for the member on the link.
const STAND_IN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 200);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const NOW: Millis = Millis(0);

/// One generation of keys: `out` for what the dataplane seals, the other for what it opens.
fn keys(generation: u32, out: bool) -> SaKeys {
    let mut key = [u8::from(out); 16];
    key[..4].copy_from_slice(&generation.to_be_bytes());
    SaKeys::new(Key::aes128(&key), Salt::new(&[9; 4]))
}

fn spi(generation: u32, out: bool) -> Spi {
    Spi::new(0x1_0000 + 2 * generation + u32::from(out)).unwrap()
}

fn place(generation: u32, direction: Direction) -> AssociationKey {
    AssociationKey {
        direction,
        index: SaIndex(generation % 8),
    }
}

fn install(generation: u32, direction: Direction) -> Update {
    let out = direction == Direction::Outbound;
    let (at, keys) = (place(generation, direction), keys(generation, out));
    Update::InstallAssociation(Association::new(
        at,
        spi(generation, out),
        keys,
        Limits::default(),
    ))
}

fn opened_with(generation: u32) -> Entry {
    let key = AssociationEntryKey {
        spi: spi(generation, false).get(),
    };
    let open_with = OpenWith {
        sa: place(generation, Direction::Inbound).index.0,
        community: community(),
        source: THEIRS,
        destination: OURS,
        mtu: common::MTU,
    };
    (key, open_with).into()
}

/// Where the member is.
fn sealed_to(generation: u32, port: u16) -> Entry {
    let pair = MemberKey {
        community: community(),
        source: OURS,
        destination: THEIRS,
    };
    let seal_to = MemberAction::SealTo {
        sa: place(generation, Direction::Outbound).index.0,
        address: BOB,
        port,
        director: Ipv4Addr::UNSPECIFIED,
        pseudo: Ipv4Addr::UNSPECIFIED,
        mtu: common::MTU,
    };
    (pair, seal_to).into()
}

/// The member of one generation of keys.
struct Twin {
    opens: Inbound,
    seals: Outbound,
}

/// The member: opens, turns around, seals.
struct Member {
    socket: UdpSocket,
    twins: Mutex<BTreeMap<u32, (u32, Twin)>>,
    stop: AtomicBool,
    opened: AtomicU32,
}

impl Member {
    fn new(lab: &Lab) -> Arc<Self> {
        let socket = lab.socket(BOB);
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Arc::new(Self {
            socket,
            twins: Mutex::default(),
            stop: AtomicBool::new(false),
            opened: AtomicU32::new(0),
        })
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// Has the keys of a generation.
    fn has(&self, generation: u32) {
        let twin = Twin {
            opens: Inbound::new(
                spi(generation, true),
                keys(generation, true),
                Limits::default(),
                NOW,
            ),
            seals: Outbound::new(
                spi(generation, false),
                keys(generation, false),
                Limits::default(),
                NOW,
            ),
        };
        let name = spi(generation, true).get();
        self.twins.lock().unwrap().insert(name, (generation, twin));
    }

    /// Sends back all that comes, until told to stop.
    fn run(&self) {
        let mut buffer = [0; 2048];
        while !self.stop.load(Ordering::Relaxed) {
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let mut packet = HostPacket::from_bytes(&buffer[shim::LEN..len]);
            let name = u32::from_be_bytes(packet.bytes()[20..24].try_into().unwrap());
            let mut twins = self.twins.lock().unwrap();
            let (_, twin) = twins.get_mut(&name).expect("a key that was never agreed on");
            let opened = transport::open(&mut packet, &mut twin.opens, NOW).expect("whole and fresh");
            assert_eq!(opened, Opened::Packet);
            self.opened.fetch_add(1, Ordering::Relaxed);
            let inner = packet.bytes_mut();
            for (one, other, len) in [(12, 16, 4), (20, 22, 2)] {
                let (head, tail) = inner.split_at_mut(other);
                head[one..one + len].swap_with_slice(&mut tail[..len]);
            }
            transport::seal(&mut packet, &mut twin.seals, NOW).unwrap();
            let shim = Shim::new(DataType::Virtual);
            let sent = [shim.as_bytes(), packet.bytes()].concat();
            self.socket.send_to(&sent, from).unwrap();
        }
    }
}

/// The member at work.
struct Echo(Arc<Member>, thread::JoinHandle<()>);

impl Echo {
    fn of(member: &Arc<Member>) -> Self {
        let at_work = member.clone();
        Self(member.clone(), thread::spawn(move || at_work.run()))
    }

    /// No packet was amiss.
    fn end(self) {
        self.0.stop.store(true, Ordering::Relaxed);
        self.1.join().unwrap();
    }
}

/// A gateway with the first generation of keys.
fn gateway(workers: u16) -> (Lab, Controller, Arc<Member>) {
    let mut lab = Lab::new(workers);
    lab.start();
    let mut controller = Controller::connect(&lab.p4runtime(), 10);
    controller.act_as_gateway(ALICE, STAND_IN);
    let member = Member::new(&lab);
    member.has(0);
    let delivered = VirtualDestinationKey {
        community: community(),
        address: OURS,
    };
    let device = Deliver {
        port: PortIndex(0),
        address: ALICE,
    };
    let seen_as = VirtualSourceKey {
        port: PortIndex(0),
        community: community(),
        address: THEIRS,
    };
    let stand_in = StandIn { address: STAND_IN };
    let batch = [
        install(0, Direction::Inbound),
        Update::Insert(opened_with(0).into()),
        install(0, Direction::Outbound),
        Update::Modify(sealed_to(0, member.port()).into()),
        Update::Insert(Entry::from((delivered, device)).into()),
        Update::Insert(Entry::from((seen_as, stand_in)).into()),
    ];
    controller.write(&batch, Atomicity::Rollback).unwrap();
    (lab, controller, member)
}

/// What came back of the datagrams that a device's socket sent.
fn returned(socket: &UdpSocket, seen: &mut BTreeSet<u32>) {
    let mut buffer = [0; 2048];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        assert_eq!(from.ip(), STAND_IN, "the member is seen under its stand-in");
        let number = u32::from_be_bytes(buffer[..4].try_into().unwrap());
        assert_eq!(len, 4 + number as usize % 1000);
        assert!(seen.insert(number), "{number} came twice");
    }
}

fn datagram(number: u32) -> Vec<u8> {
    let mut data = vec![number as u8; 4 + number as usize % 1000];
    data[..4].copy_from_slice(&number.to_be_bytes());
    data
}

/// A hundred generations of keys, one after the other, while datagrams go to the member and back.
fn rekeyed_under_traffic(workers: u16) {
    const GENERATIONS: u32 = 100;
    let (lab, mut controller, member) = gateway(workers);
    let echo = Echo::of(&member);
    // Several flows, so that several workers receive.
    let sockets: Vec<_> = (0..8).map(|_| lab.socket(ALICE)).collect();
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    let (mut sent, mut seen) = (0, BTreeSet::new());
    let mut traffic = |count: u32, pause: u64, seen: &mut BTreeSet<u32>| {
        for _ in 0..count {
            let socket = &sockets[sent as usize % sockets.len()];
            socket.send_to(&datagram(sent), (STAND_IN, 7)).unwrap();
            sent += 1;
            thread::sleep(Duration::from_micros(pause));
            for socket in &sockets {
                returned(socket, seen);
            }
        }
        sent
    };
    // Until all neighbours are known.
    traffic(8, 100_000, &mut seen);
    for generation in 1..=GENERATIONS {
        traffic(10, 300, &mut seen);
        member.has(generation);
        let batch = [
            install(generation, Direction::Inbound),
            Update::Insert(opened_with(generation).into()),
            install(generation, Direction::Outbound),
            Update::Modify(sealed_to(generation, member.port()).into()),
        ];
        controller.write(&batch, Atomicity::Rollback).unwrap();
        traffic(10, 300, &mut seen);
        if let Some(old) = generation.checked_sub(4) {
            let batch = [
                Update::Delete(opened_with(old).key()),
                Update::RemoveAssociation(place(old, Direction::Inbound)),
                Update::RemoveAssociation(place(old, Direction::Outbound)),
            ];
            controller.write(&batch, Atomicity::Rollback).unwrap();
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let sent = traffic(0, 0, &mut seen);
    while seen.len() < sent as usize && Instant::now() < deadline {
        for socket in &sockets {
            returned(socket, &mut seen);
        }
        thread::sleep(Duration::from_millis(5));
    }
    echo.end();
    let drops = lab.stats().drops().unwrap();
    let named: Vec<_> = drops
        .drops
        .iter()
        .filter(|drop| drop.workers + drop.slow_path > 0)
        .collect();
    assert_eq!(
        seen.len(),
        sent as usize,
        "lost in {GENERATIONS} rekeys: {named:?}"
    );
    assert_eq!(member.opened.load(Ordering::Relaxed), sent);

    let states = controller.associations();
    assert_eq!(states.len(), 2 * 4, "four generations are left: {states:?}");
    let newest = states
        .iter()
        .find(|state| state.key.direction == Direction::Outbound && state.spi == spi(GENERATIONS, true));
    let newest = newest.unwrap();
    assert_eq!(newest.packets, 10, "what was sealed under the last keys");
    assert_eq!(u32::from(newest.worker), newest.key.index.0 % u32::from(workers));
    assert!(!newest.soft && !newest.hard && newest.octets > 0);

    let stats = lab.stats().stats().unwrap();
    let handed: u64 = stats.workers.iter().map(|worker| worker.handed_over).sum();
    println!("{sent} datagrams, {handed} handed over");
    assert_eq!(handed > 0, workers > 1, "{:?}", stats.workers);
    lab.assert_conserved();
}

#[test]
fn a_hundred_rekeys_under_traffic_lose_nothing() {
    if is_root() {
        rekeyed_under_traffic(1);
    }
}

#[test]
fn a_hundred_rekeys_with_two_workers_that_hand_over_lose_nothing() {
    if is_root() {
        rekeyed_under_traffic(2);
    }
}

#[test]
fn a_dummy_says_that_its_sender_is_alive_and_a_key_serves_once() {
    if !is_root() {
        return;
    }
    let (lab, mut controller, member) = gateway(1);
    let mut dummy = HostPacket::from_bytes(Ipv4::new(THEIRS, OURS, NO_NEXT_HEADER, 20).as_bytes());
    {
        let mut twins = member.twins.lock().unwrap();
        let (_, twin) = twins.get_mut(&spi(0, true).get()).unwrap();
        transport::seal(&mut dummy, &mut twin.seals, NOW).unwrap();
    }
    let shim = Shim::new(DataType::Virtual);
    let data = [shim.as_bytes(), dummy.bytes()].concat();
    // The second is a replay, and counts as such.
    for _ in 0..2 {
        member.socket.send_to(&data, DIRECTOR).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while lab.dropped("esp_dummy") + lab.dropped("esp_replayed") < 2 {
        assert!(Instant::now() < deadline, "{:?}", lab.stats().drops());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!((lab.dropped("esp_dummy"), lab.dropped("esp_replayed")), (1, 1));
    let heard = controller.associations();
    let heard = heard
        .iter()
        .find(|state| state.key.direction == Direction::Inbound)
        .unwrap();
    assert_eq!((heard.packets, heard.dummies), (1, 1));

    for direction in [Direction::Outbound, Direction::Inbound] {
        let remove = Update::RemoveAssociation(place(0, direction));
        controller.write(&[remove], Atomicity::Rollback).unwrap();
        let error = controller
            .write(&[install(0, direction)], Atomicity::Rollback)
            .unwrap_err();
        assert_eq!(error.code(), Some(Code::FailedPrecondition), "{error}");
    }
    let far = AssociationKey {
        direction: Direction::Outbound,
        index: SaIndex(8192),
    };
    let far = Association::new(far, spi(5, true), keys(5, true), Limits::default());
    let error = controller
        .write(&[Update::InstallAssociation(far)], Atomicity::Rollback)
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::OutOfRange), "{error}");
    assert!(controller.associations().is_empty());

    // Entries that name what is not there drop by name.
    let device = lab.socket(ALICE);
    member.socket.send_to(&data, DIRECTOR).unwrap();
    device.send_to(&datagram(1), (STAND_IN, 7)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while lab.dropped("keys_missing") + lab.dropped("esp_spi_unknown") < 2 {
        assert!(Instant::now() < deadline, "{:?}", lab.stats().drops());
        thread::sleep(Duration::from_millis(20));
    }
    lab.assert_conserved();
}

#[test]
fn a_killed_dataplane_comes_back_without_keys() {
    if !is_root() {
        return;
    }
    let (mut lab, mut controller, _member) = gateway(1);
    assert_eq!(controller.associations().len(), 2);
    drop(controller);
    lab.kill();
    lab.start();
    let mut controller = Controller::connect(&lab.p4runtime(), 11);
    assert!(controller.associations().is_empty());
}

/// Sends a datagram and waits until the same comes back, whatever else comes before.
fn comes_back(socket: &UdpSocket, number: u32) -> bool {
    let (sent, mut buffer) = (datagram(number), [0; 2048]);
    socket.send_to(&sent, (STAND_IN, 7)).unwrap();
    while let Ok(len) = socket.recv(&mut buffer) {
        if buffer[..len] == sent {
            return true;
        }
    }
    false
}

#[test]
fn what_the_queue_of_a_worker_that_is_behind_has_no_room_for_is_dropped_by_name_and_all_goes_on() {
    if !is_root() {
        return;
    }
    let (lab, _controller, member) = gateway(2);
    let echo = Echo::of(&member);
    // Flows that come to either worker; the first has the association.
    let sockets: Vec<_> = (0..8).map(|_| lab.socket(ALICE)).collect();
    assert!(
        comes_back(&sockets[0], 0) || comes_back(&sockets[0], 1),
        "its neighbours are known"
    );

    let stalled = lab.stall("kith-worker0");
    let mut numbers = 2..;
    let deadline = Instant::now() + Duration::from_secs(20);
    while lab.dropped("hand_over_queue_full") == 0 {
        assert!(Instant::now() < deadline, "its queue is never full");
        for (number, socket) in numbers.by_ref().take(1_000).zip(sockets.iter().cycle()) {
            socket.send_to(&datagram(number), (STAND_IN, 7)).unwrap();
        }
    }
    drop(stalled);
    for socket in &sockets {
        // What had waited comes all at once, and sockets have no room for all of it.
        assert!(numbers.by_ref().take(5).any(|number| comes_back(socket, number)));
    }
    echo.end();
    lab.assert_conserved();
}

#[test]
fn packets_of_the_controllers_are_routed_or_go_through_the_pipeline() {
    if !is_root() {
        return;
    }
    let (lab, mut controller, member) = gateway(1);
    let echo = Echo::of(&member);
    let udp = |source: Ipv4Addr, destination: Ipv4Addr, ports: (u16, u16), data: &[u8]| {
        let ip = Ipv4::new(source, destination, PROTOCOL_UDP, 28 + data.len() as u16);
        let mut udp = Udp::new(ports.0, ports.1, data.len()).unwrap();
        udp.fill_checksum(&ip, data);
        [ip.as_bytes(), udp.as_bytes(), data].concat()
    };
    let frame = |destination: MacAddr, packet: &[u8]| {
        let header = Ethernet {
            destination,
            source: common::THEIRS,
            ethertype: U16::new(ETHERTYPE_IPV4),
        };
        [header.as_bytes(), packet].concat()
    };
    // Routed: the stations are the dataplane's to fill in, and it asks for the one that it does not know.
    let device = lab.socket(ALICE);
    let port = device.local_addr().unwrap().port();
    let packet = udp(*DIRECTOR.ip(), ALICE, (4500, port), b"routed");
    controller.packet_out_as(PacketOutMode::Routed, 0, &frame(MacAddr::ZERO, &packet));
    let mut buffer = [0; 2048];
    assert_eq!(device.recv(&mut buffer).unwrap(), 6);
    assert_eq!(&buffer[..6], b"routed");

    // Submitted: as if the device had sent it.
    let packet = udp(ALICE, STAND_IN, (port, 7), &datagram(77));
    let own = MacAddr([2, 0, 0, 0, 0, 0x0a]);
    controller.packet_out_as(PacketOutMode::Submit, 0, &frame(own, &packet));
    let (len, from) = device.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (from.ip().to_string(), &buffer[..len]),
        (STAND_IN.to_string(), &datagram(77)[..])
    );

    controller.packet_out_as(PacketOutMode::Routed, 0, &[0; 60]);
    let refused = controller.stream_error().unwrap();
    assert_eq!(Code::from(refused.canonical_code), Code::InvalidArgument);
    echo.end();
    lab.assert_conserved();
}

#[test]
fn a_soft_limit_shows_and_a_hard_one_ends_an_association() {
    if !is_root() {
        return;
    }
    let (lab, mut controller, member) = gateway(1);
    let echo = Echo::of(&member);
    let device = lab.socket(ALICE);
    let mut buffer = [0; 2048];
    device.send_to(&datagram(0), (STAND_IN, 7)).unwrap();
    device.recv(&mut buffer).unwrap();

    let loosest = Limits::default();
    let of = |bounds: Bounds, packets| Bounds { packets, ..bounds };
    let limits = Limits::new(of(loosest.soft(), 3), of(loosest.hard(), 5)).unwrap();
    let at = place(1, Direction::Outbound);
    member.has(1);
    let batch = [
        Update::InstallAssociation(Association::new(at, spi(1, true), keys(1, true), limits)),
        install(1, Direction::Inbound),
        Update::Insert(opened_with(1).into()),
        Update::Modify(sealed_to(1, member.port()).into()),
    ];
    controller.write(&batch, Atomicity::Rollback).unwrap();
    let mut state = || {
        let states = controller.associations();
        let state = states.into_iter().find(|state| state.key == at).unwrap();
        (state.packets, state.soft, state.hard)
    };
    assert_eq!(state(), (0, false, false));
    for (packets, soft, hard) in [(2, false, false), (3, true, false), (5, true, true)] {
        while state().0 < packets {
            device.send_to(&datagram(1), (STAND_IN, 7)).unwrap();
            device.recv(&mut buffer).unwrap();
        }
        assert_eq!(state(), (packets, soft, hard));
    }
    device.send_to(&datagram(1), (STAND_IN, 7)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while lab.dropped("esp_expired") == 0 {
        assert!(Instant::now() < deadline, "{:?}", lab.stats().drops());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(state(), (5, true, true));
    echo.end();
    lab.assert_conserved();
}
