//! A pipeline that runs.

use super::entry::{Action, Change, Key};
use super::layout::{ActionLayout, KeyOctets, TableLayout, action_data};
use super::ports::{Departure, Exit, Input, Output, Slots};
use super::{Ports, Rates, SwxError, c_name, check};
use crate::Eal;
use crate::eal::EalInner;
use core::ptr::{self, NonNull};
use dpdk_sys::{SOCKET_ID_ANY, rte_swx_ctl_pipeline, rte_swx_pipeline, rte_swx_table_entry};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;

/// DPDK's objects, and ours that they point to.
pub(super) struct Handle {
    pipeline: NonNull<rte_swx_pipeline>,
    control: Option<NonNull<rte_swx_ctl_pipeline>>,
    /// Whether making a control object was tried.
    was_built: bool,
    /// Made by Box::into_raw: while the pipeline runs, they are reached from there.
    inputs: Vec<*mut Input>,
    outputs: Vec<*mut Output>,
    departures: *mut Vec<Departure>,
    pub(super) eal: Arc<EalInner>,
}

// SAFETY: nothing of it is bound to a thread; one at a time uses it (&mut).
unsafe impl Send for Handle {}

impl Handle {
    pub(super) fn new(eal: &Eal) -> Result<Self, SwxError> {
        let mut pipeline = ptr::null_mut();
        let _control = eal.0.control();
        // SAFETY: the environment is up (eal); a pipeline without name is not entered into any list.
        let code = unsafe { dpdk_sys::rte_swx_pipeline_config(&mut pipeline, ptr::null(), SOCKET_ID_ANY) };
        check(code, || "a pipeline".into())?;
        Ok(Self {
            pipeline: NonNull::new(pipeline).ok_or(SwxError::Memory { what: "a pipeline" })?,
            control: None,
            was_built: false,
            inputs: Vec::new(),
            outputs: Vec::new(),
            departures: Box::into_raw(Box::default()),
            eal: eal.0.clone(),
        })
    }

    pub(super) fn raw(&self) -> *mut rte_swx_pipeline {
        self.pipeline.as_ptr()
    }

    /// Makes the control object of a built pipeline.
    pub(super) fn control(&mut self) -> Result<(), SwxError> {
        let eal = self.eal.clone();
        let _control = eal.control();
        self.was_built = true;
        // SAFETY: the pipeline is built.
        let control = unsafe { dpdk_sys::rte_swx_ctl_pipeline_create(self.raw()) };
        let what = "a second state of all tables";
        self.control = Some(NonNull::new(control).ok_or(SwxError::Memory { what })?);
        Ok(())
    }

    pub(super) fn add_input(&mut self, input: Input) -> *mut Input {
        let input = Box::into_raw(Box::new(input));
        self.inputs.push(input);
        input
    }

    pub(super) fn add_output(&mut self, output: Output) -> *mut Output {
        let output = Box::into_raw(Box::new(output));
        self.outputs.push(output);
        output
    }

    pub(super) fn departures_ptr(&self) -> *mut Vec<Departure> {
        self.departures
    }

    pub(super) fn departures_reserve(&mut self, packets: usize) {
        self.departures().reserve(packets);
    }

    fn departures(&mut self) -> &mut Vec<Departure> {
        // SAFETY: live until drop; the pipeline does not run while self is borrowed here.
        unsafe { &mut *self.departures }
    }

    fn input(&mut self, port: u32) -> Option<&mut Input> {
        // SAFETY: as in departures().
        self.inputs
            .get(port as usize)
            .map(|&input| unsafe { &mut *input })
    }

    /// Leaves wildcard tables to the control object alone. It and the pipeline share them, and each would free them.
    fn part_states(&mut self) {
        let mut info = dpdk_sys::rte_swx_ctl_pipeline_info::default();
        let mut states = ptr::null_mut();
        // SAFETY: the pipeline is built; both are to be written.
        let codes = unsafe {
            [
                dpdk_sys::rte_swx_ctl_pipeline_info_get(self.raw(), &mut info),
                dpdk_sys::rte_swx_pipeline_table_state_get(self.raw(), &mut states),
            ]
        };
        if codes != [0, 0] || states.is_null() {
            return;
        }
        for table in 0..info.n_tables {
            let (mut operations, mut has_no_key) = (dpdk_sys::rte_swx_table_ops::default(), 0);
            // SAFETY: there is such a table; both are to be written.
            let code = unsafe {
                dpdk_sys::rte_swx_ctl_table_ops_get(self.raw(), table, &mut operations, &mut has_no_key)
            };
            // Those that cannot take an entry without being made anew.
            if code == 0 && has_no_key == 0 && operations.add.is_none() {
                // SAFETY: states begin with one for each table; nothing runs any more.
                unsafe { (*states.add(table as usize)).obj = ptr::null_mut() };
            }
        }
    }

