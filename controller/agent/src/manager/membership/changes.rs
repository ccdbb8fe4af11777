//! What the manager says has changed, as orders. Each change stands for itself: told twice or late, the end is the same.

use super::super::request::StreamId;
use super::super::{Refused, convert};
use super::{Ending, Membership, Met, Phase};
use crate::config::Secret;
use crate::keying::Moment;
use crate::orders::{self, Order};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::update::Change;
use kith_protocol::member::{Peer, Synced, Update};
use kith_protocol::ticket;
use std::net::Ipv4Addr;

/// Members whose runs are remembered: as many as the datapath has places for.
const MOST_MET: usize = 1_024;
/// Tickets last so long, unless a community has it otherwise.
const TICKET_MS: u64 = 3_600_000;

impl Membership {
    pub(super) fn update(&mut self, now: Moment, stream: StreamId, update: Update) {
        if !self.on_stream(stream) {
            return;
        }
        // Who has asked for everything has it with the last word only: if the stream ends before, it asks for everything again.
        let whole = matches!(update.change, Some(Change::Synced(_)));
        if let Some(joined) = self.joined.as_mut().filter(|joined| whole || !joined.resyncing) {
            joined.revision = joined.revision.max(update.revision);
        }
        match update.change {
            Some(Change::Peer(peer)) => self.peer(now, &peer),
            Some(Change::Gone(gone)) => {
                let address = Ipv4Addr::from_bits(gone.virtual_address);
                self.met.remove(&address);
                self.order(Order::Gone(address));
            }
            Some(Change::Policy(policy)) => self.order(Order::Policy(convert::policy(Some(&policy)))),
            Some(Change::Ended(refusal)) => {
                let refused = Refused::read(&refusal);
                match refused.code {
                    // We were silent for too long, as far as the manager knows: that is soon mended.
                    Code::NotJoined | Code::Busy | Code::Store | Code::TooLate => self.refused(now, &refused),
                    _ => self.over(Ending::Refused(refused)),
                }
            }
            Some(Change::Resync(_)) => self.resync(now),
            Some(Change::Synced(synced)) => self.synced(now, &synced),
            Some(Change::Managers(managers)) => self.managers_said(&managers.managers, managers.version),
            // A kind of change that a newer manager knows is nothing to us.
            None => {}
        }
    }

    /// A member and what we need to reach it, from DNS, a push or [`super::seeking`].
    pub(super) fn peer(&mut self, now: Moment, peer: &Peer) {
        let Some(joined) = &self.joined else { return };
        if matches!(self.phase, Phase::Leaving(_)) {
            return;
        }
        let address = Ipv4Addr::from_bits(peer.virtual_address);
        if !joined.place.is_anothers(address) {
            return;
        }
        if peer.sealed_key.is_empty() {
            // Somebody to deal with, but nothing to do it with.
            return self.seek(now, address);
        }
        match self.opened(now, peer, address) {
            Ok(order) => {
                self.meet(address, peer.joined_at_ms, order.expires_ms);
                self.order(Order::Peer(Box::new(order)));
            }
            Err(why) => {
                tracing::warn!(peer = %address, why, "what the manager says of a member cannot be used")
            }
        }
    }

    /// A member that has begun anew knows no key of before: nor should we, else packets go nowhere until the silence is noticed.
    fn meet(&mut self, address: Ipv4Addr, joined_at_ms: u64, expires_ms: u64) {
        let met = Met {
            joined_at_ms: Some(joined_at_ms),
            expires_ms,
        };
        let before = self.remember(address, met);
        if before
            .and_then(|before| before.joined_at_ms)
            .is_some_and(|before| joined_at_ms > before)
        {
            self.order(Order::Gone(address));
        }
    }

    /// A member came with a ticket: we deal with it, too.
    pub(super) fn introduced(&mut self, now: Moment, address: Ipv4Addr) {
        let Some(joined) = &self.joined else { return };
        let met = Met {
            joined_at_ms: self.met.get(&address).and_then(|met| met.joined_at_ms),
            // Its ticket may last less long.
            expires_ms: joined.manager_time(now).saturating_add(TICKET_MS),
        };
        self.remember(address, met);
    }

    fn remember(&mut self, address: Ipv4Addr, met: Met) -> Option<Met> {
        if self.met.len() >= MOST_MET && !self.met.contains_key(&address) {
            self.met.pop_first();
        }
        self.met.insert(address, met)
    }

    /// The manager does not know what we were told, and whom we deal with: it may have been started anew. It is asked for all of it, and for
    /// members once its stream stands ([`Self::synced`]); what is in force stays so meanwhile.
    fn resync(&mut self, now: Moment) {
        let Some(joined) = &mut self.joined else { return };
        if joined.resyncing {
            // Even asked for everything it says so: there is no other way left.
            return self.rejoin(now, 0);
        }
        joined.revision = 0;
        self.unwatch();
        self.watch(now);
    }

    /// Everything up to here was told, but for where members are. From now on we hear of it when they move, so now they are asked for: of an
    /// earlier answer nobody could say what has become of it before the stream stood.
    fn synced(&mut self, now: Moment, synced: &Synced) {
        let Some(joined) = &mut self.joined else { return };
        let anew = std::mem::take(&mut joined.resyncing);
        if !convert::still_holds(&joined.place, synced) {
            return self.rejoin(now, 0);
        }
        if anew {
            let time = joined.manager_time(now);
            self.met.retain(|_, met| time < met.expires_ms);
            let met: Vec<Ipv4Addr> = self.met.keys().copied().collect();
            self.seek_all(now, met);
        }
    }

    fn opened(&self, now: Moment, peer: &Peer, address: Ipv4Addr) -> Result<orders::Peer, String> {
        let location = peer
            .location
            .as_ref()
            .and_then(convert::whereabouts)
            .ok_or("its location")?;
        let joined = self.joined.as_ref().ok_or("we are not joined")?;
        let (own, time) = (joined.place.address, joined.manager_time(now));
        let key = ticket::open_key(
            self.me.ticket_key(),
            self.me.fqdn(),
            &peer.fqdn,
            own,
            time,
            &peer.sealed_key,
        )
        .map_err(|refusal| refusal.to_string())?;
        if key.peer_virtual != address {
            return Err("its key is another member's".into());
        }
        Ok(orders::Peer {
            fqdn: peer.fqdn.clone(),
            address,
            location,
            psk: Secret::new(*key.shared_key.expose()),
            sequence: key.sequence,
            ticket: peer.ticket.clone(),
            expires_ms: key.expires_ms,
        })
    }
}
