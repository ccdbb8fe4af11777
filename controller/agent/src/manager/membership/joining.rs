//! Init, the director's session, Join: figure 13, and what can go wrong on the way.

use super::super::channel::Half;
use super::super::convert;
use super::super::request::{Answer, Call, Failure, Manager, RequestId};
use super::super::{Refused, backoff};
use super::director::Way;
use super::staying::Joined;
use super::{
    DISOWNED, DISOWNED_REST_MS, Ending, Event, Membership, Network, PATIENCE, Phase, Trouble, after,
};
use crate::keying::Moment;
use crate::orders::Order;
use kith_esp::Millis;
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{self, InitAck, InitRequest, JoinAck, JoinRequest, Location};
use kith_protocol::member::{init_answer, join_answer};
use std::net::Ipv4Addr;

/// What Init gave: enough to join, for a while.
pub(super) struct Offer {
    manager_seed: [u8; 32],
    member_seed: [u8; 32],
    init_time_ms: u64,
    /// The manager does not take the join later.
    pub(super) until: Millis,
    clock_offset_ms: i64,
    way: Way,
}

/// A join is sent again so much after an attempt that came to nothing.
const REPEAT_MS: u64 = 500;
/// A join begun later than this before its end would be too late.
const HURRY_MS: u64 = 200;

impl Membership {
    pub(super) fn network(&mut self, now: Moment, network: Option<Network>) {
        let before = std::mem::replace(&mut self.network, network);
        if before != self.network {
            self.udp.reset();
        }
        let Some(network) = &self.network else {
            if let (Phase::Resting(None) | Phase::In, Some(manager)) = (&self.phase, self.manager().cloned())
            {
                self.trouble(Trouble::NoNetwork(manager), 0);
            }
            return;
        };
        let asking = matches!(
            self.phase,
            Phase::Init { .. } | Phase::Session(_) | Phase::Join { .. }
        );
        if asking && before.as_ref() != Some(network) {
            // What the first phase said is of a place where we are no more.
            return self.rejoin(now, 0);
        }
        let Some(joined) = &self.joined else {
            // A new network is a new chance.
            if before.as_ref() != Some(network) && matches!(self.phase, Phase::Resting(_)) {
                self.init(now);
            }
            return;
        };
        let clash = network
            .lans
            .iter()
            .any(|lan| convert::holds(lan, joined.place.address));
        let local_moved = before.as_ref().is_none_or(|before| before.local != network.local);
        if !matches!(self.phase, Phase::In) || !(clash || local_moved) {
            return;
        }
        // With a public address, or with one that clashes, other questions are to be asked than "where are you now?"; and without a session at
        // the director there is no answer to that one: it may not be reached from here at all.
        if clash || joined.location.director == 0 || self.location(joined.way).is_none() {
            self.rejoin(now, 0);
        } else {
            self.move_if_needed(now, local_moved);
        }
    }

    /// Joins again, soon, and stays joined meanwhile.
    pub(super) fn rejoin(&mut self, now: Moment, wait_ms: u64) {
        self.phase = Phase::Resting(Some(after(now, wait_ms)));
        self.phase_until = None;
        self.refresh = None;
        self.moving = None;
    }

    pub(super) fn init(&mut self, now: Moment) {
        let Some(network) = self.network.clone() else {
            self.phase = Phase::Resting(None);
            return;
        };
        let seed = self.random();
        let request = InitRequest {
            variants: 0,
            seed: seed.to_vec(),
            local_address: network.local.to_bits(),
            local_networks: network.lans.iter().map(convert::written_prefix).collect(),
            site: self.settings.site.clone(),
            udp_blocked: self.udp.say(),
            run_id: self.run_id.to_vec(),
        };
        let envelope = self.me.envelope(Call::Init, &request);
        let id = self.request(Call::Init, envelope, PATIENCE);
        self.phase = Phase::Init { id, sent: now, seed };
        self.phase_until = Some(after(now, PATIENCE.0));
    }

    pub(super) fn init_answered(&mut self, now: Moment, result: Result<Answer, Failure>) {
        let &Phase::Init { sent, seed, .. } = &self.phase else {
            return;
        };
        match result {
            Ok(Answer::Init(answer)) => match answer.answer {
                Some(init_answer::Answer::Ack(ack)) => match self.offer(now, sent, seed, &ack) {
                    Ok(offer) => self.take_session(now, offer),
                    Err(trouble) => self.rest(now, trouble, None),
                },
                Some(init_answer::Answer::Refusal(refusal)) => {
                    let refused = Refused::read(&refusal);
                    if refused.code == Code::NoDirector && self.udp.was_said() {
                        return self.rest(now, Trouble::UdpBlocked(refused), None);
                    }
                    self.refused(now, &refused);
                }
                None => self.rest(now, Trouble::Untrue("an empty answer"), None),
            },
            Ok(_) => self.rest(now, Trouble::Untrue("an answer of another kind"), None),
            Err(failure) => self.failed(now, failure),
        }
    }

