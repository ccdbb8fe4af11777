//! A pipeline that is being configured.

use super::config::{Field, LearnerConfig, MatchField, MatchKind, Ports, SelectorConfig, TableConfig};
use super::describe::{describe_action, describe_table};
use super::handle::Handle;
use super::instructions::{Exits, guard};
use super::layout::{ActionLayout, TableLayout};
use super::pipeline::Pipeline;
use super::ports::{Input, Output, Slots, input_ops, output_ops};
use super::{SwxError, c_name, check};
use crate::Eal;
use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use std::collections::HashMap;
use std::ffi::CString;

/// A pipeline that is being configured, in the order: structs; headers and metadata; actions; tables; the instructions.
pub struct Builder {
    handle: Handle,
    ports: Ports,
    structs: HashMap<String, Vec<Field>>,
    /// Octets of each header, by `h.name`.
    headers: HashMap<String, usize>,
    /// The struct of arguments of each action.
    actions: Vec<(String, Option<String>)>,
    tables: Vec<TableConfig>,
    /// Octets that the instructions extract and emit.
    extracted: usize,
    emitted: usize,
}

/// The type that ports of ours have.
const PORT_TYPE: &CStr = c"kith";
/// Octets that an instruction's operand can be in.
const LARGEST_STRUCT: u32 = 256;
/// Fields are accessed 64 bits at a time, so the last one needs something behind it.
const PAD: &str = "kith_pad";

impl Builder {
    /// An empty pipeline.
    pub fn new(eal: &Eal, ports: Ports) -> Result<Self, SwxError> {
        if !ports.inputs.is_power_of_two()
            || ports.outputs == 0
            || ports.outputs > 1 << 16
            || ports.inputs > 1 << 16
        {
            return Err(SwxError::Config {
                what: "ports".into(),
                why: "inputs must be a power of two, outputs at least one, and neither more than 65536",
            });
        }
        Ok(Self {
            handle: Handle::new(eal)?,
            ports,
            structs: HashMap::new(),
            headers: HashMap::new(),
            actions: Vec::new(),
            tables: Vec::new(),
            extracted: 0,
            emitted: 0,
        })
    }

    /// A struct.
    pub fn struct_type(&mut self, name: &str, fields: &[Field]) -> Result<(), SwxError> {
        self.register_struct(name, fields)?;
        self.structs.insert(name.to_owned(), fields.to_vec());
        Ok(())
    }

    /// A header that packets may have: an instance of a struct.
    pub fn header(&mut self, name: &str, struct_type: &str) -> Result<(), SwxError> {
        let octets = self
            .fields(struct_type)?
            .iter()
            .map(|field| field.bits as usize / 8)
            .sum();
        self.register_header(name, struct_type)?;
        self.headers.insert(format!("h.{name}"), octets);
        Ok(())
    }

    /// What a program knows of a packet: an instance of a struct.
    pub fn metadata(&mut self, struct_type: &str) -> Result<(), SwxError> {
        let mut fields = self.fields(struct_type)?.to_vec();
        fields.push(Field {
            name: PAD.into(),
            bits: 64,
        });
        let padded = "kith_metadata";
        self.register_struct(padded, &fields)?;
        let name = c_name(padded)?;
        let _control = self.handle.eal.control();
        // SAFETY: the pipeline is being configured; the name is copied.
        let code =
            unsafe { dpdk_sys::rte_swx_pipeline_packet_metadata_register(self.handle.raw(), name.as_ptr()) };
        check(code, || format!("metadata of {struct_type}"))
    }

