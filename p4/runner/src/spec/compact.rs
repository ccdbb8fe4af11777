//! Makes metadata small enough to be addressed.
//!
//! Problem: p4c makes a field of metadata for every part of an expression and shares none, and SWX reaches the first 256 octets only
//! (22.11 cuts an operand's offset to eight bits and accesses another field; kith-dpdk refuses such a program).
//!
//! Idea: jumps go forward, so a packet meets the instructions in the order in which they stand. Of two fields that only instructions
//! of the pipeline name (no action, no key), if one is named for the last time before the other is named for the first time, they can be
//! the same field: no value of the one is ever wanted when the other's is. No control flow has to be looked at.
//!
//! ```text
//!   line  10   12        20   22
//!   a     ─────┐
//!   b               ─────────┐        b moves in with a
//!   c           ──────────            c overlaps both and stays
//! ```

use super::Spec;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Octets for fields, with a pad for kith-dpdk behind them.
const ROOM: u32 = 256 - 8;

impl Spec {
    /// The same program with metadata that can be addressed, if sharing fields achieves it. A program that is small enough is left
    /// as it is.
    pub fn compact(mut self) -> Self {
        let Some(metadata) = self.metadata.as_ref().map(|at| at.item.clone()) else {
            return self;
        };
        let fields = self
            .struct_of(&metadata)
            .map(|found| found.fields.clone())
            .unwrap_or_default();
        let octets: u32 = fields.iter().map(|field| field.bits / 8).sum();
        if octets <= ROOM {
            return self;
        }
        let pinned = self.pinned();
        let apply = self
            .apply
            .as_ref()
            .map(|at| at.item.as_slice())
            .unwrap_or_default();
        let mut named: HashMap<&str, (usize, usize)> = HashMap::new();
        for (line, instruction) in apply.iter().enumerate() {
            for field in fields_of(instruction) {
                named.entry(field).or_insert((line, line)).1 = line;
            }
        }
        // By first line: then the first that is free is as good as any.
        let mut movable: Vec<_> = fields
            .iter()
            .filter(|field| !pinned.contains(&field.name))
            .filter_map(|field| {
                named
                    .get(field.name.as_str())
                    .map(|&(first, last)| (first, last, field))
            })
            .collect();
        movable.sort_by_key(|&(first, ..)| first);
        let mut homes: BTreeMap<u32, Vec<(&str, usize)>> = BTreeMap::new();
        let mut moved: HashMap<&str, &str> = HashMap::new();
        for (first, last, field) in movable {
            let homes = homes.entry(field.bits).or_default();
            match homes.iter_mut().find(|(_, until)| *until < first) {
                Some((home, until)) => {
                    moved.insert(&field.name, home);
                    *until = last;
                }
                None => homes.push((&field.name, last)),
            }
        }
        let is_used = |name: &str| pinned.contains(name) || named.contains_key(name);
        let kept: Vec<_> = fields
            .iter()
            .filter(|field| is_used(&field.name) && !moved.contains_key(field.name.as_str()))
            .cloned()
            .collect();
        let rewritten: Vec<String> = apply
            .iter()
            .map(|instruction| rename(instruction, &moved))
            .collect();
        if let Some(apply) = &mut self.apply {
            apply.item = rewritten;
        }
        for found in self
            .structs
            .iter_mut()
            .filter(|found| found.item.name == metadata)
        {
            found.item.fields.clone_from(&kept);
        }
        self
    }

    /// Fields of metadata that others than the pipeline's instructions name.
    fn pinned(&self) -> HashSet<String> {
        let actions = self.actions.iter().flat_map(|action| &action.item.instructions);
        let mut pinned: HashSet<String> = actions
            .flat_map(|instruction| fields_of(instruction))
            .map(str::to_owned)
            .collect();
        let tables = self.tables.iter().map(|table| &table.item);
        let learners = self.learners.iter().map(|learner| &learner.item.table);
        let keys = tables
            .chain(learners)
            .flat_map(|table| &table.key)
            .map(|field| &field.name);
        let selectors = self.selectors.iter().map(|selector| &selector.item);
        let selected =
            selectors.flat_map(|selector| selector.fields.iter().chain([&selector.group, &selector.member]));
        pinned.extend(
            keys.chain(selected)
                .filter_map(|name| name.strip_prefix("m.").map(str::to_owned)),
        );
        pinned
    }
}

fn fields_of(instruction: &str) -> impl Iterator<Item = &str> {
    instruction
        .split_whitespace()
        .filter_map(|token| token.strip_prefix("m."))
}

fn rename(instruction: &str, moved: &HashMap<&str, &str>) -> String {
    let tokens = instruction.split_whitespace().map(|token| {
        let home = token.strip_prefix("m.").and_then(|field| moved.get(field));
        home.map_or_else(|| token.to_owned(), |home| format!("m.{home}"))
    });
    tokens.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of 257 octets of metadata, of which 248 are in a key.
    fn large(apply: &str) -> Spec {
        let key: Vec<String> = (0..31).map(|number| format!("k{number}")).collect();
        let fields: String = key.iter().map(|name| format!("bit<64> {name}\n")).collect();
        let keys: String = key.iter().map(|name| format!("m.{name} exact\n")).collect();
        let text = format!(
            "struct m_t {{\n{fields}bit<32> a\nbit<32> b\nbit<32> c\nbit<8> d\nbit<32> unused\n}}\n\
             metadata instanceof m_t\n\
             table t {{\nkey {{\n{keys}}}\nactions {{\nnone\n}}\ndefault_action none args none\n}}\n\
             apply {{\n{apply}}}\n"
        );
        Spec::parse(&text).expect("well formed").compact()
    }

    #[test]
    fn fields_that_are_never_wanted_at_once_become_one() {
        let spec = large("rx m.k0\nmov m.a 1\nmov m.c m.a\nL : mov m.b m.c\nmov m.d m.b\ntx m.k0\n");
        let want = [
            "rx m.k0",
            "mov m.a 1",
            "mov m.c m.a",
            "L : mov m.a m.c",
            "mov m.d m.a",
            "tx m.k0",
        ];
        assert_eq!(spec.apply.as_ref().expect("there").item, want);
        let fields = &spec.struct_of("m_t").expect("there").fields;
        let names: Vec<_> = fields.iter().skip(31).map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a", "c", "d"], "b is a, what nobody names is gone");
    }

    #[test]
    fn a_field_that_is_named_again_is_not_given_away() {
        let spec = large("rx m.k0\nmov m.a 1\nmov m.b 2\nmov m.c m.b\nmov m.d m.a\ntx m.k0\n");
        let fields = &spec.struct_of("m_t").expect("there").fields;
        assert_eq!(fields.len(), 31 + 4);
    }
}
