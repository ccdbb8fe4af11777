//! Who may have a session, and who has one: one record per grant, found by key id or by pseudo address.
//!
//! ```text
//! key id ──hash──► slot ◄── owners[pseudo index]
//!                   │
//!                   ├─ key, counter, own token bucket, name, community, reserved address
//!                   ├─ session: pseudo address, bound address and port, times, MTU
//!                   └─ links of the list "longest unheard first"
//! ```
//!
//! All sessions have the same lifetime, so the order in which they were last heard is the order in which they expire: a
//! doubly linked list through the slots, moved to the tail at each keep-alive, serves as timer in O(1) per message and
//! per expiry. A slot is boxed: it neither moves (no copy of the key is left behind when the index grows) nor counts
//! twice while the index doubles. Because a session lives in its grant's slot there is at most one per grant, and the
//! last counter survives the session.

use super::config::Grant;
use crate::limits::Bucket;
use crate::{DirectorKey, Time};
use core::net::{Ipv4Addr, SocketAddrV4};
use kith_wire::control::KeyId;
use kith_wire::shim::PseudoIp;
use std::collections::HashMap;

/// Which slot. Given out again after its grant is gone.
pub(super) type SlotId = u32;
const NO_SLOT: SlotId = SlotId::MAX;

pub(super) struct Session {
    pub(super) pseudo: PseudoIp,
    address: u32,
    port: u16,
    pub(super) mtu: u16,
    pub(super) sender_only: bool,
    /// Low half of the milliseconds when a challenge was last sent unasked.
    pub(super) hinted: Option<core::num::NonZeroU32>,
    pub(super) established: Time,
    pub(super) heard: Time,
}

impl Session {
    pub(super) fn new(pseudo: PseudoIp, bound: SocketAddrV4, sender_only: bool, mtu: u16, now: Time) -> Self {
        Self {
            pseudo,
            address: bound.ip().to_bits(),
            port: bound.port(),
            mtu,
            sender_only,
            hinted: None,
            established: now,
            heard: now,
        }
    }

    pub(super) fn bound(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from_bits(self.address), self.port)
    }

    pub(super) fn bind(&mut self, to: SocketAddrV4) {
        self.address = to.ip().to_bits();
        self.port = to.port();
    }
}

pub(super) struct Slot {
    pub(super) key: DirectorKey,
    pub(super) key_id: KeyId,
    /// The highest counter that changed anything.
    pub(super) counter: u64,
    pub(super) name: Box<str>,
    pub(super) reserved: Option<PseudoIp>,
    pub(super) bucket: Bucket,
    pub(super) community: u16,
    pub(super) session: Option<Session>,
    earlier: SlotId,
    later: SlotId,
}

pub(super) struct Slots {
    slots: Vec<Option<Box<Slot>>>,
    vacant: Vec<SlotId>,
    by_key: HashMap<KeyId, SlotId>,
    /// By pool index: the session's slot + 1. Zeroed pages, so that an unused pool costs nothing.
    owners: Vec<u32>,
    longest_unheard: SlotId,
    last_heard: SlotId,
    sessions: usize,
}

