//! Directors in other processes: who is there, who was, and when one that is gone is believed to be down.
//!
//! ```text
//!  start ──► expected ──────── 30 s ─────────► down
//!               │ attends            ▲ grace, 10 s
//!               ▼                    │
//!            attended ── gone ──► lost ── attends again: as if nothing had been
//! ```
//!
//! A director that is gone for a moment keeps its members: they hold on to their sessions, and its dataplane relays on. What "down" changes is
//! that nobody new is sent there. Cost: one comparison a tick; a look at all directors when one comes or goes.

use super::ids::{CommunityIndex, Time};
use super::state::Place;
use super::{Manager, command::Role};
use kith_protocol::records;
use std::collections::BTreeMap;

/// The role of a credential that lets its holder attend for one director.
pub const DIRECTOR_ROLE: &str = "director";
/// One who tries again and again stands in the audit log this often, in milliseconds.
const REFUSALS: u64 = 60_000;

/// When directors are looked at, and whose refusals were written down.
#[derive(Default)]
pub(super) struct Attendance {
    due: Option<Time>,
    /// By director: when it was. At most as many as there are directors.
    refused: BTreeMap<String, Time>,
}

impl Attendance {
    /// When the next director is to be believed down.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }
}

impl Manager {
    /// Directors that have a token are somewhere else: they have to show themselves.
    pub(super) fn expect_directors(&mut self, now: Time) {
        let at = now.plus(self.settings.times.director_start);
        let held = self.state.credentials();
        let held = held.filter(|credential| credential.role == DIRECTOR_ROLE);
        let names: Vec<String> = held.map(|credential| credential.director.clone()).collect();
        for name in names {
            if let Some(director) = self.state.fleeting_director_mut(&name) {
                director.lost_at = Some(at);
            }
        }
        self.plan_directors();
    }

    /// Somebody attends for a director, or does not any more.
    pub(super) fn director_place(&mut self, now: Time, name: &str, place: Place, room: u64) {
        let grace = self.settings.times.director_grace;
        let Some(director) = self.state.fleeting_director_mut(name) else {
            return;
        };
        director.room = room;
        if director.place == place {
            return;
        }
        let before = std::mem::replace(&mut director.place, place);
        let healthy = director.health.healthy;
        director.lost_at = matches!(place, Place::Lost { .. } if healthy).then(|| now.plus(grace));
        self.plan_directors();
        let (kind, from) = match place {
            Place::Attended { from, .. } => ("director.attended", from),
            Place::Lost { from, .. } => ("director.gone", from),
            Place::Never | Place::InProcess => return,
        };
        let detail = match before {
            Place::Attended { from: old, .. } if old != from => format!("from {from}, before from {old}"),
            _ => format!("from {from}"),
        };
        self.event(now, kind, CommunityIndex(0), name, detail);
    }

    /// Somebody who has a right to a director's name was turned away: it is written down, but not again and again.
    pub(super) fn director_refused(&mut self, now: Time, name: &str, actor: String, why: String) {
        if self.state.director(name).is_none() {
            return;
        }
        self.event(now, "director.refused", CommunityIndex(0), name, why.clone());
        let told = self.attendance.refused.get(name);
        if told.is_some_and(|at| now.since(*at) < REFUSALS) {
            return;
        }
        let state = &self.state;
        self.attendance
            .refused
            .retain(|name, _| state.director(name).is_some());
        self.attendance.refused.insert(name.to_owned(), now);
        self.state.audit(records::Audit {
            at_ms: now.0,
            actor,
            role: DIRECTOR_ROLE.to_owned(),
            action: "director.attend".to_owned(),
            subject: name.to_owned(),
            detail: why,
            allowed: false,
        });
    }

    pub(super) fn directors_due(&mut self, now: Time) {
        if self.attendance.due.is_none_or(|due| now < due) {
            return;
        }
        let gone = self.state.directors();
        let gone = gone.filter(|director| director.lost_at.is_some_and(|at| at <= now));
        let names: Vec<String> = gone.map(|director| director.record.name.clone()).collect();
        for name in names {
            if let Some(director) = self.state.fleeting_director_mut(&name) {
                director.lost_at = None;
                let sessions = director.health.sessions;
                self.director_health(now, &name, false, sessions, (false, false));
            }
        }
        self.plan_directors();
    }

    fn plan_directors(&mut self) {
        let all = self.state.directors();
        self.attendance.due = all.filter_map(|director| director.lost_at).min();
    }
}

impl Manager {
    /// Which director the holder of this credential may attend for; none if there is no such credential, or it is for something else.
    #[must_use]
    pub fn attends_for(&self, credential: &str, now: Time) -> Option<&str> {
        let credential = self.state.credential(credential)?;
        let valid = credential.expires_ms == 0 || now.0 < credential.expires_ms;
        // No operator's role has this name: it can do nothing else.
        debug_assert!(DIRECTOR_ROLE.parse::<Role>().is_err());
        let named = self.state.director(&credential.director)?;
        (valid && credential.role == DIRECTOR_ROLE).then_some(&*named.record.name)
    }
}
