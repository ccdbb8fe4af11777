//! Writing a million sessions through P4Runtime while a worker relays at full rate.
//!
//! ```text
//!  one CPU                                          the other CPUs
//!  receive ► frame ► Path::process ► send           client ──Unix socket──► service ► store ► the daemon's back end
//!                         ▲                          batches of 1,000                            │
//!                         └────────── tables of senders and sessions, counters ◄─────────────────┘
//!
//!  slices:  without writes │ with a share of them │ without │ with │ …     inserts first, then modifies that move members
//! ```
//!
//! Relayed are packets between *known* members, entered before anything is measured. Their senders stay; where they are reached moves
//! with the modifies, for a packet to a member that moves must arrive at the old place or the new one, and never be lost. Each packet
//! has to be transmitted: drops and punts are counted, and the counters of the sessions must add up to what was relayed.
//!
//! Service and client share what CPUs are left, so a client on another machine would make it faster, not slower.

use crate::BenchError;
use crate::flows::{GATEWAY, HERE, OURS, ROUTER, Random};
use crate::measure::{Arena, Plan, Summary, slice_until};
use crate::port::{Bench, NullPort};
use crate::relay::relay;
use crate::report::{Goal, Row};
use crate::world::{FRONT, Flows, PORT, UDP_PORT, community, pseudo};
use crate::writer::{Writer, Written};
use kith_api::config::Cidr;
use kith_daemon::control::{Control, Link, Settings};
use kith_daemon::slow::punt_rates;
use kith_daemon::worker::Shared;
use kith_dpdk::Burst;
use kith_p4runtime::entry::{
    Authorise, EndpointAction, EndpointKey, Entry, NeighborKey, RelayTo, Resolve, SenderKey, SessionKey,
};
use kith_p4runtime::update::{Row as EntryRow, Update};
use kith_pipeline::BURST;
use kith_pipeline::path::Path;
use kith_pipeline::table::snapshot::Reader;
use kith_pipeline::tables::Tables;
use std::hint::black_box;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Instant;

/// Octets of the frame: a virtual packet of 64.
const FRAME: usize = FRONT + 64;
/// Members that packets go between.
const KNOWN: u32 = 4096;
/// Updates of a batch.
const BATCH: usize = 1000;
/// Of them, in a batch of modifies: known members that move.
const MOVES: usize = 100;
const LOOPS: &[&str] = &["relay"];

/// Measures with so many sessions besides the known ones.
pub fn run(bench: &mut Bench, plan: &Plan, sessions: u32) -> Result<Vec<Row>, BenchError> {
    let [port] = bench.null_ports(FRAME)?;
    let known = (0..KNOWN).map(|member| nat(member, 0)).collect();
    let flows = Flows::new(&mut Random::new(3), known, 1 << 16);
    let size = (KNOWN + sessions) as usize;

    let before = resident()?;
    let shared = Shared::new(size);
    let network = Cidr {
        address: HERE,
        prefix_len: 24,
    };
    let settings = Settings {
        links: vec![Link {
            station: OURS,
            network,
            gateway: Some(GATEWAY),
            mtu: 1500,
        }],
        sessions: (pseudo(0), size),
        associations: 0,
        punt_rates: punt_rates(),
        workers: vec![shared.clone()],
        slow: Shared::new(0),
    };
    let (control, _frames) = Control::new(settings).map_err(program)?;
    let mut writer = Writer::start(control.store().clone(), bench.cpu())?;
    writer.write(first_entries())?;
    let mut arena = SouthboundArena {
        path: Path::new(&shared.counters, &shared.direct),
        tables: control.reader(),
        shared: &shared,
        flows,
        port,
        next: 0,
        relayed: 0,
        sent: 0,
    };
    arena.verify(0)?;

    let inserted = phase(plan, &mut arena, &mut writer, Inserts { next: 0, sessions })?;
    let octets = (resident()?.saturating_sub(before)) as f64 / size as f64;
    let entries = writer.entries()?;
    let expected = 2 * size as u64;
    if entries != expected {
        return Err(program(format!("{entries} senders and sessions, not {expected}")));
    }
    let modifies = Modifies {
        next: 0,
        known: 0,
        sessions,
    };
    let modified = phase(plan, &mut arena, &mut writer, modifies)?;
    arena.conserved()?;

    let lost = arena.relayed - arena.sent;
    let mut rows = Vec::new();
    for (what, phase) in [("inserted", &inserted), ("modified", &modified)] {
        let how = format!("entries {what} a second, batches of {BATCH}, Unix socket, while relaying");
        let note = format!(
            "{} entries; client and service share what the relay leaves",
            phase.entries
        );
        let goal = Goal::AtLeast {
            reach: 50_000.0,
            then: None,
        };
        rows.push(
            Row::measured("D2", how, "/s", Summary::of(phase.rates.clone()))
                .goal(goal)
                .note(note),
        );
    }
    for (what, phase) in [("inserts", &inserted), ("modifies", &modified)] {
        let ratio = Summary::of(
            phase
                .cycles
                .iter()
                .map(|(without, with)| without / with)
                .collect(),
        );
        let by_cpu = Summary::of(phase.cpu.iter().map(|(without, with)| without / with).collect());
        rows.push(
            Row::measured("D2", format!("relay rate with {what} ÷ without"), "", ratio)
                .note(format!("by CPU time {:.2}", by_cpu.median)),
        );
    }
    let zero = Goal::AtMost {
        reach: 0.0,
        then: None,
    };
    rows.push(
        Row::measured("D2", "packets lost meanwhile", "", Summary::of(vec![lost as f64]))
            .goal(zero)
            .note(format!(
                "of {} between known members, some of whom moved",
                arena.relayed
            )),
    );
    rows.push(
        Row::measured(
            "P15",
            format!("resident octets a session, {size} sessions with their senders"),
            "B",
            Summary::of(vec![octets]),
        )
        .goal(Goal::AtMost {
            reach: 256.0,
            then: Some(128.0),
        })
        .note("tables, store, counters of one worker; service and client too; no sender has a meter"),
    );
    Ok(rows)
}