    fn offer(&mut self, now: Moment, sent: Moment, seed: [u8; 32], ack: &InitAck) -> Result<Offer, Trouble> {
        let untrue = Trouble::Untrue;
        if ack.member_seed != seed {
            return Err(untrue("it answers another question"));
        }
        let manager_seed = ack
            .manager_seed
            .as_slice()
            .try_into()
            .map_err(|_| untrue("the seed's length"))?;
        let observed = Ipv4Addr::from_bits(ack.observed_address);
        let way = match &ack.director {
            Some(director) => {
                let (outside, private) = (self.order_director(director)?, director.private);
                if director.sender_only {
                    Way::Straight(observed)
                } else {
                    Way::Through { outside, private }
                }
            }
            None => {
                if ack.behind_nat {
                    return Err(untrue("no director for a member behind an address translator"));
                }
                if self.director.take().is_some() {
                    self.pseudo = None;
                    self.order(Order::NoDirector);
                }
                Way::Straight(observed)
            }
        };
        // The manager read its clock about half way between our asking and its answer's arrival.
        let middle = sent.wall_nanos / 2 + now.wall_nanos / 2;
        let ours = i64::try_from(middle / 1_000_000).map_err(|_| untrue("our own clock"))?;
        let theirs = i64::try_from(ack.init_time_ms).map_err(|_| untrue("the time"))?;
        Ok(Offer {
            manager_seed,
            member_seed: seed,
            init_time_ms: ack.init_time_ms,
            until: after(now, u64::from(ack.timeout_ms).saturating_sub(HURRY_MS)),
            clock_offset_ms: theirs.saturating_sub(ours),
            way,
        })
    }

    pub(super) fn join(&mut self, now: Moment, offer: Box<Offer>) {
        let Some(location) = self.location(offer.way) else {
            self.phase_until = Some(offer.until);
            self.phase = Phase::Session(offer);
            return;
        };
        let half = Box::new(Half::make(&mut self.entropy));
        let request = JoinRequest {
            manager_seed: offer.manager_seed.to_vec(),
            init_time_ms: offer.init_time_ms,
            rejoin: self.joined.is_some(),
            group: false,
            local_address: self.network.as_ref().map_or(0, |network| network.local.to_bits()),
            location: Some(location),
            spi: half.spi.get(),
            key_share: half.public().to_vec(),
            run_id: self.run_id.to_vec(),
            netbios_name: self.settings.computer.clone(),
            platform: self.settings.platform.clone(),
            program: self.settings.program.clone(),
            policy_version: 0,
            managers_version: self.managers_version,
        };
        let envelope = self.me.envelope(Call::Join, &request);
        self.send_join(now, offer, (half, location), envelope);
    }

    fn send_join(
        &mut self,
        now: Moment,
        offer: Box<Offer>,
        (half, location): (Box<Half>, Location),
        envelope: member::Envelope,
    ) {
        let id = self.request(Call::Join, envelope.clone(), PATIENCE);
        self.phase_until = Some(after(now, PATIENCE.0));
        self.phase = Phase::Join {
            id,
            offer,
            half,
            location,
            envelope,
            again: None,
        };
    }

    pub(super) fn repeat_join(&mut self, now: Moment) {
        match std::mem::replace(&mut self.phase, Phase::Resting(None)) {
            Phase::Join {
                offer,
                half,
                location,
                envelope,
                ..
            } => self.send_join(now, offer, (half, location), envelope),
            other => self.phase = other,
        }
    }

    pub(super) fn join_answered(&mut self, now: Moment, result: Result<Answer, Failure>) {
        let Phase::Join { offer, .. } = &self.phase else {
            return;
        };
        let repeat = matches!(
            result,
            Err(Failure::TimedOut | Failure::Unreachable(_) | Failure::Busy)
        ) && after(now, REPEAT_MS) < offer.until;
        if repeat {
            // Whether it arrived is not known. Unchanged, it may be sent as often as we like.
            if let Phase::Join { again, id, .. } = &mut self.phase {
                *again = Some(after(now, REPEAT_MS));
                *id = RequestId(0);
            }
            self.phase_until = None;
            return;
        }
        let Phase::Join {
            offer,
            half,
            location,
            ..
        } = std::mem::replace(&mut self.phase, Phase::Resting(None))
        else {
            return;
        };
        match result {
            Ok(Answer::Join(answer)) => match answer.answer {
                Some(join_answer::Answer::Ack(ack)) => {
                    if let Err(what) = self.joined(now, &offer, (*half, location), &ack) {
                        self.rest(now, Trouble::Untrue(what), None);
                    }
                }
                Some(join_answer::Answer::Refusal(refusal)) => self.refused(now, &Refused::read(&refusal)),
                None => self.rest(now, Trouble::Untrue("an empty answer"), None),
            },
            Ok(_) => self.rest(now, Trouble::Untrue("an answer of another kind"), None),
            Err(failure) => self.failed(now, failure),
        }
    }

