//! IKE as [`KeyAgreement`]: what the host calls.

use super::host::Member;
use super::peer::{Bond, Peer};
use super::{Agreement, BACKUP, HELD};
use crate::keying::{
    Action, Event, Fresh, KeyAgreement, Known, Method, Moment, NotNow, PairSecret, View, Whereabouts,
};
use kith_esp::{Millis, Spi};
use kith_ike::{AssociationId, ChildId, Role};
use kith_pipeline::host::tables::MemberIndex;
use std::net::Ipv4Addr;
use std::sync::Arc;

impl KeyAgreement for Agreement {
    fn add(&mut self, now: Moment, index: MemberIndex, known: Known) {
        self.remove(now, index);
        let place = index.0 as usize;
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        // Who has just proved itself was waiting for a place.
        let waiting = |bond: &&mut Bond| bond.index.is_none() && bond.address == known.address;
        let mut association = None;
        for (id, bond) in &mut self.bonds {
            if waiting(&bond) {
                bond.index = Some(index);
                association = Some(*id);
            }
        }
        let member = Member {
            index,
            name: known.name,
            secret: known.secret,
        };
        let host = self.endpoint.host_mut();
        host.knocking.remove(&known.address);
        host.members.insert(known.address, member);
        self.peers[place] = Some(Peer {
            ticket: known.ticket,
            association,
            ..Peer::default()
        });
    }

    fn remove(&mut self, now: Moment, index: MemberIndex) {
        let at = self.at(now);
        let Some(_) = self.peers.get_mut(index.0 as usize).and_then(Option::take) else {
            return;
        };
        let host = self.endpoint.host_mut();
        host.members.retain(|_, member| member.index != index);
        let theirs = |(_, bond): &(&AssociationId, &Bond)| bond.index == Some(index);
        let ids: Vec<_> = self.bonds.iter().filter(theirs).map(|(id, _)| *id).collect();
        for id in ids {
            self.endpoint.forget(at, id);
        }
        self.drain();
        // What they leave is taken away before anybody else gets the place.
        for work in std::mem::take(&mut self.work) {
            self.process(work);
        }
        let actions = &mut self.actions;
        self.lingering.retain(|(of, spi, _)| {
            if *of == index {
                actions.push_back(Action::RemoveInbound(*spi));
            }
            *of != index
        });
    }

    fn renew(
        &mut self,
        now: Moment,
        index: MemberIndex,
        (secret, ticket): (Arc<PairSecret>, Option<Vec<u8>>),
        use_it: bool,
    ) {
        self.at(now);
        // One to be taken beside ours comes with a ticket, and that is asked when it is needed.
        if !use_it {
            return;
        }
        let members = self.endpoint.host_mut().members.values_mut();
        let Some(member) = members.into_iter().find(|member| member.index == index) else {
            return;
        };
        let is_same = member.secret.is(&secret);
        member.secret = secret;
        let Some(peer) = self.peer(index) else { return };
        // A ticket that we had has another secret in it.
        let before = std::mem::take(&mut peer.ticket);
        peer.ticket = match ticket {
            Some(ticket) => ticket,
            None if is_same => before.clone(),
            None => Vec::new(),
        };
        if !is_same || peer.ticket != before {
            self.connect_anew(index);
        }
    }

    fn readdress(&mut self, own: Ipv4Addr, name: &str) {
        let host = self.endpoint.host_mut();
        (host.own, host.name) = (own, name.to_owned());
    }

    fn receive(&mut self, now: Moment, method: Method, index: MemberIndex, data: &[u8]) {
        let at = self.at(now);
        let members = &self.endpoint.host().members;
        let address = members.iter().find(|(_, member)| member.index == index);
        if let Some((address, _)) = address
            && method == Method::Ike
        {
            self.datagram(at, *address, data);
        }
    }

    fn refresh(&mut self, now: Moment, index: MemberIndex, what: Fresh) -> Result<(), NotNow> {
        let at = self.at(now);
        let current = self.peer(index).and_then(|peer| peer.current.as_ref());
        let (id, child) = current
            .map(|current| (current.association, current.child))
            .ok_or(NotNow::NoKeys)?;
        match what {
            Fresh::Pair => self.endpoint.rekey_child(at, id, child),
            Fresh::Ike => self.endpoint.rekey(at, id),
        }
        self.drain();
        Ok(())
    }

