//! `kith policy`: who may reach whom, and why.

mod add;

pub use add::{Add, Level};

use super::confirm::Yes;
use super::link::Link;
use super::place::Reach;
use super::view::{self, Explanation, Policy};
use super::words::{done, list, or_dash, verdict};
use crate::error::Error;
use crate::output::{self, Format};
use clap::Subcommand;
use kith_protocol::admin;
use serde::Serialize;

/// `kith policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Allow or deny something; joined members keep to it at once
    #[command(after_long_help = "\
Policies about a machine are asked first, then those about a user or a tag, then those about the whole domain; among these the
one with the highest priority; among equals a denial. The first that is about a packet decides. An allowed service is allowed
both ways: its answers come back.

Examples:
  kith policy add acme.example --deny --from any --to tag:servers
  kith policy add acme.example --allow --from user:alice --to tag:servers --service tcp/22 --priority 10
  kith policy add acme.example --allow --from any --to machine:printer.acme.example --service tcp/9100 --id print")]
    Add(Box<Add>),
    /// Policies, in the order in which they are asked
    #[command(
        visible_alias = "ls",
        after_long_help = "\
Examples:
  kith policy list
  kith policy list acme.example"
    )]
    List {
        /// Of this community; without it, of all.
        #[arg(value_name = "COMMUNITY")]
        domain: Option<String>,
        /// The same.
        #[arg(long, value_name = "COMMUNITY", conflicts_with = "domain")]
        community: Option<String>,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Remove a policy
    #[command(
        visible_alias = "rm",
        after_long_help = "Example:\n  kith policy remove acme.example print"
    )]
    Remove {
        /// The community.
        community: String,
        /// The policy; `kith policy list` shows it.
        id: String,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Whether one member may reach another, and which policy says so. Exit status 1 if not.
    #[command(after_long_help = "\
Examples:
  kith policy explain laptop.acme.example printer.acme.example tcp/9100
  kith policy explain laptop.acme.example printer.acme.example")]
    Explain {
        /// Who begins.
        from: String,
        /// With whom.
        to: String,
        /// tcp/22, udp/53, tcp, udp, icmp or any; any without.
        service: Option<String>,
        /// The same, as `kith policy add` takes it.
        #[arg(long = "service", value_name = "SERVICE", conflicts_with = "service")]
        named: Option<String>,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
}

/// A community's policies.
#[derive(Serialize)]
struct Book {
    community: String,
    version: u64,
    deny_by_default: bool,
    policies: Vec<Policy>,
}

/// Runs a `kith policy` command.
pub fn run(command: PolicyCommand, format: Format) -> Result<u8, Error> {
    match command {
        PolicyCommand::Add(wish) => add::run(*wish, format),
        PolicyCommand::List {
            domain,
            community,
            reach,
        } => {
            let mut link = Link::connect(&reach)?;
            let domains = match domain.or(community) {
                Some(domain) => vec![domain],
                None => {
                    let all = super::community::all(&mut link)?;
                    all.into_iter().map(|community| community.domain).collect()
                }
            };
            let books: Vec<Book> = domains
                .into_iter()
                .map(|domain| book(&mut link, domain))
                .collect::<Result<_, _>>()?;
            output::show(format, &books, |books| tables(books))?;
            Ok(0)
        }
        PolicyCommand::Remove {
            community,
            id,
            yes,
            reach,
        } => {
            let mut link = Link::connect(&reach)?;
            yes.sure(&format!("Remove the policy {id} of {community}?"))?;
            let name = admin::PolicyName {
                community,
                id: id.clone(),
            };
            link.ask("remove a policy", async |admin| admin.delete_policy(name).await)?;
            done(format, &id, "removed")
        }
        PolicyCommand::Explain {
            from,
            to,
            service,
            named,
            reach,
        } => {
            let service = service.or(named).unwrap_or_else(|| "any".to_owned());
            let about = format!("{from} to {to}, {service}");
            let request = admin::ExplainRequest { from, to, service };
            let answer = Link::connect(&reach)?.ask("explain policies", async |admin| {
                admin.explain_policy(request).await
            })?;
            let explanation = Explanation::from(answer);
            output::show(format, &explanation, |explanation| told(&about, explanation))?;
            Ok(u8::from(!explanation.allow))
        }
    }
}

fn policies(link: &mut Link, community: &str) -> Result<admin::Policies, Error> {
    let name = admin::Name {
        name: community.to_owned(),
    };
    link.ask("list policies", async |admin| admin.list_policies(name).await)
}

fn book(link: &mut Link, community: String) -> Result<Book, Error> {
    let answer = policies(link, &community)?;
    Ok(Book {
        community,
        version: answer.version,
        deny_by_default: answer.deny_by_default,
        policies: view::all(answer.policies),
    })
}

fn told(about: &str, explanation: &Explanation) -> String {
    let verb = if explanation.allow { "allowed" } else { "denied" };
    let by = match explanation.policy.as_str() {
        "" => "by default".to_owned(),
        id => format!("by policy {id}"),
    };
    let steps = explanation.steps.iter().map(|step| format!("  {step}\n"));
    format!("{about}: {verb} {by}\n\n{}", steps.collect::<String>())
}

fn tables(books: &[Book]) -> String {
    if books.is_empty() {
        return "no community\n".into();
    }
    let parts = books.iter().map(|book| {
        let default = verdict(!book.deny_by_default);
        let head = format!(
            "{}: version {}, otherwise {default}\n",
            book.community, book.version
        );
        if book.policies.is_empty() {
            return head + "no policy\n";
        }
        head + &table(&book.policies)
    });
    parts.collect::<Vec<_>>().join("\n")
}

fn table(policies: &[Policy]) -> String {
    let rows: Vec<Vec<String>> = policies
        .iter()
        .map(|policy| {
            vec![
                policy.id.clone(),
                policy.level.clone(),
                policy.priority.to_string(),
                verdict(policy.allow).into(),
                policy.from.clone(),
                policy.to.clone(),
                list(&policy.services),
                or_dash(&policy.comment),
            ]
        })
        .collect();
    let headers = [
        "policy",
        "level",
        ">priority",
        "decision",
        "from",
        "to",
        "services",
        "comment",
    ];
    output::table(&headers, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn wish() -> admin::Policy {
        admin::Policy {
            community: "acme.example".into(),
            allow: true,
            from: "user:Alice@acme.example".into(),
            to: "tag:servers".into(),
            services: vec!["tcp/22".into(), "icmp".into()],
            ..admin::Policy::default()
        }
    }

    #[test]
    fn policies_and_explanations_read_like_this() {
        let mut kept = wish();
        (kept.id, kept.level, kept.comment) = ("ssh".into(), "user".into(), "Alice looks after them".into());
        let book = |community: &str, policies| Book {
            community: community.into(),
            version: 7,
            deny_by_default: true,
            policies,
        };
        let books = [
            book("acme.example", vec![kept.into()]),
            book("globex.example", Vec::new()),
        ];
        let explanation = Explanation {
            allow: true,
            policy: "ssh".into(),
            steps: vec![
                "print (machine level): not about these two".into(),
                "ssh (user level): allows it".into(),
            ],
        };
        insta::assert_snapshot!(
            [
                tables(&books),
                told("a.acme.example to b.acme.example, tcp/22", &explanation)
            ]
            .join("\n")
        );
    }
}
