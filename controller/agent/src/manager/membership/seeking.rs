//! Members that packets go to, or whose secrets run out, and whom DNS has not told us of: the manager is asked.
//!
//! A scan of a network is no reason to ask the manager a thousand times: few questions are under way at a time, and who cannot be reached is
//! not asked for again for a while.

use super::super::Refused;
use super::super::request::{Answer, Call, Failure, RequestId};
use super::{Event, Membership, PATIENCE, Phase, after};
use crate::keying::Moment;
use crate::orders::{Order, Refusal};
use kith_esp::Millis;
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{LocateRequest, locate_answer};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Addresses that are thought of at a time.
const MOST: usize = 512;
/// Questions under way at a time.
const AT_A_TIME: usize = 16;
/// Nobody is asked about again for so long: found, refused, no answer.
const FOUND_MS: u64 = 1_000;
const REFUSED_MS: u64 = 5_000;
const FAILED_MS: u64 = 2_000;

/// Who is sought.
#[derive(Default)]
pub(super) struct Seeking(BTreeMap<Ipv4Addr, State>);

#[derive(Clone, Copy)]
enum State {
    Wanted,
    Asked(RequestId, Millis),
    /// Nothing is done about it until then; packets are answered so.
    Settled(Millis, Option<Refusal>),
}

impl Seeking {
    pub(super) fn deadline(&self) -> Option<Millis> {
        let due = |state: &State| match state {
            State::Asked(_, until) | State::Settled(until, _) => Some(*until),
            State::Wanted => None,
        };
        self.0.values().filter_map(due).min()
    }

    fn asked(&self) -> usize {
        self.0
            .values()
            .filter(|state| matches!(state, State::Asked(..)))
            .count()
    }
}

impl Membership {
    /// Packets go there.
    pub(super) fn seek(&mut self, now: Moment, address: Ipv4Addr) {
        let Some(joined) = &self.joined else { return };
        if !joined.place.is_anothers(address) {
            return;
        }
        let time = now.millis();
        if let Some(State::Settled(until, Some(refusal))) = self.seeking.0.get(&address).copied()
            && time < until
        {
            return self.order(Order::NoPeer(address, refusal));
        }
        if self.seeking.0.len() < MOST {
            self.seeking.0.entry(address).or_insert(State::Wanted);
        }
        self.seek_on(now);
    }

    /// Each of these, whatever was known of them a moment ago.
    pub(super) fn seek_all(&mut self, now: Moment, addresses: Vec<Ipv4Addr>) {
        for address in addresses.into_iter().take(2 * MOST) {
            self.seeking.0.insert(address, State::Wanted);
        }
        self.seek_on(now);
    }

    /// What is due, and the next questions.
    pub(super) fn seek_on(&mut self, now: Moment) {
        let time = now.millis();
        self.seeking.0.retain(|_, state| match state {
            State::Settled(until, _) => time < *until,
            State::Asked(_, until) => time < *until,
            State::Wanted => true,
        });
        if self.joined.is_none() {
            self.seeking.0.clear();
        }
        if !matches!(self.phase, Phase::In) {
            return;
        }
        let room = AT_A_TIME.saturating_sub(self.seeking.asked());
        let wanted = self
            .seeking
            .0
            .iter()
            .filter(|(_, state)| matches!(state, State::Wanted));
        let next: Vec<Ipv4Addr> = wanted.map(|(address, _)| *address).take(room).collect();
        for address in next {
            let request = LocateRequest {
                run_id: self.run_id.to_vec(),
                fqdn: String::new(),
                virtual_address: address.to_bits(),
            };
            let envelope = self.me.envelope(Call::Locate, &request);
            let id = self.request(Call::Locate, envelope, PATIENCE);
            self.seeking
                .0
                .insert(address, State::Asked(id, after(now, PATIENCE.0)));
        }
    }

    pub(super) fn locate_answered(&mut self, now: Moment, id: RequestId, result: Result<Answer, Failure>) {
        let asked =
            |(_, state): &(&Ipv4Addr, &State)| matches!(state, State::Asked(asked, _) if *asked == id);
        let Some(address) = self.seeking.0.iter().find(asked).map(|(address, _)| *address) else {
            return;
        };
        let answer = match result {
            Ok(Answer::Locate(answer)) => answer.answer,
            _ => None,
        };
        let (wait, refusal) = match answer {
            Some(locate_answer::Answer::Peer(peer)) => {
                if peer.virtual_address == address.to_bits() && !peer.sealed_key.is_empty() {
                    self.peer(now, &peer);
                }
                (FOUND_MS, None)
            }
            Some(locate_answer::Answer::Refusal(refusal)) => {
                let refused = Refused::read(&refusal);
                if refused.is_final() {
                    return self.refused(now, &refused);
                }
                if refused.code == Code::NotJoined {
                    // It is we who are not: a refresh tells.
                    self.refresh_now(now);
                }
                let wait = refused.retry_after_ms.unwrap_or(REFUSED_MS);
                let refusal = about_it(refused.code);
                if let Some(refusal) = refusal {
                    if self.met.remove(&address).is_some() {
                        // We dealt with it, and have not heard that this is over.
                        self.order(Order::Gone(address));
                    }
                    self.order(Order::NoPeer(address, refusal));
                }
                self.event(Event::NoPeer(address, refused));
                (wait, refusal)
            }
            None => (FAILED_MS, None),
        };
        let settled = State::Settled(after(now, wait), refusal);
        self.seeking.0.insert(address, settled);
        self.seek_on(now);
    }
}

/// What a refusal says about the one who was sought; `None`: nothing.
fn about_it(code: Code) -> Option<Refusal> {
    match code {
        Code::Denied => Some(Refusal::Prohibited),
        Code::UnknownName => Some(Refusal::Unreachable),
        _ => None,
    }
}