    /// An action: what an entry makes of a packet. Its arguments are the fields of a struct.
    pub fn action(
        &mut self,
        name: &str,
        arguments: Option<&str>,
        instructions: &[String],
    ) -> Result<(), SwxError> {
        if let Some(arguments) = arguments {
            self.fields(arguments)?;
        }
        let guarded = guard(instructions, true, &self.headers, self.exits())?;
        let c = c_name(name)?;
        let c_arguments = arguments.map(c_name).transpose()?;
        let (texts, mut pointers) = texts(&guarded.instructions)?;
        let _control = self.handle.eal.control();
        // SAFETY: the pipeline is being configured; texts are C strings, as many as said, and copied.
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_action_config(
                self.handle.raw(),
                c.as_ptr(),
                pointer(c_arguments.as_ref()),
                pointers.as_mut_ptr(),
                texts.len() as u32,
            )
        };
        check(code, || format!("action {name}"))?;
        self.emitted += guarded.emitted;
        self.actions.push((name.to_owned(), arguments.map(str::to_owned)));
        Ok(())
    }

    /// A table. Configure those with wildcards first (see the module).
    pub fn table(&mut self, table: &TableConfig) -> Result<(), SwxError> {
        let name = c_name(&table.name)?;
        let keys = names(table.key.iter().map(|field| field.name.as_str()))?;
        let mut fields: Vec<_> = table
            .key
            .iter()
            .zip(&keys)
            .map(|(field, name)| match_field(field, name))
            .collect();
        let mut actions = ActionNames::new(self, table)?;
        let hash = table.hash.as_deref().map(c_name).transpose()?;
        let kind = table.kind.as_deref().map(c_name).transpose()?;
        let arguments = table.arguments.as_deref().map(c_name).transpose()?;
        let mut params = dpdk_sys::rte_swx_pipeline_table_params {
            fields: if fields.is_empty() {
                ptr::null_mut()
            } else {
                fields.as_mut_ptr()
            },
            n_fields: fields.len() as u32,
            action_names: actions.pointers.as_mut_ptr(),
            action_is_for_table_entries: actions.for_entries.as_mut_ptr(),
            action_is_for_default_entry: actions.for_default.as_mut_ptr(),
            n_actions: actions.names.len() as u32,
            default_action_name: actions.default.as_ptr(),
            default_action_args: pointer(actions.default_arguments.as_ref()),
            default_action_is_const: c_int::from(table.default_is_const),
            hash_func_name: pointer(hash.as_ref()),
        };
        let control = self.handle.eal.control();
        // SAFETY: the pipeline is being configured; all that params points to lives until the call is over, and is copied.
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_table_config(
                self.handle.raw(),
                name.as_ptr(),
                &mut params,
                pointer(kind.as_ref()),
                pointer(arguments.as_ref()),
                table.size,
            )
        };
        drop(control);
        check(code, || format!("table {}", table.name))?;
        self.tables.push(table.clone());
        Ok(())
    }

    /// A table that packets write to.
    pub fn learner(&mut self, learner: &LearnerConfig) -> Result<(), SwxError> {
        let table = &learner.table;
        let name = c_name(&table.name)?;
        let keys = names(table.key.iter().map(|field| field.name.as_str()))?;
        let mut fields: Vec<_> = keys.iter().map(|name| name.as_ptr()).collect();
        let mut actions = ActionNames::new(self, table)?;
        let hash = table.hash.as_deref().map(c_name).transpose()?;
        let mut timeouts = learner.timeouts.clone();
        let mut params = dpdk_sys::rte_swx_pipeline_learner_params {
            field_names: fields.as_mut_ptr(),
            n_fields: fields.len() as u32,
            action_names: actions.pointers.as_mut_ptr(),
            action_is_for_table_entries: actions.for_entries.as_mut_ptr(),
            action_is_for_default_entry: actions.for_default.as_mut_ptr(),
            n_actions: actions.names.len() as u32,
            default_action_name: actions.default.as_ptr(),
            default_action_args: pointer(actions.default_arguments.as_ref()),
            default_action_is_const: c_int::from(table.default_is_const),
            hash_func_name: pointer(hash.as_ref()),
        };
        let _control = self.handle.eal.control();
        // SAFETY: as in table().
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_learner_config(
                self.handle.raw(),
                name.as_ptr(),
                &mut params,
                table.size,
                timeouts.as_mut_ptr(),
                timeouts.len() as u32,
            )
        };
        check(code, || format!("learner {}", table.name))
    }

    /// A table that chooses a member of a group.
    pub fn selector(&mut self, selector: &SelectorConfig) -> Result<(), SwxError> {
        let name = c_name(&selector.name)?;
        let (group, member) = (c_name(&selector.group)?, c_name(&selector.member)?);
        let fields = names(selector.fields.iter().map(String::as_str))?;
        let mut pointers: Vec<_> = fields.iter().map(|name| name.as_ptr()).collect();
        let mut params = dpdk_sys::rte_swx_pipeline_selector_params {
            group_id_field_name: group.as_ptr(),
            selector_field_names: pointers.as_mut_ptr(),
            n_selector_fields: pointers.len() as u32,
            member_id_field_name: member.as_ptr(),
            n_groups_max: selector.groups,
            n_members_per_group_max: selector.members,
        };
        let _control = self.handle.eal.control();
        // SAFETY: as in table().
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_selector_config(self.handle.raw(), name.as_ptr(), &mut params)
        };
        check(code, || format!("selector {}", selector.name))
    }

    /// Registers. Their number is rounded up to a power of two.
    pub fn registers(&mut self, name: &str, size: u32, initial: u64) -> Result<(), SwxError> {
        let c = c_name(name)?;
        let _control = self.handle.eal.control();
        // SAFETY: the pipeline is being configured; the name is copied.
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_regarray_config(self.handle.raw(), c.as_ptr(), size, initial)
        };
        check(code, || format!("{size} registers {name}"))
    }

    /// Meters. Their number is rounded up to a power of two.
    pub fn meters(&mut self, name: &str, size: u32) -> Result<(), SwxError> {
        let c = c_name(name)?;
        let _control = self.handle.eal.control();
        // SAFETY: the pipeline is being configured; the name is copied.
        let code = unsafe { dpdk_sys::rte_swx_pipeline_metarray_config(self.handle.raw(), c.as_ptr(), size) };
        check(code, || format!("{size} meters {name}"))
    }

    /// What happens to a packet.
    pub fn instructions(&mut self, instructions: &[String]) -> Result<(), SwxError> {
        let guarded = guard(instructions, false, &self.headers, self.exits())?;
        let (texts, mut pointers) = texts(&guarded.instructions)?;
        let _control = self.handle.eal.control();
        // SAFETY: as in action().
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_instructions_config(
                self.handle.raw(),
                pointers.as_mut_ptr(),
                texts.len() as u32,
            )
        };
        check(code, || "the instructions of the pipeline".into())?;
        self.extracted += guarded.extracted;
        self.emitted += guarded.emitted;
        Ok(())
    }

    /// Makes it ready to run.
    pub fn build(mut self) -> Result<Pipeline, SwxError> {
        // The pad behind the last header: see PAD.
        let pad = Field {
            name: PAD.into(),
            bits: 64,
        };
        self.register_struct(PAD, &[pad])?;
        self.register_header(PAD, PAD)?;
        // A word for accesses that begin at the last field, and a cache line for the comparison of keys.
        let slack = 64;
        let slots = Slots::new(
            self.ports.packets,
            self.emitted + slack,
            self.ports.largest,
            self.extracted + slack,
        );
        let slots = slots.ok_or(SwxError::Memory { what: "packet slots" })?;
        self.attach_ports()?;
        {
            let _control = self.handle.eal.control();
            // SAFETY: configuration is over.
            let code = unsafe { dpdk_sys::rte_swx_pipeline_build(self.handle.raw()) };
            check(code, || "to build the pipeline".into())?;
        }
        self.handle.control()?;
        let (tables, actions) = self.layouts()?;
        Ok(Pipeline::new(self.handle, slots, self.ports, tables, actions))
    }

    fn exits(&self) -> Exits {
        Exits {
            ports: self.ports.outputs,
        }
    }

    fn fields(&self, name: &str) -> Result<&[Field], SwxError> {
        self.structs
            .get(name)
            .map(Vec::as_slice)
            .ok_or_else(|| SwxError::Unknown {
                what: "struct",
                name: name.to_owned(),
            })
    }

    fn register_struct(&mut self, name: &str, fields: &[Field]) -> Result<(), SwxError> {
        if fields
            .iter()
            .any(|field| !matches!(field.bits, 8..=64) || field.bits % 8 != 0)
        {
            return Err(SwxError::Config {
                what: format!("struct {name}"),
                why: "fields are whole octets, at most eight",
            });
        }
        let octets: u32 = fields.iter().map(|field| field.bits / 8).sum();
        if octets > LARGEST_STRUCT {
            // DPDK would cut the offset in an instruction to eight bits, and access another field.
            return Err(SwxError::Config {
                what: format!("struct {name} of {octets} octets (metadata: 8 of them a pad)"),
                why: "instructions reach 256 octets only",
            });
        }
        let c = c_name(name)?;
        let c_fields = names(fields.iter().map(|field| field.name.as_str()))?;
        let mut params: Vec<_> = fields
            .iter()
            .zip(&c_fields)
            .map(|(field, name)| dpdk_sys::rte_swx_field_params {
                name: name.as_ptr(),
                n_bits: field.bits,
            })
            .collect();
        let _control = self.handle.eal.control();
        // SAFETY: the pipeline is being configured; names and fields are copied.
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_struct_type_register(
                self.handle.raw(),
                c.as_ptr(),
                params.as_mut_ptr(),
                params.len() as u32,
                0,
            )
        };
        check(code, || format!("struct {name}"))
    }

    fn register_header(&mut self, name: &str, struct_type: &str) -> Result<(), SwxError> {
        let (c, c_struct) = (c_name(name)?, c_name(struct_type)?);
        let _control = self.handle.eal.control();
        // SAFETY: the pipeline is being configured; names are copied.
        let code = unsafe {
            dpdk_sys::rte_swx_pipeline_packet_header_register(
                self.handle.raw(),
                c.as_ptr(),
                c_struct.as_ptr(),
            )
        };
        check(code, || format!("header {name}"))
    }

    /// Makes the ports: those a program may name, and the two of [`Exits`].
    fn attach_ports(&mut self) -> Result<(), SwxError> {
        let handle = &mut self.handle;
        let exits = Exits {
            ports: self.ports.outputs,
        };
        handle.departures_reserve(self.ports.packets);
        let (mut input_ops, mut output_ops) = (input_ops(), output_ops());
        let eal = handle.eal.clone();
        let _control = eal.control();
        // SAFETY: the pipeline is being configured; operations and names are copied.
        let codes = unsafe {
            [
                dpdk_sys::rte_swx_pipeline_port_in_type_register(
                    handle.raw(),
                    PORT_TYPE.as_ptr(),
                    &mut input_ops,
                ),
                dpdk_sys::rte_swx_pipeline_port_out_type_register(
                    handle.raw(),
                    PORT_TYPE.as_ptr(),
                    &mut output_ops,
                ),
            ]
        };
        for code in codes {
            check(code, || "ports in memory".into())?;
        }
        for port in 0..self.ports.inputs {
            let object = handle.add_input(Input::default());
            // SAFETY: as above; the object outlives the pipeline (see Handle).
            let code = unsafe {
                dpdk_sys::rte_swx_pipeline_port_in_config(
                    handle.raw(),
                    port,
                    PORT_TYPE.as_ptr(),
                    object.cast(),
                )
            };
            check(code, || format!("input port {port}"))?;
        }
        for port in 0..=exits.dropped() {
            let list = handle.departures_ptr();
            let object = handle.add_output(Output::new(port, list));
            // SAFETY: as above.
            let code = unsafe {
                dpdk_sys::rte_swx_pipeline_port_out_config(
                    handle.raw(),
                    port,
                    PORT_TYPE.as_ptr(),
                    object.cast(),
                )
            };
            check(code, || format!("output port {port}"))?;
        }
        Ok(())
    }

    /// Asks DPDK where fields are, and in which order octets go.
    fn layouts(&self) -> Result<(Vec<TableLayout>, HashMap<String, ActionLayout>), SwxError> {
        let raw = self.handle.raw();
        let mut actions = HashMap::new();
        for (id, (name, arguments)) in self.actions.iter().enumerate() {
            let count = arguments
                .as_deref()
                .map_or(Ok(0), |name| self.fields(name).map(<[Field]>::len))?;
            // SAFETY: the pipeline is built.
            let layout = unsafe { describe_action(raw, id as u32, name, count as u32) }?;
            actions.insert(name.clone(), layout);
        }
        // SAFETY: as above.
        let described = |(id, table)| unsafe { describe_table(raw, id as u32, table) };
        let tables = self.tables.iter().enumerate().map(described);
        Ok((tables.collect::<Result<_, _>>()?, actions))
    }
}

