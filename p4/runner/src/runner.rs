//! A program at work.

use crate::frame::{DESCRIPTOR, Origin, descriptor};
use crate::load::load;
use crate::program::Table;
use crate::{CryptoBlock, Deed, Entry, PacketIn, Program, ProgramError, Update};
use kith_dpdk::swx::{
    Action, Change, Exit, Key, MAX_RANK, Match, MatchKind, Pipeline, Ports, Rates, SwxError, TableStats,
};
use kith_dpdk::{Eal, EalConfig, EalError, HugePages};
use std::sync::{Mutex, PoisonError};

/// How a program is run.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Entries that tables have room for, if the program does not say fewer. Each costs about 200 octets of memory.
    pub capacity: u32,
    /// How many packets of a batch are inside at once.
    pub packets: usize,
    /// Octets of the largest frame.
    pub largest: usize,
    /// Ports to networks: 0 up to this, exclusive. Entries may send there only.
    pub network_ports: u32,
    /// Where packet-in leaves and packet-out enters: `CPU_PORT` in ports.p4.
    pub cpu_port: u32,
    /// The accelerator's port.
    pub crypto_port: u32,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            capacity: 16384,
            packets: 256,
            largest: 10_000,
            network_ports: 6,
            cpu_port: 6,
            crypto_port: 7,
        }
    }
}

/// Why something cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// DPDK does not come up.
    #[error(transparent)]
    Environment(#[from] EalError),
    /// There is no such program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The software pipeline refuses.
    #[error(transparent)]
    Pipeline(#[from] SwxError),
    /// The program has nothing of that name.
    #[error("the program has no {what} {name}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A number that the program's tables must not have.
    #[error("{what} {value} is out of range: {range}")]
    Range {
        /// What it is.
        what: &'static str,
        /// The number.
        value: u64,
        /// What is allowed.
        range: String,
    },
    /// The program does not serve what was asked for.
    #[error("{0}")]
    Unserved(String),
    /// The program did something that no program should.
    #[error("the program sent a packet nowhere: {0}")]
    Astray(&'static str),
}

/// A packet that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The port it left by.
    pub port: u32,
    /// The packet; at the CPU port with the packet-in header before it.
    pub bytes: Vec<u8>,
}

/// A program at work: tables to write, packets to send.
pub struct Runner<'p> {
    program: &'p Program,
    pipeline: Pipeline,
    config: RunnerConfig,
    crypto: Option<Box<dyn CryptoBlock>>,
}

/// The process's environment, brought up by whoever asks first: 256 MiB, nothing else needed.
pub fn environment() -> Result<Eal, EalError> {
    static EAL: Mutex<Option<Eal>> = Mutex::new(None);
    let mut eal = EAL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(eal) = &*eal {
        return Ok(eal.clone());
    }
    let config = EalConfig {
        program: "kith-p4".into(),
        huge_pages: HugePages::Off,
        memory_mib: 256,
        ..EalConfig::default()
    };
    Ok(eal.insert(Eal::init(config)?).clone())
}

impl<'p> Runner<'p> {
    /// Loads a program.
    pub fn new(program: &'p Program) -> Result<Self, RunnerError> {
        Self::with(&environment()?, program, RunnerConfig::default())
    }

    /// Loads a program in an environment, with other sizes.
    pub fn with(eal: &Eal, program: &'p Program, config: RunnerConfig) -> Result<Self, RunnerError> {
        check_descriptor(program)?;
        let last = config
            .network_ports
            .max(config.cpu_port + 1)
            .max(config.crypto_port + 1);
        let ports = Ports {
            inputs: last.next_power_of_two(),
            outputs: last,
            packets: config.packets,
            largest: config.largest + 64,
        };
        let pipeline = load(program, eal, ports, config.capacity)?;
        let mut runner = Self {
            program,
            pipeline,
            config,
            crypto: None,
        };
        runner.wire_accelerator()?;
        Ok(runner)
    }

    /// What stands between the accelerator's ports. Without one, packets for it leave by its port.
    pub fn set_crypto(&mut self, crypto: Box<dyn CryptoBlock>) {
        self.crypto = Some(crypto);
    }

    /// Makes all changes of a batch or none, at once for the packets.
    pub fn write(&mut self, updates: &[Update]) -> Result<(), RunnerError> {
        let changes = updates
            .iter()
            .map(|update| self.change(update))
            .collect::<Result<Vec<_>, _>>()?;
        self.pipeline.apply(&changes)?;
        // An identifier that was another entry's has that one's counters and meter still.
        for (update, change) in updates.iter().zip(&changes) {
            let (Update::Insert(entry), Change::Insert(key, _)) = (update, change) else {
                continue;
            };
            let table = self.table(&entry.table)?;
            let (packets, octets) = &table.counter;
            for array in [packets, octets].into_iter().flatten() {
                forgive_absent(self.pipeline.set_register_of(array, key, 0))?;
            }
            if let Some(array) = &table.meter {
                forgive_absent(self.pipeline.set_meter_of(array, key, None))?;
            }
        }
        Ok(())
    }

