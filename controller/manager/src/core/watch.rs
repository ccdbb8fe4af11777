//! A member's stream of changes: sync by revision, then each change that concerns it, once and in order.
//!
//! ```text
//!  watch(from) ──► from ≥ all it should have been told? ──yes──► Synced, then changes as they happen
//!                                    └──no──► Resync, end: it watches from 0, and asks for each member that it deals with
//! watch(0) ──► its policy, the managers, Synced, then changes as they happen
//! ```
//!
//! The manager keeps one number a member, not a queue: the newest revision that the member was told of or should have been.

use super::Manager;
use super::authentic::Denial;
use super::ids::{MemberId, StreamId, Time};
use super::join::prefix;
use super::outbox::Held;
use super::output::{DropCause, Output, StreamEnd};
use kith_protocol::authenticator::Kind;
use kith_protocol::member::update::Change;
use kith_protocol::member::{Envelope, Managers, Resync, Synced, Update, WatchRequest};
use std::net::SocketAddrV4;

impl Manager {
    pub(super) fn watch(&mut self, now: Time, stream: StreamId, from: SocketAddrV4, envelope: &Envelope) {
        match self.by_session::<WatchRequest>(now, from, Kind::Watch, envelope) {
            Ok((id, request)) => {
                let told = self
                    .state
                    .session(id)
                    .map_or(u64::MAX, |session| session.live.told);
                let newest = self.state.revision().0;
                let anew = request.from_revision == 0;
                if !anew && (request.from_revision < told || request.from_revision > newest) {
                    self.counts.add("watch", "resync");
                    return self.last_word(stream, Change::Resync(Resync {}));
                }
                self.counts.add("watch", "granted");
                if let Some(old) = self.state.attach_stream(id, stream) {
                    let why = StreamEnd::Replaced;
                    self.outbox.now(Output::StreamEnd { stream: old, why });
                }
                if anew {
                    return self.tell_all(id, stream);
                }
                // What is held now is of later revisions and goes to this stream.
                let synced = self.synced(id);
                self.push_now(stream, synced);
            }
            Err(Denial::Refused(refusal)) => {
                self.counts.add("watch", "refused");
                self.last_word(stream, Change::Ended(refusal));
            }
            Err(Denial::Dropped(cause)) => self.drop_stream(stream, cause),
        }
    }

    /// What a member must know that knows nothing. It is told like any change: not before it is on disk, and it has been told only with the
    /// last word of it.
    fn tell_all(&mut self, id: MemberId, stream: StreamId) {
        if let Some(live) = self.state.live_mut(id) {
            live.told = 0;
        }
        self.own_policy(id);
        let policy = Change::Policy(self.policy_of(id));
        let managers = Change::Managers(Managers {
            managers: self.settings.managers.clone(),
            version: self.settings.managers_version,
        });
        for change in [managers, policy, self.synced(id)] {
            let update = Update {
                revision: 0,
                change: Some(change),
            };
            self.outbox.hold(Held::Tell(stream, id, update));
        }
    }

    fn synced(&self, id: MemberId) -> Change {
        let member = self.state.member(id);
        let community = member.and_then(|member| self.state.community(member.community));
        Change::Synced(community.map_or_else(Synced::default, |community| Synced {
            networks: community.pools.iter().copied().map(prefix).collect(),
            manager_virtual_address: community.manager_address.into(),
        }))
    }

    /// An update was lost: the member must ask anew, and its stream ends.
    pub(super) fn stream_full(&mut self, stream: StreamId) {
        self.counts.add("watch", "too_slow");
        if let Some(id) = self.state.detach_stream(stream) {
            self.state
                .live_mut(id)
                .into_iter()
                .for_each(|live| live.told = u64::MAX);
        }
        self.last_word(stream, Change::Resync(Resync {}));
    }

    fn drop_stream(&mut self, stream: StreamId, cause: DropCause) {
        self.counts.add("watch", cause.word());
        let why = StreamEnd::Dropped(cause);
        self.outbox.now(Output::StreamEnd { stream, why });
    }

    fn last_word(&mut self, stream: StreamId, change: Change) {
        self.push_now(stream, change);
        let why = StreamEnd::Told;
        self.outbox.now(Output::StreamEnd { stream, why });
    }

    fn push_now(&mut self, stream: StreamId, change: Change) {
        let update = Update {
            revision: self.state.revision().0,
            change: Some(change),
        };
        self.outbox.now(Output::Push { stream, update });
    }
}
