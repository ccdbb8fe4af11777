//! Admission: whether a message is worth the hash that authenticates it. Nothing here believes what it reads.
//!
//! ```text
//!                 source is the one the session is bound to?  ──yes──► member's own bucket ──has──► authenticate
//!                          │ no                                              │ empty
//!     cookie that looks good? ─yes─► cookie bucket ─has─► cookie good? ─yes─► member's own bucket …
//!                          │ no           │ empty               │ no                 │ empty
//!                          └──────────────┴───────────────┬─────┴────────────────────┘
//!                                           bucket of the source address ──empty──► rate_limited
//!                                                         │ has
//!                                           bucket of all strangers ──empty──► rate_limited
//!                                                         │ has
//!                                                    authenticate
//! ```
//!
//! So a flood from made-up sources competes only with members that have nothing to show: those asking for the first
//! time. One that knows a member's address and port and forges them can empty that member's bucket, and then meets the
//! strangers' limits like everyone; that member's messages then compete with the flood, nobody else's do.

use super::config::Limits;
use super::cookie::{self, Cookie, Cookies};
use super::sessions::Slot;
use crate::Time;
use crate::limits::{Bucket, SourceTable};
use core::net::SocketAddrV4;

/// What is known about a message's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// There is none.
    Absent,
    /// Not looked at yet.
    Unchecked,
    Good,
    Bad,
}

pub(super) struct Admission {
    limits: Limits,
    sources: SourceTable,
    strangers: Bucket,
    cookies: Bucket,
    pings: Bucket,
    hints: Bucket,
}

impl Admission {
    pub(super) fn new(limits: Limits, key: u64) -> Self {
        Self {
            sources: SourceTable::new(limits.source_buckets, limits.source, key),
            strangers: Bucket::full(limits.strangers, Time::ZERO),
            cookies: Bucket::full(limits.cookies, Time::ZERO),
            pings: Bucket::full(limits.pings, Time::ZERO),
            hints: Bucket::full(limits.hints, Time::ZERO),
            limits,
        }
    }

    /// May the authenticator be checked? `None`: drop it.
    pub(super) fn admit(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        slot: &mut Slot,
        offered: &Cookie,
        cookies: &Cookies,
    ) -> Option<Proof> {
        let mut proof = if *offered == cookie::NONE {
            Proof::Absent
        } else {
            Proof::Unchecked
        };
        if slot.bucket.has(self.limits.member, now) {
            let bound = slot
                .session
                .as_ref()
                .is_some_and(|session| session.bound() == from);
            let looks_good = || cookies.looks_good(now, from, slot.key_id, offered);
            if !bound
                && proof == Proof::Unchecked
                && looks_good()
                && self.cookies.take(self.limits.cookies, now)
            {
                proof = match cookies.is_good(now, from, slot.key_id, offered) {
                    true => Proof::Good,
                    false => Proof::Bad,
                };
            }
            if bound || proof == Proof::Good {
                slot.bucket.take(self.limits.member, now);
                return Some(proof);
            }
        }
        let admitted = self.sources.take(*from.ip(), now) && self.strangers.take(self.limits.strangers, now);
        admitted.then_some(proof)
    }

    pub(super) fn admit_ping(&mut self, now: Time, from: SocketAddrV4) -> bool {
        self.sources.take(*from.ip(), now) && self.pings.take(self.limits.pings, now)
    }

    pub(super) fn admit_hint(&mut self, now: Time, from: SocketAddrV4) -> bool {
        self.sources.take(*from.ip(), now) && self.hints.take(self.limits.hints, now)
    }

    /// Octets held.
    pub(super) fn memory(&self) -> usize {
        self.sources.memory()
    }
}