    /// A new entry.
    pub fn insert(&mut self, entry: Entry) -> Result<(), RunnerError> {
        self.write(&[Update::Insert(entry)])
    }

    /// Another action for an entry.
    pub fn modify(&mut self, entry: Entry) -> Result<(), RunnerError> {
        self.write(&[Update::Modify(entry)])
    }

    /// An entry goes.
    pub fn delete(&mut self, entry: Entry) -> Result<(), RunnerError> {
        self.write(&[Update::Delete(entry)])
    }

    /// What a table does when nothing matches.
    pub fn set_default(&mut self, table: &str, deed: Deed) -> Result<(), RunnerError> {
        let table = table.to_owned();
        self.write(&[Update::Default { table, deed }])
    }

    /// How many entries a table has.
    pub fn entries(&self, table: &str) -> Result<usize, RunnerError> {
        Ok(self.pipeline.entries(&self.table(table)?.name)?)
    }

    /// Packets that hit and missed a table.
    pub fn table_stats(&self, table: &str) -> Result<TableStats, RunnerError> {
        Ok(self.pipeline.table_stats(&self.table(table)?.name)?)
    }

    /// A counter with an index.
    pub fn counter(&self, counter: &str, index: u32) -> Result<u64, RunnerError> {
        let array = indexed(&self.program.counters, "counter", counter, index)?;
        Ok(self.pipeline.register(array, index)?)
    }

    /// All of a counter.
    pub fn counters(&self, counter: &str) -> Result<Vec<u64>, RunnerError> {
        let (_, size) = self
            .program
            .counters
            .get(counter)
            .ok_or_else(|| unknown("counter", counter))?;
        (0..*size).map(|index| self.counter(counter, index)).collect()
    }

    /// Packets and octets that an entry has counted; 0 where its table counts only the other.
    pub fn direct_counter(&self, entry: &Entry) -> Result<(u64, u64), RunnerError> {
        let table = self.table(&entry.table)?;
        let key = self.key(table, entry)?;
        let read = |array: &Option<String>| match array {
            Some(array) => self.pipeline.register_of(array, &key),
            None => Ok(0),
        };
        if table.counter == (None, None) {
            return Err(RunnerError::Unserved(format!(
                "table {} has no direct counter",
                entry.table
            )));
        }
        Ok((read(&table.counter.0)?, read(&table.counter.1)?))
    }

    /// Sets a meter with an index; without rates everything passes.
    pub fn set_meter(&mut self, meter: &str, index: u32, rates: Option<Rates>) -> Result<(), RunnerError> {
        let array = indexed(&self.program.meters, "meter", meter, index)?;
        Ok(self.pipeline.set_meter(array, index, rates)?)
    }

    /// Sets the meter of an entry; without rates everything passes.
    pub fn set_direct_meter(&mut self, entry: &Entry, rates: Option<Rates>) -> Result<(), RunnerError> {
        let table = self.table(&entry.table)?;
        let key = self.key(table, entry)?;
        let array = table.meter.as_ref();
        let none = || RunnerError::Unserved(format!("table {} has no direct meter", entry.table));
        Ok(self.pipeline.set_meter_of(array.ok_or_else(none)?, &key, rates)?)
    }

    /// A frame comes in by a network port; what leaves in consequence, in order.
    pub fn send(&mut self, ingress: u32, frame: &[u8]) -> Result<Vec<Output>, RunnerError> {
        let mut outputs = self.send_all(&[(ingress, frame)])?;
        Ok(outputs.pop().unwrap_or_default())
    }

    /// Many frames, each with what leaves in consequence. Some are inside at once, so meters may meet them in another order.
    pub fn send_all(&mut self, frames: &[(u32, &[u8])]) -> Result<Vec<Vec<Output>>, RunnerError> {
        let mut outputs = Vec::with_capacity(frames.len());
        for burst in frames.chunks(self.config.packets.max(1)) {
            let left = self.send_burst(burst).inspect_err(|_| self.discard());
            outputs.extend(left?);
        }
        Ok(outputs)
    }

    fn send_burst(&mut self, burst: &[(u32, &[u8])]) -> Result<Vec<Vec<Output>>, RunnerError> {
        for (tag, &(ingress, frame)) in burst.iter().enumerate() {
            if ingress >= self.config.network_ports {
                return Err(range("ingress port", ingress.into(), self.config.network_ports));
            }
            let before = descriptor(frame, Origin::Port);
            self.pipeline.submit(ingress, tag as u64, &[&before, frame])?;
        }
        self.collect(burst.len())
    }

