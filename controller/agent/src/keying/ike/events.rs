//! What IKE says, and what follows from it for keys and members.

use super::host::virtual_address;
use super::peer::{Bond, Current, Pair};
use super::{Agreement, peer};
use crate::keying::{Action, NewKeys, Whereabouts};
use kith_esp::{Millis, Spi};
use kith_ike::{AssociationId, ChildId, Down, Event, Forgotten, NewChild, Output, Refused, Role, Up};
use kith_pipeline::host::tables::MemberIndex;
use kith_protocol::ticket::TicketBody;
use std::net::Ipv4Addr;

/// So long after an association came up, a newer one that the peer began means that it has forgotten it. Before, both may have begun at once.
const CROSSING: u64 = 3_000;
/// Data sent so recently makes it worth to begin anew when an association is over.
const RECENT: u64 = 40_000;

/// Something that IKE wants done; an event with the ticket of who has just proved itself.
pub(super) enum Work {
    Send(Ipv4Addr, Vec<u8>),
    Event(AssociationId, Event, Option<Box<TicketBody>>),
}

impl Agreement {
    /// Fetches what is to be done.
    pub(super) fn drain(&mut self) {
        let mut ticket = self.endpoint.host_mut().admitted.take();
        while let Some(output) = self.endpoint.next_output() {
            let work = match output {
                Output::Send { path, octets } => match virtual_address(path) {
                    Some(to) => Work::Send(to, octets),
                    None => continue,
                },
                Output::Event(id, event) => {
                    let is_proved = matches!(&event, Event::Up(up) if up.role == Role::Responder);
                    let ticket = if is_proved { ticket.take() } else { None };
                    Work::Event(id, event, ticket)
                }
            };
            self.work.push_back(work);
        }
        let refusals = std::mem::take(&mut self.endpoint.host_mut().refusals);
        self.actions.extend(refusals.into_iter().map(Action::Refused));
    }

    pub(super) fn process(&mut self, work: Work) {
        match work {
            Work::Send(to, octets) => {
                let host = self.endpoint.host();
                let action = match (host.members.get(&to), host.knocking.get(&to)) {
                    (Some(member), _) => Action::Send(member.index, crate::keying::Method::Ike, octets),
                    (None, Some((there, _))) => Action::Answer(to, *there, octets),
                    (None, None) => return,
                };
                self.actions.push_back(action);
            }
            Work::Event(id, event, ticket) => self.on_event(id, event, ticket),
        }
    }

    fn on_event(&mut self, id: AssociationId, event: Event, ticket: Option<Box<TicketBody>>) {
        let index = self.bonds.get(&id).and_then(|bond| bond.index);
        match (event, index) {
            (Event::Up(up), _) => self.on_up(id, &up, ticket),
            (Event::Down(why), _) => self.on_down(id, &why),
            (Event::Forget(child, why), _) => self.forget_pair(child, why),
            (Event::Child(new), Some(index)) => self.on_child((id, index), *new),
            (Event::Child(_), None) => {
                // Nobody gave it a place.
                let at = self.at(self.now);
                self.bonds.remove(&id);
                self.endpoint.forget(at, id);
                self.drain();
            }
            (Event::Send(child), Some(index)) => self.on_send(index, child),
            (Event::Whereabouts(octets), Some(index)) => {
                if let (Some(there), Some(peer)) = (Whereabouts::decode(&octets), self.peer(index)) {
                    peer.whereabouts = Some(there);
                    self.actions.push_back(Action::Moved(index, there));
                }
            }
            (Event::ChildRefused { why, .. }, Some(index)) => {
                if let Some(peer) = self.peer(index) {
                    peer.replacing = false;
                }
                tracing::warn!(member = index.0, %why, "the member refuses to agree on keys");
            }
            (Event::Rekeyed { .. } | Event::Moved(_), _) | (_, None) => {}
        }
    }

