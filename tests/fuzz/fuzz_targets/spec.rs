//! Any text as a program for DPDK's software pipeline: read, or refused with the line where it is wrong; and making its metadata small
//! changes no instruction's widths.
#![no_main]

use kith_p4_runner::spec::Spec;
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::fmt::Write;

fn check(text: &str) {
    match Spec::parse(text) {
        Err(error) => {
            assert!((1..=text.lines().count() + 1).contains(&error.line), "line {}", error.line);
            assert!(!error.to_string().is_empty());
        }
        Ok(spec) => {
            let compact = spec.clone().compact();
            let names = spec.metadata.as_ref().and_then(|at| spec.struct_of(&at.item));
            let names = names.map(|of| of.fields.iter().map(|field| &field.name).collect::<Vec<_>>());
            let names = names.unwrap_or_default();
            if names.iter().collect::<HashSet<_>>().len() != names.len() {
                // Two fields of one name: DPDK refuses the struct.
                return;
            }
            let lines = |spec: &Spec| spec.apply.clone().map(|at| at.item).unwrap_or_default();
            let (before, after) = (lines(&spec), lines(&compact));
            assert_eq!(before.len(), after.len());
            for (old, new) in before.iter().zip(&after) {
                let (old, new): (Vec<_>, Vec<_>) =
                    (old.split_whitespace().collect(), new.split_whitespace().collect());
                assert_eq!(old.len(), new.len());
                for (old, new) in old.iter().zip(new) {
                    assert!(*old == new || old.starts_with("m."), "only metadata moves");
                    assert_eq!(spec.width(old), compact.width(new), "{old} became {new}");
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check(text);
    // The input as the instructions of a program that must be made small.
    let (mut fields, mut keys) = (String::new(), String::new());
    for number in 0..31 {
        let _ = writeln!(fields, "bit<64> k{number}");
        let _ = writeln!(keys, "m.k{number} exact");
    }
    for (name, bits) in [("a", 32), ("b", 32), ("c", 32), ("d", 8), ("e", 8), ("f", 64)] {
        let _ = writeln!(fields, "bit<{bits}> {name}");
    }
    check(&format!(
        "struct m_t {{\n{fields}}}\nmetadata instanceof m_t\ntable t {{\nkey {{\n{keys}}}\nactions {{\nnone\n}}\n\
         default_action none args none\n}}\napply {{\n{text}\n}}\n"
    ));
});
