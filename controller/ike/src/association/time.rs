//! What happens to an association when time passes: repetition, liveness, rekeying, the end of what lingers.

use super::child::{Child, Fate};
use super::context::Context;
use super::established::{Established, IkeSa};
use super::followup::Half;
use super::tasks::{Pending, Task};
use super::window::Due;
use crate::event::{Down, Forgotten};
use crate::terms::Timing;
use crate::units::Role;

impl Established {
    /// Time passes; `Some` if it is over.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Option<Down> {
        let (now, timing) = (context.now.millis, context.config.timing);
        for at in 0..self.sas.len() {
            let sa = &mut self.sas[at];
            sa.protection.tidy(now);
            if sa.half.as_ref().is_some_and(|half| half.until() <= now) {
                self.drop_half(context, at);
            }
            let sa = &mut self.sas[at];
            let Some(outstanding) = sa.window.outstanding_mut() else {
                continue;
            };
            match outstanding.repeater.due(context.now, &timing) {
                Due::Nothing => {}
                Due::Repeat => context.send(self.path, outstanding.repeater.datagrams()),
                Due::GiveUp if self.sas[at].local_spi() == self.current => {
                    let outstanding = self.sas[at].window.outstanding();
                    return Some(match outstanding.map(|outstanding| &outstanding.what) {
                        Some(Pending::Close(why)) => why.clone(),
                        _ => Down::Silent,
                    });
                }
                Due::GiveUp => self.end_sa(context, at),
            }
        }
        while let Some(at) = self
            .sas
            .iter()
            .position(|sa| sa.ended.is_some_and(|until| until <= now))
        {
            let sa = self.sas.remove(at);
            context.give_back_ike_spi(sa.local_spi());
        }
        let late = |child: &&Child| matches!(child.fate, Fate::Lingering(until, _) if until <= now);
        while let Some(id) = self.children.iter().find(late).map(|child| child.id) {
            self.forget_child(context, id, Forgotten::Replaced);
        }
        let current = self.current()?;
        // RFC 7296 section 2.2: its numbers are used up.
        if current.window.is_used_up() {
            return Some(Down::Exhausted);
        }
        if now >= current.since + timing.ike_hard {
            return Some(Down::Expired);
        }
        let expire = Task::Expire(self.current);
        if now >= Self::notice_at(current, &timing) && current.window.is_idle() && !self.tasks.has(&expire) {
            self.tasks.put_first(now, expire);
        } else if now >= self.rekey_at(&timing)
            && !self.tasks.has(&Task::RekeyIke)
            && current.window.is_idle()
        {
            self.tasks.add(now, Task::RekeyIke);
        } else if now >= self.heard + timing.liveness && current.window.is_idle() {
            self.tasks.add(now, Task::Probe);
        }
        self.work(context);
        None
    }

    /// The end that did not begin an IKE SA waits a little longer, so that they seldom collide.
    fn rekey_at(&self, timing: &Timing) -> u64 {
        let current = self.current();
        let (since, role) = current.map_or((0, self.role), |sa| (sa.since, sa.protection.role));
        let wait = match role {
            Role::Initiator => timing.ike_soft,
            Role::Responder => timing.ike_soft + (timing.ike_hard.saturating_sub(timing.ike_soft)) / 4,
        };
        since.saturating_add(wait)
    }

    /// RFC 7296 section 2.4: whoever ends an IKE SA tells the other, so it is told before the last moment.
    fn notice_at(sa: &IkeSa, timing: &Timing) -> u64 {
        let between = timing.ike_hard.saturating_sub(timing.ike_soft);
        let notice = timing.patience().min(between / 4);
        sa.since.saturating_add(timing.ike_hard - notice)
    }

    pub(crate) fn deadline(&self, timing: &Timing) -> u64 {
        let repeats = self.sas.iter().filter_map(|sa| {
            sa.window
                .outstanding()
                .map(|outstanding| outstanding.repeater.deadline())
        });
        let halves = self.sas.iter().filter_map(|sa| sa.half.as_ref().map(Half::until));
        let ends = self.sas.iter().filter_map(|sa| sa.ended).chain(halves);
        let lingering = self.children.iter().filter_map(|child| match child.fate {
            Fate::Lingering(until, _) => Some(until),
            _ => None,
        });
        let idle = self.current().is_some_and(|sa| sa.window.is_idle());
        let hard = self.current().map(|sa| sa.since.saturating_add(timing.ike_hard));
        let expire = Task::Expire(self.current);
        let notice = self.current().filter(|_| idle && !self.tasks.has(&expire));
        let notice = notice.map(|sa| Self::notice_at(sa, timing));
        let rekey = (idle && !self.tasks.has(&Task::RekeyIke)).then(|| self.rekey_at(timing));
        let liveness = idle.then(|| self.heard.saturating_add(timing.liveness));
        let tasks = self.tasks.deadline(|task| self.room(task));
        repeats
            .chain(ends)
            .chain(lingering)
            .chain(hard)
            .chain(notice)
            .chain(rekey)
            .chain(liveness)
            .chain(tasks)
            .min()
            .unwrap_or(u64::MAX)
    }
}
