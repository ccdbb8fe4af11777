//! `kith community`: the virtual networks that a manager keeps.

use super::confirm::Yes;
use super::error::ManagerError;
use super::link::Link;
use super::place::Reach;
use super::span::{Span, date};
use super::view::{self, Community};
use super::words::{done, facts, list, or_dash, verdict};
use crate::error::Error;
use crate::output::{self, Format};
use clap::{Args, Subcommand};
use kith_protocol::admin;

/// `kith community …`
#[derive(Debug, Subcommand)]
pub enum CommunityCommand {
    /// Make a community: a domain of names, and a pool of virtual addresses
    #[command(after_long_help = "\
Examples:
  kith community create acme.example --pool 10.77.0.0/24
  kith community create acme.example --pool 10.77.0.0/24 --pool 10.78.0.0/24 --deny-by-default --director nrd1")]
    Create {
        /// The domain that members' names end with.
        domain: String,
        /// Virtual addresses of members; the first host address of the first is the manager's.
        #[arg(long, value_name = "PREFIX", required = true)]
        pool: Vec<String>,
        /// What it is for.
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// Members reach each other only where a policy allows it.
        #[arg(long)]
        deny_by_default: bool,
        /// A route director for its members; without one, all are.
        #[arg(long, value_name = "NAME")]
        director: Vec<String>,
        /// How long a ticket is good; without it, an hour.
        #[arg(long, value_name = "SPAN")]
        ticket_lifetime: Option<Span>,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Change what is named, and nothing else
    #[command(after_long_help = "\
A list is replaced as a whole by the values given.

Examples:
  kith community update acme.example --deny-by-default true
  kith community update acme.example --pool 10.77.0.0/23
  kith community update acme.example --no-directors")]
    Update {
        /// Its domain.
        domain: String,
        /// What changes.
        #[command(flatten)]
        change: Change,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// All communities
    #[command(
        visible_alias = "ls",
        after_long_help = "\
Examples:
  kith community list
  kith -o json community list | jq -r '.[].domain'"
    )]
    List {
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// One community, with all that is known of it
    #[command(after_long_help = "Example:\n  kith community show acme.example")]
    Show {
        /// Its domain.
        domain: String,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Delete a community with its policies
    #[command(after_long_help = "Example:\n  kith community delete acme.example")]
    Delete {
        /// Its domain.
        domain: String,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
}

/// What changes about a community.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// Virtual addresses of members.
    #[arg(long, value_name = "PREFIX")]
    pool: Vec<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// Whether members reach each other only where a policy allows it.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    deny_by_default: Option<bool>,
    /// A route director for its members.
    #[arg(long, value_name = "NAME")]
    director: Vec<String>,
    /// All route directors are for its members.
    #[arg(long, conflicts_with = "director")]
    no_directors: bool,
    /// How long a ticket is good.
    #[arg(long, value_name = "SPAN")]
    ticket_lifetime: Option<Span>,
}

impl Change {
    fn make(self, community: &mut admin::Community) {
        if !self.pool.is_empty() {
            community.pools = self.pool;
        }
        if let Some(description) = self.description {
            community.description = description;
        }
        if let Some(deny) = self.deny_by_default {
            community.deny_by_default = deny;
        }
        if self.no_directors || !self.director.is_empty() {
            community.directors = self.director;
        }
        if let Some(span) = self.ticket_lifetime {
            community.ticket_lifetime_s = seconds(span);
        }
    }
}

/// Runs a `kith community` command.
pub fn run(command: CommunityCommand, format: Format) -> Result<u8, Error> {
    match command {
        CommunityCommand::Create {
            domain,
            pool,
            description,
            deny_by_default,
            director,
            ticket_lifetime,
            reach,
        } => {
            let wish = admin::Community {
                domain,
                pools: pool,
                description,
                deny_by_default,
                directors: director,
                ticket_lifetime_s: ticket_lifetime.map_or(0, seconds),
                ..admin::Community::default()
            };
            let made = Link::connect(&reach)?.ask("create a community", async |admin| {
                admin.create_community(wish).await
            })?;
            show(format, made)
        }
        CommunityCommand::Update {
            domain,
            change,
            reach,
        } => {
            let mut link = Link::connect(&reach)?;
            let mut community = find(&mut link, &domain)?;
            change.make(&mut community);
            let changed = link.ask("change a community", async |admin| {
                admin.update_community(community).await
            })?;
            show(format, changed)
        }
        CommunityCommand::List { reach } => {
            let communities: Vec<Community> = view::all(all(&mut Link::connect(&reach)?)?);
            output::show(format, &communities, |communities| table(communities))?;
            Ok(0)
        }
        CommunityCommand::Show { domain, reach } => {
            let community = find(&mut Link::connect(&reach)?, &domain)?;
            show(format, community)
        }
        CommunityCommand::Delete { domain, yes, reach } => {
            let mut link = Link::connect(&reach)?;
            yes.sure(&format!("Delete {domain} with its policies?"))?;
            let name = admin::Name { name: domain.clone() };
            link.ask("delete a community", async |admin| {
                admin.delete_community(name).await
            })?;
            done(format, &domain, "deleted")
        }
    }
}

/// All communities.
pub(super) fn all(link: &mut Link) -> Result<Vec<admin::Community>, Error> {
    let answer = link.ask("list communities", async |admin| {
        admin.list_communities(admin::Empty {}).await
    })?;
    Ok(answer.communities)
}

fn find(link: &mut Link, domain: &str) -> Result<admin::Community, Error> {
    let wanted = domain.trim_end_matches('.').to_ascii_lowercase();
    let found = all(link)?
        .into_iter()
        .find(|community| community.domain == wanted);
    found.ok_or_else(|| {
        let (kind, name) = ("community", domain.to_owned());
        ManagerError::Missing { kind, name }.into()
    })
}

fn seconds(span: Span) -> u32 {
    u32::try_from(span.0).unwrap_or(u32::MAX)
}

fn show(format: Format, community: admin::Community) -> Result<u8, Error> {
    output::show(format, &Community::from(community), describe)?;
    Ok(0)
}

fn describe(community: &Community) -> String {
    let lifetime = match community.ticket_lifetime_s {
        0 => String::new(),
        seconds => output::age(u64::from(seconds) * 1000),
    };
    facts(&[
        ("community", community.domain.clone()),
        ("description", community.description.clone()),
        ("pools", community.pools.join(", ")),
        ("free addresses", community.addresses_free.to_string()),
        ("manager", community.manager_address.clone()),
        (
            "members",
            format!("{}, {} joined", community.members, community.joined),
        ),
        ("default", verdict(!community.deny_by_default).into()),
        ("policy version", community.policy_version.to_string()),
        (
            "directors",
            if community.directors.is_empty() {
                "any".into()
            } else {
                community.directors.join(", ")
            },
        ),
        ("ticket lifetime", lifetime),
        ("created", date(community.created_ms)),
    ])
}

fn table(communities: &[Community]) -> String {
    if communities.is_empty() {
        return "no community\n".into();
    }
    let rows: Vec<Vec<String>> = communities
        .iter()
        .map(|community| {
            vec![
                community.domain.clone(),
                list(&community.pools),
                community.members.to_string(),
                community.joined.to_string(),
                community.addresses_free.to_string(),
                verdict(!community.deny_by_default).into(),
                if community.directors.is_empty() {
                    "any".into()
                } else {
                    list(&community.directors)
                },
                or_dash(&community.description),
            ]
        })
        .collect();
    let headers = [
        "community",
        "pools",
        ">members",
        ">joined",
        ">free",
        "default",
        "directors",
        "description",
    ];
    output::table(&headers, &rows)
}
