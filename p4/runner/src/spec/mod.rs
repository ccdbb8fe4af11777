//! The text that p4c's DPDK back end writes: a program for SWX.
//!
//! DPDK 22.11 can read it only to make C of it, so it is read here: a statement a line, blocks in braces. What the lines mean is
//! left to DPDK; [`parse`](Spec::parse) knows their form, and says which line is wrong.

mod compact;
mod parse;

use kith_dpdk::swx::{Field, LearnerConfig, SelectorConfig, TableConfig};

pub use parse::{Problem, SpecError};

/// Something, and the line where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// Counted from 1.
    pub line: usize,
    /// What is there.
    pub item: T,
}

/// A struct type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struct {
    /// Its name.
    pub name: String,
    /// Its fields, in order.
    pub fields: Vec<Field>,
}

/// A header instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, without `h.`.
    pub name: String,
    /// The struct it is an instance of.
    pub struct_type: String,
}

/// An action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSpec {
    /// Its name.
    pub name: String,
    /// The struct of its arguments.
    pub arguments: Option<String>,
    /// A line each.
    pub instructions: Vec<String>,
}

/// Registers or meters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Their name.
    pub name: String,
    /// How many.
    pub size: u32,
    /// What registers begin with.
    pub initial: u64,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "what the language calls them")]
pub struct Spec {
    pub structs: Vec<At<Struct>>,
    pub headers: Vec<At<Header>>,
    pub metadata: Option<At<String>>,
    pub actions: Vec<At<ActionSpec>>,
    pub tables: Vec<At<TableConfig>>,
    pub learners: Vec<At<LearnerConfig>>,
    pub selectors: Vec<At<SelectorConfig>>,
    pub registers: Vec<At<Array>>,
    pub meters: Vec<At<Array>>,
    pub apply: Option<At<Vec<String>>>,
}

impl Spec {
    /// The struct of that name.
    pub fn struct_of(&self, name: &str) -> Option<&Struct> {
        self.structs
            .iter()
            .map(|found| &found.item)
            .find(|found| found.name == name)
    }

    /// The action of that name.
    pub fn action(&self, name: &str) -> Option<&ActionSpec> {
        self.actions
            .iter()
            .map(|found| &found.item)
            .find(|found| found.name == name)
    }

    /// Width of a field named `h.header.field` or `m.field`.
    pub fn width(&self, field: &str) -> Option<u32> {
        let (struct_type, field) = match field.split('.').collect::<Vec<_>>()[..] {
            ["m", field] => (&self.metadata.as_ref()?.item, field),
            ["h", header, field] => {
                let header = self.headers.iter().find(|found| found.item.name == header)?;
                (&header.item.struct_type, field)
            }
            _ => return None,
        };
        let fields = &self.struct_of(struct_type)?.fields;
        fields
            .iter()
            .find(|found| found.name == field)
            .map(|found| found.bits)
    }
}
