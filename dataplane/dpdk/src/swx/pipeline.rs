//! A pipeline that runs.

use super::entry::{Action, Change, Key};
use super::handle::Handle;
use super::layout::{ActionLayout, KeyOctets, TableLayout, action_data};
use super::ports::{Exit, Slots};
use super::{Ports, Rates, SwxError, c_name, check};
use core::ptr;
use dpdk_sys::rte_swx_table_entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;

/// What a table has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Packets that an entry matched.
    pub hits: u64,
    /// Packets that none matched.
    pub misses: u64,
}

/// A pipeline that runs. See [`Builder`](super::Builder).
pub struct Pipeline {
    // Dropped in this order: the pipeline's headers point into the slots.
    handle: Handle,
    slots: Slots,
    ports: Ports,
    inside: usize,
    tables: Vec<TableLayout>,
    actions: HashMap<String, ActionLayout>,
    /// Entries of each table.
    entries: Vec<Entries>,
    profiles: HashMap<Rates, CString>,
}

/// An action's identifier and data.
type Data = (u64, Vec<u8>);

/// What an entry was before a change.
struct Undo {
    table: usize,
    key: KeyOctets,
    rank: u32,
    before: Option<Data>,
    /// Whether the change took it away: DPDK has it until the batch is through.
    is_deletion: bool,
}

/// Entries of a table: by match, and with wildcards there may be several of different ranks.
#[derive(Default)]
struct Entries {
    by_match: HashMap<KeyOctets, BTreeMap<u32, Data>>,
    count: usize,
}

impl Entries {
    /// Puts an entry there, or takes it away; gives what was there.
    fn set(&mut self, key: &KeyOctets, rank: u32, data: Option<Data>) -> Option<Data> {
        let ranks = self.by_match.entry(key.clone()).or_default();
        let is_there = data.is_some();
        let before = match data {
            Some(data) => ranks.insert(rank, data),
            None => ranks.remove(&rank),
        };
        if ranks.is_empty() {
            self.by_match.remove(key);
        }
        self.count = self.count + usize::from(is_there) - usize::from(before.is_some());
        before
    }
}

/// Instructions run at a time.
const QUANTUM: u32 = 2048;

impl Pipeline {
    pub(super) fn new(
        handle: Handle,
        slots: Slots,
        ports: Ports,
        tables: Vec<TableLayout>,
        actions: HashMap<String, ActionLayout>,
    ) -> Self {
        let entries = tables.iter().map(|_| Entries::default()).collect();
        Self {
            handle,
            slots,
            ports,
            inside: 0,
            tables,
            actions,
            entries,
            profiles: HashMap::new(),
        }
    }

    /// Puts a packet, given in parts, to an input port. The tag comes out with it.
    pub fn submit(&mut self, port: u32, tag: u64, parts: &[&[u8]]) -> Result<(), SwxError> {
        let length = parts.iter().map(|part| part.len()).sum();
        let largest = self.slots.largest();
        if length > largest {
            return Err(SwxError::TooLong { length, largest });
        }
        let count = self.slots.count();
        let input = self.handle.input(port).ok_or_else(|| SwxError::Unknown {
            what: "input port",
            name: port.to_string(),
        })?;
        let waiting = self.slots.fill(tag, parts).ok_or(SwxError::Busy(count))?;
        input.queue.push_back(waiting);
        self.inside += 1;
        Ok(())
    }

    /// Executes that many instructions.
    pub fn step(&mut self, instructions: u32) {
        // SAFETY: the pipeline is built, and nobody else runs it or touches its ports (&mut).
        unsafe { dpdk_sys::rte_swx_pipeline_run(self.handle.raw(), instructions) }
    }

    /// Runs until all packets have left.
    pub fn run(&mut self) -> Result<(), SwxError> {
        // Every packet takes a bounded number of instructions (programs have no loops), and each port and thread some idle ones.
        let mut rounds = 64 * (self.inside + self.ports.inputs as usize);
        while self.handle.departures().len() < self.inside {
            let missing = self.inside - self.handle.departures().len();
            rounds = rounds.checked_sub(1).ok_or(SwxError::Stuck(missing))?;
            // A lone packet should not wait for a whole quantum of polling.
            let quantum = if missing == 1 { 64 } else { QUANTUM };
            self.step(quantum);
        }
        Ok(())
    }

