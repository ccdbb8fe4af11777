//! Policies, as operators put them.

use super::check;
use super::community::named;
use super::{Done, Outcome};
use crate::core::state::{Community, State};
use crate::core::{AdminError, AdminReply, Manager, Time};
use crate::policy::{self, Book, Level, MAX_RULES, Policy, Selector, Service};
use kith_protocol::{admin, records};

impl Manager {
    pub(super) fn put_policy(&mut self, now: Time, message: &admin::Policy) -> Outcome {
        let domain = check::name(&message.community)?;
        let community = named(self.state(), &domain)?;
        let record = record(message, &domain, now).map_err(AdminError::Invalid)?;
        let old = community.policy(&record.id);
        let record = old.map_or_else(
            || record.clone(),
            |old| records::Policy {
                created_ms: old.created_ms,
                ..record.clone()
            },
        );
        let details = old.map_or_else(
            || described(&record),
            |old| super::wish::policy_details(old, &record),
        );
        let index = community.index;
        fits(self.state(), community, std::slice::from_ref(&record), &[])
            .map_err(|why| AdminError::Invalid(vec![why]))?;
        let reply = AdminReply::Policy(self::message(&record));
        if old != Some(&record) {
            self.state_mut().put_policy(index, record.clone());
            self.policies_changed(index);
            self.event(now, "policy.changed", index, &record.id, details.join(", "));
        }
        Ok(Done::with(reply, details.join(", ")))
    }

    pub(super) fn delete_policy(&mut self, now: Time, name: &admin::PolicyName) -> Outcome {
        let domain = check::name(&name.community)?;
        let community = named(self.state(), &domain)?;
        let index = community.index;
        let Some(record) = community.policy(&name.id) else {
            let id = super::short(&name.id);
            return Err(AdminError::NotFound(format!(
                "{domain} has no policy {id}; kith policy list --community {domain} shows those that are"
            )));
        };
        let detail = described(record).join(", ");
        self.state_mut().remove_policy(index, &name.id);
        self.policies_changed(index);
        self.event(now, "policy.deleted", index, &name.id, detail.clone());
        Ok(Done::with(AdminReply::Done, detail))
    }

    pub(super) fn list_policies(&self, name: &str) -> Outcome {
        let community = named(self.state(), &check::name(name)?)?;
        let book = Book::new(
            community.manager_address,
            community.deny_by_default,
            community
                .policies()
                .filter_map(|record| policy::parse(record).ok()),
        );
        // In the order in which they are asked.
        let policies = book
            .policies()
            .filter_map(|policy| community.policy(&policy.id))
            .map(message)
            .collect();
        let (version, deny_by_default) = (community.policy_version, community.deny_by_default);
        Ok(AdminReply::Policies(admin::Policies {
            policies,
            version,
            deny_by_default,
        })
        .into())
    }

    pub(super) fn explain_policy(&self, asked: &admin::ExplainRequest) -> Outcome {
        let state = self.state();
        let (from, to) = (
            super::member::named(state, &asked.from)?,
            super::member::named(state, &asked.to)?,
        );
        let service: Result<Service, _> = if asked.service.is_empty() {
            Ok(Service::Any)
        } else {
            asked.service.parse()
        };
        let service = service.map_err(|why| AdminError::Invalid(vec![why.to_string()]))?;
        if from.community != to.community {
            let (from, to) = (&from.fqdn, &to.fqdn);
            let why = format!(
                "{from} and {to} are of different communities, which never meet; name two members of one"
            );
            return Err(AdminError::Invalid(vec![why]));
        }
        let explanation = state.with_book(from.community, |book| {
            book.explain(&from.who(), &to.who(), service)
        });
        let explanation = explanation
            .ok_or_else(|| AdminError::NotFound(format!("the community of {} is gone", from.fqdn)))?;
        Ok(AdminReply::Explanation(explanation).into())
    }
}

/// A policy as it is kept; all that is wrong with it, if something is. Without a level it is as narrow as its narrower end.
pub(super) fn record(
    message: &admin::Policy,
    domain: &str,
    now: Time,
) -> Result<records::Policy, Vec<String>> {
    let level = match message.level.as_str() {
        "" => match (message.from.parse::<Selector>(), message.to.parse::<Selector>()) {
            (Ok(from), Ok(to)) => Policy::natural_level(&from, &to),
            _ => Level::Domain,
        },
        text => text
            .parse()
            .map_err(|why: policy::LevelError| vec![why.to_string()])?,
    };
    let mut record = records::Policy {
        id: message.id.clone(),
        community: domain.to_owned(),
        level: number(level).into(),
        priority: message.priority,
        allow: message.allow,
        from: message.from.clone(),
        to: message.to.clone(),
        services: message.services.clone(),
        comment: message.comment.trim().to_owned(),
        created_ms: now.0,
    };
    let policy = policy::parse(&record).map_err(|errors| errors.0)?;
    // As it was understood: so that the same wish always reads the same.
    record.from = policy.from.to_string();
    record.to = policy.to.to_string();
    record.services = policy.services.iter().map(ToString::to_string).collect();
    Ok(record)
}

/// As operators see it.
pub(super) fn message(record: &records::Policy) -> admin::Policy {
    admin::Policy {
        id: record.id.clone(),
        community: record.community.clone(),
        level: level_word(record).to_owned(),
        priority: record.priority,
        allow: record.allow,
        from: record.from.clone(),
        to: record.to.clone(),
        services: record.services.clone(),
        comment: record.comment.clone(),
    }
}

/// Would every member's table still hold its rules, with these policies put and those deleted?
pub(super) fn fits(
    state: &State,
    community: &Community,
    put: &[records::Policy],
    deleted: &[&str],
) -> Result<(), String> {
    let full = state.overfull(community.index, put, deleted);
    full.map_or(Ok(()), |member| {
        let fqdn = &member.fqdn;
        Err(format!(
            "the policies of {} would be more than {MAX_RULES} rules for {fqdn}, which is all that a member can keep; name fewer members, or any",
            community.domain
        ))
    })
}

/// What a policy says, for logs and plans.
pub(super) fn described(record: &records::Policy) -> Vec<String> {
    let verb = if record.allow { "allow" } else { "deny" };
    let services = record.services.join(" ");
    vec![format!(
        "{verb} {} to {}: {services} ({} level, priority {})",
        record.from,
        record.to,
        level_word(record),
        record.priority
    )]
}

/// "domain", "user", "machine"
pub(super) fn level_word(record: &records::Policy) -> &'static str {
    match record.level() {
        records::policy::Level::Domain => "domain",
        records::policy::Level::User => "user",
        records::policy::Level::Machine => "machine",
    }
}

fn number(level: Level) -> records::policy::Level {
    match level {
        Level::Domain => records::policy::Level::Domain,
        Level::User => records::policy::Level::User,
        Level::Machine => records::policy::Level::Machine,
    }
}
