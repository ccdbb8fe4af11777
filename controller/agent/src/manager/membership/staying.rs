//! Staying joined: the stream of changes, new keys for the channel, heartbeats, moves, and a manager that falls silent.

use super::super::Refused;
use super::super::backoff::{Backoff, jitter};
use super::super::channel::Half;
use super::super::request::{Answer, Call, Failure, StreamId};
use super::director::Way;
use super::{Awaited, Event, Membership, Output, PATIENCE, Phase, Place, after};
use crate::keying::Moment;
use crate::orders::Order;
use kith_esp::Millis;
use kith_protocol::authenticator::Kind;
use kith_protocol::heartbeat::{Heartbeat, Sender};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{JoinAck, Location, MoveRequest, RefreshRequest, WatchRequest};
use kith_protocol::member::{move_answer, refresh_answer};
use std::net::SocketAddrV4;

/// What is in force since the last join.
pub(super) struct Joined {
    pub(super) place: Place,
    /// As the manager knows it.
    pub(super) location: Location,
    /// Where the manager takes packets of the tunnel.
    endpoint: SocketAddrV4,
    pub(super) way: Way,
    /// The manager's clock minus ours.
    clock_offset_ms: i64,
    /// All up to here has been told.
    pub(super) revision: u64,
    /// This stream tells everything: it counts with its last word.
    pub(super) resyncing: bool,
    stream: Stream,
    stream_backoff: Backoff,
    refresh_due: Millis,
    refresh_backoff: Backoff,
    move_due: Option<Millis>,
    move_backoff: Backoff,
    /// The director took its session back, and has given no other: then we look for another director.
    director_due: Option<Millis>,
    beat_ms: u64,
    next_beat: Millis,
    sequence: u64,
    /// Number and time of the manager's last heartbeat.
    echo: (u64, u64),
    manager_beat_ms: u64,
    heard: Millis,
    /// It has answered a refresh since it was heard.
    reached: bool,
    /// How often in a row the manager was silent for too long.
    silences: u32,
}

/// The stream of changes.
#[derive(Clone, Copy)]
enum Stream {
    /// Opened again then, after a refresh.
    Down(Millis),
    /// The refresh that goes before it is under way.
    Refreshing,
    /// Opened; nothing has come yet.
    Opening(StreamId, Millis),
    /// Changes come.
    Open(StreamId),
}

/// New keys for the channel this often: they live 120 s, and stop at 180 s.
const REFRESH_MS: u64 = 110_000;
/// A stream on which nothing comes at first is opened again.
const OPENING_MS: u64 = 15_000;
/// Intervals without a heartbeat after which the manager counts as silent.
const SILENT_INTERVALS: u64 = 3;
/// A director that gives no session for so long, or half of it, is left for another, if the manager knows one.
const DIRECTOR_MS: u64 = 40_000;
/// Waits between attempts to open the stream, refresh and move.
const AGAIN_MS: (u64, u64) = (500, 15_000);
/// Waits after silences double this often.
const MOST_DOUBLINGS: u32 = 4;
/// Heartbeats: never more often, never less.
const BEAT_BOUNDS_MS: (u64, u64) = (100, 300_000);

impl Joined {
    pub(super) fn new(
        now: Moment,
        place: Place,
        location: Location,
        endpoint: SocketAddrV4,
        (way, clock_offset_ms): (Way, i64),
        ack: &JoinAck,
        before: Option<Self>,
    ) -> Self {
        let bounded = |interval: u32| u64::from(interval).clamp(BEAT_BOUNDS_MS.0, BEAT_BOUNDS_MS.1);
        let again = Backoff::new(AGAIN_MS.0, AGAIN_MS.1);
        Self {
            place,
            location,
            endpoint,
            way,
            clock_offset_ms,
            revision: ack.revision,
            resyncing: false,
            stream: Stream::Down(now.millis()),
            stream_backoff: again,
            refresh_due: after(now, REFRESH_MS),
            refresh_backoff: again,
            move_due: None,
            move_backoff: again,
            director_due: None,
            beat_ms: bounded(ack.member_heartbeat_ms),
            next_beat: now.millis(),
            // The run id is the same: its heartbeats go on.
            sequence: before.as_ref().map_or(0, |before| before.sequence),
            echo: before.as_ref().map_or((0, 0), |before| before.echo),
            manager_beat_ms: bounded(ack.manager_heartbeat_ms),
            heard: now.millis(),
            reached: false,
            silences: before.map_or(0, |before| before.silences),
        }
    }