    /// We are in. Nothing is ordered before all of the answer has been understood.
    fn joined(
        &mut self,
        now: Moment,
        offer: &Offer,
        // As the manager knows it: what was sent, not where we are by now.
        (half, location): (Half, Location),
        ack: &JoinAck,
    ) -> Result<(), &'static str> {
        let place = convert::place(&self.me, ack)?;
        let public = convert::socket(location.address, location.port).filter(|_| location.director == 0);
        let seeds = (&offer.member_seed[..], &offer.manager_seed[..]);
        let channel = half.join(now, &self.me, self.run_id, seeds, ack)?;
        let policy = convert::policy(ack.policy.as_ref());
        self.managers_said(&ack.managers, ack.managers_version);
        let order = crate::orders::Joined {
            address: place.address,
            networks: place.networks.clone(),
            fqdn: place.fqdn.clone(),
            clock_offset_ms: offer.clock_offset_ms,
            public,
        };
        self.order(Order::Joined(order));
        self.order(Order::Policy(policy));
        self.unwatch();
        let endpoint = channel.endpoint;
        self.order(Order::Channel(Box::new(channel)));
        let before = self.joined.take();
        let joined = Joined::new(
            now,
            place.clone(),
            location,
            endpoint,
            (offer.way, offer.clock_offset_ms),
            ack,
            before,
        );
        self.joined = Some(joined);
        self.phase = Phase::In;
        self.phase_until = None;
        self.backoff.reset();
        self.trouble = None;
        self.event(Event::Joined(place));
        self.watch(now);
        // The pseudo address may have changed while we joined.
        self.move_if_needed(now, false);
        Ok(())
    }

    pub(super) fn phase_timed_out(&mut self, now: Moment) {
        match &self.phase {
            Phase::Init { .. } => self.init_answered(now, Err(Failure::TimedOut)),
            Phase::Join { .. } => self.join_answered(now, Err(Failure::TimedOut)),
            Phase::Session(_) => {
                self.udp.no_session();
                let director = self.director.as_ref().map(|ordered| ordered.address);
                let trouble = director.map_or(Trouble::Untrue("no director"), Trouble::NoSession);
                self.rest(now, trouble, None);
            }
            Phase::Leaving(_) => self.over(Ending::Left),
            Phase::Resting(_) | Phase::In | Phase::Over => {}
        }
    }

    /// A refusal of whatever kind of request: final, or a reason to join anew.
    pub(super) fn refused(&mut self, now: Moment, refused: &Refused) {
        if refused.is_final() {
            return self.over(Ending::Refused(refused.clone()));
        }
        let wait = match refused.code {
            // Init again, at once: that is all that is wrong.
            Code::TooLate | Code::NotJoined => Some(backoff::jitter(REPEAT_MS, &mut self.entropy)),
            _ => refused
                .retry_after_ms
                .map(|wait| wait + backoff::jitter(wait / 2, &mut self.entropy)),
        };
        // Often in a row it is not all that is wrong.
        let wait = wait.filter(|_| self.backoff.attempts() < 3);
        self.rest(now, Trouble::Refused(refused.clone()), wait);
    }

    /// No answer: the next manager of the list, after a while.
    pub(super) fn failed(&mut self, now: Moment, failure: Failure) {
        let Some(manager) = self.manager().cloned() else {
            return;
        };
        let disowned = failure == Failure::Dropped;
        if disowned {
            self.dropped = self.dropped.saturating_add(1);
            if self.dropped >= DISOWNED && self.joined.take().is_some() {
                self.order(Order::Out);
            }
        }
        self.next_manager();
        let trouble = if disowned {
            Trouble::Disowned(manager)
        } else {
            Trouble::Failed(manager, failure)
        };
        let wait = (disowned && self.dropped >= DISOWNED)
            .then(|| backoff::jitter(DISOWNED_REST_MS, &mut self.entropy));
        self.rest(now, trouble, wait);
    }

    pub(super) fn next_manager(&mut self) {
        self.current = (self.current + 1) % self.managers.len().max(1);
    }

    /// The next attempt comes after `wait_ms`, or after what the number of attempts gives.
    pub(super) fn rest(&mut self, now: Moment, trouble: Trouble, wait_ms: Option<u64>) {
        let backoff = self.backoff.next(&mut self.entropy);
        let wait = wait_ms.unwrap_or(backoff);
        self.rejoin(now, wait);
        self.trouble(trouble, wait);
    }

    pub(super) fn trouble(&mut self, why: Trouble, retry_ms: u64) {
        self.trouble = Some(why.to_string());
        self.event(Event::Trouble { why, retry_ms });
    }

    /// A newer list of managers. The one in use stays in use.
    pub(super) fn managers_said(&mut self, written: &[member::ManagerAddress], version: u64) {
        let read: Vec<Manager> = written.iter().filter_map(Manager::read).collect();
        if version <= self.managers_version || read.is_empty() || read.len() != written.len() {
            return;
        }
        let current = self.manager().cloned();
        self.current = read
            .iter()
            .position(|manager| Some(manager) == current.as_ref())
            .unwrap_or(0);
        self.managers = read;
        self.managers_version = version;
        self.outputs.push_back(super::Output::Managers {
            managers: written.to_vec(),
            version,
        });
    }
}
