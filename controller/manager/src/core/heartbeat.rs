//! Signs of life, and what is due when: silence, joins and registrations that took too long, accounting.
//!
//! A heartbeat costs two stores. Each member stands at most once in the agenda, with the earliest time at which something may be due; when that
//! comes it is looked at, and put back with the next. So ten thousand heartbeats a second move nothing.

use super::ids::{MemberId, RunId, Time};
use super::leave::Ended;
use super::state::Standing;
use super::{ChannelOp, Manager, Output};
use std::cmp::Reverse;

/// Members looked at in one tick, so that a transaction stays small.
const AT_ONCE: usize = 512;

impl Manager {
    pub(super) fn heartbeat(&mut self, now: Time, id: MemberId, run_id: RunId, octets: (u64, u64)) {
        if self
            .state
            .session(id)
            .is_none_or(|session| session.run_id != run_id)
        {
            return self.counts.add("heartbeat", "of_another_run");
        }
        self.counts.add("heartbeat", "heard");
        self.heard(now, id);
        let Some(live) = self.state.live_mut(id) else {
            return;
        };
        // The channel works: the join's answer has arrived.
        live.answered = None;
        live.octets = (live.octets.0.max(octets.0), live.octets.1.max(octets.1));
    }

    /// Something authentic came from the run that joined.
    pub(super) fn heard(&mut self, now: Time, id: MemberId) {
        self.state
            .live_mut(id)
            .into_iter()
            .for_each(|live| live.heard_ms = live.heard_ms.max(now.0));
    }

    /// The member is looked at then at the latest.
    pub(super) fn look(&mut self, id: MemberId, at: Time) {
        let Some(member) = self.state.fleeting_mut(id) else {
            return;
        };
        if at.0 < member.look_at {
            member.look_at = at.0;
            self.agenda.push(Reverse((at.0, id)));
        }
    }

    pub(super) fn agenda_due(&mut self, now: Time) {
        for _ in 0..AT_ONCE {
            let Some(Reverse((at, id))) = self
                .agenda
                .peek()
                .copied()
                .filter(|Reverse((at, _))| *at <= now.0)
            else {
                return;
            };
            self.agenda.pop();
            // An earlier time was entered since; then this entry is of the past.
            let Some(member) = self.state.fleeting_mut(id).filter(|member| member.look_at == at) else {
                continue;
            };
            member.look_at = u64::MAX;
            self.attend(now, id);
            if let Some(next) = self.next_due(id) {
                self.look(id, next.max(now.plus(1)));
            }
        }
    }

    /// For directors, the hub and the agenda: all that was read from the store.
    pub(super) fn sync_on_start(&mut self) {
        let communities = self.state.communities().map(|community| ChannelOp::Community {
            community: community.index,
            domain: community.domain.clone(),
            manager_address: community.manager_address,
        });
        let communities: Vec<ChannelOp> = communities.collect();
        communities
            .into_iter()
            .for_each(|op| self.emit(Output::Channel(op)));
        let ids: Vec<MemberId> = self.state.members().map(|member| member.id).collect();
        for id in ids {
            if let Some(director) = self
                .state
                .session(id)
                .and_then(|session| session.director.clone())
            {
                self.grant(id, &director);
            }
            if let Some(next) = self.next_due(id) {
                self.look(id, next);
            }
        }
    }

    fn attend(&mut self, now: Time, id: MemberId) {
        self.expire_registration(now, id);
        let Some(member) = self.state.member(id) else {
            return;
        };
        if member
            .confirmed
            .as_deref()
            .is_some_and(|confirmed| confirmed.until_ms <= now.0)
        {
            self.state
                .member_mut(id)
                .into_iter()
                .for_each(|member| member.confirmed = None);
        }
        let Some(member) = self.state.member(id) else {
            return;
        };
        if member.init.as_deref().is_some_and(|init| init.until_ms <= now.0) {
            self.forget_init(id);
        }
        let silent_at = self.silent_at(id);
        if silent_at.is_some_and(|at| at <= now) {
            return self.end_session(now, id, Ended::Silent);
        }
        let every = self.settings.times.accounting;
        let Some(live) = self.state.live_mut(id) else {
            return;
        };
        if live
            .answered
            .as_deref()
            .is_some_and(|answered| answered.until_ms <= now.0)
        {
            live.answered = None;
        }
        if live.accounted_ms.saturating_add(every) <= now.0 {
            self.account(now, id);
        }
    }

    fn next_due(&self, id: MemberId) -> Option<Time> {
        let member = self.state.member(id)?;
        let registering = member
            .registering
            .as_deref()
            .filter(|_| member.standing == Standing::Registering);
        let times = [
            registering.map(|registering| registering.until_ms),
            member.confirmed.as_deref().map(|confirmed| confirmed.until_ms),
            member.init.as_deref().map(|init| init.until_ms),
            self.silent_at(id).map(|at| at.0),
            member.session().map(|session| {
                session
                    .live
                    .accounted_ms
                    .saturating_add(self.settings.times.accounting)
            }),
        ];
        times.into_iter().flatten().min().map(Time)
    }

    /// When a joined member will have been silent for too long.
    fn silent_at(&self, id: MemberId) -> Option<Time> {
        let heard = Time(self.state.session(id)?.live.heard_ms);
        // Members cannot be heard through a manager that is not there.
        Some(
            heard
                .plus(self.settings.times.silence)
                .max(self.started.plus(self.settings.times.grace)),
        )
    }
}

/// Accounting (source document 001, figure 20): joined time and volume, per member.
impl Manager {
    /// A session begins.
    pub(super) fn begin_accounting(&mut self, now: Time, id: MemberId) {
        let Some(session) = self.state.session(id) else {
            return;
        };
        let run_id = session.run_id.0;
        let Some(account) = self.state.accounting_mut(id) else {
            return;
        };
        account.sessions += 1;
        account.last_seen_ms = now.0;
        account.run_joined_ms = 0;
        if account.first_joined_ms == 0 {
            account.first_joined_ms = now.0;
        }
        if account.run_id != run_id {
            // Octets are counted by the run, not by the session.
            account.run_id = run_id.to_vec();
            account.run_octets_sent = 0;
            account.run_octets_received = 0;
        }
        let counted = (account.run_octets_sent, account.run_octets_received);
        if let Some(live) = self.state.live_mut(id) {
            live.accounted_ms = now.0;
            live.octets = counted;
        }
    }

    /// Adds what the session under way has used since this was last done.
    pub(super) fn account(&mut self, now: Time, id: MemberId) {
        let Some(session) = self.state.session(id) else {
            return;
        };
        let joined = now.0.saturating_sub(session.joined_ms);
        let ((sent, received), heard) = (session.live.octets, session.live.heard_ms);
        self.state
            .live_mut(id)
            .into_iter()
            .for_each(|live| live.accounted_ms = now.0);
        let Some(account) = self.state.accounting_mut(id) else {
            return;
        };
        account.joined_ms += grown(&mut account.run_joined_ms, joined);
        account.octets_sent += grown(&mut account.run_octets_sent, sent);
        account.octets_received += grown(&mut account.run_octets_received, received);
        account.last_seen_ms = account.last_seen_ms.max(heard);
    }
}

/// By how much; 0 if it did not.
fn grown(counted: &mut u64, now: u64) -> u64 {
    let more = now.saturating_sub(*counted);
    *counted += more;
    more
}