    /// The manager's time, milliseconds since 1970.
    pub(super) fn manager_time(&self, now: Moment) -> u64 {
        (now.wall_nanos / 1_000_000).saturating_add_signed(self.clock_offset_ms)
    }

    /// When the manager will have been silent for too long.
    fn silent_at(&self) -> Millis {
        let patience = self.manager_beat_ms * SILENT_INTERVALS;
        Millis(
            self.heard
                .0
                .saturating_add(patience << self.silences.min(MOST_DOUBLINGS)),
        )
    }
}

impl Membership {
    /// What is due of what a joined member does.
    pub(super) fn stay(&mut self, now: Moment) {
        let time = now.millis();
        let Some(joined) = &mut self.joined else { return };
        if time >= joined.next_beat {
            self.beat(now);
        }
        // While it is joined anew, all else is part of that.
        if !matches!(self.phase, Phase::In) {
            return;
        }
        if self.refresh.as_ref().is_some_and(|refresh| time >= refresh.until) {
            self.refresh_answered(now, Err(Failure::TimedOut));
        }
        if self.moving.as_ref().is_some_and(|moving| time >= moving.until) {
            self.move_answered(now, Err(Failure::TimedOut));
        }
        let Some(joined) = &mut self.joined else { return };
        if time >= joined.silent_at() {
            joined.silences = joined.silences.saturating_add(1);
            joined.heard = time;
            let reached = std::mem::take(&mut joined.reached);
            if self.managers.len() == 1 && !reached {
                // It may be away, and come back with our session: only when it answers and yet is silent inside the tunnel, something else
                // is wrong.
                joined.refresh_due = joined.refresh_due.min(time);
                if let Some(manager) = self.manager().cloned() {
                    self.event(Event::ManagerSilent(manager));
                }
                return;
            }
            self.next_manager();
            if let Some(manager) = self.manager().cloned() {
                self.event(Event::ManagerSilent(manager));
            }
            return self.rejoin(now, 0);
        }
        if joined.director_due.is_some_and(|due| time >= due) {
            joined.director_due = None;
            return self.rejoin(now, 0);
        }
        match joined.stream {
            Stream::Down(at) if time >= at => {
                joined.stream = Stream::Refreshing;
                joined.refresh_due = time;
            }
            Stream::Opening(stream, until) if time >= until => {
                self.outputs.push_back(Output::Unwatch(stream));
                self.stream_ended(now, stream, &Failure::TimedOut);
            }
            _ => {}
        }
        if self
            .joined
            .as_ref()
            .is_some_and(|joined| time >= joined.refresh_due)
            && self.refresh.is_none()
        {
            self.send_refresh(now);
        }
        if self
            .joined
            .as_ref()
            .and_then(|joined| joined.move_due)
            .is_some_and(|due| time >= due)
        {
            self.move_if_needed(now, true);
        }
    }

