//! Makes a program harmless: what SWX would take on trust is checked or guarded.
//!
//! The rules, each for a way in which a program could leave its memory:
//! 1. Jumps go forward. Then every `extract` and `emit` happens at most once, and their sizes add up to what a slot must have.
//! 2. A header is emitted by one instruction only: SWX gathers what is emitted in room for each header once.
//! 3. `rx` stands at the beginning and nowhere else; an action ends with `return` or a `tx`.
//! 4. `tx m.port` is preceded by a comparison with the number of ports; `drop` becomes a `tx` (see the module above).
//! 5. `meter` with a number for a length gets it from a field.
//! 6. No mirroring, recirculation, external functions, or headers of variable size.

use super::SwxError;
use std::collections::{HashMap, HashSet};

/// Where packets go that do not leave by a port.
#[derive(Clone, Copy)]
pub(super) struct Exits {
    /// How many ports there are for programs to name.
    pub(super) ports: u32,
}

impl Exits {
    pub(super) fn out_of_range(self) -> u32 {
        self.ports
    }

    pub(super) fn dropped(self) -> u32 {
        self.ports + 1
    }
}

/// A program that cannot do harm.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) instructions: Vec<String>,
    /// Octets it extracts at most.
    pub(super) extracted: usize,
    /// Octets it emits at most.
    pub(super) emitted: usize,
}

/// Checks and guards the instructions of an action, or of the pipeline. `headers` knows how many octets each header has.
pub(super) fn guard(
    instructions: &[String],
    in_action: bool,
    headers: &HashMap<String, usize>,
    exits: Exits,
) -> Result<Guarded, SwxError> {
    let mut out = Guarded {
        instructions: Vec::with_capacity(instructions.len() + 4),
        extracted: 0,
        emitted: 0,
    };
    let mut labels = HashSet::new();
    let mut emitted = HashSet::new();
    let mut guards = 0;
    for (index, line) in instructions.iter().enumerate() {
        let refuse = |why| {
            Err(SwxError::Instruction {
                instruction: line.clone(),
                why,
            })
        };
        let mut tokens: Vec<&str> = line.split_whitespace().collect();
        let mut label = String::new();
        if let [name, ":", ..] = tokens[..] {
            if name.starts_with(GUARD) {
                return refuse("labels of this form are for guards");
            }
            label = format!("{name} : ");
            labels.insert(name.to_owned());
            tokens.drain(..2);
        }
        let last = index + 1 == instructions.len();
        match tokens[..] {
            [] => return refuse("it is empty"),
            ["rx", ..] if index != 0 || in_action => {
                return refuse("rx is for the beginning of the pipeline");
            }
            ["mirror" | "recirculate" | "recircid" | "extern", ..] => return refuse("it is not served"),
            ["extract", _, _] => return refuse("headers of variable size are not served"),
            ["extract" | "lookahead", header] => match headers.get(header) {
                Some(octets) => out.extracted += octets,
                None => return refuse("there is no such header"),
            },
            ["emit", header] => match headers.get(header) {
                Some(octets) if emitted.insert(header.to_owned()) => out.emitted += octets,
                Some(_) => return refuse("the header is emitted twice"),
                None => return refuse("there is no such header"),
            },
            ["drop"] => {
                out.instructions.push(format!("{label}tx {}", exits.dropped()));
                continue;
            }
            // 22.11 takes the length from a field only, and p4c writes a number.
            ["meter", array, index, length, color, result] if number(length).is_some() => {
                out.instructions.push(format!("{label}mov {SCRATCH} {length}"));
                out.instructions
                    .push(format!("meter {array} {index} {SCRATCH} {color} {result}"));
                continue;
            }
            ["tx", port] if port.starts_with("m.") => {
                let passes = format!("{GUARD}{guards}");
                guards += 1;
                out.instructions
                    .push(format!("{label}jmplt {passes} {port} {}", exits.ports));
                out.instructions.push(format!("tx {}", exits.out_of_range()));
                out.instructions.push(format!("{passes} : tx {port}"));
                continue;
            }
            ["tx", port] => match number(port) {
                Some(port) if port < u64::from(exits.ports) => {}
                _ => return refuse("there is no such port"),
            },
            [jump, to, ..] if jump.starts_with("jmp") && labels.contains(to) => {
                return refuse("it jumps backwards");
            }
            [other, ..] if in_action && last && other != "return" && other != "jmp" => {
                return refuse("an action ends with return");
            }
            _ => {}
        }
        out.instructions.push(line.clone());
    }
    Ok(out)
}

/// A field of metadata that no program knows; see PAD of the builder.
pub(super) const SCRATCH: &str = "m.kith_pad";
/// How labels of guards begin.
const GUARD: &str = "KITH_GUARD_";

/// A number as C reads it, decimal or hexadecimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_guard(lines: &[&str], in_action: bool) -> Result<Guarded, SwxError> {
        let headers = HashMap::from([("h.a".to_owned(), 14), ("h.b".to_owned(), 20)]);
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        guard(&lines, in_action, &headers, Exits { ports: 8 })
    }

    fn why(lines: &[&str], in_action: bool) -> &'static str {
        match try_guard(lines, in_action).expect_err("refused") {
            SwxError::Instruction { why, .. } => why,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_tx_is_guarded_and_a_drop_is_a_tx() {
        let guarded =
            try_guard(&["rx m.in", "jmpeq L m.x 1", "drop", "L : tx m.out"], false).expect("harmless");
        let want = [
            "rx m.in",
            "jmpeq L m.x 1",
            "tx 9",
            "L : jmplt KITH_GUARD_0 m.out 8",
            "tx 8",
            "KITH_GUARD_0 : tx m.out",
        ];
        assert_eq!(guarded.instructions, want);
    }

    #[test]
    fn a_meter_takes_its_length_from_a_field() {
        let guarded = try_guard(&["L : meter a m.i 0x1 0x1 m.c", "return"], true).expect("harmless");
        let want = [
            "L : mov m.kith_pad 0x1",
            "meter a m.i m.kith_pad 0x1 m.c",
            "return",
        ];
        assert_eq!(guarded.instructions, want);
    }

    #[test]
    fn octets_extracted_and_emitted_add_up() {
        let lines = [
            "rx m.in",
            "extract h.a",
            "lookahead h.b",
            "extract h.b",
            "emit h.a",
            "tx 1",
        ];
        let guarded = try_guard(&lines, false).expect("harmless");
        assert_eq!((guarded.extracted, guarded.emitted), (54, 14));
    }

    #[test]
    fn what_could_do_harm_is_refused() {
        assert_eq!(
            why(&["rx m.in", "L : extract h.a", "jmp L"], false),
            "it jumps backwards"
        );
        assert_eq!(
            why(&["rx m.in", "emit h.a", "emit h.a", "tx 1"], false),
            "the header is emitted twice"
        );
        assert_eq!(
            why(&["rx m.in", "rx m.in"], false),
            "rx is for the beginning of the pipeline"
        );
        assert_eq!(why(&["rx m.in", "tx 0x8"], false), "there is no such port");
        assert_eq!(why(&["rx m.in", "extract h.c"], false), "there is no such header");
        assert_eq!(
            why(&["rx m.in", "recirculate", "tx 1"], false),
            "it is not served"
        );
        assert_eq!(why(&["mov m.x t.y"], true), "an action ends with return");
        assert_eq!(
            why(&["rx m.in", "KITH_GUARD_0 : tx 1"], false),
            "labels of this form are for guards"
        );
    }
}