    /// How many packets are inside and have not left.
    pub fn inside(&mut self) -> usize {
        self.inside - self.handle.departures().len()
    }

    /// Hands over the packets that left, in the order in which they did.
    pub fn take(&mut self, mut each: impl FnMut(Exit, u64, &[u8])) {
        let mut gone = core::mem::take(self.handle.departures());
        for departure in gone.drain(..) {
            self.inside -= 1;
            let exit = match departure.port {
                port if port < self.ports.outputs => Exit::Port(port),
                port if port == self.ports.outputs => Exit::OutOfRange,
                _ => Exit::Dropped,
            };
            self.slots.leave(&departure, |tag, octets| match octets {
                Some(octets) => each(exit, tag, octets),
                // A program drops what it took apart without putting it together again.
                None if exit == Exit::Dropped => each(exit, tag, &[]),
                None => each(Exit::Garbled, tag, &[]),
            });
        }
        // Give the room back: the port's list must not grow while the pipeline runs.
        *self.handle.departures() = gone;
    }

    /// Makes all changes or none, at once for the packets.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), SwxError> {
        let mut undo = Vec::new();
        let outcome = changes
            .iter()
            .try_for_each(|change| self.stage(change, &mut undo));
        let outcome = outcome.and_then(|()| {
            let _control = self.handle.eal.control();
            // SAFETY: the control object is live; the pipeline does not run meanwhile (&mut).
            let code = unsafe { dpdk_sys::rte_swx_ctl_pipeline_commit(self.handle.ctl(), 1) };
            check(code, || format!("a batch of {} changes", changes.len()))
        });
        if outcome.is_err() {
            // SAFETY: as above.
            unsafe { dpdk_sys::rte_swx_ctl_pipeline_abort(self.handle.ctl()) };
            for undo in undo.into_iter().rev() {
                self.entries[undo.table].set(&undo.key, undo.rank, undo.before);
            }
        }
        outcome
    }

    /// How many entries a table has.
    pub fn entries(&self, table: &str) -> Result<usize, SwxError> {
        Ok(self.entries[self.table(table)?].count)
    }

    /// A register.
    pub fn register(&self, array: &str, index: u32) -> Result<u64, SwxError> {
        let name = c_name(array)?;
        let mut value = 0;
        // SAFETY: the pipeline is built; value is to be written.
        let code = unsafe {
            dpdk_sys::rte_swx_ctl_pipeline_regarray_read(self.handle.raw(), name.as_ptr(), index, &mut value)
        };
        check(code, || format!("to read register {array}[{index}]"))?;
        Ok(value)
    }

    /// Sets a register.
    pub fn set_register(&mut self, array: &str, index: u32, value: u64) -> Result<(), SwxError> {
        let name = c_name(array)?;
        // SAFETY: the pipeline is built and does not run (&mut).
        let code = unsafe {
            dpdk_sys::rte_swx_ctl_pipeline_regarray_write(self.handle.raw(), name.as_ptr(), index, value)
        };
        check(code, || format!("to write register {array}[{index}]"))
    }

    /// The register that belongs to an entry: the one at the entry's identifier.
    pub fn register_of(&self, array: &str, key: &Key) -> Result<u64, SwxError> {
        let (name, table, mut octets) = self.located(array, key)?;
        let mut value = 0;
        // SAFETY: the pipeline is built, the key has the table's length, and value is to be written.
        let code = unsafe {
            dpdk_sys::rte_swx_ctl_pipeline_regarray_read_with_key(
                self.handle.raw(),
                name.as_ptr(),
                table.as_ptr(),
                octets.key.as_mut_ptr(),
                &mut value,
            )
        };
        check(code, || {
            format!("to read register {array} of an entry of {}", key.table)
        })?;
        Ok(value)
    }

    /// Sets the register that belongs to an entry.
    pub fn set_register_of(&mut self, array: &str, key: &Key, value: u64) -> Result<(), SwxError> {
        let (name, table, mut octets) = self.located(array, key)?;
        // SAFETY: the pipeline is built and does not run (&mut), and the key has the table's length.
        let code = unsafe {
            dpdk_sys::rte_swx_ctl_pipeline_regarray_write_with_key(
                self.handle.raw(),
                name.as_ptr(),
                table.as_ptr(),
                octets.key.as_mut_ptr(),
                value,
            )
        };
        check(code, || {
            format!("to write register {array} of an entry of {}", key.table)
        })
    }

    /// Sets a meter, whose buckets are full then; without rates it answers green always.
    pub fn set_meter(&mut self, array: &str, index: u32, rates: Option<Rates>) -> Result<(), SwxError> {
        let name = c_name(array)?;
        let profile = self.profile(rates)?;
        let _control = self.handle.eal.control();
        let raw = self.handle.raw();
        let code = match &profile {
            // SAFETY: the pipeline is built and does not run (&mut).
            Some(profile) => unsafe {
                dpdk_sys::rte_swx_ctl_meter_set(raw, name.as_ptr(), index, profile.as_ptr())
            },
            // SAFETY: as above.
            None => unsafe { dpdk_sys::rte_swx_ctl_meter_reset(raw, name.as_ptr(), index) },
        };
        check(code, || format!("to set meter {array}[{index}]"))
    }

    /// Sets the meter that belongs to an entry.
    pub fn set_meter_of(&mut self, array: &str, key: &Key, rates: Option<Rates>) -> Result<(), SwxError> {
        let (name, table, mut octets) = self.located(array, key)?;
        let profile = self.profile(rates)?;
        let _control = self.handle.eal.control();
        let (raw, table, key_octets) = (self.handle.raw(), table.as_ptr(), octets.key.as_mut_ptr());
        let code = match &profile {
            // SAFETY: the pipeline is built and does not run (&mut), and the key has the table's length.
            Some(profile) => unsafe {
                dpdk_sys::rte_swx_ctl_meter_set_with_key(
                    raw,
                    name.as_ptr(),
                    table,
                    key_octets,
                    profile.as_ptr(),
                )
            },
            // SAFETY: as above.
            None => unsafe {
                dpdk_sys::rte_swx_ctl_meter_reset_with_key(raw, name.as_ptr(), table, key_octets)
            },
        };
        check(code, || {
            format!("to set meter {array} of an entry of {}", key.table)
        })
    }

    /// What a table has seen.
    pub fn table_stats(&self, table: &str) -> Result<TableStats, SwxError> {
        self.table(table)?;
        let name = c_name(table)?;
        let mut per_action = vec![0u64; self.actions.len()];
        let mut stats = dpdk_sys::rte_swx_table_stats {
            n_pkts_action: per_action.as_mut_ptr(),
            ..Default::default()
        };
        // SAFETY: the pipeline is built; there is room for a number per action.
        let code = unsafe {
            dpdk_sys::rte_swx_ctl_pipeline_table_stats_read(self.handle.raw(), name.as_ptr(), &mut stats)
        };
        check(code, || format!("statistics of table {table}"))?;
        Ok(TableStats {
            hits: stats.n_pkts_hit,
            misses: stats.n_pkts_miss,
        })
    }

    /// Notes a change in DPDK's waiting list and in ours; `undo` remembers what ours said.
    fn stage(&mut self, change: &Change, undo: &mut Vec<Undo>) -> Result<(), SwxError> {
        let (key, action) = match change {
            Change::Default(table, action) => return self.stage_default(table, action),
            Change::Insert(key, action) | Change::Modify(key, action) => (key, Some(action)),
            Change::Delete(key) => (key, None),
        };
        let index = self.table(&key.table)?;
        let table = &self.tables[index];
        let (octets, rank) = table.key(key)?;
        let data = action
            .map(|action| action_data(table, &self.actions, action))
            .transpose()?;
        let entries = &mut self.entries[index];
        let known = entries
            .by_match
            .get(&octets)
            .is_some_and(|ranks| ranks.contains_key(&rank));
        match change {
            Change::Insert(..) if known => return Err(SwxError::Exists(key.table.clone())),
            Change::Insert(..) => {
                let deleted = undo.iter().filter(|undo| undo.table == index && undo.is_deletion);
                if entries.count + deleted.count() >= table.size as usize {
                    return Err(SwxError::Full {
                        table: key.table.clone(),
                        size: table.size,
                    });
                }
            }
            _ if known => {}
            _ => return Err(SwxError::Absent(key.table.clone())),
        }
        let before = entries.set(&octets, rank, data);
        undo.push(Undo {
            table: index,
            key: octets.clone(),
            rank,
            before,
            is_deletion: action.is_none(),
        });
        self.tell(index, octets)
    }

    /// Tells DPDK what is the case for a match now. Of entries with one match it gets to know the winner only, because it
    /// would take the others for the same entry.
    fn tell(&mut self, index: usize, octets: KeyOctets) -> Result<(), SwxError> {
        let winner = self.entries[index]
            .by_match
            .get(&octets)
            .and_then(|ranks| ranks.first_key_value());
        let (rank, id, mut data) = match winner {
            Some((rank, (id, data))) => (*rank, *id, data.clone()),
            None => (0, 0, Vec::new()),
        };
        let is_there = winner.is_some();
        let KeyOctets { mut key, mut mask } = octets;
        let mut entry = rte_swx_table_entry {
            key: key.as_mut_ptr(),
            key_mask: mask.as_mut().map_or(ptr::null_mut(), Vec::as_mut_ptr),
            key_priority: rank,
            action_id: id,
            action_data: data.as_mut_ptr(),
            ..Default::default()
        };
        let table = &self.tables[index].name;
        let name = c_name(table)?;
        let ctl = self.handle.ctl();
        let code = match is_there {
            // SAFETY: the control object is live; key and mask have the table's length, data the action's, and all are copied.
            true => unsafe { dpdk_sys::rte_swx_ctl_pipeline_table_entry_add(ctl, name.as_ptr(), &mut entry) },
            // SAFETY: as above.
            false => unsafe {
                dpdk_sys::rte_swx_ctl_pipeline_table_entry_delete(ctl, name.as_ptr(), &mut entry)
            },
        };
        check(code, || format!("an entry of table {table}"))
    }

    fn stage_default(&mut self, name: &str, action: &Action) -> Result<(), SwxError> {
        let table = &self.tables[self.table(name)?];
        if table.default_is_const {
            return Err(SwxError::Config {
                what: format!("table {name}"),
                why: "its default action is for ever",
            });
        }
        let (action_id, mut data) = action_data(table, &self.actions, action)?;
        let mut entry = rte_swx_table_entry {
            action_id,
            action_data: data.as_mut_ptr(),
            ..Default::default()
        };
        let c = c_name(name)?;
        // SAFETY: the control object is live; data has the action's length and is copied.
        let code = unsafe {
            dpdk_sys::rte_swx_ctl_pipeline_table_default_entry_add(self.handle.ctl(), c.as_ptr(), &mut entry)
        };
        check(code, || format!("a default action of table {name}"))
    }

    fn table(&self, name: &str) -> Result<usize, SwxError> {
        self.tables
            .iter()
            .position(|table| table.name == name)
            .ok_or_else(|| SwxError::Unknown {
                what: "table",
                name: name.to_owned(),
            })
    }

    /// Names and octets to look up an entry that is there. Only entries of exact matches keep their identifier.
    fn located(&self, array: &str, key: &Key) -> Result<(CString, CString, KeyOctets), SwxError> {
        let index = self.table(&key.table)?;
        let table = &self.tables[index];
        if !table.is_exact() {
            return Err(SwxError::Config {
                what: format!("table {}", key.table),
                why: "its entries have no lasting identifier, as it is a table with wildcards",
            });
        }
        let (octets, _) = table.key(key)?;
        if !self.entries[index].by_match.contains_key(&octets) {
            return Err(SwxError::Absent(key.table.clone()));
        }
        Ok((c_name(array)?, c_name(&key.table)?, octets))
    }

    /// The name of a profile with these rates, made if there is none.
    fn profile(&mut self, rates: Option<Rates>) -> Result<Option<CString>, SwxError> {
        let Some(rates) = rates else { return Ok(None) };
        if let Some(name) = self.profiles.get(&rates) {
            return Ok(Some(name.clone()));
        }
        let name = c_name(&format!("rates{}", self.profiles.len()))?;
        let mut params = dpdk_sys::rte_meter_trtcm_params {
            cir: rates.cir,
            pir: rates.pir,
            cbs: rates.cbs,
            pbs: rates.pbs,
        };
        let _control = self.handle.eal.control();
        // SAFETY: the pipeline is built; name and parameters are copied.
        let code =
            unsafe { dpdk_sys::rte_swx_ctl_meter_profile_add(self.handle.raw(), name.as_ptr(), &mut params) };
        check(code, || format!("a meter of {rates:?}"))?;
        self.profiles.insert(rates, name.clone());
        Ok(Some(name))
    }
}