    /// Both ends have proved themselves.
    fn on_up(&mut self, id: AssociationId, up: &Up, ticket: Option<Box<TicketBody>>) {
        let Some(address) = virtual_address(up.path) else {
            return;
        };
        let host = self.endpoint.host_mut();
        let index = host.members.get(&address).map(|member| member.index);
        let marked = ticket.map(|body| host.door.mark(address, body.sequence).map(|()| body));
        let now = self.now.millis();
        self.bonds.insert(
            id,
            Bond {
                index,
                address,
                up_at: Some(now),
            },
        );
        match (index, marked) {
            (Some(index), Some(Ok(body))) => self.actions.push_back(Action::Renewed(index, body)),
            (None, Some(Ok(body))) => self.actions.push_back(Action::Introduce(body)),
            // A newer one was faster. The secret is none the worse between members; a stranger has nothing else.
            (_, Some(Err(name))) => self.actions.push_back(Action::Refused(name)),
            (_, None) => {}
        }
        let Some(index) = index else { return };
        let Some(peer) = self.peer(index) else { return };
        peer.liveness.on_heard(now);
        if let Some(rtt) = up.rtt {
            peer.rtt_micros = Some(rtt * 1_000);
        }
        let before = peer.association.replace(id).filter(|before| *before != id);
        if up.role == Role::Responder
            && let Some(before) = before
            && let Some(since) = self.bonds.get(&before).and_then(|bond| bond.up_at)
            && now.0 >= since.0 + CROSSING
        {
            // It restarted, and knows nothing of the other one.
            let at = self.at(self.now);
            self.endpoint.forget(at, before);
            self.drain();
        }
    }

    fn on_down(&mut self, id: AssociationId, why: &Down) {
        let now = self.now.millis();
        let Some(bond) = self.bonds.remove(&id) else {
            // A handshake that somebody else began.
            return match why {
                Down::NotAuthentic(_) => self.actions.push_back(Action::Refused("ike_not_authentic")),
                Down::Refused(Refused::Unknown) => {
                    self.actions.push_back(Action::Refused("ike_peer_unknown"));
                }
                Down::Refused(Refused::NotUs) => self.actions.push_back(Action::Refused("ike_not_us")),
                Down::NoProposal => self.actions.push_back(Action::Refused("ike_no_proposal")),
                // Tickets were counted by their own names.
                _ => {}
            };
        };
        let Some(index) = bond.index else { return };
        let mut bonds = self.bonds.iter();
        let other = bonds.find(|(_, bond)| bond.index == Some(index) && bond.up_at.is_some());
        let other = other.map(|(id, _)| *id);
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        if peer.association != Some(id) {
            return;
        }
        (peer.association, peer.replacing) = (other, false);
        if other.is_some() {
            return;
        }
        let was_up = bond.up_at.is_some();
        tracing::debug!(member = index.0, %why, was_up, "IKE is over");
        if was_up {
            let wanted = peer.data_sent.is_some_and(|at| now.0 < at.0 + RECENT);
            if wanted && *why != Down::Closed {
                self.connect(index);
            }
        } else if *why != Down::Closed {
            if *why != Down::Silent {
                tracing::warn!(member = index.0, %why, "no keys with the member");
            }
            peer.failed = Some(now);
            self.actions.push_back(Action::GaveUp(index));
        }
    }

    /// Packets are opened with it from now on.
    fn on_child(&mut self, (association, index): (AssociationId, MemberIndex), new: NewChild) {
        let now = self.now.millis();
        let (spi, keys) = new.inbound;
        let (their_spi, their_keys) = new.outbound;
        let new_keys = |spi, keys| NewKeys {
            spi,
            keys,
            limits: self.limits,
            since: now,
        };
        let (inbound, outbound) = (new_keys(spi, keys), new_keys(their_spi, their_keys));
        let hard = self.limits.hard().age.0;
        let patience = match new.role {
            Role::Initiator => 0,
            Role::Responder => super::BACKUP,
        };
        let pair = Pair {
            index,
            association,
            spis: (spi, their_spi),
            suite: new.suite,
            since: now,
            outbound: Some(Box::new(outbound)),
            role: new.role,
            is_first: new.replaces.is_none(),
            heard: false,
            ends: Millis(now.0.saturating_add(hard).saturating_add(patience)),
        };
        self.pairs.insert(new.id, pair);
        self.actions
            .push_back(Action::InstallInbound(index, Box::new(inbound)));
    }

