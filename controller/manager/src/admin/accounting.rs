//! What members have used: joined time and volume (source document 001, figure 20).

use super::Outcome;
use super::listing::select;
use crate::core::state::Member;
use crate::core::{AdminReply, Manager, Time};
use kith_protocol::admin;

impl Manager {
    /// Members that never joined have used nothing and are left out.
    pub(super) fn list_accounting(&self, now: Time, query: &admin::MemberQuery) -> Outcome {
        // Left out before pages are cut: a page of them would come back empty, and say that there is more.
        let (found, more) = select(self.state(), query, |member| member.accounting().is_some())?;
        let records = found.into_iter().filter_map(|member| used(now, member)).collect();
        Ok(AdminReply::Accounting(admin::AccountingList { records, more }).into())
    }
}

/// What was written, and what the session under way has used since.
fn used(now: Time, member: &Member) -> Option<admin::Accounting> {
    let account = member.accounting()?;
    let mut used = admin::Accounting {
        fqdn: member.fqdn.to_string(),
        joined_ms: account.joined_ms,
        sessions: account.sessions,
        octets_sent: account.octets_sent,
        octets_received: account.octets_received,
        first_joined_ms: account.first_joined_ms,
        last_seen_ms: account.last_seen_ms,
        joined: member.session().is_some(),
    };
    if let Some(session) = member
        .session()
        .filter(|session| session.run_id.0 == *account.run_id)
    {
        let (sent, received) = session.live.octets;
        used.octets_sent += sent.saturating_sub(account.run_octets_sent);
        used.octets_received += received.saturating_sub(account.run_octets_received);
        used.joined_ms += now
            .0
            .saturating_sub(session.joined_ms)
            .saturating_sub(account.run_joined_ms);
        used.last_seen_ms = used.last_seen_ms.max(session.live.heard_ms);
    }
    Some(used)
}
