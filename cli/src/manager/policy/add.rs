//! `kith policy add`: what it says is its name, so that saying it twice makes one policy.

use super::{policies, table};
use crate::error::Error;
use crate::manager::error::ManagerError;
use crate::manager::link::Link;
use crate::manager::place::Reach;
use crate::manager::view::Policy;
use crate::manager::words::verdict;
use crate::output::{self, Format};
use clap::{Args, ValueEnum};
use kith_manager::policy::{Selector, Service};
use kith_protocol::admin;
use std::collections::BTreeSet;
use std::str::FromStr;

/// The longest name that a manager takes.
const MAX_ID: usize = 63;

/// What to add.
#[derive(Debug, Clone, Args)]
pub struct Add {
    /// The community.
    community: String,
    /// Let it pass.
    #[arg(long, conflicts_with = "deny", required_unless_present = "deny")]
    allow: bool,
    /// Drop it.
    #[arg(long)]
    deny: bool,
    /// Who begins: any, user:NAME, machine:FQDN or tag:WORD.
    #[arg(long, value_name = "WHO")]
    from: String,
    /// With whom: the same.
    #[arg(long, value_name = "WHO")]
    to: String,
    /// tcp/22, udp/53, tcp, udp, icmp or any; several are possible. Without it, any.
    #[arg(long)]
    service: Vec<String>,
    /// When it is asked; without it, as `from` and `to` have it.
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Among policies of a level, higher ones are asked first.
    #[arg(long, default_value = "0", allow_negative_numbers = true)]
    priority: i32,
    /// What it is for.
    #[arg(long, default_value = "", hide_default_value = true)]
    comment: String,
    /// Its name; without it, one is made of what it says.
    #[arg(long)]
    id: Option<String>,
    /// If there is one of this name, this one takes its place.
    #[arg(long)]
    replace: bool,
    /// Which manager.
    #[command(flatten)]
    reach: Reach,
}

/// When a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// First.
    Machine,
    /// Next.
    User,
    /// Last.
    Domain,
}

pub(super) fn run(wish: Add, format: Format) -> Result<u8, Error> {
    let mut link = Link::connect(&wish.reach)?;
    let present = policies(&mut link, &wish.community)?.policies;
    let level = wish.level.and_then(|level| level.to_possible_value());
    let mut policy = admin::Policy {
        id: String::new(),
        community: wish.community,
        level: level.map_or_else(String::new, |level| level.get_name().to_owned()),
        priority: wish.priority,
        allow: wish.allow,
        from: read::<Selector>(&wish.from),
        to: read::<Selector>(&wish.to),
        services: services(&wish.service),
        comment: wish.comment.trim().to_owned(),
    };
    policy.id = match wish.id {
        Some(id) => {
            let other = present
                .iter()
                .any(|other| other.id == id && !same(other, &policy));
            if other && !wish.replace {
                return Err(ManagerError::Exists {
                    kind: "policy",
                    name: id,
                }
                .into());
            }
            id
        }
        None => name(&policy, &present),
    };
    let kept = link.ask("add a policy", async |admin| admin.put_policy(policy).await)?;
    output::show(format, &Policy::from(kept), |policy| {
        table(std::slice::from_ref(policy))
    })?;
    Ok(0)
}

/// A word as the manager will write it; what means nothing is left for it to refuse.
fn read<T: FromStr + ToString>(word: &str) -> String {
    word.parse::<T>()
        .map_or_else(|_| word.to_owned(), |read| read.to_string())
}

/// Services as the manager will write them: in its order, each once, none that another covers.
fn services(words: &[String]) -> Vec<String> {
    if words.is_empty() {
        return vec![Service::Any.to_string()];
    }
    let Ok(read) = words
        .iter()
        .map(|word| word.parse())
        .collect::<Result<BTreeSet<Service>, _>>()
    else {
        return words.to_vec();
    };
    let covered = |service: Service| {
        read.iter()
            .any(|other| *other != service && other.covers(service))
    };
    let kept = read.iter().filter(|service| !covered(**service));
    kept.map(Service::to_string).collect()
}

/// A name made of what the policy says, so that saying it twice makes one policy: `allow-alice-servers-tcp-22`.
fn name(policy: &admin::Policy, present: &[admin::Policy]) -> String {
    let services = policy.services.iter().filter(|service| *service != "any");
    let words = [verdict(policy.allow), &policy.from, &policy.to].into_iter();
    let words = words.chain(services.map(String::as_str)).map(|word| {
        let word = word.split_once(':').map_or(word, |(_, word)| word);
        let letters = word.to_ascii_lowercase();
        letters.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-")
    });
    let mut base = words.collect::<Vec<_>>().join("-");
    base.truncate(MAX_ID - 4);
    let taken = |id: &str| present.iter().any(|other| other.id == id && !same(other, policy));
    let mut id = base.clone();
    for number in 2..1000 {
        if !taken(&id) {
            break;
        }
        id = format!("{base}-{number}");
    }
    id
}

/// The same but for the name; a level that is not said is whichever the manager chose.
fn same(there: &admin::Policy, wish: &admin::Policy) -> bool {
    let level = if wish.level.is_empty() {
        &there.level
    } else {
        &wish.level
    };
    let renamed = admin::Policy {
        id: there.id.clone(),
        level: level.clone(),
        ..wish.clone()
    };
    *there == renamed
}

#[cfg(test)]
mod tests {
    use super::super::tests::wish;
    use super::*;

    #[test]
    fn services_are_written_as_the_manager_writes_them() {
        let of = |words: &[&str]| services(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&[]), ["any"]);
        assert_eq!(of(&["tcp/22", "ICMP", "tcp/22"]), ["icmp", "tcp/22"]);
        assert_eq!(of(&["tcp/22", "tcp", "udp/53"]), ["tcp", "udp/53"]);
        assert_eq!(
            of(&["tcp/22", "ssh"]),
            ["tcp/22", "ssh"],
            "for the manager to refuse"
        );
    }

    #[test]
    fn a_policy_is_named_after_what_it_says_and_saying_it_again_names_the_same() {
        assert_eq!(name(&wish(), &[]), "allow-alice-acme.example-servers-tcp-22-icmp");
        let mut kept = wish();
        (kept.id, kept.level) = (name(&wish(), &[]), "user".into());
        assert_eq!(name(&wish(), std::slice::from_ref(&kept)), kept.id);
        // Another of the same words gets another name.
        kept.priority = 5;
        assert_eq!(
            name(&wish(), &[kept]),
            "allow-alice-acme.example-servers-tcp-22-icmp-2"
        );
        let mut long = wish();
        long.to = format!("machine:{}.acme.example", "x".repeat(60));
        assert!(name(&long, &[]).len() <= MAX_ID);
    }
}
