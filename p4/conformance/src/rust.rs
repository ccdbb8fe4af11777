//! The Rust pipeline, programmed through P4Runtime's messages and the tables behind its service.

use crate::entry::Entry;
use crate::message;
use crate::seal::{NOW, inbound, outbound};
use crate::world::{Counted, Direction, Input, Limit, Outcome, Side, World};
use kith_p4runtime::entry::{self as typed, Key};
use kith_p4runtime::ids;
use kith_p4runtime::proto::v1::{self, entity::Entity};
use kith_p4runtime::target::{Atomicity, Backend, PacketOutError, Parts, Pipeline, Resting, Store, Target};
use kith_p4runtime::update::{MeterConfig, Update};
use kith_pipeline::counters::{Counters, DirectCounters};
use kith_pipeline::gateway::Gateway;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::path::Path;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::sender::SenderTable;
use kith_pipeline::table::session::SessionTable;
use kith_pipeline::table::snapshot::Reader;
use kith_pipeline::tables::Tables;
use kith_pipeline::units::{Nanos, PortIndex, SaIndex};
use kith_pipeline::{BURST, Verdict};
use kith_wire::shim::PseudoIp;
use std::sync::Arc;

/// The first of as many pseudo addresses as the tables of cases have room for.
const POOL: (u32, usize) = (0xf000_0001, 1024);
/// When all packets of a case come.
const NOW_NANOS: Nanos = Nanos(NOW.0 * 1_000_000);
/// How many ports, as the runner has.
const PORTS: u8 = 6;
/// How many security associations of each direction.
const ASSOCIATIONS: u32 = 16;

/// The pipeline with a world in its tables.
pub struct Rust {
    store: Store<Pipeline>,
    tables: Reader<Tables>,
    counters: Arc<Counters>,
    // Workers' counters live as long as the worker; a path here as long as the test.
    path: Path<'static>,
    counted: Vec<(String, Key)>,
}

/// An entry that the pipeline does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline does not take `{what}`: {why}")]
pub struct Refused {
    what: String,
    why: String,
}

fn refused(what: impl Into<String>, why: impl ToString) -> Refused {
    Refused {
        what: what.into(),
        why: why.to_string(),
    }
}

impl Rust {
    /// Writes the world's entries.
    pub fn new(world: &World) -> Result<Self, Refused> {
        let first = PseudoIp::new(POOL.0).unwrap_or_else(|| unreachable!("not 0"));
        let senders = Arc::new(SenderTable::new(first, POOL.1));
        let tables = Tables::new(senders, Arc::new(SessionTable::new(first, POOL.1)));
        let (counters, direct) = (
            Arc::new(Counters::default()),
            Arc::new(DirectCounters::new(POOL.1)),
        );
        let pipeline = Pipeline::new(Parts {
            tables,
            ports: PORTS,
            associations: ASSOCIATIONS,
            counters: vec![counters.clone()],
            direct: vec![direct.clone()],
            keys: Box::new(Resting::new(ASSOCIATIONS)),
            outlet: Arc::new(|packet| Err(PacketOutError::Port(packet.egress_port.0.into()))),
        });
        let store = Store::new(pipeline, &[]).map_err(|why| refused("no entry", why))?;
        let counted = write(&store, world)?;
        let tables = store.with_backend(|pipeline| pipeline.reader());
        let path = Path::with_gateway(leak(&counters), leak(&direct), gateway(world)?);
        Ok(Self {
            store,
            tables,
            counters,
            path,
            counted,
        })
    }
}

/// A reference that outlives its test: what it counts in is never freed.
fn leak<T>(counters: &Arc<T>) -> &'static T {
    Box::leak(Box::new(counters.clone()))
}

