//! One update as a command line says it.
//!
//! ```text
//!  insert|modify  TABLE  FIELD=MATCH… [priority=N]  ACTION  PARAM=VALUE… [meter=PIR:PBURST]
//!  delete         TABLE  FIELD=MATCH… [priority=N]
//!  default        TABLE  [ACTION  PARAM=VALUE…]        without an action: the program's own
//!  meter          NAME   CELL  PIR:PBURST | none
//! ```
//!
//! The first word without `=` behind the table is the action: what stands before it is the key, what stands behind it its values.

use super::entry::{Entry, EntryError, Verb, Word};
use super::rates::Rates;

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// Something with an entry.
    Entry(Entry),
    /// Another rate for a cell of a meter; none lets everything pass.
    Meter {
        /// The meter.
        name: String,
        /// The cell, by number or by name.
        cell: String,
        /// The rates.
        rates: Option<Rates>,
    },
}

/// Reads the words.
pub(super) fn parse(words: &[String]) -> Result<Change, EntryError> {
    let grammar = |why: &str| EntryError::Grammar(why.to_owned());
    let Some((verb, rest)) = words.split_first() else {
        return Err(grammar(
            "say what to write: insert, modify, delete, default or meter",
        ));
    };
    if verb == "meter" {
        return meter(rest);
    }
    let mut entry = Entry {
        update: match verb.as_str() {
            "insert" => Some(Verb::Insert),
            "modify" => Some(Verb::Modify),
            "delete" => Some(Verb::Delete),
            "default" => None,
            other => {
                let why = format!(
                    "`{other}` cannot be written; there are insert, modify, delete, default and meter"
                );
                return Err(grammar(&why));
            }
        },
        default: verb == "default",
        ..Entry::default()
    };
    let Some((table, rest)) = rest.split_first() else {
        return Err(grammar("say which table; `kith dataplane tables` lists them"));
    };
    entry.table.clone_from(table);
    for word in rest {
        add(&mut entry, word)?;
    }
    if entry.update == Some(Verb::Delete) && entry.action.is_some() {
        return Err(grammar(
            "an entry is deleted by its key alone; leave the action out",
        ));
    }
    Ok(Change::Entry(entry))
}

fn add(entry: &mut Entry, word: &str) -> Result<(), EntryError> {
    let Some((name, value)) = word.split_once('=') else {
        return match &entry.action {
            None => {
                entry.action = Some(word.to_owned());
                Ok(())
            }
            Some(action) => {
                let why = format!("`{word}` has no `=`, and `{action}` is the action already");
                Err(EntryError::Grammar(why))
            }
        };
    };
    let wrong = |what: &str| EntryError::Grammar(format!("`{word}`: {what}"));
    match name {
        "priority" if entry.action.is_none() => {
            let priority = value
                .parse()
                .map_err(|_| wrong("a priority is a number above 0"))?;
            entry.priority = Some(priority);
        }
        "meter" => {
            let rates = Rates::parse(value);
            entry.meter =
                Some(rates.ok_or_else(|| wrong("write meter=PIR:PBURST or meter=CIR:CBURST:PIR:PBURST"))?);
        }
        _ => {
            let place = if entry.action.is_some() {
                &mut entry.params
            } else {
                &mut entry.key
            };
            if place
                .insert(name.to_owned(), Word::Text(value.to_owned()))
                .is_some()
            {
                return Err(wrong("it is given twice"));
            }
        }
    }
    Ok(())
}

fn meter(words: &[String]) -> Result<Change, EntryError> {
    let wrong =
        || EntryError::Grammar("write meter NAME CELL PIR:PBURST, or none to let everything pass".into());
    let [name, cell, rates] = words else {
        return Err(wrong());
    };
    let rates = match rates.as_str() {
        "none" => None,
        text => Some(Rates::parse(text).ok_or_else(wrong)?),
    };
    Ok(Change::Meter {
        name: name.clone(),
        cell: cell.clone(),
        rates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Change, EntryError> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn entry(line: &str) -> Entry {
        match read(line).unwrap() {
            Change::Entry(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_before_the_action_are_the_key_and_words_behind_it_its_values() {
        let line = "insert policy community=1 protocol=udp destination_port=53 priority=10 allow";
        assert_eq!(
            entry(line).to_string(),
            line.strip_prefix("insert ").unwrap().replace(
                "community=1 protocol=udp destination_port=53",
                "community=1 destination_port=53 protocol=udp"
            )
        );
        let session =
            entry("insert session destination_member=240.0.0.7 relay_to address=203.0.113.21 port=4000");
        assert_eq!((session.key.len(), session.params.len()), (1, 2));
        let sender = entry("modify sender source_member=240.0.0.7 authorise meter=100:10");
        assert_eq!(sender.meter, Rates::parse("100:10"));
        assert_eq!(entry("delete session destination_member=240.0.0.7").action, None);
        let reset = entry("default endpoint");
        assert!(reset.default && reset.action.is_none());
    }

    #[test]
    fn a_meters_cell_has_a_rate_or_none() {
        let rated = Change::Meter {
            name: "punt_meter".into(),
            cell: "control".into(),
            rates: Rates::parse("1000:100"),
        };
        assert_eq!(read("meter punt_meter control 1000:100"), Ok(rated));
        assert!(matches!(
            read("meter punt_meter 3 none"),
            Ok(Change::Meter { rates: None, .. })
        ));
    }

    #[test]
    fn a_line_that_says_nothing_is_refused_with_what_to_write() {
        let lines = [
            "",
            "remove session destination_member=1",
            "insert",
            "insert session destination_member=1 destination_member=2",
            "insert session relay_to deny",
            "insert policy priority=x deny",
            "insert sender authorise meter=1",
            "delete session destination_member=1 relay_to",
            "meter punt_meter control",
            "meter punt_meter control fast",
        ];
        let said: Vec<_> = lines
            .iter()
            .map(|line| format!("{line}\n  {}", read(line).unwrap_err()))
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
