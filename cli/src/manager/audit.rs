//! `kith audit`: who did what, and who was refused.

use super::link::Link;
use super::place::Reach;
use super::span::{Span, now, stamp};
use super::view::{self, Audit};
use super::words::or_dash;
use crate::error::Error;
use crate::output::{self, Format};
use clap::Args;
use kith_protocol::admin;

/// `kith audit`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  kith audit --since 1h
  kith audit --subject laptop.acme.example
  kith -o json audit --since 7d | jq '.[] | select(.allowed | not)'")]
pub struct Audits {
    /// Of the last 1h, 2d, …; without it, all that is kept.
    #[arg(long, value_name = "SPAN")]
    since: Option<Span>,
    /// About a member, a community, a policy, whose name has this in it.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    subject: String,
    /// The newest so many at most.
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Which manager.
    #[command(flatten)]
    reach: Reach,
}

/// Runs `kith audit`.
pub fn run(asked: Audits, format: Format) -> Result<u8, Error> {
    let since = asked
        .since
        .map(|span| now().saturating_sub(span.0.saturating_mul(1000)));
    let query = admin::AuditQuery {
        since_ms: since.unwrap_or(0),
        limit: asked.limit,
        subject: asked.subject,
    };
    let answer = Link::connect(&asked.reach)?
        .ask("list audit records", async |admin| admin.list_audit(query).await)?;
    let records: Vec<Audit> = view::all(answer.records);
    output::show(format, &records, |records| table(records))?;
    Ok(0)
}

fn table(records: &[Audit]) -> String {
    if records.is_empty() {
        return "nothing\n".into();
    }
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            vec![
                stamp(record.at_ms),
                record.actor.clone(),
                record.role.clone(),
                record.action.clone(),
                or_dash(&record.subject),
                if record.allowed { "done" } else { "refused" }.into(),
                or_dash(&record.detail),
            ]
        })
        .collect();
    output::table(
        &["when (UTC)", "who", "role", "what", "about", "result", "detail"],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_reads_like_this() {
        let done = admin::Audit {
            at_ms: 1_772_366_407_000,
            actor: "uid 0 (root)".into(),
            role: "admin".into(),
            action: "member.revoke".into(),
            subject: "laptop.acme.example".into(),
            detail: "stolen".into(),
            allowed: true,
        };
        let refused = admin::Audit {
            at_ms: 1_772_366_409_000,
            actor: "token ci".into(),
            role: "viewer".into(),
            allowed: false,
            detail: "member.revoke needs the role operator; token ci has viewer".into(),
            ..done.clone()
        };
        insta::assert_snapshot!(table(&view::all(vec![done, refused])));
        assert_eq!(table(&[]), "nothing\n");
    }
}