/// What half of the measurement gave, a value a pair.
#[derive(Default)]
struct Phase {
    entries: u64,
    /// Entries a second.
    rates: Vec<f64>,
    /// Cycles a packet without and with writes: medians of batches.
    cycles: Vec<(f64, f64)>,
    /// By CPU time.
    cpu: Vec<(f64, f64)>,
}

fn phase(
    plan: &Plan,
    arena: &mut SouthboundArena<'_>,
    writer: &mut Writer,
    mut updates: impl Iterator<Item = Vec<Update>> + Batches,
) -> Result<Phase, BenchError> {
    let share = updates.batches().div_ceil(plan.pairs).max(1);
    let mut phase = Phase::default();
    for _ in 0..plan.pairs {
        let batches: Vec<_> = updates.by_ref().take(share).collect();
        if batches.is_empty() {
            break;
        }
        let begin = Instant::now();
        let without = slice_until(&mut || begin.elapsed() >= plan.slice, 0, arena)?;
        arena.verify(0)?;
        let mut done: Option<Result<Written, BenchError>> = None;
        writer.begin(batches)?;
        let with = slice_until(
            &mut || {
                done = done.take().or_else(|| writer.done());
                done.is_some()
            },
            0,
            arena,
        )?;
        arena.verify(0)?;
        let Some(written) = done.transpose()? else {
            unreachable!("the slice ends when the writes are done");
        };
        phase.entries += written.entries;
        phase
            .rates
            .push(written.entries as f64 / written.took.as_secs_f64());
        phase.cycles.push((without.0, with.0));
        phase.cpu.push((without.1, with.1));
    }
    Ok(phase)
}

/// How many batches there will be.
trait Batches {
    fn batches(&self) -> usize;
}

/// Enters all members that are not known: their senders and sessions.
struct Inserts {
    next: u32,
    sessions: u32,
}

/// Moves all members that are not known, and again and again where the known ones are reached.
struct Modifies {
    next: u32,
    known: u32,
    sessions: u32,
}

impl Batches for Inserts {
    fn batches(&self) -> usize {
        (self.sessions as usize * 2).div_ceil(BATCH)
    }
}

impl Batches for Modifies {
    fn batches(&self) -> usize {
        (self.sessions as usize * 2).div_ceil(BATCH - MOVES)
    }
}

impl Iterator for Inserts {
    type Item = Vec<Update>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.sessions.min(self.next + BATCH as u32 / 2);
        let members = KNOWN + self.next..KNOWN + end;
        self.next = end;
        let both = members.flat_map(|member| [sender(member, 0), session(member, 0)]);
        let batch: Vec<_> = both.map(|entry| Update::Insert(EntryRow::from(entry))).collect();
        (!batch.is_empty()).then_some(batch)
    }
}

impl Iterator for Modifies {
    type Item = Vec<Update>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.sessions.min(self.next + (BATCH - MOVES) as u32 / 2);
        let members = KNOWN + self.next..KNOWN + end;
        self.next = end;
        let mut batch: Vec<_> = members
            .flat_map(|member| [sender(member, 1), session(member, 1)])
            .collect();
        if batch.is_empty() {
            return None;
        }
        for _ in 0..MOVES {
            batch.push(session(self.known % KNOWN, self.known / KNOWN + 1));
            self.known += 1;
        }
        Some(
            batch
                .into_iter()
                .map(|entry| Update::Modify(EntryRow::from(entry)))
                .collect(),
        )
    }
}

/// Where a member is after so many moves: to and fro.
fn nat(member: u32, moves: u32) -> SocketAddrV4 {
    Random::new(u64::from(member) << 1 | u64::from(moves & 1)).nat()
}