    /// The peer has it; but its answer to our first message may still be overtaken by a packet.
    fn on_send(&mut self, index: MemberIndex, child: ChildId) {
        let now = self.now.millis();
        let Some(pair) = self.pairs.get(&child) else {
            return;
        };
        let waits = pair.role == Role::Responder && pair.is_first && !pair.heard;
        match self.peer(index) {
            Some(peer) if waits => peer.held = Some((child, now)),
            Some(_) => self.use_pair(child),
            None => {}
        }
    }

    /// Something authentic came on it.
    pub(super) fn on_heard(&mut self, now: Millis, index: MemberIndex, (child, spi): (ChildId, Spi)) {
        if let Some(pair) = self.pairs.get_mut(&child) {
            pair.heard = true;
        }
        let Some(peer) = self.peer(index) else { return };
        peer.liveness.on_heard_on(now, spi);
        if peer.held.is_some_and(|(held, _)| held == child) {
            self.use_pair(child);
        }
    }

    /// Packets are sealed with it from now on.
    pub(super) fn use_pair(&mut self, child: ChildId) {
        let now = self.now.millis();
        let hard = self.limits.hard().age.0;
        let Some(pair) = self.pairs.get_mut(&child) else {
            return;
        };
        let (index, Some(outbound)) = (pair.index, pair.outbound.take()) else {
            return;
        };
        let Some(peer) = peer(&mut self.peers, index) else {
            return;
        };
        if peer.held.is_some_and(|(held, _)| held == child) {
            peer.held = None;
        }
        peer.current = Some(Current {
            association: pair.association,
            child,
            spi: outbound.spi,
            since: now,
            ends: Millis(now.0.saturating_add(hard)),
            role: pair.role,
        });
        peer.agreements += 1;
        (peer.rekey_at, peer.replacing) = (None, false);
        peer.liveness.on_new_keys();
        if pair.role == Role::Initiator && pair.is_first {
            peer.liveness.confirm(now, pair.spis.0);
        }
        if let Some(there) = peer.whereabouts {
            self.actions.push_back(Action::Moved(index, there));
        }
        self.actions.push_back(Action::InstallOutbound(index, outbound));
        self.actions.push_back(Action::Dummy(index));
    }

    /// Is there another association with the member, up or under way?
    fn another(&self, index: MemberIndex, than: AssociationId) -> bool {
        let mut bonds = self.bonds.iter();
        bonds.any(|(id, bond)| *id != than && bond.index == Some(index))
    }

    fn forget_pair(&mut self, child: ChildId, why: Forgotten) {
        let Some(pair) = self.pairs.remove(&child) else {
            return;
        };
        let until = Millis(self.now.millis().0 + super::LINGER);
        let another = self.another(pair.index, pair.association);
        let Some(peer) = peer(&mut self.peers, pair.index) else {
            return self.actions.push_back(Action::RemoveInbound(pair.spis.0));
        };
        if why == Forgotten::Down && another {
            // Both began at once, say: packets may be under way. The place may be taken by others meanwhile, which ends it sooner.
            self.lingering.push_back((pair.index, pair.spis.0, until));
        } else {
            self.actions.push_back(Action::RemoveInbound(pair.spis.0));
        }
        if peer
            .current
            .as_ref()
            .is_some_and(|current| current.child == child)
        {
            peer.current = None;
        }
        if peer.held.is_some_and(|(held, _)| held == child) {
            peer.held = None;
        }
        peer.liveness.stop_confirming(pair.spis.0);
    }
}
