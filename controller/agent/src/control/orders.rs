//! What the control thread does when the manager's client orders something.
//!
//! Tables are published before keys are taken away, and a member's place is given to nobody else until both threads have wiped what they
//! had of it: so what is forbidden stops with the next packet.

use super::{Control, start_session};
use crate::config;
use crate::datapath::shared::{ToInbound, ToOutbound};
use crate::keying::{Home, KeyAgreement, Known, Moment, PairSecret, Whereabouts};
use crate::members::{Grant, One, Standing};
use crate::orders::{Channel, Director, Joined, Order, Peer, Rule};
use crate::session::Change;
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::table::policy::{self, Decision, Flow, PolicyTable};
use kith_protocol::authenticator::TicketKey;
use kith_protocol::secret::Secret32;
use std::net::Ipv4Addr;
use std::sync::Arc;

impl Control {
    pub(super) fn obey(&mut self, now: Moment, order: Order) -> Change {
        match order {
            Order::Director(director) => return self.begin_session(now, director),
            Order::NoDirector => return self.end_session(now),
            Order::Joined(joined) => self.join(now, joined),
            Order::Channel(channel) => self.open_channel(now, *channel),
            Order::Peer(peer) => self.admit(now, *peer),
            Order::NoPeer(address, refusal) => {
                // Who came by itself meanwhile is there.
                if self.thread.parts.members.find(address).is_none() {
                    self.tell_outbound(ToOutbound::Refuse(address, refusal));
                }
            }
            Order::Gone(address) => self.expel(now, address),
            Order::Policy(rules) => {
                self.thread.parts.members.set_policy(table(&rules));
                self.publish();
            }
            Order::Roamed => return self.roam(now),
            Order::Out => self.forget_all(now),
            Order::Barrier(answer) => {
                // Who asked may have gone.
                let _told = answer.try_send(());
            }
        }
        Change::default()
    }

    /// Who relays for us, and who answers to where it heard us last, hear us from where we are now.
    fn roam(&mut self, now: Moment) -> Change {
        let manager = self.thread.parts.members.iter().find(|(_, one)| one.is_manager());
        if let Some((index, _)) = manager {
            self.tell_outbound(ToOutbound::Dummy(index));
        }
        match &mut self.session {
            Some(session) => session.roamed(now),
            None => Change::default(),
        }
    }

    fn begin_session(&mut self, now: Moment, director: Director) -> Change {
        let director = config::Director {
            address: director.address,
            key_id: director.key_id,
            key: director.key,
            sender_only: director.sender_only,
            keep_alive_ms: None,
        };
        if let Some(management) = &mut self.thread.parts.management {
            management.forget_session();
        }
        if self.session.as_ref().is_some_and(|session| session.is(&director)) {
            return Change::default();
        }
        let change = self.end_session(now);
        self.thread.parts.members.set_director(Some(director.address));
        self.session = Some(start_session(director, now));
        change
    }

    /// Says farewell once: whether it is heard or not, the director forgets who is silent.
    fn end_session(&mut self, now: Moment) -> Change {
        if let Some(session) = &mut self.session {
            session.leave(now);
        }
        self.send_to_director();
        self.session = None;
        self.thread.parts.members.set_director(None);
        Change {
            pseudo: true,
            left: false,
        }
    }

    fn join(&mut self, now: Moment, joined: Joined) {
        if self.thread.parts.members.own() != joined.address {
            self.forget_all(now);
            self.thread.parts.members.set_own(joined.address);
            self.publish();
        }
        self.agreement.readdress(joined.address, &joined.fqdn);
        self.agreement.door().set_home(Some(Home {
            fqdn: joined.fqdn.clone(),
            address: joined.address,
            clock_offset_ms: joined.clock_offset_ms,
        }));
        self.thread.parts.name.clone_from(&joined.fqdn);
        self.thread.parts.public = joined.public;
        if let Some(management) = &mut self.thread.parts.management {
            management.joined = Some(joined);
        }
        if let Some(here) = self.whereabouts() {
            self.agreement.moved(now, Some(here));
        }
    }

    fn open_channel(&mut self, now: Moment, channel: Channel) {
        let members = &mut self.thread.parts.members;
        let before = members.iter().find(|(_, one)| one.is_manager());
        let before = before.map(|(index, one)| (index, one.address));
        let there = Whereabouts::Public(channel.endpoint);
        let index = match before {
            Some((index, address)) if address == channel.address => {
                members.relocate(index, there);
                Some(index)
            }
            other => {
                self.forget(
                    now,
                    &other.map(|(index, _)| index).into_iter().collect::<Vec<_>>(),
                );
                // Nobody else has this address: a member that says so is not one.
                self.expel(now, channel.address);
                self.enter("manager".into(), channel.address, there, Standing::Manager)
            }
        };
        let (Some(index), Some(management)) = (index, &mut self.thread.parts.management) else {
            tracing::error!("no place is left for the manager's channel");
            return;
        };
        let ticket_key = TicketKey::from_secret(Secret32::new(*channel.ticket_key.expose()));
        self.agreement.door().set_key(Some(ticket_key));
        let spi = channel.inbound.spi();
        for (_, since) in &mut management.channel {
            since.get_or_insert(now.millis());
        }
        management.channel.push_back((spi, None));
        self.arrived(channel.address);
        self.tell_inbound(ToInbound::InstallBeside(index, Box::new(channel.inbound)));
        self.tell_outbound(ToOutbound::Install(index, Box::new(channel.outbound)));
        // The manager answers to where it heard us last.
        self.tell_outbound(ToOutbound::Dummy(index));
    }

