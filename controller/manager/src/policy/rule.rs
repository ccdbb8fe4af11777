//! One policy, read from its record.

use super::words::{Level, Selector, SelectorError, Service};
use kith_protocol::names::{Fqdn, host_in};
use kith_protocol::records;

/// Characters of a policy's id at most.
const MAX_ID: usize = 63;
/// Characters of a comment at most.
const MAX_COMMENT: usize = 200;
/// Services of one policy at most.
const MAX_SERVICES: usize = 64;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name in its community.
    pub id: Box<str>,
    /// When it is asked.
    pub level: Level,
    /// Within its level the higher one is asked first.
    pub priority: i32,
    /// What it decides.
    pub allow: bool,
    /// Who begins a conversation.
    pub from: Selector,
    /// With whom.
    pub to: Selector,
    /// About what; never empty.
    pub services: Vec<Service>,
}

/// Everything that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct PolicyErrors(pub Vec<String>);

/// Reads a policy of a community. All that is wrong with it is said at once.
pub fn parse(record: &records::Policy) -> Result<Policy, PolicyErrors> {
    let mut wrong = Vec::new();
    if !is_id(&record.id) {
        wrong.push(format!(
            "\"{}\" is no id; take a short word of lower case letters, digits and hyphens",
            record
                .id
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect::<String>()
        ));
    }
    if record.comment.chars().count() > MAX_COMMENT || record.comment.contains(char::is_control) {
        wrong.push(format!(
            "the comment must be one line of at most {MAX_COMMENT} characters"
        ));
    }
    let mut selector = |side: &str, text: &str| {
        let parsed = text.parse().map_err(|why: SelectorError| why.to_string());
        let checked =
            parsed.and_then(|selector| check_machine(&selector, &record.community).map(|()| selector));
        checked.map_err(|why| wrong.push(format!("{side}: {why}"))).ok()
    };
    let (from, to) = (selector("from", &record.from), selector("to", &record.to));
    let services = services(&record.services, &mut wrong);
    let level = match record.level() {
        records::policy::Level::Domain => Level::Domain,
        records::policy::Level::User => Level::User,
        records::policy::Level::Machine => Level::Machine,
    };
    match (from, to) {
        (Some(from), Some(to)) if wrong.is_empty() => Ok(Policy {
            id: record.id.as_str().into(),
            level,
            priority: record.priority,
            allow: record.allow,
            from,
            to,
            services,
        }),
        _ => Err(PolicyErrors(
            wrong
                .into_iter()
                .map(|why| format!("policy {}: {why}", name(&record.id)))
                .collect(),
        )),
    }
}

impl Policy {
    /// Those that compare lower are asked first. The id makes the order one; it decides nothing.
    #[must_use]
    pub fn order(&self) -> impl Ord + use<'_> {
        (
            self.level,
            std::cmp::Reverse(self.priority),
            self.allow,
            &*self.id,
        )
    }

    /// The level of a policy that names none.
    #[must_use]
    pub fn natural_level(from: &Selector, to: &Selector) -> Level {
        let of = |selector: &Selector| match selector {
            Selector::Machine(_) => Level::Machine,
            Selector::User(_) | Selector::Tag(_) => Level::User,
            Selector::Any => Level::Domain,
        };
        of(from).min(of(to))
    }
}

/// Good as the id of a policy or a director: lower case letters, digits, hyphens, dots and underscores.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let good = |octet: u8| {
        octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'_' | b'.')
    };
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(good) && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn name(id: &str) -> &str {
    if is_id(id) { id } else { "?" }
}

fn check_machine(selector: &Selector, domain: &str) -> Result<(), String> {
    let Selector::Machine(fqdn) = selector else {
        return Ok(());
    };
    if Fqdn::parse(fqdn).is_ok() && host_in(fqdn, domain).is_some() {
        return Ok(());
    }
    let host = fqdn.split('.').next().unwrap_or_default();
    Err(format!(
        "{selector} is no machine of {domain}; write its full name, as machine:{host}.{domain}"
    ))
}

/// None at all means any; what another one covers is left out.
fn services(texts: &[String], wrong: &mut Vec<String>) -> Vec<Service> {
    if texts.is_empty() {
        return vec![Service::Any];
    }
    if texts.len() > MAX_SERVICES {
        wrong.push(format!(
            "{} services; at most {MAX_SERVICES} are possible: make it several policies",
            texts.len()
        ));
        return Vec::new();
    }
    let mut services: Vec<Service> = Vec::new();
    for text in texts {
        match text.parse::<Service>() {
            Ok(service) => services.push(service),
            Err(why) => wrong.push(why.to_string()),
        }
    }
    services.sort_unstable();
    services.dedup();
    let all = services.clone();
    services.retain(|service| !all.iter().any(|other| other != service && other.covers(*service)));
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(from: &str, to: &str, services: &[&str]) -> records::Policy {
        records::Policy {
            id: "p1".into(),
            community: "acme.example".into(),
            from: from.into(),
            to: to.into(),
            services: services.iter().map(ToString::to_string).collect(),
            ..records::Policy::default()
        }
    }

    #[test]
    fn no_service_is_any_and_wider_ones_swallow_narrower_ones() {
        let services = |texts: &[&str]| parse(&record("any", "any", texts)).unwrap().services;
        assert_eq!(services(&[]), [Service::Any]);
        assert_eq!(services(&["tcp/22", "any"]), [Service::Any]);
        assert_eq!(services(&["tcp/22", "tcp", "tcp/22"]), [Service::Protocol(6)]);
        assert_eq!(services(&["udp/53", "tcp/22"]).len(), 2);
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_what_to_do() {
        let mut bad = record("printers", "machine:printer", &["tcp/1-9", "ssh"]);
        bad.id = "Two Words".into();
        let errors = parse(&bad).unwrap_err().0;
        assert_eq!(errors.len(), 5, "{errors:#?}");
        assert!(
            errors[2].ends_with("write its full name, as machine:printer.acme.example"),
            "{}",
            errors[2]
        );
    }

    #[test]
    fn machines_of_other_communities_are_refused() {
        assert!(parse(&record("machine:pc.globex.example", "any", &[])).is_err());
        assert!(parse(&record("machine:acme.example", "any", &[])).is_err());
        assert!(parse(&record("machine:PC.floor2.acme.example", "any", &[])).is_ok());
    }

    #[test]
    fn a_policy_without_a_level_is_as_narrow_as_its_narrower_end() {
        let level =
            |from: &str, to: &str| Policy::natural_level(&from.parse().unwrap(), &to.parse().unwrap());
        assert_eq!(level("any", "any"), Level::Domain);
        assert_eq!(level("any", "tag:servers"), Level::User);
        assert_eq!(level("user:alice", "machine:pc.acme.example"), Level::Machine);
    }
}
