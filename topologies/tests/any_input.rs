//! Any octets at all: an answer, never a panic, and bounded work.

use kith_topologies::{Diagnostics, parse, parse_bytes};
use proptest::{collection::vec, prelude::*, sample::Index};

const QUICKSTART: &str = include_str!("../quickstart.yaml");

/// What holds of every answer.
fn holds(text: &[u8]) {
    let check = |found: &Diagnostics| {
        let length = text.len();
        assert!(found.len() <= 100);
        for d in found {
            assert!(
                d.line >= 1 && d.column >= 1 && d.span.start <= d.span.end && d.span.end <= length,
                "{d:?}"
            );
            assert!(!d.message.is_empty() && !d.help.is_empty());
        }
        assert!(!found.render(false).contains('\x1b'));
    };
    match parse_bytes("any", text) {
        Ok(loaded) => check(&loaded.warnings),
        Err(found) => {
            check(&found);
            assert!(found.has_errors());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_octets(octets in vec(any::<u8>(), 0..400)) {
        holds(&octets);
    }

    #[test]
    fn any_text_of_yaml_characters(text in "[a-c0-9 \n:\\-\\[\\]{}&*!|>'\"%@`,?#\t.~/]{0,200}") {
        holds(text.as_bytes());
    }

    #[test]
    fn the_quickstart_with_octets_changed(changes in vec((any::<Index>(), any::<u8>()), 1..12)) {
        let mut octets = QUICKSTART.as_bytes().to_vec();
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        holds(&octets);
    }

    #[test]
    fn the_quickstart_with_values_swapped(swaps in vec((any::<Index>(), any::<Index>()), 1..6)) {
        let mut lines: Vec<String> = QUICKSTART.lines().map(str::to_owned).collect();
        for (a, b) in swaps {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            // Keys stay, values change place: the form is right and what it says is not.
            let parts = (lines[a].split_once(": "), lines[b].split_once(": "));
            if let (Some((ka, va)), Some((kb, vb))) = parts {
                let (one, other) = (format!("{ka}: {vb}"), format!("{kb}: {va}"));
                (lines[a], lines[b]) = (one, other);
            }
        }
        holds(lines.join("\n").as_bytes());
    }

    #[test]
    fn the_quickstart_with_lines_lost_or_repeated(edits in vec((any::<Index>(), any::<bool>()), 1..8)) {
        let mut lines: Vec<&str> = QUICKSTART.lines().collect();
        for (at, repeat) in edits {
            let at = at.index(lines.len());
            if repeat {
                lines.insert(at, lines[at]);
            } else {
                lines.remove(at);
            }
        }
        holds(lines.join("\n").as_bytes());
    }

    #[test]
    fn the_quickstart_with_an_extreme_value(at in any::<Index>(), extreme in prop::sample::select(&[
        "0", "-1", "4294967296", "99999999999999999999999", "0.0.0.0/0", "255.255.255.255/32", "0.0.0.0", "255.255.255.255",
        "18446744073709551615h", "0ms", "[]", "{}", "null", "''", "a.", "1.2.3.4/31", "🦀", "*x", "&x y", "!!int 3",
    ][..])) {
        let lines: Vec<&str> = QUICKSTART.lines().collect();
        let values: Vec<usize> = (0..lines.len()).filter(|&n| lines[n].contains(": ") && !lines[n].starts_with('#')).collect();
        let at = values[at.index(values.len())];
        let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        let key = lines[at].split_once(": ").map(|(key, _)| key.to_owned()).unwrap_or_default();
        lines[at] = format!("{key}: {extreme}");
        holds(lines.join("\n").as_bytes());
    }
}

#[test]
fn the_largest_files_end_soon() {
    let size = kith_topologies::MAX_BYTES;
    let begun = std::time::Instant::now();
    for piece in [
        "[",
        "{",
        "- ",
        "a: b\n",
        "a\n",
        "- a\n",
        "? ",
        "[],",
        "\"",
        "'a' ",
        "&a ",
        "#\n",
        "\t",
        "  ",
        "name: x\nname: y\n",
        "é",
    ] {
        let text = piece.repeat(size / piece.len());
        holds(text.as_bytes());
        assert!(parse("large", &text).is_err());
    }
    // Generous, for slow machines: quadratic work over a megabyte would take hours.
    assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
}
