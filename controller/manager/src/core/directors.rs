//! Which director a member takes a session at (source document 001, figure 21).
//!
//! ```text
//!  local address = what we see, and others can reach it ──► none needed; one to send through, if there is one
//!  else ──► a private director of its NAT or site ──► else a network director: UDP, or TCP where UDP is blocked
//!                                                         by site, health, load, name ──► else refused: why not, director by director
//! ```

use super::Manager;
use super::ids::{MemberId, Time};
use super::output::{GrantOp, Output};
use super::state::{Community, Director};
use kith_protocol::{member, records};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What the choice depends on.
pub(super) struct Ask<'a> {
    pub(super) local: Ipv4Addr,
    pub(super) observed: Ipv4Addr,
    pub(super) site: &'a str,
    pub(super) udp_blocked: bool,
}

/// A director for a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Offer {
    pub(super) name: Arc<str>,
    pub(super) tcp: bool,
    pub(super) sender_only: bool,
}

impl Manager {
    /// A director, or none if none is needed, or why there is none.
    pub(super) fn choose_director(
        &self,
        community: &Community,
        ask: &Ask<'_>,
    ) -> Result<Option<Offer>, String> {
        let reachable = self.reachable(ask);
        let mut refused = Vec::new();
        let mut best: Option<(Rank<'_>, Offer)> = None;
        for director in self.state.directors() {
            let offer = match suits(director, community, ask, reachable) {
                Ok(offer) => offer,
                Err(why) => {
                    refused.push(format!("{} {why}", director.record.name));
                    continue;
                }
            };
            let rank = rank(director, ask);
            if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                best = Some((rank, offer));
            }
        }
        match best {
            Some((_, offer)) => Ok(Some(offer)),
            None if reachable => Ok(None),
            None if refused.is_empty() => Err(
                "this device is behind a NAT, and no route director is known; ask the operator".to_owned(),
            ),
            None => Err(format!(
                "this device is behind a NAT, and no route director can serve it: {}",
                refused.join("; ")
            )),
        }
    }

    /// Others reach the member at its own address. Private ones count only where the manager itself is among them.
    fn reachable(&self, ask: &Ask<'_>) -> bool {
        ask.local == ask.observed && (global(ask.observed) || !global(*self.settings.tunnel.ip()))
    }

    /// The director as the member is told.
    pub(super) fn director_message(&self, id: MemberId, offer: &Offer) -> Option<member::Director> {
        let director = &self.state.director(&offer.name)?.record;
        let (key_id, key) = self.state.member(id)?.director_key.as_ref()?;
        Some(member::Director {
            name: director.name.clone(),
            address: director.address,
            private_address: director.private_address,
            port: director.port,
            private: director.private,
            tcp: offer.tcp,
            sender_only: offer.sender_only,
            key_id: *key_id,
            key: key.expose().to_vec(),
        })
    }

    /// The member may take a session there.
    pub(super) fn grant(&mut self, id: MemberId, director: &Arc<str>) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let Some((key_id, key)) = member.director_key.as_ref() else {
            return;
        };
        let op = GrantOp::Add {
            director: director.clone(),
            key_id: *key_id,
            key: key.clone(),
            community: member.community,
            name: member.fqdn.clone(),
        };
        self.emit(Output::Grant(op));
    }

    /// It may not any more.
    pub(super) fn ungrant(&mut self, id: MemberId, director: &Arc<str>) {
        let key = self
            .state
            .member(id)
            .and_then(|member| member.director_key.as_ref());
        let Some((key_id, _)) = key else { return };
        let op = GrantOp::Remove {
            director: director.clone(),
            key_id: *key_id,
        };
        self.emit(Output::Grant(op));
    }

    pub(super) fn director_health(
        &mut self,
        now: Time,
        name: &str,
        healthy: bool,
        sessions: u64,
        (udp, tcp): (bool, bool),
    ) {
        let Some(health) = self.state.health_mut(name) else {
            return;
        };
        let changed = !health.known || health.healthy != healthy;
        *health = super::state::Health {
            known: true,
            healthy,
            sessions,
            udp,
            tcp,
        };
        if changed {
            let kind = if healthy { "director.up" } else { "director.down" };
            self.event(now, kind, super::CommunityIndex(0), name, "");
        }
    }
}

/// Lower is better: private before network, of the site before others, known to be well before believed to be, less loaded, and the name so
/// that there is an order.
type Rank<'a> = (bool, bool, bool, u64, &'a str);

fn rank<'a>(director: &'a Director, ask: &Ask<'_>) -> Rank<'a> {
    let record = &director.record;
    let load = director.health.sessions.saturating_mul(1000) / capacity(director);
    (
        !record.private,
        !at_site(record, ask.site),
        !director.health.known,
        load,
        &record.name,
    )
}

/// Can it serve this member? If not: why, as the end of a sentence.
fn suits(
    director: &Director,
    community: &Community,
    ask: &Ask<'_>,
    reachable: bool,
) -> Result<Offer, String> {
    let (record, health) = (&director.record, director.health);
    let offer = |tcp| Offer {
        name: record.name.as_str().into(),
        tcp,
        sender_only: reachable,
    };
    if !community.directors.is_empty() && !community.directors.contains(&record.name) {
        return Err(format!("does not serve {}", community.domain));
    }
    if record.draining {
        return Err("is being drained".to_owned());
    }
    if !health.healthy {
        return Err("is down".to_owned());
    }
    if health.sessions >= capacity(director) {
        return Err(format!("is full with {} sessions", health.sessions));
    }
    if record.private {
        let inside = record.nat_addresses.contains(&ask.observed.into()) || at_site(record, ask.site);
        return match (reachable, inside) {
            (true, _) => Err("is for devices behind its NAT only".to_owned()),
            (_, false) => Err(format!("is of another site than {}", ask.observed)),
            _ => Ok(offer(false)),
        };
    }
    let (udp, tcp) = (record.udp && health.udp, record.tcp && health.tcp);
    match (ask.udp_blocked, udp, tcp) {
        (false, true, _) => Ok(offer(false)),
        (_, _, true) => Ok(offer(true)),
        (true, _, false) => Err("takes no TCP, and UDP is blocked".to_owned()),
        (false, false, false) => Err("takes neither UDP nor TCP now".to_owned()),
    }
}

fn at_site(record: &records::Director, site: &str) -> bool {
    !site.is_empty() && record.sites.iter().any(|other| other == site)
}

/// What the operator allows and what it has room for itself; 0 stands for no limit.
fn capacity(director: &Director) -> u64 {
    let known = [u64::from(director.record.capacity), director.room];
    let least = known.into_iter().filter(|&most| most != 0).min();
    least.unwrap_or(u64::from(u32::MAX))
}

/// Can be reached from other networks: neither private (RFC 1918), shared (RFC 6598), of the link (RFC 3927), loopback nor "this network"
/// (RFC 6890).
fn global(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    !(address.is_private() || shared || address.is_link_local() || address.is_loopback() || a == 0)
}