impl Slots {
    pub(super) fn new(pool: u32) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            by_key: HashMap::new(),
            owners: vec![0; pool as usize],
            longest_unheard: NO_SLOT,
            last_heard: NO_SLOT,
            sessions: 0,
        }
    }

    pub(super) fn add(&mut self, grant: Grant, bucket: Bucket) {
        let slot = Box::new(Slot {
            key: grant.key,
            key_id: grant.key_id,
            counter: 0,
            name: grant.name.into_boxed_str(),
            reserved: grant.reserved,
            bucket,
            community: grant.community,
            session: None,
            earlier: NO_SLOT,
            later: NO_SLOT,
        });
        let id = self.vacant.pop().unwrap_or(self.slots.len() as SlotId);
        self.by_key.insert(slot.key_id, id);
        match self.slots.get_mut(id as usize) {
            Some(place) => *place = Some(slot),
            None => self.slots.push(Some(slot)),
        }
    }

    /// Removes a grant, whose session must have been ended.
    pub(super) fn remove(&mut self, id: SlotId) -> Option<Box<Slot>> {
        let slot = self.slots.get_mut(id as usize)?.take()?;
        self.by_key.remove(&slot.key_id);
        self.vacant.push(id);
        Some(slot)
    }

    pub(super) fn find(&self, key_id: KeyId) -> Option<SlotId> {
        self.by_key.get(&key_id).copied()
    }

    pub(super) fn get(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(id as usize)?.as_deref_mut()
    }

    /// The slot whose session has the pseudo address with this index.
    pub(super) fn owner(&self, index: u32) -> Option<SlotId> {
        self.owners.get(index as usize)?.checked_sub(1)
    }

    /// Gives a slot without session one.
    pub(super) fn open(&mut self, id: SlotId, index: u32, session: Session) {
        if let Some(slot) = self.get_mut(id) {
            slot.session = Some(session);
            self.owners[index as usize] = id + 1;
            self.sessions += 1;
            self.link_last(id);
        }
    }

    /// Takes a slot's session away.
    pub(super) fn close(&mut self, id: SlotId, index: u32) -> Option<Session> {
        let session = self.get_mut(id)?.session.take()?;
        self.owners[index as usize] = 0;
        self.sessions -= 1;
        self.unlink(id);
        Some(session)
    }

    /// Notes that a session was heard now.
    pub(super) fn touch(&mut self, id: SlotId, now: Time) {
        if let Some(session) = self.get_mut(id).and_then(|slot| slot.session.as_mut()) {
            session.heard = now;
            self.unlink(id);
            self.link_last(id);
        }
    }

    /// Counts every session as heard now; the order stays.
    pub(super) fn touch_all(&mut self, now: Time) {
        for slot in self.slots.iter_mut().flatten() {
            if let Some(session) = &mut slot.session {
                session.heard = session.heard.max(now);
            }
        }
    }

    /// The session that expires first.
    pub(super) fn longest_unheard(&self) -> Option<(SlotId, &Session)> {
        let id = self.longest_unheard;
        Some((id, self.get(id)?.session.as_ref()?))
    }

    /// Every session, by pseudo address.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Slot, &Session)> {
        let owned = self.owners.iter().filter_map(|owner| owner.checked_sub(1));
        owned.filter_map(|id| {
            let slot = self.get(id)?;
            Some((slot, slot.session.as_ref()?))
        })
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions
    }

    pub(super) fn grants(&self) -> usize {
        self.by_key.len()
    }

    /// Octets held, as far as they can be known: the hash table's are reckoned from its capacity.
    pub(super) fn memory(&self) -> usize {
        let names: usize = self.slots.iter().flatten().map(|slot| slot.name.len()).sum();
        let hashed = self.by_key.capacity() * 8 / 7 * (size_of::<(KeyId, SlotId)>() + 1);
        self.grants() * size_of::<Slot>()
            + names
            + hashed
            + self.slots.capacity() * size_of::<Option<Box<Slot>>>()
            + (self.vacant.capacity() + self.owners.capacity()) * size_of::<u32>()
    }

    fn link_last(&mut self, id: SlotId) {
        let before = self.last_heard;
        if let Some(slot) = self.get_mut(id) {
            slot.earlier = before;
            slot.later = NO_SLOT;
        }
        match self.get_mut(before) {
            Some(previous) => previous.later = id,
            None => self.longest_unheard = id,
        }
        self.last_heard = id;
    }

    fn unlink(&mut self, id: SlotId) {
        let Some(slot) = self.get_mut(id) else { return };
        let (earlier, later) = (slot.earlier, slot.later);
        match self.get_mut(earlier) {
            Some(previous) => previous.later = later,
            None => self.longest_unheard = later,
        }
        match self.get_mut(later) {
            Some(next) => next.earlier = earlier,
            None => self.last_heard = earlier,
        }
    }
}
