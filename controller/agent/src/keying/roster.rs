//! Who takes part: members come, get new secrets, and go.

use super::machine::{Agreement, at};
use super::peer::Peer;
use super::secrets::PairSecret;
use super::{Action, Moment};
use kith_esp::Millis;
use kith_pipeline::host::tables::MemberIndex;
use std::net::Ipv4Addr;
use std::sync::Arc;

impl Agreement {
    pub(super) fn enter(&mut self, index: MemberIndex, address: Ipv4Addr, secret: Arc<PairSecret>) {
        let place = index.0 as usize;
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        self.strike(index);
        self.peers[place] = Some(Peer::new(address, secret));
    }

    pub(super) fn strike(&mut self, index: MemberIndex) {
        self.abandon(index);
        let place = self.peers.get_mut(index.0 as usize);
        let Some(peer) = place.and_then(Option::take) else {
            return;
        };
        for (spi, _) in peer.inbound {
            self.spis.give_back(spi);
            self.actions.push_back(Action::RemoveInbound(spi));
        }
    }

    pub(super) fn replace(&mut self, now: Moment, index: MemberIndex, secret: Arc<PairSecret>, use_it: bool) {
        let Some(peer) = at(&mut self.peers, index) else {
            return;
        };
        if peer.secret.is(&secret) {
            return;
        }
        if !use_it {
            peer.former = Some(secret);
            return;
        }
        peer.former = Some(std::mem::replace(&mut peer.secret, secret));
        // An initiation under the old secret may never be answered.
        if self.abandon(index) {
            self.begin(now, index);
        }
    }

    /// Are there keys for sending as soon as the member is heard, or have they just come?
    pub(super) fn is_coming(&self, now: Millis, index: MemberIndex) -> bool {
        let peer = self.peers.get(index.0 as usize).and_then(Option::as_ref);
        peer.is_some_and(|peer| peer.is_being_answered(now) || peer.is_fresh(now))
    }

    /// The other method's keys are used from now on: nothing here begins any more. Keys that open packets stay until they end.
    pub(super) fn relinquish(&mut self, index: MemberIndex) {
        self.abandon(index);
        if let Some(peer) = at(&mut self.peers, index) {
            (peer.current, peer.rekey_at) = (None, None);
            peer.liveness.expect_nothing();
        }
    }

    /// Gives up an exchange of ours. Was there one?
    pub(super) fn abandon(&mut self, index: MemberIndex) -> bool {
        let pending = at(&mut self.peers, index).and_then(|peer| peer.pending.take());
        if let Some(pending) = &pending {
            self.spis.give_back(pending.repeat.what.spi);
        }
        pending.is_some()
    }
}
