//! Where the two sides differ, in as few words as show it.

use crate::dissect::{headers, name_of};
use crate::world::{Counted, Input, Outcome, Side};
use kith_pipeline::reason::{DropReason, PuntReason};
use std::fmt::Write;

/// The UDP port of the encapsulation in all worlds of cases.
pub const PORT: u16 = 20202;

/// Sends a frame to both; the difference, or what became of it.
pub fn both(rust: &mut dyn Side, p4: &mut dyn Side, input: &Input) -> Result<Outcome, String> {
    let (of_rust, of_p4) = (rust.process(input), p4.process(input));
    match difference(&of_rust, &of_p4) {
        None => Ok(of_rust),
        Some(what) => Err(format!(
            "{what}\nof this packet, by port {}:\n{}",
            input.port,
            shown(&input.frame)
        )),
    }
}

/// The difference between two outcomes.
#[must_use]
pub fn difference(rust: &Outcome, p4: &Outcome) -> Option<String> {
    if rust == p4 {
        return None;
    }
    let mut text = String::new();
    let (a, b) = (in_words(rust), in_words(p4));
    if a == b {
        let _fits = writeln!(text, "both: {a}");
    } else {
        let _fits = writeln!(text, "Rust: {a}\nP4:   {b}");
    }
    if let (Some(rust), Some(p4)) = (frame_of(rust), frame_of(p4)) {
        text.push_str(&octets_between(("Rust", rust), ("P4", p4)));
    }
    Some(text.trim_end().to_owned())
}

/// The difference between two sets of counters.
#[must_use]
pub fn counters(rust: &Counted, p4: &Counted) -> Option<String> {
    let mut text = String::new();
    let mut line = |what: String, rust: u64, p4: u64| {
        if rust != p4 {
            let _fits = writeln!(text, "{what}: Rust {rust}, P4 {p4}");
        }
    };
    for reason in DropReason::ALL {
        let of = |side: &Counted| side.drops.get(*reason as usize).copied().unwrap_or(0);
        line(format!("drops[{reason}]"), of(rust), of(p4));
    }
    for reason in PuntReason::ALL {
        let of = |side: &Counted| side.punts.get(*reason as usize).copied().unwrap_or(0);
        line(format!("punts[{reason}]"), of(rust), of(p4));
    }
    for (number, (of_rust, of_p4)) in rust.direct.iter().zip(&p4.direct).enumerate() {
        line(
            format!("{} (counted entry {number}), packets", of_rust.0),
            of_rust.1,
            of_p4.1,
        );
        line(
            format!("{} (counted entry {number}), octets", of_rust.0),
            of_rust.2,
            of_p4.2,
        );
    }
    if rust.direct.len() != p4.direct.len() {
        line(
            "entries that count".to_owned(),
            rust.direct.len() as u64,
            p4.direct.len() as u64,
        );
    }
    (!text.is_empty()).then(|| text.trim_end().to_owned())
}

/// An outcome in a line.
#[must_use]
pub fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent { port, frame } => format!("sends {} octets by port {port}", frame.len()),
        Outcome::Up {
            reason,
            ingress,
            frame,
        } => {
            format!(
                "hands up {} octets for {reason}, come by port {ingress}",
                frame.len()
            )
        }
        Outcome::Dropped { reason } => format!("drops for {reason}"),
        Outcome::Consumed => "takes it and sends nothing".to_owned(),
    }
}

fn frame_of(outcome: &Outcome) -> Option<&[u8]> {
    match outcome {
        Outcome::Sent { frame, .. } | Outcome::Up { frame, .. } => Some(frame),
        Outcome::Dropped { .. } | Outcome::Consumed => None,
    }
}

