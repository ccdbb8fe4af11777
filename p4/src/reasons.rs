//! Numbers and words of drops and punts, as `kith/reasons.p4` has them.

use crate::{Error, Folder};

const FILE: &str = "kith/reasons.p4";

/// The words in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons {
    /// Why a packet is dropped.
    pub drops: Vec<String>,
    /// Why a packet goes up.
    pub punts: Vec<String>,
}

/// Reads them; numbers must count up from 0 and end at the declared total.
pub fn read(folder: &Folder) -> Result<Reasons, Error> {
    parse(&folder.read(FILE)?)
}

fn parse(text: &str) -> Result<Reasons, Error> {
    let mut reasons = Reasons {
        drops: Vec::new(),
        punts: Vec::new(),
    };
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: String| Error::Malformed {
            file: FILE,
            line: number + 1,
            what,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        let (name, value) = line
            .strip_prefix("const bit<16> ")
            .or_else(|| line.strip_prefix("const bit<32> "))
            .and_then(|rest| rest.trim_end_matches(';').split_once('='))
            .ok_or_else(|| wrong("neither a constant nor a comment".to_owned()))?;
        let value: usize = value
            .trim()
            .parse()
            .map_err(|_| wrong(format!("`{}` is no number", value.trim())))?;
        let (list, word) = match name.trim().split_once('_') {
            Some(("DROP", word)) => (&mut reasons.drops, word),
            Some(("PUNT", word)) => (&mut reasons.punts, word),
            _ => return Err(wrong(format!("`{}` is no reason", name.trim()))),
        };
        if value != list.len() {
            return Err(wrong(format!("expected the number {}", list.len())));
        }
        if word != "REASONS" {
            list.push(word.to_lowercase());
        }
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_and_a_wrong_total_are_refused() {
        let two = "const bit<16> DROP_A = 0;\nconst bit<16> DROP_B = 1;\n";
        assert_eq!(parse(two).unwrap().drops, ["a", "b"]);
        assert!(parse(&two.replace('1', "2")).is_err());
        assert!(parse(&format!("{two}const bit<32> DROP_REASONS = 3;")).is_err());
    }
}
