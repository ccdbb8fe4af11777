//! Words that several listings have in common.

use super::view::Done;
use crate::error::Error;
use crate::output::{self, Format};

/// Names and values below each other; what is empty is left out.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let there = || facts.iter().filter(|(_, value)| !value.is_empty());
    let width = there().map(|(name, _)| name.len()).max().unwrap_or(0);
    there()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// A text, or `-`.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

/// Several texts, or `-`.
pub(super) fn list(texts: &[String]) -> String {
    or_dash(&texts.join(","))
}

/// A decision.
pub(super) fn verdict(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

/// Octets: `1.23 GB`.
pub(super) fn volume(octets: u64) -> String {
    match octets {
        0..1_000 => format!("{octets} B"),
        1_000..1_000_000 => of_unit(octets, 1_000, "kB"),
        1_000_000..1_000_000_000 => of_unit(octets, 1_000_000, "MB"),
        1_000_000_000..1_000_000_000_000 => of_unit(octets, 1_000_000_000, "GB"),
        _ => of_unit(octets, 1_000_000_000_000, "TB"),
    }
}

/// Cut, not rounded: what is shown has been used.
fn of_unit(octets: u64, unit: u64, name: &str) -> String {
    let hundredths = octets / (unit / 100);
    format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
}

/// Says that it is done.
pub(super) fn done(format: Format, name: &str, done: &'static str) -> Result<u8, Error> {
    output::show(format, &Done { name, done }, |said| {
        format!("{}: {}\n", said.name, said.done)
    })?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_aligned_and_what_is_empty_is_left_out() {
        let shown = facts(&[
            ("name", "a".into()),
            ("director", String::new()),
            ("state", "joined".into()),
        ]);
        assert_eq!(shown, "name   a\nstate  joined\n");
    }

    #[test]
    fn volumes_read_well() {
        let read = [0, 999, 1_000, 1_234_567, 1_999_999_999, 45_600_000_000_000].map(volume);
        assert_eq!(
            read,
            ["0 B", "999 B", "1.00 kB", "1.23 MB", "1.99 GB", "45.60 TB"]
        );
    }
}