fn sender(member: u32, moves: u32) -> Entry {
    let (at, source_member) = (nat(member, moves), pseudo(member));
    let action = Authorise {
        address: *at.ip(),
        port: at.port(),
        community: community(),
    };
    (SenderKey { source_member }, action).into()
}

fn session(member: u32, moves: u32) -> Entry {
    let (at, destination_member) = (nat(member, moves), pseudo(member));
    let action = RelayTo {
        address: *at.ip(),
        port: at.port(),
        community: community(),
        mtu: 1500,
    };
    (SessionKey { destination_member }, action).into()
}

/// What the node is, where its gateway is, and the known members; in batches.
fn first_entries() -> Vec<Vec<Update>> {
    let director = EndpointAction::Director {
        address: HERE,
        udp_port: UDP_PORT,
    };
    let gateway = NeighborKey {
        port: PORT,
        address: GATEWAY,
    };
    let node = vec![
        Update::Modify(EntryRow::from(Entry::from((EndpointKey {}, director)))),
        Update::Insert(EntryRow::from(Entry::from((
            gateway,
            Resolve { station: ROUTER },
        )))),
    ];
    let members: Vec<_> = (0..KNOWN)
        .flat_map(|member| [sender(member, 0), session(member, 0)])
        .map(|entry| Update::Insert(EntryRow::from(entry)))
        .collect();
    let batches = members.chunks(BATCH).map(<[Update]>::to_vec);
    std::iter::once(node).chain(batches).collect()
}

/// Octets of this process that are in memory.
fn resident() -> Result<usize, BenchError> {
    let file = "/proc/self/status";
    let status = std::fs::read_to_string(file).map_err(BenchError::io(file))?;
    let kibibytes = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .split_whitespace()
            .next()?
            .parse::<usize>()
            .ok()
    });
    kibibytes
        .map(|kibibytes| kibibytes << 10)
        .ok_or_else(|| program("there is no VmRSS in /proc/self/status"))
}

fn program(what: impl ToString) -> BenchError {
    BenchError::Program {
        program: "dataplane's tables".into(),
        what: what.to_string(),
    }
}

struct SouthboundArena<'a> {
    path: Path<'a>,
    tables: Reader<Tables>,
    shared: &'a Arc<Shared>,
    flows: Flows<FRAME>,
    port: NullPort,
    next: usize,
    /// Packets that were to be relayed.
    relayed: u64,
    /// Those that were, and that the port took.
    sent: u64,
}

impl SouthboundArena<'_> {
    fn lost(&self) -> u64 {
        self.shared.counters.all_drops() + self.shared.counters.all_punts()
    }

    /// What sessions counted is what was sent: nothing was counted twice, and nothing passed by them.
    fn conserved(&self) -> Result<(), BenchError> {
        let counted: u64 = (0..KNOWN as usize)
            .map(|place| self.shared.direct.session.get(place).0)
            .sum();
        if counted == self.sent {
            return Ok(());
        }
        let (expected, got) = (self.sent.to_be_bytes(), counted.to_be_bytes());
        Err(BenchError::wrong(
            LOOPS[0],
            "sessions counted other packets",
            &expected,
            &got,
        ))
    }
}

impl Arena for SouthboundArena<'_> {
    fn loops(&self) -> &'static [&'static str] {
        LOOPS
    }

    fn batch(&mut self, _: usize) -> u64 {
        let before = self.lost();
        let Self {
            path,
            tables,
            flows,
            port,
            next,
            ..
        } = self;
        let mut received = 0;
        let taken = port.batch(|packets| {
            received += packets.len() as u64;
            flows.restore::<false>(next, packets);
            black_box(relay(tables.load(), path, packets));
        });
        // The port takes everything, what was dropped too; who drops counts.
        self.relayed += received;
        self.sent += taken - (self.lost() - before);
        received
    }

    fn verify(&mut self, _: usize) -> Result<(), BenchError> {
        let mut burst = Burst::new();
        for _ in 0..64 {
            self.port.rx.rx_burst(&mut burst);
            self.flows.restore::<false>(&mut self.next, &mut burst);
            let before = self.lost();
            relay(self.tables.load(), &mut self.path, &mut burst);
            self.relayed += burst.len() as u64;
            self.sent += burst.len() as u64 - (self.lost() - before);
            for (flow, packet) in (self.next - BURST..).zip(burst.iter()) {
                let place = |moves| nat(self.flows.receiver(flow), moves);
                let may_be = [0, 1].map(|moves| self.flows.relayed_to(flow, place(moves), false));
                if !may_be.iter().any(|frame| packet.bytes() == frame) {
                    return Err(BenchError::wrong(
                        LOOPS[0],
                        "to neither of the receiver's places",
                        &may_be[0],
                        packet.bytes(),
                    ));
                }
            }
            self.port.tx.tx_burst(&mut burst);
            burst.clear();
        }
        Ok(())
    }
}
