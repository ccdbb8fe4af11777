//! The director: sessions of members, as a state machine without I/O.
//!
//! Problem: to answer whoever holds a key at once and everybody else not at all, in bounded memory and time, while
//! anybody may send anything. Idea: checks in the order of their cost, each refusal named and counted, the answer
//! written over the request.
//!
//! ```text
//! datagram → length, version, type (free) → director field (free) → key id (one hash probe)
//!          → admission: bound source or cookie first, then limits (free to one HMAC)      see `admission`
//!          → authenticator (one HMAC, 0.3 µs) → counter → cookie → session → answer in place (one HMAC)
//! ```
//!
//! What the host does:
//! 1. [`Director::datagram`] with UDP data for the director's own port whose shim is a control message or ping. If the
//!    verdict [is answered](Verdict::is_answered), the same buffer holds the answer: it is exactly as long as the
//!    request, so nothing can be amplified.
//! 2. [`Director::poll`] until `None`: journal, table changes, events. Then send the answer.
//! 3. [`Director::tick`] at [`Director::deadline`].
//! 4. [`Director::rebound`] for data packets whose source member is bound elsewhere; [`Director::path_mtu`] for too-bigs.
//!
//! Costs: 240 octets a session with key and name, resident (test `a_million_sessions`); work per message and per expiry is
//! O(1).

mod admission;
mod config;
mod cookie;
mod lifecycle;
mod outcome;
mod pool;
mod protocol;
mod sessions;

pub use config::{ConfigError, DirectorConfig, Grant, GrantError, Limits, MTU_FLOOR, NAME_MAX};
pub use outcome::{Action, Counters, Ended, Event, Output, Refusal, TableOp, Verdict};
pub use pool::PoolRange;

use crate::Time;
use crate::journal::{Binding, Entry, Read};
use crate::limits::{Bucket, mix};
use admission::Admission;
use cookie::Cookies;
use core::net::SocketAddrV4;
use core::time::Duration;
use kith_wire::control::{KeyId, LEN};
use kith_wire::shim::PseudoIp;
use pool::Pool;
use sessions::{SlotId, Slots};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use zeroize::Zeroizing;

/// Room for outputs that is kept between calls.
const OUTPUTS_KEPT: usize = 4096;

/// A route director's control side.
pub struct Director {
    config: DirectorConfig,
    cookies: Cookies,
    admission: Admission,
    slots: Slots,
    pool: Pool,
    communities: HashMap<u16, u32>,
    /// Sessions with lowered MTU: when it is raised again, both ways.
    mtu_expiries: BTreeSet<(Time, SlotId)>,
    mtu_until: BTreeMap<SlotId, Time>,
    outputs: VecDeque<Output>,
    counters: Counters,
    exhausted: bool,
}

/// A session as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionView<'a> {
    /// Its pseudo address.
    pub pseudo: PseudoIp,
    /// The member's name.
    pub name: &'a str,
    /// Whose key.
    pub key_id: KeyId,
    /// The member's community.
    pub community: u16,
    /// Where the member is.
    pub bound: SocketAddrV4,
    /// Since it was opened, or restored.
    pub age: Duration,
    /// Since the last message that extended it.
    pub idle: Duration,
    /// Nothing is relayed to it.
    pub sender_only: bool,
    /// Largest outer packet to it, octets.
    pub mtu: u16,
}

/// How full the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Members that may have a session.
    pub grants: usize,
    /// Sessions.
    pub sessions: usize,
    /// Pseudo addresses in the pool.
    pub pool: usize,
    /// Pseudo addresses that rest.
    pub resting: usize,
    /// Octets held in tables.
    pub memory: usize,
}

/// What became of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Sessions that live again.
    pub sessions: usize,
    /// Sessions whose grant, community or pseudo address has changed.
    pub outdated: usize,
}

impl Director {
    /// A director with no grants. `secret` must be random and of this run only: it makes the cookies.
    pub fn new(config: DirectorConfig, secret: [u8; 32]) -> Result<Self, ConfigError> {
        config.check()?;
        let secret = Zeroizing::new(secret);
        let hash_key = mix(u64::from_be_bytes(core::array::from_fn(|at| secret[at])));
        Ok(Self {
            cookies: Cookies::new(&secret),
            admission: Admission::new(config.limits, hash_key),
            slots: Slots::new(config.pool.count),
            pool: Pool::new(config.pool.count),
            communities: HashMap::new(),
            mtu_expiries: BTreeSet::new(),
            mtu_until: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            exhausted: false,
            config,
        })
    }

    /// Lets a member have a session from now on.
    pub fn add_grant(&mut self, now: Time, grant: Grant) -> Result<(), GrantError> {
        if grant.name.len() > NAME_MAX {
            return Err(GrantError::Name);
        }
        if self.slots.find(grant.key_id).is_some() {
            return Err(GrantError::Duplicate(grant.key_id));
        }
        if let Some(pseudo) = grant.reserved {
            let index = self
                .config
                .pool
                .index(pseudo)
                .ok_or(GrantError::OutsidePool(pseudo))?;
            if !self.pool.reserve(index) {
                return Err(GrantError::Taken(pseudo));
            }
        }
        self.slots
            .add(grant, Bucket::full(self.config.limits.member, now));
        Ok(())
    }

