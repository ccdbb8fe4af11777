//! Members of the asker's community by pattern, status and platform (source document 001, figure 20).

use super::Manager;
use super::authentic::Denial;
use super::ids::Time;
use super::output::{Answer, DropCause};
use super::state::{Member, Standing};
use kith_protocol::authenticator::Kind;
use kith_protocol::member::{Envelope, QueryAck, QueryRecord, QueryRequest, Status};
use std::net::SocketAddrV4;
use wildmatch::WildMatch;

/// Longer patterns are abnormal: matching costs their length times the name's.
const MAX_PATTERN: usize = 253;
/// Platforms that one query may name.
const MAX_PLATFORMS: usize = 16;

impl Manager {
    pub(super) fn query(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        let (id, request) = self.by_session::<QueryRequest>(now, from, Kind::Query, envelope)?;
        if request.pattern.len() > MAX_PATTERN || request.platforms.len() > MAX_PLATFORMS {
            return Err(DropCause::Abnormal.into());
        }
        self.spend(now, id)?;
        let most = self.settings.limits.query;
        let limit = match usize::try_from(request.limit).unwrap_or(most) {
            0 => most,
            asked => asked.min(most),
        };
        let pattern = (!request.pattern.is_empty()).then(|| WildMatch::new(&request.pattern));
        let wanted = |member: &Member| {
            let named = pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(&member.fqdn));
            let masked = request.status_mask == 0 || request.status_mask >> (status(member) as u32) & 1 == 1;
            let platform = request.platforms.is_empty()
                || request.platforms.iter().any(|other| **other == *platform(member));
            named && masked && platform
        };
        let community = self
            .state
            .member(id)
            .and_then(|member| self.state.community(member.community));
        let community = community.ok_or(DropCause::Unknown)?;
        let members = community.members().filter_map(|(_, id)| self.state.member(id));
        let mut records: Vec<QueryRecord> = members
            .filter(|member| wanted(member))
            .take(limit + 1)
            .map(record)
            .collect();
        let more = records.len() > limit;
        records.truncate(limit);
        Ok(Answer::Query(QueryAck { records, more }))
    }
}

fn record(member: &Member) -> QueryRecord {
    QueryRecord {
        fqdn: member.fqdn.to_string(),
        status: status(member).into(),
        platform: platform(member).to_owned(),
    }
}

fn status(member: &Member) -> Status {
    match member.standing {
        Standing::NotRegistered => Status::NotRegistered,
        Standing::Registering => Status::Registering,
        Standing::Registered if member.session().is_some() => Status::Joined,
        Standing::Registered => Status::Registered,
        Standing::Revoked => Status::Revoked,
    }
}

fn platform(member: &Member) -> &str {
    let joined = member
        .session()
        .map(|session| &*session.platform)
        .filter(|platform| !platform.is_empty());
    joined.unwrap_or(&member.platform)
}
