//! How sessions come back, age and end, and how journal and table hear of it.

use super::Director;
use super::outcome::{Ended, Event, Output, TableOp};
use super::sessions::{Session, SlotId};
use crate::Time;
use crate::journal::{Binding, Entry};

/// Sessions ended per call at most, so that a mass expiry does not hold up messages.
const EXPIRIES_PER_CALL: usize = 1024;

impl Director {
    pub(super) fn revive(&mut self, now: Time, binding: &Binding) -> Option<()> {
        let index = self.config.pool.index(binding.pseudo)?;
        let id = self.slots.find(binding.key_id)?;
        let slot = self.slots.get_mut(id)?;
        let count = self.communities.entry(slot.community).or_default();
        if slot.session.is_some()
            || slot.community != binding.community
            || *count >= self.config.max_sessions_per_community
        {
            return None;
        }
        match slot.reserved {
            Some(pseudo) if pseudo == binding.pseudo => {}
            None if self.pool.claim(index) => {}
            _ => return None,
        }
        slot.counter = slot.counter.max(binding.counter);
        *count += 1;
        let session = Session::new(
            binding.pseudo,
            binding.bound,
            binding.sender_only,
            self.config.mtu,
            now,
        );
        self.slots.open(id, index, session);
        self.publish(id, false);
        Some(())
    }

    pub(super) fn expire(&mut self, now: Time) {
        for _ in 0..EXPIRIES_PER_CALL {
            match self.slots.longest_unheard() {
                Some((id, session)) if session.heard.after(self.config.lifetime) <= now => {
                    self.end(now, id, Ended::Expired);
                }
                _ => break,
            }
        }
        for _ in 0..EXPIRIES_PER_CALL {
            let id = match self.mtu_expiries.first() {
                Some(&(until, id)) if until <= now => id,
                _ => break,
            };
            self.forget_mtu(id);
            if let Some(session) = self.slots.get_mut(id).and_then(|slot| slot.session.as_mut()) {
                session.mtu = self.config.mtu;
                self.publish(id, false);
            }
        }
    }

    pub(super) fn end(&mut self, now: Time, id: SlotId, why: Ended) {
        let Some(slot) = self.slots.get(id) else { return };
        let (key_id, community, reserved) = (slot.key_id, slot.community, slot.reserved);
        let Some(pseudo) = slot.session.as_ref().map(|session| session.pseudo) else {
            return;
        };
        let Some(index) = self.config.pool.index(pseudo) else {
            return;
        };
        self.slots.close(id, index);
        self.forget_mtu(id);
        if reserved.is_none() {
            self.pool.give_back(index, now.after(self.config.quarantine));
        }
        if let Some(count) = self.communities.get_mut(&community) {
            *count = count.saturating_sub(1);
        }
        self.outputs.push_back(Output::Journal(Entry::Unbound(pseudo)));
        self.outputs.push_back(Output::Table(TableOp::Unbind { pseudo }));
        self.outputs
            .push_back(Output::Event(Event::Ended { pseudo, key_id, why }));
    }

    pub(super) fn forget_mtu(&mut self, id: SlotId) {
        if let Some(until) = self.mtu_until.remove(&id) {
            self.mtu_expiries.remove(&(until, id));
        }
    }

    /// Tells journal and table how a session is now.
    pub(super) fn publish(&mut self, id: SlotId, in_journal: bool) {
        let Some((slot, session)) = self
            .slots
            .get(id)
            .and_then(|slot| Some((slot, slot.session.as_ref()?)))
        else {
            return;
        };
        let (pseudo, bound, sender_only) = (session.pseudo, session.bound(), session.sender_only);
        if in_journal {
            self.outputs.push_back(Output::Journal(Entry::Bound(Binding {
                pseudo,
                key_id: slot.key_id,
                bound,
                community: slot.community,
                counter: slot.counter,
                sender_only,
            })));
        }
        self.outputs.push_back(Output::Table(TableOp::Bind {
            pseudo,
            bound,
            community: slot.community,
            mtu: session.mtu,
            sender_only,
        }));
    }
}
