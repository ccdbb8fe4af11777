//! DPDK's objects of a pipeline, and when they go.

use super::ports::{Departure, Input, Output};
use super::{SwxError, check};
use crate::Eal;
use crate::eal::EalInner;
use core::ptr::{self, NonNull};
use dpdk_sys::{SOCKET_ID_ANY, rte_swx_ctl_pipeline, rte_swx_pipeline};
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

    pub(super) fn departures(&mut self) -> &mut Vec<Departure> {
        // SAFETY: live until drop; the pipeline does not run while self is borrowed here.
        unsafe { &mut *self.departures }
    }

    pub(super) fn input(&mut self, port: u32) -> Option<&mut Input> {
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

    pub(super) fn ctl(&self) -> *mut rte_swx_ctl_pipeline {
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