/// The octets in which two frames differ, with the fields they are in; a run of them is one line.
#[must_use]
pub fn octets_between((one_name, one): (&str, &[u8]), (other_name, other): (&str, &[u8])) -> String {
    let mut text = String::new();
    if one.len() != other.len() {
        let (is, but) = (one.len(), other.len());
        let _fits = writeln!(text, "  {one_name}: {is} octets, {other_name}: {but}");
    }
    let found = headers(one, PORT);
    let name = |at: usize| name_of(&found, at).unwrap_or_else(|| "(content)".to_owned());
    let differs = |at: &usize| one.get(*at) != other.get(*at);
    let end = one.len().min(other.len());
    let mut at = 0;
    while let Some(from) = (at..end).find(differs) {
        // A whole field, or a run of other octets.
        let field = name(from);
        let same = |at: &usize| name(*at) == field && (field != "(content)" || differs(at));
        let start = if field == "(content)" {
            from
        } else {
            (0..=from).rev().take_while(same).last().unwrap_or(from)
        };
        let to = (from..end).find(|at| !same(at)).unwrap_or(end);
        let hex = |frame: &[u8]| {
            frame[start..to]
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let _fits = writeln!(
            text,
            "  {start:>4} {field:<26} {one_name} {:<18} {other_name} {}",
            hex(one),
            hex(other)
        );
        at = to;
    }
    text
}

/// A frame, header by header, and the rest in hexadecimal.
#[must_use]
pub fn shown(frame: &[u8]) -> String {
    let mut text = String::new();
    let found = headers(frame, PORT);
    let mut end = 0;
    for header in &found {
        let fields = header.header.fields.iter().map(|field| {
            let value = header.header.get(frame, header.at, field.name);
            format!("{}={}", field.name, value_in_words(field.len, field.name, value))
        });
        let _fits = writeln!(
            text,
            "  {:<9} {}",
            header.name,
            fields.collect::<Vec<_>>().join(" ")
        );
        end = header.at + header.header.len();
    }
    for (row, octets) in frame.get(end..).unwrap_or(&[]).chunks(32).enumerate() {
        let hex: String = octets.iter().map(|octet| format!("{octet:02x} ")).collect();
        let _fits = writeln!(text, "  {:>4}      {}", end + 32 * row, hex.trim_end());
    }
    let _fits = write!(text, "  {} octets", frame.len());
    text
}

fn value_in_words(len: usize, name: &str, value: u64) -> String {
    let octets = value.to_be_bytes();
    match (len, name) {
        (6, _) => octets[2..]
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect::<Vec<_>>()
            .join(":"),
        (
            4,
            "source"
            | "destination"
            | "sender"
            | "target"
            | "source_director"
            | "destination_director"
            | "source_member"
            | "destination_member",
        ) => std::net::Ipv4Addr::from_bits(value as u32).to_string(),
        (
            _,
            "checksum" | "ethertype" | "flags_fragment" | "version_ihl" | "spi" | "flags" | "data_offset",
        ) => format!("{value:#x}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::build;

    #[test]
    fn a_difference_names_the_field() {
        let frame = build(["ethernet", "ipv4 ttl=64 source=10.0.0.1", "octets 8"]).unwrap();
        let other = build(["ethernet", "ipv4 ttl=63 source=10.0.0.1", "octets 8"]).unwrap();
        let sent = |frame: &[u8]| Outcome::Sent {
            port: 1,
            frame: frame.to_vec(),
        };
        let text = difference(&sent(&frame), &sent(&other)).unwrap();
        assert!(
            text.contains("ipv4.ttl") && text.contains("Rust 40 ") && text.contains("P4 3f"),
            "{text}"
        );
        assert!(text.contains("ipv4.checksum"), "{text}");
        assert_eq!(difference(&sent(&frame), &sent(&frame)), None);
    }

    #[test]
    fn counters_differ_by_name() {
        let mut rust = Counted {
            drops: vec![0; DropReason::COUNT],
            ..Counted::default()
        };
        let p4 = rust.clone();
        assert_eq!(counters(&rust, &p4), None);
        rust.drops[DropReason::TtlExpired as usize] = 2;
        assert_eq!(counters(&rust, &p4).unwrap(), "drops[ttl_expired]: Rust 2, P4 0");
    }
}