    fn admit(&mut self, now: Moment, peer: Peer) {
        let own = self.thread.parts.members.own();
        if own.is_unspecified() || peer.address == own || peer.address.is_unspecified() {
            tracing::warn!(peer = peer.fqdn, address = %peer.address, "no such member can be: not joined, or ourselves");
            return;
        }
        let secret = Arc::new(PairSecret::new(peer.psk));
        let ticket = peer.ticket.clone();
        let grant = Grant {
            sequence: peer.sequence,
            expires_ms: peer.expires_ms,
            ticket: peer.ticket,
            told: None,
            since: now.millis(),
        };
        let Some(index) = self.thread.parts.members.find(peer.address) else {
            let known = Known {
                address: peer.address,
                name: peer.fqdn.clone(),
                secret,
                ticket,
            };
            let entered = self.enter(peer.fqdn, peer.address, peer.location, Standing::Granted(grant));
            match entered {
                Some(index) => {
                    self.agreement.add(now, index, known);
                    self.arrived(peer.address);
                }
                None => tracing::warn!(address = %peer.address, "no place is left for another member"),
            }
            return;
        };
        let Some(one) = self.thread.parts.members.get_mut(index) else {
            return;
        };
        // The manager's own place is not to be had, and what is older than what we know is no news.
        if one.grant().is_none_or(|known| grant.sequence < known.sequence) {
            return;
        }
        one.name = peer.fqdn;
        one.standing = Standing::Granted(grant);
        self.agreement.renew(now, index, (secret, Some(ticket)), true);
        if self.thread.parts.members.relocate(index, peer.location) {
            self.publish();
        }
    }

    /// Gives somebody a place; tables are not published yet.
    pub(super) fn enter(
        &mut self,
        name: String,
        address: Ipv4Addr,
        location: Whereabouts,
        standing: Standing,
    ) -> Option<MemberIndex> {
        let index = self.thread.parts.members.add(name, address, location, standing)?;
        let counted = self.counted(index);
        if let Some(base) = self.bases.get_mut(index.0 as usize) {
            *base = counted;
        }
        Some(index)
    }

    /// Somebody has been given a place: tables first, then what waits for them.
    pub(super) fn arrived(&mut self, address: Ipv4Addr) {
        self.publish();
        self.tell_outbound(ToOutbound::Found(address));
    }

    /// Somebody is gone, or may not be talked to. Tickets that it was given before are worth nothing.
    fn expel(&mut self, now: Moment, address: Ipv4Addr) {
        let known = self.thread.parts.members.find(address);
        let door = self.agreement.door();
        // Sequences are issue times in microseconds. A newer one there already is as good.
        let _newer = door.mark(address, door.manager_ms(now).saturating_mul(1000));
        let granted = |one: &One| one.grant().is_some();
        if let Some(index) = known
            && self.thread.parts.members.get(index).is_some_and(granted)
        {
            tracing::info!(peer = self.name(index), "member is gone");
            self.forget(now, &[index]);
        }
    }

    fn forget_all(&mut self, now: Moment) {
        let all: Vec<_> = self.thread.parts.members.iter().map(|(index, _)| index).collect();
        self.thread.parts.members.set_own(Ipv4Addr::UNSPECIFIED);
        self.thread.parts.members.set_policy(PolicyTable::default());
        self.forget(now, &all);
        self.publish();
        self.agreement.readdress(Ipv4Addr::UNSPECIFIED, "");
        self.agreement.door().set_home(None);
        self.agreement.door().set_key(None);
        self.thread.parts.public = None;
        if let Some(management) = &mut self.thread.parts.management {
            management.joined = None;
        }
    }

    /// Tables first, then keys, then everything else that the threads know.
    pub(super) fn forget(&mut self, now: Moment, gone: &[MemberIndex]) {
        if gone.is_empty() {
            return;
        }
        let mut receipts = Vec::with_capacity(gone.len());
        for index in gone {
            let is_manager = self.thread.parts.members.get(*index).is_some_and(One::is_manager);
            if let Some(receipt) = self.thread.parts.members.remove(*index) {
                receipts.push((*index, is_manager, receipt));
            }
        }
        self.publish();
        for (index, is_manager, receipt) in receipts {
            self.agreement.remove(now, index);
            self.tell_outbound(ToOutbound::Forget(index, receipt.clone()));
            let channel = match &mut self.thread.parts.management {
                Some(management) if is_manager => std::mem::take(&mut management.channel),
                _ => Default::default(),
            };
            for (spi, _) in channel {
                self.tell_inbound(ToInbound::Remove(spi));
            }
            while let Some(action) = self.agreement.next_action() {
                self.act(now, action);
            }
            self.tell_inbound(ToInbound::Forget(index, receipt));
        }
    }
}

/// The rules in their order. If there are more than the table takes, the last ones are left out, and what only they speak of is denied.
fn table(rules: &[Rule]) -> PolicyTable {
    let mut table = PolicyTable::default();
    for (priority, rule) in (i32::MIN..=i32::MAX).rev().zip(rules) {
        let exact = |number: u16| if number == 0 { 0 } else { u16::MAX };
        let value = Flow {
            community: 0,
            source: rule.source.0,
            destination: rule.destination.0,
            protocol: rule.protocol,
            source_port: rule.source_port,
            destination_port: rule.destination_port,
        };
        let mask = Flow {
            community: 0,
            source: rule.source.1,
            destination: rule.destination.1,
            protocol: if rule.protocol == 0 { 0 } else { u8::MAX },
            source_port: exact(rule.source_port),
            destination_port: exact(rule.destination_port),
        };
        let decision = if rule.allow {
            Decision::Allow
        } else {
            Decision::Deny
        };
        if let Err(error) = table.insert(policy::Rule::new(priority, value, mask), decision) {
            tracing::error!(%error, rules = rules.len(), "the policy has too many rules: the rest denies");
            break;
        }
    }
    table
}
