//! What operators look at: the manager, communities, members. Pages are in order of communities, then of names.

use super::check;
use super::community::named;
use super::{Done, Outcome};
use crate::core::state::{Community, Member, State};
use crate::core::{AdminError, AdminReply, CommunityIndex, Manager, Time};
use data_encoding::HEXLOWER;
use kith_protocol::{admin, invitation, member};
use wildmatch::WildMatch;

/// Records in one answer, unless fewer are wanted.
const MOST: usize = 1000;
/// Characters of a pattern at most.
const MAX_PATTERN: usize = 256;
/// Words that select members by their state.
const STATES: [&str; 5] = ["not-registered", "registering", "registered", "joined", "revoked"];

impl Manager {
    pub(super) fn status(&self) -> AdminReply {
        let (state, settings) = (self.state(), self.settings());
        let manager = settings.managers.first().cloned().unwrap_or_default();
        let count = |(kind, outcome, count): (&str, &str, u64)| admin::Count {
            name: format!("{kind}.{outcome}"),
            count,
        };
        AdminReply::Status(Box::new(admin::ManagerStatus {
            program: settings.program.clone(),
            host: manager.host,
            port: manager.port,
            tunnel_port: settings.tunnel.port().into(),
            fingerprint: format!("sha256:{}", HEXLOWER.encode(&manager.fingerprint)),
            revision: state.revision().0,
            communities: state.communities().count() as u64,
            members: state.member_count(),
            joined: state.joined_count(),
            streams: state.stream_count(),
            counts: self.counts().iter().map(count).collect(),
            ..admin::ManagerStatus::default()
        }))
    }

    /// Under which name and port members reach this manager, in invitations from now on; whoever joins learns it.
    pub(super) fn set_manager(&mut self, now: Time, wish: &admin::ManagerSettings) -> Outcome {
        let mut managers = self.settings().managers.clone();
        if managers.is_empty() {
            managers.push(member::ManagerAddress::default());
        }
        let port = if wish.port == 0 {
            managers[0].port
        } else {
            wish.port
        };
        if u16::try_from(port).is_err() || port == 0 {
            return Err(AdminError::Invalid(vec![format!(
                "a port is a number from 1 to 65535, not {port}"
            )]));
        }
        if !invitation::check_host(&wish.host) || wish.host == "0.0.0.0" {
            let why = format!(
                "\"{}\" is no name or address at which members could reach the manager; write it as vpn.acme.example",
                super::short(&wish.host)
            );
            return Err(AdminError::Invalid(vec![why]));
        }
        let detail = format!(
            "{}:{} -> {}:{port}",
            managers[0].host, managers[0].port, wish.host
        );
        (managers[0].host, managers[0].port) = (wish.host.clone(), port);
        if managers != self.settings().managers {
            self.set_managers(managers);
            self.event(
                now,
                "manager.changed",
                CommunityIndex(0),
                &wish.host,
                detail.clone(),
            );
        }
        Ok(Done::with(self.status(), detail))
    }

    pub(super) fn list_communities(&self) -> AdminReply {
        let communities = in_order(self.state())
            .into_iter()
            .map(super::community::message)
            .collect();
        AdminReply::Communities(admin::Communities { communities })
    }

    pub(super) fn list_members(&self, query: &admin::MemberQuery) -> Outcome {
        let (found, more) = select(self.state(), query, |_| true)?;
        let members = found
            .into_iter()
            .map(|found| member(self.state(), found))
            .collect();
        Ok(AdminReply::Members(admin::Members { members, more }).into())
    }
}

/// A page of members of a kind, and whether there are more.
pub(super) fn select<'a>(
    state: &'a State,
    query: &admin::MemberQuery,
    kind: impl Fn(&Member) -> bool,
) -> Result<(Vec<&'a Member>, bool), AdminError> {
    if let Some(other) = query.states.iter().find(|word| !STATES.contains(&word.as_str())) {
        let why = format!(
            "\"{}\" is no state of members; there are {}",
            super::short(other),
            STATES.join(", ")
        );
        return Err(AdminError::Invalid(vec![why]));
    }
    if query.pattern.len() > MAX_PATTERN {
        return Err(AdminError::Invalid(vec![format!(
            "the pattern is longer than {MAX_PATTERN} characters"
        )]));
    }
    let communities = match query.community.as_str() {
        "" => in_order(state),
        name => vec![named(state, &check::name(name)?)?],
    };
    let pattern = (!query.pattern.is_empty()).then(|| WildMatch::new(&query.pattern.to_ascii_lowercase()));
    let wanted = |member: &&Member| {
        kind(member)
            && (query.states.is_empty() || query.states.iter().any(|word| word == member.state_word()))
            && (query.platforms.is_empty() || query.platforms.iter().any(|word| **word == *member.platform))
            && pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(&member.fqdn))
    };
    let limit = usize::try_from(query.limit).unwrap_or(MOST);
    let limit = if limit == 0 { MOST } else { limit.min(MOST) };
    let begin = (!query.after.is_empty()).then(|| (domain_of(state, &query.after), query.after.as_str()));
    let behind = communities
        .into_iter()
        .filter(|community| begin.is_none_or(|(domain, _)| &*community.domain >= domain));
    let ids = behind.flat_map(|community| {
        // Within the community that the page before ended in, behind its last name.
        let after = begin
            .filter(|(domain, _)| &*community.domain == *domain)
            .map_or("", |(_, name)| name);
        community.members_after(after).map(|(_, id)| id)
    });
    let mut found: Vec<&Member> = ids
        .filter_map(|id| state.member(id))
        .filter(wanted)
        .take(limit + 1)
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

/// A member as operators see it.
pub(super) fn member(state: &State, member: &Member) -> admin::Member {
    let mut shown = admin::Member {
        fqdn: member.fqdn.to_string(),
        community: state.domain(member.community).to_owned(),
        user: member.user.to_string(),
        email: member.email.to_string(),
        platform: member.platform.to_string(),
        state: member.state_word().to_owned(),
        virtual_address: member
            .virtual_address
            .map_or_else(String::new, |address| address.to_string()),
        registered_ms: member.registered_ms,
        program: member.program.to_string(),
        tags: member.tags.iter().map(ToString::to_string).collect(),
        reason: member.revoked_reason.as_deref().unwrap_or_default().to_owned(),
        created_ms: member.created_ms,
        identity: member
            .identity
            .map_or_else(String::new, |key| format!("ed25519:{}", HEXLOWER.encode(&key))),
        address_reserved: member.address_reserved,
        ..admin::Member::default()
    };
    if let Some(session) = member.session() {
        let at = session.location;
        shown.joined_ms = session.joined_ms;
        shown.director = session.director.as_deref().unwrap_or_default().to_owned();
        shown.location = match session.director {
            Some(_) if !at.director.is_unspecified() => {
                format!("{} at {}:{}", at.address, at.director, at.director_port)
            }
            _ => format!("{}:{}", at.address, at.port),
        };
        shown.local_address = session.local_address.to_string();
        shown.observed_address = session.observed_address.to_string();
        shown.behind_nat = session.behind_nat;
        shown.program = session.program.to_string();
        shown.heard_ms = session.live.heard_ms;
    }
    shown
}

/// Communities in order of their domains.
pub(super) fn in_order(state: &State) -> Vec<&Community> {
    let mut communities: Vec<&Community> = state.communities().collect();
    communities.sort_by(|a, b| a.domain.cmp(&b.domain));
    communities
}

fn domain_of<'a>(state: &'a State, fqdn: &'a str) -> &'a str {
    state
        .community_of_name(fqdn)
        .map_or(fqdn, |community| &community.domain)
}
