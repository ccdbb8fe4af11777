//! What the tests share: a director with members, and messages written by hand.
#![allow(dead_code)]

use core::net::{Ipv4Addr, SocketAddrV4};
use kith_director::client::{Client, ClientConfig};
use kith_director::server::{Director, DirectorConfig, Grant, Output, PoolRange, TableOp, Verdict};
use kith_director::{DirectorKey, Time};
use kith_wire::control::{Control, KeyId, LEN, Status};
use kith_wire::shim::{DataType, PseudoIp};

pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub const DIRECTOR: SocketAddrV4 = SocketAddrV4::new(ADDRESS, 20202);

pub fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// The address of a NAT, by number, and a port.
pub fn nat(number: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from_bits(0xc633_6400 + number), port)
}

pub fn pseudo(last: u32) -> PseudoIp {
    PseudoIp::new(0xf000_0000 + last).unwrap()
}

pub fn key(id: u64) -> DirectorKey {
    let mut octets = [0x5a; 32];
    octets[..8].copy_from_slice(&id.to_be_bytes());
    DirectorKey::new(octets)
}

pub fn grant(id: u64) -> Grant {
    Grant {
        key_id: KeyId(id),
        key: key(id),
        community: 1,
        reserved: None,
        name: format!("member{id}.acme.example"),
    }
}

pub fn config(pool: u32) -> DirectorConfig {
    DirectorConfig::new(
        ADDRESS,
        PoolRange {
            first: pseudo(1),
            count: pool,
        },
    )
}

/// A director with members 1 to `members`.
pub fn director(config: DirectorConfig, members: u64) -> Director {
    let mut director = Director::new(config, [9; 32]).unwrap();
    for id in 1..=members {
        director.add_grant(at(0), grant(id)).unwrap();
    }
    director
}

pub fn client(id: u64) -> Client {
    Client::new(ClientConfig::new(DIRECTOR, KeyId(id), key(id), 1000, id))
}

/// A request by member `id`, not yet encoded.
pub fn message(data_type: DataType, id: u64, counter: u64) -> Control {
    Control {
        data_type,
        flags: 0,
        director: ADDRESS.to_bits(),
        pseudo: 0,
        status: Status::Ok,
        key_id: KeyId(id),
        counter,
        cookie: [0; 16],
        lifetime_ms: 0,
        keep_alive_ms: 0,
        observed: (0, 0),
    }
}

pub fn sealed(message: &Control) -> [u8; LEN] {
    key(message.key_id.0).seal(message)
}

pub fn opened(octets: &[u8], id: u64) -> Control {
    key(id)
        .open(Control::parse(octets).unwrap())
        .expect("made with the member's key")
}

/// Gives the director a message; what it said, opened.
pub fn say(
    director: &mut Director,
    now: Time,
    from: SocketAddrV4,
    message: &Control,
) -> (Verdict, Option<Control>) {
    let mut octets = sealed(message);
    let verdict = director.datagram(now, from, &mut octets);
    let answer = verdict.is_answered().then(|| opened(&octets, message.key_id.0));
    if !verdict.is_answered() {
        assert_eq!(
            octets,
            sealed(message),
            "a message without answer is left as it was"
        );
    }
    (verdict, answer)
}

/// Takes member `id` through challenge and cookie, with counters `counter` and `counter + 1`; the last verdict and answer.
pub fn join(
    director: &mut Director,
    now: Time,
    from: SocketAddrV4,
    id: u64,
    counter: u64,
) -> (Verdict, Control) {
    let mut request = message(DataType::AddressRequest, id, counter);
    let (_, challenge) = say(director, now, from, &request);
    let challenge = challenge.expect("a challenge");
    assert_eq!(challenge.status, Status::Challenge);
    request.cookie = challenge.cookie;
    request.counter += 1;
    let (verdict, answer) = say(director, now, from, &request);
    (verdict, answer.expect("an answer to a proven request"))
}

pub fn outputs(director: &mut Director) -> Vec<Output> {
    core::iter::from_fn(|| director.poll()).collect()
}

pub fn table_ops(director: &mut Director) -> Vec<TableOp> {
    let table = |output| match output {
        Output::Table(op) => Some(op),
        _ => None,
    };
    outputs(director).into_iter().filter_map(table).collect()
}

/// Inputs that found a fault are kept beside the tests.
pub fn keeping_failures() -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, FileFailurePersistence};
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}