    /// After an error: what is inside must not be taken for a later frame's.
    fn discard(&mut self) {
        // What does not leave now has been said to be stuck, or will be.
        let _stuck = self.pipeline.run();
        self.pipeline.take(|_, _, _| ());
    }

    /// A packet-out: the controller has the frame sent by a port.
    pub fn packet_out(&mut self, egress: u16, frame: &[u8]) -> Result<Vec<Output>, RunnerError> {
        let mut before = descriptor(frame, Origin::Cpu).to_vec();
        before.extend(egress.to_be_bytes());
        before.extend([0, 0]);
        self.pipeline.submit(self.config.cpu_port, 0, &[&before, frame])?;
        Ok(self.collect(1)?.pop().unwrap_or_default())
    }

    /// The packet-in that left by the CPU port; none for a packet that left by another.
    pub fn packet_in<'a>(&self, output: &'a Output) -> Option<PacketIn<'a>> {
        let is_up = output.port == self.config.cpu_port;
        is_up.then(|| PacketIn::parse(&output.bytes)).flatten()
    }

    /// Runs until nothing is inside, the accelerator included.
    fn collect(&mut self, count: usize) -> Result<Vec<Vec<Output>>, RunnerError> {
        let mut outputs = vec![Vec::new(); count];
        loop {
            self.pipeline.run()?;
            let mut sealed = Vec::new();
            let mut astray = None;
            let to_crypto = self.crypto.is_some().then_some(self.config.crypto_port);
            self.pipeline.take(|exit, tag, octets| match exit {
                Exit::Port(port) if Some(port) == to_crypto => sealed.push((tag, octets.to_vec())),
                Exit::Port(port) => outputs[tag as usize].push(Output {
                    port,
                    bytes: octets.to_vec(),
                }),
                Exit::Dropped => {}
                Exit::OutOfRange => astray = Some("the port does not exist"),
                Exit::Garbled => astray = Some("it took more headers off than there were octets"),
            });
            if let Some(why) = astray {
                return Err(RunnerError::Astray(why));
            }
            if sealed.is_empty() {
                return Ok(outputs);
            }
            for (tag, packet) in sealed {
                self.accelerate(tag, packet)?;
            }
        }
    }

    /// Takes the identifier of the security association off, and puts what the block makes of the rest to the pipeline.
    fn accelerate(&mut self, tag: u64, mut packet: Vec<u8>) -> Result<(), RunnerError> {
        let Some(&sa) = packet.first_chunk::<4>() else {
            return Err(RunnerError::Astray("no security association is named"));
        };
        packet.drain(..4);
        let Some(crypto) = &mut self.crypto else {
            return Ok(());
        };
        match crypto.process(u32::from_be_bytes(sa), &mut packet) {
            Ok(()) => {
                let before = descriptor(&packet, Origin::Crypto);
                Ok(self
                    .pipeline
                    .submit(self.config.crypto_port, tag, &[&before, &packet])?)
            }
            Err(reason) => {
                let index = reason.0.into();
                let array = indexed(&self.program.counters, "counter", DROPS, index)?;
                let count = self.pipeline.register(array, index)?;
                Ok(self.pipeline.set_register(array, index, count.wrapping_add(1))?)
            }
        }
    }

    /// Tells the program where the accelerator is: p4c makes registers of that. A program without accelerator has none.
    fn wire_accelerator(&mut self) -> Result<(), RunnerError> {
        let has = |name: &str| {
            self.program
                .spec
                .registers
                .iter()
                .any(|array| array.item.name == name)
        };
        let ports = [
            "ipsec_port_out_inbound",
            "ipsec_port_out_outbound",
            "ipsec_port_in_inbound",
            "ipsec_port_in_outbound",
        ];
        for array in ports.into_iter().filter(|name| has(name)) {
            self.pipeline
                .set_register(array, 0, self.config.crypto_port.into())?;
        }
        // PNA's direction: 0 from a network, 1 from this host.
        if has("direction") {
            for port in [self.config.cpu_port, self.config.crypto_port] {
                self.pipeline.set_register("direction", port, 1)?;
            }
        }
        Ok(())
    }

    fn table(&self, alias: &str) -> Result<&'p Table, RunnerError> {
        self.program
            .tables
            .get(alias)
            .ok_or_else(|| unknown("table", alias))
    }

    fn change(&self, update: &Update) -> Result<Change, RunnerError> {
        let (entry, insert) = match update {
            Update::Insert(entry) => (entry, true),
            Update::Modify(entry) => (entry, false),
            Update::Delete(entry) => {
                let key = self.key(self.table(&entry.table)?, entry)?;
                return Ok(Change::Delete(key));
            }
            Update::Default { table, deed } => {
                let found = self.table(table)?;
                let action = self.action(found, deed, false)?;
                return Ok(Change::Default(found.name.clone(), action));
            }
        };
        let table = self.table(&entry.table)?;
        let (key, action) = (self.key(table, entry)?, self.action(table, &entry.deed, true)?);
        Ok(match insert {
            true => Change::Insert(key, action),
            false => Change::Modify(key, action),
        })
    }

    fn key(&self, table: &Table, entry: &Entry) -> Result<Key, RunnerError> {
        for (name, _) in &entry.fields {
            if !table.fields.iter().any(|(alias, _, _)| alias == name) {
                return Err(unknown("key field", &format!("{name} of table {}", entry.table)));
            }
        }
        let mut fields = Vec::new();
        for (alias, name, kind) in &table.fields {
            let mut given = entry.fields.iter().filter(|(field, _)| field == alias);
            let how = match (given.next(), given.next(), kind) {
                (Some((_, how)), None, _) => *how,
                (None, _, MatchKind::Prefix | MatchKind::Wildcard) => Match::Any,
                _ => {
                    let what = format!("table {}: field {alias} is wanted once", entry.table);
                    return Err(RunnerError::Unserved(what));
                }
            };
            fields.push((name.clone(), how));
        }
        let ternary = table
            .fields
            .iter()
            .any(|(_, _, kind)| *kind == MatchKind::Wildcard);
        let rank = match (ternary, entry.priority) {
            // In P4Runtime the highest priority wins, in SWX the lowest rank.
            (true, priority @ 1..=MAX_RANK) => MAX_RANK - priority,
            (false, 0) => 0,
            (true, priority) => {
                return Err(range_of("priority", priority.into(), format!("1 to {MAX_RANK}")));
            }
            (false, priority) => {
                let what = format!("0, as table {} is not ternary", entry.table);
                return Err(range_of("priority", priority.into(), what));
            }
        };
        Ok(Key {
            table: table.name.clone(),
            fields,
            rank,
        })
    }

    fn action(&self, table: &Table, deed: &Deed, for_entry: bool) -> Result<Action, RunnerError> {
        let action = table
            .actions
            .get(&deed.action)
            .filter(|action| action.for_entries || !for_entry);
        let action =
            action.ok_or_else(|| unknown("action", &format!("{} of table {}", deed.action, table.name)))?;
        for (name, value) in &deed.parameters {
            if action.ports.contains(name) && *value >= u64::from(self.config.network_ports) {
                return Err(range("egress port", *value, self.config.network_ports));
            }
        }
        Ok(Action {
            name: action.name.clone(),
            arguments: deed.parameters.clone(),
        })
    }
}