/// Sends the world's entries and limits as messages; gives the keys of those that count.
fn write(store: &Store<Pipeline>, world: &World) -> Result<Vec<(String, Key)>, Refused> {
    let (mut updates, mut counted) = (Vec::new(), Vec::new());
    for entry in &world.entries {
        let message = message::update(ids::p4info(), entry);
        let message = message.ok_or_else(|| refused(entry.text(), "the P4Info does not know it"))?;
        if ["session", "association", "member"].contains(&entry.table.as_str()) {
            counted.push((entry.table.clone(), key(entry, &message)?));
        }
        if let Some((_, limit)) = limit_of(world, entry) {
            let key = key(entry, &message)?;
            updates.push((
                entry.text(),
                Update::decode(&message).map_err(|why| refused(entry.text(), why))?,
            ));
            updates.push((entry.text(), Update::DirectMeter(key, Some(meter(*limit)))));
            continue;
        }
        updates.push((
            entry.text(),
            Update::decode(&message).map_err(|why| refused(entry.text(), why))?,
        ));
    }
    for (reason, limit) in &world.punts {
        let update = Update::Meter(Some(*reason as usize), Some(meter(*limit)));
        updates.push((format!("limit {reason}"), update));
    }
    let batch: Vec<Update> = updates.iter().map(|(_, update)| update.clone()).collect();
    let outcomes = store
        .write(&batch, Atomicity::Continue)
        .map_err(|why| refused("the batch", why))?;
    for ((text, _), outcome) in updates.iter().zip(outcomes) {
        outcome.map_err(|why| refused(text, why))?;
    }
    Ok(counted)
}

fn limit_of<'w>(world: &'w World, entry: &Entry) -> Option<&'w (u32, Limit)> {
    let is_sender = entry.table == "sender";
    let mut limits = world.senders.iter();
    limits.find(|(pseudo, _)| is_sender && u64::from(*pseudo) == entry.field("source_member"))
}

fn key(entry: &Entry, message: &v1::Update) -> Result<Key, Refused> {
    match message.entity.as_ref().and_then(|entity| entity.entity.as_ref()) {
        Some(Entity::TableEntry(written)) => {
            typed::decode_key(written).map_err(|why| refused(entry.text(), why))
        }
        _ => Err(refused(entry.text(), "it is no entry")),
    }
}

fn meter(limit: Limit) -> MeterConfig {
    // Only the peak counts; the committed rate may not be above it.
    MeterConfig {
        cir: 1,
        cburst: 1,
        pir: limit.per_second,
        pburst: limit.burst,
    }
}

/// A gateway with the world's keys.
fn gateway(world: &World) -> Result<Gateway, Refused> {
    let mut gateway = Gateway::new(ASSOCIATIONS as usize);
    for association in &world.associations {
        let at = SaIndex(association.sa);
        let installed = match association.direction {
            Direction::Seal => {
                outbound(association).map(|sa| gateway.install_outbound(at, Box::new(sa)).map(drop))
            }
            Direction::Open => {
                inbound(association).map(|sa| gateway.install_inbound(at, Box::new(sa)).map(drop))
            }
        };
        let installed = installed.ok_or_else(|| refused("sa", "a reserved SPI"))?;
        installed.map_err(|why| refused("sa", why))?;
    }
    Ok(gateway)
}

impl Side for Rust {
    fn process(&mut self, input: &Input) -> Outcome {
        let mut burst = [HostPacket::from_bytes(&input.frame)];
        let mut verdicts = [Verdict::Drop(DropReason::Segmented); BURST];
        let (tables, ingress) = (self.tables.load(), PortIndex(input.port));
        self.path
            .process(tables, ingress, NOW_NANOS, &mut burst, &mut verdicts);
        let frame = burst[0].bytes().to_vec();
        match verdicts[0] {
            Verdict::Transmit(port) => Outcome::Sent {
                port: u32::from(port.0),
                frame,
            },
            Verdict::Punt(reason) => Outcome::Up {
                reason: reason.name().to_owned(),
                ingress: u32::from(input.port),
                frame,
            },
            Verdict::HandOver(_) => Outcome::Dropped {
                reason: "handed over by the only worker".to_owned(),
            },
            Verdict::Drop(reason) => Outcome::Dropped {
                reason: reason.name().to_owned(),
            },
        }
    }

    fn counted(&mut self) -> Counted {
        let counters = &self.counters;
        let direct = self.store.with_backend(|pipeline| {
            let count = |(table, key): &(String, Key)| {
                let count = pipeline.count(key);
                (table.clone(), count.packets, count.bytes)
            };
            self.counted.iter().map(count).collect()
        });
        Counted {
            drops: DropReason::ALL
                .iter()
                .map(|reason| counters.dropped(*reason).get())
                .collect(),
            punts: PuntReason::ALL
                .iter()
                .map(|reason| counters.punted(*reason).get())
                .collect(),
            direct,
        }
    }
}