    fn ctl(&self) -> *mut rte_swx_ctl_pipeline {
        self.control.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let eal = self.eal.clone();
        let control = eal.control();
        if self.was_built {
            self.part_states();
        }
        // SAFETY: the control object goes first, it holds tables of the pipeline's types; null is allowed. Then nobody uses the ports.
        unsafe {
            dpdk_sys::rte_swx_ctl_pipeline_free(self.ctl());
            dpdk_sys::rte_swx_pipeline_free(self.raw());
        }
        drop(control);
        for &input in &self.inputs {
            // SAFETY: from Box::into_raw, and the pipeline that pointed there is gone.
            drop(unsafe { Box::from_raw(input) });
        }
        for &output in &self.outputs {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(output) });
        }
        // SAFETY: as above; the outputs that pointed there are gone, too.
        drop(unsafe { Box::from_raw(self.departures) });
    }
}

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
    /// Entries of each table, with their rank.
    entries: Vec<HashMap<KeyOctets, u32>>,
    profiles: HashMap<Rates, CString>,
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
        let entries = tables.iter().map(|_| HashMap::new()).collect();
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
                None => each(Exit::Garbled, tag, &[]),
            });
        }
        // Give the room back: the port's list must not grow while the pipeline runs.
        *self.handle.departures() = gone;
    }

    /// Makes all changes or none, at once for the packets.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), SwxError> {
        let mut undo = Vec::new();
        let mut defaults = 0;
        let outcome = changes
            .iter()
            .try_for_each(|change| self.stage(change, &mut undo, &mut defaults));
        let outcome = outcome.and_then(|()| {
            let _control = self.handle.eal.control();
            // SAFETY: the control object is live; the pipeline does not run meanwhile (&mut).
            let code = unsafe { dpdk_sys::rte_swx_ctl_pipeline_commit(self.handle.ctl(), 1) };
            check(code, || format!("a batch of {} changes", changes.len()))
        });
        if outcome.is_err() {
            // SAFETY: as above.
            unsafe { dpdk_sys::rte_swx_ctl_pipeline_abort(self.handle.ctl()) };
            for (table, key, before) in undo.into_iter().rev() {
                match before {
                    Some(rank) => self.entries[table].insert(key, rank),
                    None => self.entries[table].remove(&key),
                };
            }
        }
        outcome
    }

    /// How many entries a table has.
    pub fn entries(&self, table: &str) -> Result<usize, SwxError> {
        Ok(self.entries[self.table(table)?].len())
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
    fn stage(
        &mut self,
        change: &Change,
        undo: &mut Vec<(usize, KeyOctets, Option<u32>)>,
        added: &mut u32,
    ) -> Result<(), SwxError> {
        let (key, action) = match change {
            Change::Default(table, action) => return self.stage_default(table, action),
            Change::Insert(key, action) | Change::Modify(key, action) => (key, Some(action)),
            Change::Delete(key) => (key, None),
        };
        let index = self.table(&key.table)?;
        let table = &self.tables[index];
        let (octets, rank) = table.key(key)?;
        let before = self.entries[index].get(&octets).copied();
        match (change, before) {
            (Change::Insert(..), Some(_)) => return Err(SwxError::Exists(key.table.clone())),
            (Change::Insert(..), None) => {
                let deleted = undo
                    .iter()
                    .filter(|(table, _, before)| *table == index && before.is_some());
                if self.entries[index].len() + deleted.count() >= table.size as usize {
                    return Err(SwxError::Full {
                        table: key.table.clone(),
                        size: table.size,
                    });
                }
                *added += 1;
            }
            // The rank is part of what an entry is, even if SWX does not think so.
            (_, Some(known)) if known == rank => {}
            _ => return Err(SwxError::Absent(key.table.clone())),
        }
        let (id, mut data) = match action {
            Some(action) => action_data(table, &self.actions, action)?,
            None => (0, Vec::new()),
        };
        let (mut key_octets, mut mask) = (octets.key.clone(), octets.mask.clone());
        let mut entry = rte_swx_table_entry {
            key: key_octets.as_mut_ptr(),
            key_mask: mask.as_mut().map_or(ptr::null_mut(), Vec::as_mut_ptr),
            key_priority: rank,
            action_id: id,
            action_data: data.as_mut_ptr(),
            ..Default::default()
        };
        let name = c_name(&key.table)?;
        let ctl = self.handle.ctl();
        let code = match action {
            // SAFETY: the control object is live; key and mask have the table's length, data the action's, and all are copied.
            Some(_) => unsafe {
                dpdk_sys::rte_swx_ctl_pipeline_table_entry_add(ctl, name.as_ptr(), &mut entry)
            },
            // SAFETY: as above.
            None => unsafe {
                dpdk_sys::rte_swx_ctl_pipeline_table_entry_delete(ctl, name.as_ptr(), &mut entry)
            },
        };
        check(code, || format!("an entry of table {}", key.table))?;
        match action {
            Some(_) => self.entries[index].insert(octets.clone(), rank),
            None => self.entries[index].remove(&octets),
        };
        undo.push((index, octets, before));
        Ok(())
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
        if !self.entries[index].contains_key(&octets) {
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
