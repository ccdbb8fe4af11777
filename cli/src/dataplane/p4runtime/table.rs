//! `kith dataplane table NAME`: a table's entries.

use super::entry::{Entry, Words};
use super::link::Link;
use super::schema::{Field, Table};
use super::value::{self, Kind};
use crate::error::Error;
use crate::output::{self, Format};
use clap::Args;
use kith_p4runtime::proto::v1::{self, entity::Entity};
use std::ops::ControlFlow;

/// What of a table to show.
#[derive(Debug, Clone, Args)]
pub struct TableView {
    /// The table's name; `kith dataplane tables` lists them.
    pub table: String,
    /// Also what the counter of each entry stands at.
    #[arg(short, long)]
    pub counters: bool,
    /// Only entries with this value in their key, their action's values, or as their action.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub filter: Vec<String>,
    /// No more than so many entries.
    #[arg(short, long, value_name = "NUMBER")]
    pub limit: Option<usize>,
}

/// `kith dataplane table`.
pub(super) fn run(link: &mut Link, view: &TableView, format: Format) -> Result<u8, Error> {
    let schema = link.schema()?;
    let table = schema.table(&view.table)?;
    if view.counters && table.counter().is_none() {
        let why = format!(
            "entries of `{}` have no counter; leave --counters out",
            table.name()
        );
        return Err(Error::Usage(why));
    }
    let filters = filters(table, &view.filter)?;
    let limit = view.limit.unwrap_or(usize::MAX);
    let mut entries: Vec<Entry> = Vec::new();
    let mut more = false;
    // A default entry that nobody can change says nothing about now; and so what is listed can be written elsewhere as it is.
    let kinds = if table.fixed_default().is_some() {
        &[false][..]
    } else {
        &[false, true]
    };
    for &default in kinds {
        let wanted = v1::TableEntry {
            table_id: table.id(),
            counter_data: (view.counters && !default).then(v1::CounterData::default),
            meter_config: (table.meter().is_some() && !default).then(v1::MeterConfig::default),
            is_default_action: default,
            ..v1::TableEntry::default()
        };
        link.read(vec![Entity::TableEntry(wanted)], |entity| {
            let Entity::TableEntry(given) = entity else {
                return ControlFlow::Continue(());
            };
            let entry = Entry::decode(&schema, &given);
            // A target may give the default entry among the others, too.
            if entry.default != default || !filters.iter().all(|filter| filter.passes(&entry)) {
                return ControlFlow::Continue(());
            }
            if entries.len() >= limit {
                more = true;
                return ControlFlow::Break(());
            }
            entries.push(entry);
            ControlFlow::Continue(())
        })?;
    }
    output::show(format, &entries, |entries| {
        let mut out = render(table, entries);
        if more {
            out += &format!("\nonly the first {limit}\n");
        }
        out
    })?;
    Ok(0)
}

/// A name and how its value is shown.
#[derive(Debug)]
struct Filter {
    name: String,
    value: String,
}

impl Filter {
    fn passes(&self, entry: &Entry) -> bool {
        if self.name == "action" {
            return entry.action.as_deref() == Some(&self.value);
        }
        let value = |words: &Words| words.get(&self.name).map(ToString::to_string);
        [value(&entry.key), value(&entry.params)].contains(&Some(self.value.clone()))
    }
}

fn filters(table: Table<'_>, words: &[String]) -> Result<Vec<Filter>, Error> {
    let fields: Vec<Field<'_>> = table
        .fields()
        .chain(table.actions().flat_map(|(action, _)| action.params()))
        .collect();
    let filter = |word: &String| {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| Error::Usage(format!("`{word}` is no filter; write NAME=VALUE")))?;
        let field = fields.iter().find(|field| field.name == name);
        let value = match field {
            // However it was written, it is compared as it is shown. A prefix or a mask is written as shown.
            Some(field) => match value::parse(value, field.bits) {
                Ok(octets) => value::show(field.kind(), &octets),
                Err(_) => value.to_owned(),
            },
            None if name == "action" => table.action(value)?.name().to_owned(),
            None => {
                let mut known: Vec<_> = fields.iter().map(|field| field.name).collect();
                known.push("action");
                known.dedup();
                let why = format!(
                    "entries of `{}` have no `{name}`; they have {}",
                    table.name(),
                    known.join(", ")
                );
                return Err(Error::Usage(why));
            }
        };
        let name = name.to_owned();
        Ok(Filter { name, value })
    };
    words.iter().map(filter).collect()
}

