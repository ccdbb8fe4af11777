//! What operators wish for, checked as far as it can be by itself, and how it differs from what is there.

use super::check::{self, Wrong};
use crate::core::state::{Community, Member, Prefix};
use kith_protocol::names::{Fqdn, check_domain};
use kith_protocol::{admin, records};
use std::fmt::Display;
use std::net::Ipv4Addr;

/// Pools of one community at most.
const MAX_POOLS: usize = 16;
/// Tickets last from a minute to a day.
const TICKETS: std::ops::RangeInclusive<u32> = 60..=86_400;

/// A community as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommunityWish {
    pub(super) domain: String,
    pub(super) pools: Vec<Prefix>,
    pub(super) description: String,
    pub(super) deny_by_default: bool,
    pub(super) directors: Vec<String>,
    pub(super) ticket_lifetime_s: u32,
}

impl CommunityWish {
    pub(super) fn check(message: &admin::Community, wrong: &mut Wrong) -> Option<Self> {
        let domain = wrong.take("", Fqdn::normalise(&message.domain))?.to_string();
        let about = format!("community {domain}");
        wrong.take(&about, check_domain(&domain))?;
        let pools = wrong.take(&about, pools(&message.pools));
        let description = wrong.take(
            &format!("{about}: the description"),
            check::line(&message.description),
        );
        let lifetime = message.ticket_lifetime_s;
        if lifetime != 0 && !TICKETS.contains(&lifetime) {
            let (least, most) = (TICKETS.start(), TICKETS.end());
            wrong.say(format!("{about}: tickets last from {least} to {most} seconds, not {lifetime}; 0 is the manager's default"));
        }
        let mut directors = message.directors.clone();
        directors.sort_unstable();
        directors.dedup();
        Some(Self {
            domain,
            pools: pools?,
            description: description?,
            deny_by_default: message.deny_by_default,
            directors,
            ticket_lifetime_s: lifetime,
        })
    }

    pub(super) fn of(community: &Community) -> Self {
        Self {
            domain: community.domain.to_string(),
            pools: community.pools.clone(),
            description: community.description.clone(),
            deny_by_default: community.deny_by_default,
            directors: community.directors.clone(),
            ticket_lifetime_s: community.ticket_lifetime_s,
        }
    }

    /// What this changes about `old`, a line each.
    pub(super) fn details(&self, old: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        differ(&mut lines, "pools", &list(&old.pools), &list(&self.pools));
        differ(&mut lines, "description", &old.description, &self.description);
        differ(
            &mut lines,
            "default",
            default_word(old.deny_by_default),
            default_word(self.deny_by_default),
        );
        differ(
            &mut lines,
            "directors",
            &list(&old.directors),
            &list(&self.directors),
        );
        differ(
            &mut lines,
            "ticket lifetime",
            &seconds(old.ticket_lifetime_s),
            &seconds(self.ticket_lifetime_s),
        );
        lines
    }

    /// What a new one is like, a line each.
    pub(super) fn described(&self) -> Vec<String> {
        let mut lines = vec![
            format!("pools: {}", list(&self.pools)),
            format!("default: {}", default_word(self.deny_by_default)),
        ];
        lines.extend((!self.directors.is_empty()).then(|| format!("directors: {}", list(&self.directors))));
        lines
    }
}

/// A member as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberWish {
    pub(super) fqdn: String,
    pub(super) email: String,
    pub(super) user: String,
    pub(super) platform: String,
    /// It gets this one and no other.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) tags: Vec<String>,
}

impl MemberWish {
    pub(super) fn check(message: &admin::Invitee, wrong: &mut Wrong) -> Option<Self> {
        let fqdn = wrong.take("", Fqdn::normalise(&message.fqdn))?.to_string();
        let about = format!("member {fqdn}");
        if !message.email.is_empty() {
            wrong.take(&about, check::mail(&message.email));
        } else if !message.user.contains('@') {
            wrong.say(format!(
                "{about}: has no mail address; it is needed, for the confirmation code goes there"
            ));
        }
        if !message.user.is_empty() && !crate::policy::is_word(&message.user) {
            wrong.say(format!("{about}: the user must be one word or a mail address"));
        }
        if message.user.contains('@') && message.email.is_empty() {
            wrong.take(&about, check::mail(&message.user));
        }
        let platform = wrong.take(&format!("{about}: the platform"), check::line(&message.platform));
        let address = wrong.take(&about, check::address(&message.address));
        let tags = wrong.take(&about, check::tags(&message.tags));
        Some(Self {
            fqdn,
            email: message.email.clone(),
            user: message.user.clone(),
            platform: platform?,
            address: address?,
            tags: tags?,
        })
    }

