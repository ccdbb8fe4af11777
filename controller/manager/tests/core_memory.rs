//! What ten thousand members cost: octets each in the core, joins a second, and how long one change takes (P12, P13 and P15 for the core alone).
//!
//! Resident memory of this process is compared before and after, whole: the allocator's waste and all temporary copies count too.
#![forbid(unsafe_code)]

use kith_manager::core::{
    Actor, AdminError, AdminReply, Answer, Call, Command, Entropy, Input, Manager, MemberId, Output, RunId,
    Settings, State, StreamId, Target, Time, Token,
};
use kith_protocol::authenticator::{AuthKey, Kind, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::{
    Envelope, InitRequest, JoinAck, JoinRequest, Location, ManagerAddress, MoveRequest, Rule, WatchRequest,
};
use kith_protocol::records;
use kith_protocol::secret::Secret32;
use kith_protocol::share::KeyShare;
use kith_store::{Entry, Key, Revision};
use prost::Message;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

const MEMBERS: u32 = 10_000;
/// With how many others each deals.
const RELATIONS: u32 = 8;
const NOW: u64 = 1_800_000_000_000;

fn compile(_: &State, _: MemberId) -> Vec<Rule> {
    vec![Rule {
        allow: true,
        ..Rule::default()
    }]
}

fn command(_: &mut Manager, _: Time, _: &Actor, _: Command) -> Result<AdminReply, AdminError> {
    Err(AdminError::NotFound("there are no commands here".into()))
}

fn octets(number: u32) -> [u8; 32] {
    let mut octets = [0x5a; 32];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    octets
}

fn entry(key: String, value: Vec<u8>) -> Entry {
    Entry {
        key: Key::new(key),
        value,
        created: Revision(1),
        modified: Revision(1),
        lease: None,
    }
}

fn member(number: u32) -> Entry {
    let identity = DeviceIdentity::from_seed(Secret32::new(octets(number)));
    let mut record = records::Member {
        fqdn: name(number),
        community: "acme.example".into(),
        id: id(number).0,
        user: format!("user{number}@mail.example"),
        email: format!("user{number}@mail.example"),
        platform: "linux".into(),
        program: "kith-agent 0.1.0".into(),
        password_key: octets(number).to_vec(),
        password_salt: vec![1; 16],
        identity: identity.public().to_vec(),
        token_key: octets(number).to_vec(),
        token_timestamp: NOW,
        director_key_id: number.into(),
        director_key: octets(number).to_vec(),
        ..records::Member::default()
    };
    record.set_state(records::MemberState::Registered);
    entry(
        format!("member/acme.example/device-{number}"),
        record.encode_to_vec(),
    )
}

fn name(number: u32) -> String {
    format!("device-{number}.acme.example")
}

fn id(number: u32) -> MemberId {
    MemberId(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
}

fn run_id(number: u32) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

fn source(number: u32) -> SocketAddrV4 {
    SocketAddrV4::new((0xc600_0000 + number).into(), 4000)
}

fn envelope(number: u32, kind: Kind, request: &impl Message) -> Envelope {
    let key = AuthKey::of(&Secret32::new(octets(number)));
    let identity = DeviceIdentity::from_seed(Secret32::new(octets(number)));
    let identity = kind.signed().then_some(&identity);
    seal_envelope(
        kind,
        &name(number),
        NOW,
        request.encode_to_vec(),
        &key,
        None,
        identity,
    )
}

/// The core with a disk that is done at once.
struct Host {
    manager: Manager,
    revision: u64,
    /// Time that the core itself took.
    busy: Duration,
    pushes: u32,
    answer: Option<Answer>,
}

impl Host {
    fn input(&mut self, input: Input) {
        let begun = Instant::now();
        self.manager.input(Time(NOW), input);
        let mut commits = Vec::new();
        loop {
            match self.manager.poll() {
                Some(Output::Commit { id, .. }) => commits.push(id),
                Some(Output::Push { .. }) => self.pushes += 1,
                Some(Output::Answer { answer, .. }) => self.answer = Some(answer),
                Some(_) => {}
                None => {
                    let Some(id) = commits.pop() else { break };
                    self.revision += 1;
                    let revision = Revision(self.revision);
                    self.manager.input(Time(NOW), Input::Committed { id, revision });
                }
            }
        }
        self.busy += begun.elapsed();
    }

    fn call(&mut self, number: u32, call: Call, request: &impl Message) -> Answer {
        let envelope = envelope(number, call.kind(), request);
        self.input(Input::Call {
            token: Token(1),
            from: source(number),
            call,
            envelope,
        });
        self.answer.take().expect("an answer")
    }

    fn join(&mut self, number: u32, share: &KeyShare) -> JoinAck {
        let (run_id, from) = (run_id(number).to_vec(), u32::from(*source(number).ip()));
        let init = InitRequest {
            seed: octets(number).to_vec(),
            local_address: from,
            run_id: run_id.clone(),
            ..InitRequest::default()
        };
        let Answer::Init(init) = self.call(number, Call::Init, &init) else {
            panic!("refused")
        };
        let join = JoinRequest {
            manager_seed: init.manager_seed,
            init_time_ms: init.init_time_ms,
            local_address: from,
            location: Some(Location {
                address: from,
                port: 20202,
                ..Location::default()
            }),
            spi: 256 + number,
            key_share: share.public().to_vec(),
            run_id,
            platform: "linux".into(),
            program: "kith-agent 0.1.0".into(),
            netbios_name: format!("DEVICE-{number}"),
            ..JoinRequest::default()
        };
        match self.call(number, Call::Join, &join) {
            Answer::Join(ack) => *ack,
            _ => panic!("refused"),
        }
    }
}

/// Resident octets of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("kB");
    kib * 1024
}

#[test]
fn a_member_online_takes_less_than_two_kibibytes_and_a_change_costs_by_whom_it_concerns() {
    let manager = ManagerAddress {
        host: "manager.acme.example".into(),
        port: 443,
        fingerprint: vec![7; 32],
    };
    let settings = Settings::new(
        vec![manager],
        "203.0.113.1:20203".parse().expect("an address"),
        compile,
        command,
    );
    let community = records::Community {
        domain: "acme.example".into(),
        pools: vec!["10.64.0.0/16".into()],
        index: 1,
        manager_address: 0x0a40_0001,
        pair_secret: vec![3; 32],
        ..records::Community::default()
    };
    let share = KeyShare::from_private(Secret32::new([9; 32]));
    let mut counter = 0u64;
    let entropy = Entropy::new(move |out| {
        for chunk in out.chunks_mut(8) {
            counter += 1;
            let octets = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
    });
    let before = resident();
    let mut entries = vec![entry("community/acme.example".into(), community.encode_to_vec())];
    entries.extend((0..MEMBERS).map(member));
    let manager = Manager::load(settings, &entries, Revision(1), Time(NOW), entropy).expect("loads");
    drop(entries);
    let loaded = resident() - before;
    let mut host = Host {
        manager,
        revision: 1,
        busy: Duration::ZERO,
        pushes: 0,
        answer: None,
    };
    for number in 0..MEMBERS {
        let ack = host.join(number, &share);
        let watch = WatchRequest {
            run_id: run_id(number).to_vec(),
            from_revision: ack.revision,
        };
        host.input(Input::Watch {
            stream: StreamId(number.into()),
            from: source(number),
            envelope: envelope(number, Kind::Watch, &watch),
        });
    }
    let joins = f64::from(MEMBERS) / host.busy.as_secs_f64();
    for number in 0..MEMBERS {
        host.input(Input::Heartbeat {
            member: id(number),
            run_id: RunId(run_id(number)),
            sent: 1,
            received: 1,
            from: source(number),
        });
    }
    assert_eq!(host.manager.state().joined_count(), u64::from(MEMBERS));
    assert_eq!(host.manager.state().stream_count(), u64::from(MEMBERS));

    let begun = Instant::now();
    for number in 0..MEMBERS {
        for other in 1..=RELATIONS / 2 {
            let other = name((number + other) % MEMBERS);
            host.manager
                .locate(Time(NOW), id(number), Target::Name(&other))
                .expect("is there");
        }
    }
    let lookups = f64::from(MEMBERS * RELATIONS / 2) / begun.elapsed().as_secs_f64();
    let each = (resident() - before) / u64::from(MEMBERS);

    (host.busy, host.pushes) = (Duration::ZERO, 0);
    for number in 0..100 {
        let moved = MoveRequest {
            run_id: run_id(number).to_vec(),
            location: Some(Location {
                address: (*source(number).ip()).into(),
                port: 30303,
                ..Location::default()
            }),
            local_address: (*source(number).ip()).into(),
        };
        assert!(matches!(host.call(number, Call::Move, &moved), Answer::Move(_)));
    }
    println!(
        "core: {} octets a member registered, {each} online with {RELATIONS} relations; {joins:.0} joins/s, {lookups:.0} tickets/s, \
         {:.0} µs a change for {RELATIONS} of {MEMBERS}",
        loaded / u64::from(MEMBERS),
        host.busy.as_secs_f64() * 1e6 / 100.0,
    );
    assert_eq!(host.pushes, 100 * RELATIONS, "exactly those whom it concerns");
    assert!(each <= 2048, "{each} octets a member");
}