/// Entries whose actions differ have them in one column; where there is but one, its values have columns of their own.
fn render(table: Table<'_>, entries: &[Entry]) -> String {
    let (defaults, entries): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.default);
    let actions: Vec<_> = table
        .actions()
        .filter(|(_, only)| !only)
        .map(|(action, _)| action)
        .collect();
    let single = match actions.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    let header = |field: &Field<'_>| match field.kind() {
        Kind::Decimal
            if matches!(
                field.matched,
                None | Some(kith_p4runtime::proto::config::match_field::MatchType::Exact)
            ) =>
        {
            format!(">{}", field.name)
        }
        _ => field.name.to_owned(),
    };
    let counted = entries.iter().any(|entry| entry.counter.is_some());
    let rated = table.meter().is_some();
    let mut headers: Vec<String> = table.fields().map(|field| header(&field)).collect();
    if table.has_priority() {
        headers.push(">priority".into());
    }
    match single {
        Some(action) => headers.extend(action.params().map(|param| header(&param))),
        None => headers.push("action".into()),
    }
    if rated {
        headers.push(">rate".into());
    }
    if counted {
        headers.extend([">packets".into(), ">octets".into()]);
    }
    let row = |entry: &&Entry| {
        let shown =
            |words: &Words, name: &str| words.get(name).map_or_else(|| "*".into(), ToString::to_string);
        let mut row: Vec<String> = table
            .fields()
            .map(|field| shown(&entry.key, field.name))
            .collect();
        if table.has_priority() {
            row.push(entry.priority.unwrap_or(0).to_string());
        }
        match single {
            Some(action) => row.extend(action.params().map(|param| shown(&entry.params, param.name))),
            None => row.push(act(entry)),
        }
        if rated {
            row.push(
                entry
                    .meter
                    .map_or_else(|| "any".into(), |rates| rates.to_string()),
            );
        }
        if counted {
            let count =
                |of: fn(&super::rates::Count) -> i64| entry.counter.as_ref().map_or(0, of).to_string();
            row.extend([count(|count| count.packets), count(|count| count.bytes)]);
        }
        row
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let mut out = match (rows.is_empty(), headers.is_empty()) {
        (true, _) if table.fields().next().is_none() => String::new(),
        (true, _) => "no entry\n".to_owned(),
        _ => output::table(&headers, &rows),
    };
    if let Some(action) = table.fixed_default().filter(|action| action.name() != "NoAction") {
        out += &format!("\notherwise: {}\n", action.name());
    }
    for entry in defaults {
        out += &format!(
            "{}default: {}\n",
            if out.is_empty() { "" } else { "\n" },
            act(entry)
        );
    }
    out
}

fn act(entry: &Entry) -> String {
    let mut out = entry.action.clone().unwrap_or_else(|| "-".into());
    for (name, word) in &entry.params {
        out += &format!(" {name}={word}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::rates::{Count, Rates};
    use super::super::schema::tests::kith;
    use super::super::words::{Change, parse};
    use super::*;

    fn entry(line: &str) -> Entry {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words) {
            Ok(Change::Entry(entry)) => entry,
            other => panic!("{other:?}"),
        }
    }

    /// As the target would give it back.
    fn listed(line: &str) -> Entry {
        let schema = kith();
        let update = entry(line).update(&schema).unwrap();
        match update.entity.unwrap().entity.unwrap() {
            Entity::TableEntry(given) => Entry::decode(&schema, &given),
            other => panic!("{other:?}"),
        }
    }

    fn shown(table: &str, entries: &[Entry]) -> String {
        render(kith().table(table).unwrap(), entries)
    }

    #[test]
    fn tables_read_like_this() {
        let line = "insert session destination_member=240.0.0.7 relay_to address=203.0.113.21 port=4000 community=1 mtu=1500";
        let mut session = listed(line);
        session.counter = Some(Count {
            packets: 12,
            bytes: 1800,
        });
        let sender = listed(
            "insert sender source_member=240.0.0.7 authorise address=203.0.113.21 port=4000 community=1",
        );
        let mut limited = sender.clone();
        limited.meter = Rates::parse("1000:100");
        let policy = [
            listed("insert policy community=1 protocol=udp destination_port=53 priority=20 allow"),
            listed(
                "insert policy community=1 source=10.77.0.0/24 destination_port=8000&&&0xffc0 priority=10 deny",
            ),
        ];
        let route = [
            listed("insert route destination=203.0.113.0/24 on_link port=0"),
            listed("insert route via port=0 gateway=203.0.113.1"),
        ];
        let endpoint = listed("default endpoint act_as_director address=203.0.113.10 udp_port=20202");
        insta::assert_snapshot!(
            [
                shown("session", &[session]),
                shown("sender", &[sender, limited]),
                shown("policy", &policy),
                shown("route", &route),
                shown("endpoint", &[endpoint]),
                shown("neighbor", &[]),
            ]
            .join("\n")
        );
    }

    #[test]
    fn a_filter_compares_what_is_shown_however_it_is_written() {
        let schema = kith();
        let table = schema.table("session").unwrap();
        let line = "insert session destination_member=240.0.0.7 relay_to address=203.0.113.21 port=4000 community=1 mtu=1500";
        let entry = listed(line);
        let passes = |word: &str| filters(table, &[word.to_owned()]).unwrap()[0].passes(&entry);
        for word in [
            "destination_member=0xf0000007",
            "port=4000",
            "port=0xfa0",
            "action=relay_to",
        ] {
            assert!(passes(word), "{word}");
        }
        assert!(!passes("port=4001") && !passes("destination_member=240.0.0.8"));
        let wrong = filters(table, &["colour=red".into()]).unwrap_err().to_string();
        assert!(
            wrong.contains("no `colour`") && wrong.contains("destination_member"),
            "{wrong}"
        );
        assert!(filters(table, &["port".into()]).is_err());
    }
}