    /// Takes a member's leave away and ends its session; false if there was none.
    pub fn remove_grant(&mut self, now: Time, key_id: KeyId) -> bool {
        let Some(id) = self.slots.find(key_id) else {
            return false;
        };
        self.end(now, id, Ended::Revoked);
        let reserved = self.slots.remove(id).and_then(|slot| slot.reserved);
        if let Some(index) = reserved.and_then(|pseudo| self.config.pool.index(pseudo)) {
            self.pool.give_back(index, now.after(self.config.quarantine));
        }
        true
    }

    /// Judges UDP data that came from `from`. If the verdict is answered, `data` holds the answer.
    #[must_use = "an answer has to be sent"]
    pub fn datagram(&mut self, now: Time, from: SocketAddrV4, data: &mut [u8]) -> Verdict {
        self.expire(now);
        let result = self.judge(now, from, data);
        self.counters.count(result);
        Verdict(result)
    }

    /// The fast path saw a data packet of `len` octets of UDP data come from `from`, whose source member `pseudo` is bound
    /// elsewhere: perhaps its NAT gave it a new mapping. The challenge returned, sent to `from`, lets the member prove that
    /// at once, not at its next keep-alive. Nothing moves before that.
    pub fn rebound(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        pseudo: PseudoIp,
        len: usize,
    ) -> Result<[u8; LEN], Refusal> {
        self.expire(now);
        let hint = self.hint(now, from, pseudo, len);
        self.counters.count(hint.map(|_| Action::Hinted));
        hint
    }

    /// A router said that packets to this session's member must not be longer than `mtu` octets. The host has checked that
    /// the router quoted a packet which the director really sent. Lowers only, never below [`MTU_FLOOR`]; true if it is
    /// believed. After `mtu_lifetime` without another word the MTU is raised again (RFC 1191 section 6.3).
    pub fn path_mtu(&mut self, now: Time, pseudo: PseudoIp, mtu: u16) -> bool {
        let owner = self
            .config
            .pool
            .index(pseudo)
            .and_then(|index| self.slots.owner(index));
        let Some((id, session)) = owner.and_then(|id| Some((id, self.slots.get_mut(id)?.session.as_mut()?)))
        else {
            return false;
        };
        let mtu = mtu.max(MTU_FLOOR);
        if mtu > session.mtu || mtu >= self.config.mtu {
            return false;
        }
        let lowered = mtu < session.mtu;
        session.mtu = mtu;
        self.forget_mtu(id);
        let until = now.after(self.config.mtu_lifetime);
        self.mtu_expiries.insert((until, id));
        self.mtu_until.insert(id, until);
        if lowered {
            self.publish(id, false);
        }
        true
    }

    /// The host could not receive messages until now, and gives every session a whole lifetime to be heard again. Call it
    /// before any message that came since then.
    pub fn hear_all(&mut self, now: Time) {
        self.slots.touch_all(now);
    }

    /// Ends what is over. Call at [`Director::deadline`]; earlier or later does no harm.
    pub fn tick(&mut self, now: Time) {
        self.expire(now);
    }

    /// When [`Director::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let session = self.slots.longest_unheard();
        let session = session.map(|(_, session)| session.heard.after(self.config.lifetime));
        let mtu = self.mtu_expiries.first().map(|&(until, _)| until);
        session.into_iter().chain(mtu).min()
    }

    /// The next thing for the host to do.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A restored journal may have made it large.
            self.outputs.shrink_to(OUTPUTS_KEPT);
        }
        output
    }

    /// Brings back the sessions of a journal; grants must have been added before. Each gets a whole lifetime.
    pub fn restore(&mut self, now: Time, read: &Read) -> Restored {
        let mut restored = Restored::default();
        for binding in &read.bindings {
            match self.revive(now, binding) {
                Some(()) => restored.sessions += 1,
                None => restored.outdated += 1,
            }
        }
        let rested = now.after(self.config.quarantine);
        for index in read
            .freed
            .iter()
            .filter_map(|&pseudo| self.config.pool.index(pseudo))
        {
            self.pool.rest(index, rested);
        }
        restored
    }

    /// Everything a journal must hold to describe this moment: for [`crate::journal::encode_all`].
    pub fn journal(&self) -> impl Iterator<Item = Entry> {
        let resting = self
            .pool
            .resting()
            .filter_map(|index| self.config.pool.address(index));
        let bound = self.slots.iter().map(|(slot, session)| {
            Entry::Bound(Binding {
                pseudo: session.pseudo,
                key_id: slot.key_id,
                bound: session.bound(),
                community: slot.community,
                counter: slot.counter,
                sender_only: session.sender_only,
            })
        });
        resting.map(Entry::Unbound).chain(bound)
    }

    /// How many entries [`Director::journal`] gives.
    #[must_use]
    pub fn journal_len(&self) -> usize {
        self.slots.sessions() + self.pool.resting_count()
    }

    /// Every session, by pseudo address.
    pub fn sessions(&self, now: Time) -> impl Iterator<Item = SessionView<'_>> {
        self.slots.iter().map(move |(slot, session)| SessionView {
            pseudo: session.pseudo,
            name: &slot.name,
            key_id: slot.key_id,
            community: slot.community,
            bound: session.bound(),
            age: now.since(session.established),
            idle: now.since(session.heard),
            sender_only: session.sender_only,
            mtu: session.mtu,
        })
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How full the tables are. Walks over all grants to add up their names: for statistics, not for every packet.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            grants: self.slots.grants(),
            sessions: self.slots.sessions(),
            pool: self.config.pool.count as usize,
            resting: self.pool.resting_count(),
            memory: self.slots.memory() + self.pool.memory() + self.admission.memory(),
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> &DirectorConfig {
        &self.config
    }
}