    fn event(&mut self, now: Moment, index: MemberIndex, event: Event) {
        let at = self.at(now);
        let millis = now.millis();
        match event {
            Event::KeysNeeded => self.on_needed(millis, index),
            Event::Stale => self.on_stale(millis, index),
            Event::Activity(activity) => self.on_activity(millis, index, activity),
            Event::Heard(spi) => {
                let pair = self.pairs.iter().find(|(_, pair)| pair.spis.0 == spi);
                let Some((child, pair)) = pair.map(|(child, pair)| (*child, pair)) else {
                    return;
                };
                self.endpoint.heard(at, pair.association, child);
                self.on_heard(millis, index, (child, spi));
                self.drain();
            }
            Event::RekeyDue => {
                let Some(peer) = self.peer(index) else { return };
                match &peer.current {
                    Some(current) if current.role == Role::Responder => {
                        peer.rekey_at.get_or_insert(Millis(millis.0 + BACKUP));
                    }
                    _ => self.rekey(index),
                }
            }
        }
    }

    fn moved(&mut self, now: Moment, own: Option<Whereabouts>) {
        let at = self.at(now);
        let said = own.map_or_else(Vec::new, |own| own.encode().to_vec());
        self.endpoint.announce(at, said);
        self.drain();
    }

    fn way_open(&mut self, now: Moment) {
        let at = self.at(now);
        for index in self.indices() {
            if let Some(id) = self.association(index).filter(|id| !self.is_up(*id))
                && let Some(bond) = self.bonds.get(&id)
            {
                let path = self.endpoint.host().path(bond.address);
                self.endpoint.moved(at, id, path);
                self.endpoint.poll(at);
            }
        }
        self.drain();
    }

    fn poll(&mut self, now: Moment) {
        let at = self.at(now);
        self.close_old(at);
        while let Some((_, spi, until)) = self.lingering.front().copied()
            && until <= now.millis()
        {
            self.lingering.pop_front();
            self.actions.push_back(Action::RemoveInbound(spi));
        }
        self.endpoint.poll(at);
        self.drain();
        for index in self.indices() {
            self.poll_peer(now.millis(), index);
        }
    }

    fn deadline(&self) -> Option<Millis> {
        let peers = self.peers.iter().flatten().flat_map(|peer| {
            [
                peer.current.as_ref().map(|current| current.ends),
                peer.rekey_at,
                peer.held.map(|(_, since)| Millis(since.0 + HELD)),
                peer.liveness.deadline(),
                peer.asked.map(|(_, due)| due),
            ]
        });
        let pairs = self.pairs.values().map(|pair| pair.ends);
        let endpoint = self.endpoint.deadline().map(Millis);
        let lingering = self.lingering.front().map(|(_, _, until)| *until);
        peers
            .flatten()
            .chain(pairs)
            .chain(endpoint)
            .chain(lingering)
            .min()
    }

    fn next_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            // One at a time: what follows an introduction needs the place that it leads to.
            let work = self.work.pop_front()?;
            self.process(work);
        }
    }

    fn view(&self, index: MemberIndex) -> View {
        let Some(peer) = self.peers.get(index.0 as usize).and_then(Option::as_ref) else {
            return View::default();
        };
        let newest = self.pairs.iter().filter(|(_, pair)| pair.index == index);
        let newest: Option<(&ChildId, Spi)> = newest
            .map(|(child, pair)| (child, pair.spis.0))
            .max_by_key(|(child, _)| **child);
        let association = peer.association.and_then(|id| self.endpoint.view(id));
        View {
            outbound: peer.current.as_ref().map(|current| (current.spi, current.since)),
            inbound: newest.map(|(_, spi)| spi),
            method: peer.current.as_ref().map(|_| Method::Ike),
            agreeing: peer.replacing || association.as_ref().is_some_and(|view| !view.up),
            tunnel: peer
                .association
                .zip(association)
                .and_then(|(id, view)| self.tunnel(id, &view)),
            agreements: peer.agreements,
            rtt_micros: peer.rtt_micros,
            heard: peer.liveness.heard(),
        }
    }
}