    pub(super) fn of(member: &Member) -> Self {
        Self {
            fqdn: member.fqdn.to_string(),
            email: member.email.to_string(),
            user: member.user.to_string(),
            platform: member.platform.to_string(),
            address: member.virtual_address.filter(|_| member.address_reserved),
            tags: member.tags.iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn message(self) -> admin::Invitee {
        admin::Invitee {
            fqdn: self.fqdn,
            email: self.email,
            user: self.user,
            platform: self.platform,
            address: self
                .address
                .map_or_else(String::new, |address| address.to_string()),
            tags: self.tags,
        }
    }

    pub(super) fn details(&self, old: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        differ(&mut lines, "email", &old.email, &self.email);
        differ(&mut lines, "user", &old.user, &self.user);
        differ(&mut lines, "platform", &old.platform, &self.platform);
        differ(
            &mut lines,
            "address",
            &reserved(old.address),
            &reserved(self.address),
        );
        differ(&mut lines, "tags", &list(&old.tags), &list(&self.tags));
        lines
    }

    pub(super) fn described(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "email: {}",
            if self.email.is_empty() {
                &self.user
            } else {
                &self.email
            }
        )];
        lines.extend(
            (!self.user.is_empty() && !self.email.is_empty()).then(|| format!("user: {}", self.user)),
        );
        lines.extend(self.address.map(|address| format!("address: {address}")));
        lines.extend((!self.tags.is_empty()).then(|| format!("tags: {}", list(&self.tags))));
        lines
    }
}

/// What a policy changes about another, a line each.
pub(super) fn policy_details(old: &records::Policy, new: &records::Policy) -> Vec<String> {
    let mut lines = Vec::new();
    let verb = |policy: &records::Policy| if policy.allow { "allow" } else { "deny" };
    differ(
        &mut lines,
        "level",
        super::policy::level_word(old),
        super::policy::level_word(new),
    );
    differ(
        &mut lines,
        "priority",
        &old.priority.to_string(),
        &new.priority.to_string(),
    );
    differ(&mut lines, "decision", verb(old), verb(new));
    differ(&mut lines, "from", &old.from, &new.from);
    differ(&mut lines, "to", &old.to, &new.to);
    differ(&mut lines, "services", &list(&old.services), &list(&new.services));
    differ(&mut lines, "comment", &old.comment, &new.comment);
    lines
}

/// What a director changes about another, a line each.
pub(super) fn director_details(old: &records::Director, new: &records::Director) -> Vec<String> {
    let mut lines = Vec::new();
    let word = |yes: bool| if yes { "yes" } else { "no" };
    let address = |number: u32| {
        if number == 0 {
            String::new()
        } else {
            Ipv4Addr::from(number).to_string()
        }
    };
    let addresses = |numbers: &[u32]| {
        list(
            &numbers
                .iter()
                .map(|number| Ipv4Addr::from(*number))
                .collect::<Vec<_>>(),
        )
    };
    differ(&mut lines, "private", word(old.private), word(new.private));
    differ(
        &mut lines,
        "address",
        &address(old.address),
        &address(new.address),
    );
    differ(
        &mut lines,
        "private address",
        &address(old.private_address),
        &address(new.private_address),
    );
    differ(&mut lines, "port", &old.port.to_string(), &new.port.to_string());
    differ(&mut lines, "udp", word(old.udp), word(new.udp));
    differ(&mut lines, "tcp", word(old.tcp), word(new.tcp));
    differ(&mut lines, "sites", &list(&old.sites), &list(&new.sites));
    differ(
        &mut lines,
        "nat addresses",
        &addresses(&old.nat_addresses),
        &addresses(&new.nat_addresses),
    );
    differ(
        &mut lines,
        "capacity",
        &old.capacity.to_string(),
        &new.capacity.to_string(),
    );
    differ(&mut lines, "draining", word(old.draining), word(new.draining));
    lines
}

