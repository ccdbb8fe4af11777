//! When to begin anew, to replace, to ask and to close: what the datapath sees, and what time brings.

use super::peer::Current;
use super::{Agreement, HANDSHAKE, HELD, PATIENCE, peer};
use crate::keying::liveness::Due;
use crate::keying::peer::RATE;
use crate::keying::{Action, Activity};
use kith_esp::Millis;
use kith_pipeline::host::tables::MemberIndex;

impl Agreement {
    /// Are there keys for sending as soon as the member is heard, or have they just come?
    pub(in crate::keying) fn is_coming(&self, now: Millis, index: MemberIndex) -> bool {
        let peer = self.peers.get(index.0 as usize).and_then(Option::as_ref);
        let recent = |current: &Current| now.0 < current.since.0 + RATE;
        peer.is_some_and(|peer| peer.held.is_some() || peer.current.as_ref().is_some_and(recent))
    }

    /// Packets wait for keys.
    pub(super) fn on_needed(&mut self, now: Millis, index: MemberIndex) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        let recent = |current: &Current| now.0 < current.since.0 + RATE;
        let failed = peer.failed.is_some_and(|at| now.0 < at.0 + RATE);
        if failed || peer.held.is_some() || peer.current.as_ref().is_some_and(recent) {
            // They are on their way; or were refused just now, and what waits for them asks again.
        } else if peer.current.is_some() {
            self.rekey(index);
        } else {
            self.connect(index);
        }
    }

    /// Packets came under keys that are not here. Anyone can forge them: what there is stays, and we do not ask often.
    pub(super) fn on_stale(&mut self, now: Millis, index: MemberIndex) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        if peer.provoked.is_some_and(|at| now.0 < at.0 + RATE) {
            return;
        }
        peer.provoked = Some(now);
        match self.association(index) {
            Some(id) if self.is_up(id) => self.probe(index),
            Some(_) => {}
            None => self.connect(index),
        }
    }

    pub(super) fn on_activity(&mut self, now: Millis, index: MemberIndex, activity: Activity) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        peer.liveness.note(now, activity);
        if activity.heard {
            peer.asked = None;
        }
        if activity.data_sent {
            peer.data_sent = Some(now);
            // Sealed with keys of an association that is over.
            if peer.association.is_none() && peer.provoked.is_none_or(|at| now.0 >= at.0 + RATE) {
                peer.provoked = Some(now);
                self.connect(index);
            }
        }
    }

    pub(super) fn poll_peer(&mut self, now: Millis, index: MemberIndex) {
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        let Due { dummy, silent } = peer.liveness.poll(now);
        if dummy {
            self.actions.push_back(Action::Dummy(index));
        }
        if peer.current.as_ref().is_some_and(|current| current.ends <= now) {
            peer.current = None;
        }
        let due = peer.rekey_at.is_some_and(|at| at <= now);
        if silent {
            peer.asked = Some((now, Millis(now.0 + PATIENCE)));
        }
        let asked = peer.asked.filter(|(_, due)| now >= *due).map(|(asked, _)| asked);
        if let Some((child, since)) = peer.held
            && now.0 >= since.0 + HELD
        {
            self.use_pair(child);
        }
        if due {
            self.rekey(index);
        }
        if silent {
            self.probe(index);
        }
        if let Some(asked) = asked {
            self.no_answer(now, asked, index);
        }
    }

    /// It was asked whether it is there. Who is alive has answered by now; who was killed and knows nobody never will, but lets us in by our
    /// ticket. An association that has just come up is given time: handshakes of both ends may have crossed.
    fn no_answer(&mut self, now: Millis, asked: Millis, index: MemberIndex) {
        let id = self.association(index);
        let view = id.and_then(|id| self.endpoint.view(id));
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        peer.asked = None;
        // Without an association that is up, one is being agreed on, or will be with the next packet.
        let Some((heard, (up, _))) = view.and_then(|view| Some((view.heard?, view.since?))) else {
            return;
        };
        let settled = Millis(up + HANDSHAKE);
        if heard >= asked.0 {
            // It is there.
        } else if now < settled {
            peer.asked = Some((asked, settled));
        } else {
            tracing::debug!(member = index.0, "silent: beginning anew");
            peer.association = None;
            self.connect(index);
        }
    }

    /// Keys at the end of their life are closed: by the end that made them, or else by the other one.
    pub(super) fn close_old(&mut self, at: kith_ike::Moment) {
        let old: Vec<_> = self
            .pairs
            .iter_mut()
            .filter(|(_, pair)| pair.ends.0 <= at.millis)
            .map(|(child, pair)| {
                pair.ends = Millis(at.millis + HANDSHAKE);
                (pair.association, *child)
            })
            .collect();
        for (association, child) in old {
            self.endpoint.close_child(at, association, child);
        }
    }
}
