//! `kith accounting`: how long members were joined, and what they moved.

use super::link::Link;
use super::pages::{self, pages};
use super::place::Reach;
use super::span::{ago, now};
use super::view::{self, Accounting};
use super::words::volume;
use crate::error::Error;
use crate::output::{self, Format, age};
use clap::Args;
use kith_protocol::admin;
use kith_protocol::letter;

/// `kith accounting`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  kith accounting
  kith accounting 'laptop*' --community acme.example
  kith -o json accounting | jq 'map(.octets_sent + .octets_received) | add'")]
pub struct Accounts {
    /// Of the full name; `*` and `?` stand for any.
    #[arg(default_value = "", hide_default_value = true)]
    pattern: String,
    /// Of this community.
    #[arg(long, value_name = "DOMAIN", default_value = "", hide_default_value = true)]
    community: String,
    /// As many at most; without it, all.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Which manager.
    #[command(flatten)]
    reach: Reach,
}

/// Runs `kith accounting`.
pub fn run(asked: Accounts, format: Format) -> Result<u8, Error> {
    let query = admin::MemberQuery {
        community: asked.community,
        pattern: asked.pattern,
        ..admin::MemberQuery::default()
    };
    let mut link = Link::connect(&asked.reach)?;
    let page = |query| {
        let page = link.ask("list accounts", async |admin| admin.list_accounting(query).await)?;
        Ok((page.records, page.more))
    };
    let (records, more) = pages(query, asked.limit, page, |record| &record.fqdn)?;
    let records: Vec<Accounting> = view::all(records);
    output::show(format, &records, |records| table(now(), records, more))?;
    Ok(0)
}

fn table(now: u64, records: &[Accounting], more: bool) -> String {
    if records.is_empty() {
        return "no member has joined yet\n".into();
    }
    let mut rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let seen = if record.joined {
                "joined".into()
            } else {
                ago(now, record.last_seen_ms)
            };
            // The day is enough.
            let first = letter::date(record.first_joined_ms);
            vec![
                record.fqdn.clone(),
                age(record.joined_ms),
                record.sessions.to_string(),
                volume(record.octets_sent),
                volume(record.octets_received),
                first.split(' ').next().unwrap_or("-").to_owned(),
                seen,
            ]
        })
        .collect();
    if records.len() > 1 {
        let sum = |of: fn(&Accounting) -> u64| records.iter().map(of).fold(0, u64::saturating_add);
        rows.push(vec![
            format!("{} members", records.len()),
            age(sum(|record| record.joined_ms)),
            sum(|record| record.sessions).to_string(),
            volume(sum(|record| record.octets_sent)),
            volume(sum(|record| record.octets_received)),
            String::new(),
            String::new(),
        ]);
    }
    let headers = [
        "member",
        ">joined for",
        ">sessions",
        ">sent",
        ">received",
        "first",
        "seen",
    ];
    output::table(&headers, &rows) + pages::more(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_read_like_this() {
        let noon = 1_772_366_407_000;
        let one = admin::Accounting {
            fqdn: "laptop.acme.example".into(),
            joined_ms: 93_600_000,
            sessions: 4,
            octets_sent: 1_234_567_890,
            octets_received: 999,
            first_joined_ms: noon - 864_000_000,
            last_seen_ms: noon - 2_000,
            joined: true,
        };
        let other = admin::Accounting {
            fqdn: "printer.acme.example".into(),
            joined: false,
            ..one.clone()
        };
        insta::assert_snapshot!(table(noon, &view::all(vec![one, other]), false));
    }
}