/// The counter of drop reasons.
const DROPS: &str = "drops";

/// The program must take the descriptor that is put before frames.
fn check_descriptor(program: &Program) -> Result<(), RunnerError> {
    let spec = &program.spec;
    let fields = spec
        .struct_of("receive_t")
        .map(|found| &found.fields[..])
        .unwrap_or_default();
    let fields = fields.iter().map(|field| (field.name.as_str(), field.bits));
    let header = spec
        .headers
        .iter()
        .any(|header| header.item.struct_type == "receive_t");
    match header && fields.eq(DESCRIPTOR) {
        true => Ok(()),
        false => Err(RunnerError::Unserved(
            "the program has no receive descriptor, or another one".into(),
        )),
    }
}

/// An entry that the same batch deleted again has nothing to be reset.
fn forgive_absent(outcome: Result<(), SwxError>) -> Result<(), SwxError> {
    match outcome {
        Err(SwxError::Absent(_)) => Ok(()),
        outcome => outcome,
    }
}

fn indexed<'a>(
    arrays: &'a std::collections::HashMap<String, (String, u32)>,
    what: &'static str,
    name: &str,
    index: u32,
) -> Result<&'a str, RunnerError> {
    let (array, size) = arrays.get(name).ok_or_else(|| unknown(what, name))?;
    match index < *size {
        true => Ok(array),
        false => Err(range("index", index.into(), *size)),
    }
}

fn unknown(what: &'static str, name: &str) -> RunnerError {
    let name = name.to_owned();
    RunnerError::Unknown { what, name }
}

fn range(what: &'static str, value: u64, end: u32) -> RunnerError {
    range_of(what, value, format!("0 to {}", end.saturating_sub(1)))
}

fn range_of(what: &'static str, value: u64, range: String) -> RunnerError {
    RunnerError::Range { what, value, range }
}