fn differ(lines: &mut Vec<String>, what: &str, old: &str, new: &str) {
    let shown = |text: &str| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text.to_owned()
        }
    };
    if old != new {
        lines.push(format!("{what}: {} -> {}", shown(old), shown(new)));
    }
}

fn pools(texts: &[String]) -> Result<Vec<Prefix>, String> {
    if texts.is_empty() {
        return Err("needs a pool of virtual addresses, as 10.77.0.0/24".to_owned());
    }
    if texts.len() > MAX_POOLS {
        return Err(format!("{} pools; at most {MAX_POOLS} are possible", texts.len()));
    }
    let mut pools: Vec<Prefix> = Vec::new();
    for text in texts {
        let pool: Prefix = text
            .trim()
            .parse()
            .map_err(|why: crate::core::state::PrefixError| why.to_string())?;
        if !(8..=29).contains(&pool.length()) {
            return Err(format!(
                "the pool {pool} is of no use: take one from /8 to /29, as 10.77.0.0/24 for 253 members"
            ));
        }
        if let Some(why) = special(pool) {
            return Err(format!(
                "the pool {pool} {why}; take one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10"
            ));
        }
        if let Some(other) = pools.iter().find(|other| other.overlaps(pool)) {
            return Err(format!(
                "the pools {other} and {pool} have addresses in common; take others"
            ));
        }
        pools.push(pool);
    }
    Ok(pools)
}

/// Networks whose addresses no host can have (RFC 6890).
fn special(pool: Prefix) -> Option<&'static str> {
    let network = |first: [u8; 4], length| {
        Prefix::around(first.into(), length).is_ok_and(|special| special.overlaps(pool))
    };
    let all = [
        ([0, 0, 0, 0], 8, "has addresses of \"this network\""),
        ([127, 0, 0, 0], 8, "has loopback addresses"),
        ([169, 254, 0, 0], 16, "has addresses of the local link"),
        ([224, 0, 0, 0], 3, "has multicast or reserved addresses"),
    ];
    all.into_iter()
        .find(|(first, length, _)| network(*first, *length))
        .map(|(.., why)| why)
}

fn list<T: Display>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn default_word(deny: bool) -> &'static str {
    if deny { "deny" } else { "allow" }
}

fn seconds(lifetime: u32) -> String {
    if lifetime == 0 {
        "the manager's".to_owned()
    } else {
        format!("{lifetime} s")
    }
}

fn reserved(address: Option<Ipv4Addr>) -> String {
    address.map_or_else(|| "any".to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_that_cannot_work_are_refused_with_one_that_can() {
        let why =
            |texts: &[&str]| pools(&texts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_err();
        assert!(why(&[]).contains("10.77.0.0/24"));
        assert!(why(&["10.77.0.9/24"]).contains("did you mean 10.77.0.0/24?"));
        assert!(why(&["10.77.0.0/30"]).contains("/8 to /29"));
        assert!(why(&["0.0.0.0/0"]).contains("/8 to /29"));
        assert!(why(&["127.1.0.0/16"]).contains("loopback"));
        assert!(why(&["169.254.9.0/24"]).contains("local link"));
        assert!(why(&["239.0.0.0/8"]).contains("multicast"));
        assert!(why(&["10.0.0.0/8", "10.77.0.0/24"]).contains("in common"));
    }

    #[test]
    fn differences_read_like_a_sentence() {
        let message = admin::Community {
            domain: "Acme.example.".into(),
            pools: vec!["10.77.0.0/24".into()],
            ..Default::default()
        };
        let mut wrong = Wrong::default();
        let old = CommunityWish::check(&message, &mut wrong).unwrap();
        let mut new = old.clone();
        new.pools = vec!["10.77.0.0/23".parse().unwrap()];
        new.deny_by_default = true;
        new.description = "Acme".into();
        assert_eq!(old.domain, "acme.example");
        assert_eq!(
            new.details(&old),
            [
                "pools: 10.77.0.0/24 -> 10.77.0.0/23",
                "description: none -> Acme",
                "default: allow -> deny"
            ]
        );
        assert!(old.details(&old).is_empty());
    }
}