/// A table's actions as DPDK wants them.
struct ActionNames {
    names: Vec<CString>,
    pointers: Vec<*const c_char>,
    for_entries: Vec<c_int>,
    for_default: Vec<c_int>,
    default: CString,
    default_arguments: Option<CString>,
}

impl ActionNames {
    fn new(builder: &Builder, table: &TableConfig) -> Result<Self, SwxError> {
        let refuse = |why| SwxError::Config {
            what: format!("table {}", table.name),
            why,
        };
        // DPDK looks for the default action beyond the end of the list if it is not on it.
        if !table
            .actions
            .iter()
            .any(|(name, _, _)| *name == table.default_action)
        {
            return Err(refuse("its default action is none of its actions"));
        }
        let known = builder
            .actions
            .iter()
            .find(|(name, _)| *name == table.default_action);
        let (_, arguments) = known.ok_or_else(|| refuse("its default action is not configured"))?;
        // DPDK takes the arguments' text for granted if the action has some.
        if arguments.is_some() != table.default_arguments.is_some() {
            return Err(refuse("its default action needs arguments, or has some too many"));
        }
        let names = names(table.actions.iter().map(|(name, _, _)| name.as_str()))?;
        let arguments = table.default_arguments.as_deref().map(CString::new).transpose();
        Ok(Self {
            pointers: names.iter().map(|name| name.as_ptr()).collect(),
            names,
            for_entries: table
                .actions
                .iter()
                .map(|&(_, entries, _)| c_int::from(entries))
                .collect(),
            for_default: table
                .actions
                .iter()
                .map(|&(_, _, default)| c_int::from(default))
                .collect(),
            default: c_name(&table.default_action)?,
            default_arguments: arguments.map_err(|_| SwxError::Name(table.name.clone()))?,
        })
    }
}

fn match_field(field: &MatchField, name: &CStr) -> dpdk_sys::rte_swx_match_field_params {
    dpdk_sys::rte_swx_match_field_params {
        name: name.as_ptr(),
        match_type: match field.kind {
            MatchKind::Exact => dpdk_sys::RTE_SWX_TABLE_MATCH_EXACT,
            MatchKind::Prefix => dpdk_sys::RTE_SWX_TABLE_MATCH_LPM,
            MatchKind::Wildcard => dpdk_sys::RTE_SWX_TABLE_MATCH_WILDCARD,
        },
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<CString>, SwxError> {
    names.map(c_name).collect()
}

/// Instructions as C strings, and where these are. DPDK checks their length (255 octets) itself.
fn texts(instructions: &[String]) -> Result<(Vec<CString>, Vec<*const c_char>), SwxError> {
    let texts = instructions
        .iter()
        .map(|text| CString::new(text.as_str()).map_err(|_| SwxError::Name(text.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    let pointers = texts.iter().map(|text| text.as_ptr()).collect();
    Ok((texts, pointers))
}

fn pointer(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}
