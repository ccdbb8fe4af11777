//! Where a member is reached: what it says when it joins and when it moves, against what we know; and new keys for its channel.

use super::Manager;
use super::authentic::Denial;
use super::ids::Time;
use super::join::Pending;
use super::output::{Answer, DropCause};
use super::state::Location;
use kith_protocol::authenticator::Kind;
use kith_protocol::join::{Exchange, refresh_secret};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{Envelope, JoinRequest, MoveAck, MoveRequest, RefreshAck, RefreshRequest};
use kith_protocol::share::KeyShare;
use std::net::{Ipv4Addr, SocketAddrV4};

impl Manager {
    /// A join must name the director that it was offered, or, with none to be reached by, the address that we see.
    pub(super) fn location(&self, pending: &Pending, request: &JoinRequest) -> Result<Location, Denial> {
        let location = request
            .location
            .as_ref()
            .and_then(Location::of)
            .ok_or(DropCause::Abnormal)?;
        let offer = pending.offer.as_ref().filter(|offer| !offer.sender_only);
        let good = match offer {
            None => is_public(location, pending.observed),
            Some(offer) => {
                let director = self.state.director(&offer.name).map(|director| &director.record);
                director.is_some_and(|director| {
                    let there = u32::from(location.director) == director.address
                        && u32::from(location.director_port) == director.port;
                    let address = !location.address.is_unspecified()
                        && (!director.private || u32::from(location.address) == request.local_address);
                    there && address
                })
            }
        };
        good.then_some(location)
            .ok_or_else(|| elsewhere("the join names another way to reach this device than it was offered"))
    }

    /// Figure 13's addresses change while the session goes on: those whom it deals with are told.
    pub(super) fn moved(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        let (id, request) = self.by_session::<MoveRequest>(now, from, Kind::Move, envelope)?;
        let location = request
            .location
            .as_ref()
            .and_then(Location::of)
            .ok_or(DropCause::Abnormal)?;
        let local = Ipv4Addr::from(request.local_address);
        let session = self.state.session(id).ok_or(DropCause::Unknown)?;
        let was = session.location;
        let good = if was.director.is_unspecified() {
            is_public(location, *from.ip()) && local == *from.ip()
        } else {
            let same = (location.director, location.director_port) == (was.director, was.director_port);
            // A private director serves its own network only: whoever is outside of that now is not reached through it any more.
            let record = session
                .director
                .as_ref()
                .and_then(|name| self.state.director(name))
                .map(|director| &director.record);
            let inside = record.is_some_and(|director| {
                let there = session.observed_address == *from.ip()
                    || director.nat_addresses.contains(&u32::from(*from.ip()));
                !director.private || (there && location.address == local)
            });
            same && inside && !location.address.is_unspecified()
        };
        if !good {
            return Err(elsewhere(
                "from where this device is now it needs another route director",
            ));
        }
        let seen = (session.local_address, session.observed_address);
        let changed = (location, (local, *from.ip())) != (was, seen);
        if changed && let Some(session) = self.state.session_mut(id) {
            session.location = location;
            session.local_address = local;
            session.observed_address = *from.ip();
        }
        if location != was {
            self.push_peer(now, id);
            if let Some(member) = self.state.member(id) {
                let (community, fqdn) = (member.community, member.fqdn.clone());
                self.event(
                    now,
                    "member.moved",
                    community,
                    &fqdn,
                    location.address.to_string(),
                );
            }
        }
        let revision = self.state.revision().0;
        Ok(Answer::Move(MoveAck { revision }))
    }

    /// A new exchange alone makes the keys: none of an earlier process is ever used again, on either side.
    pub(super) fn refresh(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        let (id, request) = self.by_session::<RefreshRequest>(now, from, Kind::Refresh, envelope)?;
        self.outbox.own_alone();
        // 0 to 255 are reserved (RFC 4303, section 2.1).
        if request.spi < 256 || request.seed.len() != 32 {
            return Err(DropCause::Abnormal.into());
        }
        self.spend(now, id)?;
        let seed: [u8; 32] = self.random();
        let share = KeyShare::generate(&mut *self.entropy.0);
        let exchange = Exchange {
            member_seed: &request.seed,
            manager_seed: &seed,
            fqdn: &envelope.fqdn,
            run_id: &request.run_id,
        };
        let secret = refresh_secret(&share, &request.key_share, exchange).map_err(|_| DropCause::Abnormal)?;
        let manager_spi = self.new_spi();
        self.state.set_spis(id, manager_spi, request.spi);
        self.install(id, secret.keys());
        Ok(Answer::Refresh(RefreshAck {
            key_share: share.public().to_vec(),
            manager_spi,
            seed: seed.to_vec(),
        }))
    }
}

fn is_public(location: Location, seen: Ipv4Addr) -> bool {
    location.director.is_unspecified() && location.address == seen && location.port != 0
}

fn elsewhere(what: &str) -> Denial {
    Denial::refused(Code::NoDirector, format!("{what}; join again"))
}