    pub(super) fn stay_deadline(&self) -> Option<Millis> {
        let joined = self.joined.as_ref()?;
        if !matches!(self.phase, Phase::In) {
            return Some(joined.next_beat);
        }
        let stream = match joined.stream {
            Stream::Down(at) | Stream::Opening(_, at) => Some(at),
            Stream::Refreshing | Stream::Open(_) => None,
        };
        let refresh = self
            .refresh
            .as_ref()
            .map_or(joined.refresh_due, |refresh| refresh.until);
        let moving = self.moving.as_ref().map(|moving| moving.until);
        [
            Some(joined.next_beat),
            Some(joined.silent_at()),
            stream,
            Some(refresh),
            moving,
            joined.move_due,
            joined.director_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    // The stream of changes.

    /// Opens the stream: the channel has new keys.
    pub(super) fn watch(&mut self, now: Moment) {
        let Some(joined) = &self.joined else { return };
        let request = WatchRequest {
            run_id: self.run_id.to_vec(),
            from_revision: joined.revision,
        };
        let envelope = self.me.envelope(Kind::Watch, &request);
        self.last_id += 1;
        let stream = StreamId(self.last_id);
        let Some(manager) = self.manager().cloned() else {
            return;
        };
        if let Some(joined) = &mut self.joined {
            joined.stream = Stream::Opening(stream, after(now, OPENING_MS));
            joined.resyncing = joined.revision == 0;
        }
        self.outputs.push_back(Output::Watch {
            stream,
            manager,
            envelope,
        });
    }

    pub(super) fn unwatch(&mut self) {
        if let Some(joined) = &mut self.joined
            && let Stream::Open(stream) | Stream::Opening(stream, _) = joined.stream
        {
            self.outputs.push_back(Output::Unwatch(stream));
        }
    }

    /// Is this the stream that we listen to? If so, it works.
    pub(super) fn on_stream(&mut self, came: StreamId) -> bool {
        match &mut self.joined {
            Some(joined) => match joined.stream {
                Stream::Opening(stream, _) if stream == came => {
                    joined.stream = Stream::Open(stream);
                    joined.stream_backoff.reset();
                    true
                }
                Stream::Open(stream) => stream == came,
                _ => false,
            },
            None => false,
        }
    }

    pub(super) fn stream_ended(&mut self, now: Moment, ended: StreamId, failure: &Failure) {
        let Some(joined) = &mut self.joined else { return };
        if !matches!(joined.stream, Stream::Open(stream) | Stream::Opening(stream, _) if stream == ended) {
            return;
        }
        let wait = joined.stream_backoff.next(&mut self.entropy);
        joined.stream = Stream::Down(after(now, wait));
        self.trouble = Some(failure.to_string());
    }

    // New keys.

    /// Makes sure that we are joined, and that both sides have the same keys.
    pub(super) fn refresh_now(&mut self, now: Moment) {
        if let Some(joined) = &mut self.joined {
            joined.refresh_due = now.millis();
        }
    }

    fn send_refresh(&mut self, now: Moment) {
        let half = Half::make(&mut self.entropy);
        let request = RefreshRequest {
            run_id: self.run_id.to_vec(),
            key_share: half.public().to_vec(),
            spi: half.spi.get(),
            seed: half.seed.to_vec(),
        };
        let envelope = self.me.envelope(Call::Refresh, &request);
        let id = self.request(Call::Refresh, envelope, PATIENCE);
        self.refresh = Some(Awaited {
            id,
            until: after(now, PATIENCE.0),
            what: Box::new(half),
        });
    }

    pub(super) fn refresh_answered(&mut self, now: Moment, result: Result<Answer, Failure>) {
        let (Some(refresh), Some(joined)) = (self.refresh.take(), &mut self.joined) else {
            return;
        };
        let mut at_least = 0;
        let answer = match result {
            Ok(Answer::Refresh(answer)) => answer.answer,
            // It knows us no more: the joins that follow show whether that is so.
            Err(Failure::Dropped) => return self.failed(now, Failure::Dropped),
            _ => None,
        };
        match answer {
            Some(refresh_answer::Answer::Ack(ack)) => {
                let manager = (joined.place.manager, joined.endpoint);
                if let Ok(channel) = refresh.what.refresh(now, &self.me, self.run_id, manager, &ack) {
                    joined.refresh_due = after(now, REFRESH_MS);
                    joined.refresh_backoff.reset();
                    joined.reached = true;
                    let reopen = matches!(joined.stream, Stream::Refreshing);
                    self.trouble = None;
                    self.order(Order::Channel(Box::new(channel)));
                    if reopen {
                        self.watch(now);
                    }
                    return;
                }
            }
            Some(refresh_answer::Answer::Refusal(refusal)) => {
                let refused = Refused::read(&refusal);
                if refused.is_final() || refused.code == Code::NotJoined {
                    return self.refused(now, &refused);
                }
                at_least = refused.retry_after_ms.unwrap_or(0);
            }
            None => {}
        }
        // A manager that is away for long is noticed by its silence.
        let wait = joined.refresh_backoff.next(&mut self.entropy).max(at_least);
        joined.refresh_due = after(now, wait);
    }

    // Where we are reached.

    /// The director gave us a session, or took it.
    pub(super) fn session_changed(&mut self, now: Moment) {
        if let Some(joined) = &mut self.joined {
            let gone = self.pseudo.is_none();
            joined.director_due = gone.then(|| after(now, jitter(DIRECTOR_MS, &mut self.entropy)));
        }
    }

    /// Tells the manager, if it knows otherwise. `certainly`: the local address is another one.
    pub(super) fn move_if_needed(&mut self, now: Moment, certainly: bool) {
        let (Phase::In, Some(joined), None) = (&self.phase, &self.joined, &self.moving) else {
            return;
        };
        let location = self.location(joined.way);
        if location.is_none() {
            // The director has given us no address: there is nothing to say until it does, and what is due must not stay due.
            let wait = match &mut self.joined {
                Some(joined) if joined.move_due.is_some() => joined.move_backoff.next(&mut self.entropy),
                _ => return,
            };
            if let Some(joined) = &mut self.joined {
                joined.move_due = Some(after(now, wait));
            }
            return;
        }
        let Some(location) = location.filter(|location| certainly || *location != joined.location) else {
            return;
        };
        let local = self.network.as_ref().map_or(0, |network| network.local.to_bits());
        let run_id = self.run_id.to_vec();
        let request = MoveRequest {
            run_id,
            location: Some(location),
            local_address: local,
        };
        let envelope = self.me.envelope(Call::Move, &request);
        let id = self.request(Call::Move, envelope, PATIENCE);
        self.moving = Some(Awaited {
            id,
            until: after(now, PATIENCE.0),
            what: location,
        });
        if let Some(joined) = &mut self.joined {
            joined.move_due = None;
        }
    }

    pub(super) fn move_answered(&mut self, now: Moment, result: Result<Answer, Failure>) {
        let (Some(moving), Some(joined)) = (self.moving.take(), &mut self.joined) else {
            return;
        };
        let answer = match result {
            Ok(Answer::Move(answer)) => answer.answer,
            _ => None,
        };
        match answer {
            Some(move_answer::Answer::Ack(_)) => {
                joined.location = moving.what;
                joined.move_backoff.reset();
                self.event(Event::Moved);
                // It may have changed again meanwhile.
                return self.move_if_needed(now, false);
            }
            Some(move_answer::Answer::Refusal(refusal)) => {
                let refused = Refused::read(&refusal);
                if refused.is_final() || refused.code == Code::NotJoined {
                    return self.refused(now, &refused);
                }
                if refused.code == Code::NoDirector {
                    // Not by that director: a new join finds the right one.
                    return self.rejoin(now, 0);
                }
            }
            None => {}
        }
        let wait = joined.move_backoff.next(&mut self.entropy);
        joined.move_due = Some(after(now, wait));
    }

    // Heartbeats.

    fn beat(&mut self, now: Moment) {
        let Some(joined) = &mut self.joined else { return };
        joined.sequence += 1;
        joined.next_beat = after(now, joined.beat_ms);
        let heartbeat = Heartbeat {
            sender: Sender::Member,
            sequence: joined.sequence,
            run_id: self.run_id,
            octets_sent: self.volume.0,
            octets_received: self.volume.1,
            time_ms: now.wall_nanos / 1_000_000,
            heard_sequence: joined.echo.0,
            heard_time_ms: joined.echo.1,
        };
        self.outputs.push_back(Output::Heartbeat(heartbeat));
    }

    pub(super) fn manager_beat(&mut self, now: Moment, heartbeat: &Heartbeat) {
        if heartbeat.sender != Sender::Manager || heartbeat.run_id != self.run_id {
            return;
        }
        if let Some(joined) = &mut self.joined {
            joined.echo = (heartbeat.sequence, heartbeat.time_ms);
        }
        self.manager_heard(now);
    }

    pub(super) fn manager_heard(&mut self, now: Moment) {
        if let Some(joined) = &mut self.joined {
            joined.heard = now.millis();
            joined.reached = false;
            joined.silences = 0;
        }
    }
}
