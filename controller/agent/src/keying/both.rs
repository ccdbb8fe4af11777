//! Both methods side by side: whichever a member begins with is answered, and ours is the configured one.
//!
//! ```text
//!  port 500   ─► ike ──────┐                          the keys last installed for sending are in use:
//!  port 20202 ─► exchange ─┴─► actions, in order ──►  their method replaces them, the other one lets go
//! ```
//!
//! There is no falling back from one to the other: whoever disturbs one could choose the other.

use super::machine::Agreement as Exchange;
use super::{
    Action, Door, Event, Fresh, KeyAgreement, Known, Method, Moment, NotNow, PairSecret, View, Whereabouts,
    ike,
};
use kith_esp::Millis;
use kith_pipeline::host::tables::MemberIndex;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Both methods.
pub struct Agreements {
    ours: Method,
    ike: ike::Agreement,
    exchange: Exchange,
    /// Whose keys are in use, by member.
    using: Vec<Option<Method>>,
}

impl Agreements {
    /// `ours`: with which to begin.
    #[must_use]
    pub fn new(ours: Method, ike: ike::Agreement, exchange: Exchange) -> Self {
        Self {
            ours,
            ike,
            exchange,
            using: Vec::new(),
        }
    }

    /// What opens tickets.
    pub fn door(&mut self) -> &mut Door {
        self.ike.door()
    }

    /// Messages of IKE that led to nothing, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.ike.counters()
    }

    /// A message of IKE from a virtual address that is nobody's.
    pub fn introduce(&mut self, now: Moment, source: Ipv4Addr, data: &[u8]) {
        self.ike.introduce(now, source, data);
    }

    fn method(&self, peer: MemberIndex) -> Method {
        let using = self.using.get(peer.0 as usize).copied().flatten();
        using.unwrap_or(self.ours)
    }

    fn of(&mut self, method: Method) -> &mut dyn KeyAgreement {
        match method {
            Method::Ike => &mut self.ike,
            Method::Ticket => &mut self.exchange,
        }
    }

    fn both(&mut self) -> [&mut dyn KeyAgreement; 2] {
        [&mut self.ike, &mut self.exchange]
    }

    /// Keys of this method are used from now on.
    fn switch(&mut self, index: MemberIndex, to: Method) {
        let place = index.0 as usize;
        if self.using.len() <= place {
            self.using.resize(place + 1, None);
        }
        if self.using[place].replace(to) == Some(to) {
            return;
        }
        match to {
            Method::Ike => self.exchange.relinquish(index),
            Method::Ticket => self.ike.relinquish(index),
        }
    }
}

impl KeyAgreement for Agreements {
    fn add(&mut self, now: Moment, peer: MemberIndex, known: Known) {
        self.both()
            .into_iter()
            .for_each(|one| one.add(now, peer, known.clone()));
    }

    fn remove(&mut self, now: Moment, peer: MemberIndex) {
        if let Some(using) = self.using.get_mut(peer.0 as usize) {
            *using = None;
        }
        self.both().into_iter().for_each(|one| one.remove(now, peer));
    }

    fn renew(
        &mut self,
        now: Moment,
        peer: MemberIndex,
        with: (Arc<PairSecret>, Option<Vec<u8>>),
        use_it: bool,
    ) {
        for one in self.both() {
            one.renew(now, peer, with.clone(), use_it);
        }
    }

    fn readdress(&mut self, own: Ipv4Addr, name: &str) {
        self.both().into_iter().for_each(|one| one.readdress(own, name));
    }

    fn refresh(&mut self, now: Moment, peer: MemberIndex, what: Fresh) -> Result<(), NotNow> {
        let method = self.method(peer);
        self.of(method).refresh(now, peer, what)
    }

    fn receive(&mut self, now: Moment, method: Method, peer: MemberIndex, data: &[u8]) {
        self.of(method).receive(now, method, peer, data);
    }

    fn event(&mut self, now: Moment, peer: MemberIndex, event: Event) {
        match event {
            // The member began with the other one, and its keys are here in a moment.
            Event::KeysNeeded
                if self.ike.is_coming(now.millis(), peer) || self.exchange.is_coming(now.millis(), peer) => {}
            Event::KeysNeeded | Event::Stale => {
                let ours = self.ours;
                self.of(ours).event(now, peer, event);
            }
            Event::RekeyDue | Event::Activity(_) => {
                let method = self.method(peer);
                self.of(method).event(now, peer, event);
            }
            // Each knows its own.
            Event::Heard(_) => {
                for one in self.both() {
                    one.event(now, peer, event);
                }
            }
        }
    }

    fn moved(&mut self, now: Moment, own: Option<Whereabouts>) {
        self.both().into_iter().for_each(|one| one.moved(now, own));
    }

    fn way_open(&mut self, now: Moment) {
        self.both().into_iter().for_each(|one| one.way_open(now));
    }

    fn poll(&mut self, now: Moment) {
        self.both().into_iter().for_each(|one| one.poll(now));
    }

    fn deadline(&self) -> Option<Millis> {
        [self.ike.deadline(), self.exchange.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn next_action(&mut self) -> Option<Action> {
        let (action, method) = match self.ike.next_action() {
            Some(action) => (action, Method::Ike),
            None => (self.exchange.next_action()?, Method::Ticket),
        };
        if let Action::InstallOutbound(index, _) = &action {
            self.switch(*index, method);
        }
        Some(action)
    }

    fn view(&self, peer: MemberIndex) -> View {
        let (ike, exchange) = (self.ike.view(peer), self.exchange.view(peer));
        let agreements = ike.agreements + exchange.agreements;
        let heard = ike.heard.max(exchange.heard);
        let agreeing = ike.agreeing || exchange.agreeing;
        let (chosen, other) = match self.method(peer) {
            Method::Ike => (ike, exchange),
            Method::Ticket => (exchange, ike),
        };
        View {
            inbound: chosen.inbound.or(other.inbound),
            agreeing,
            agreements,
            heard,
            ..chosen
        }
    }
}
