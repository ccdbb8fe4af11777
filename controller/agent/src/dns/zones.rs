//! What DNS knows of our communities: whose names are whose, and where to ask.

use crate::config::Prefix;
use crate::supervisor::member::Message;
use kith_protocol::member::Peer;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot, watch};

/// A community that we are joined to.
#[derive(Clone)]
pub struct Zone {
    /// Its domain.
    pub domain: String,
    /// Our name in it.
    pub fqdn: String,
    /// Our adapter for it.
    pub adapter: String,
    /// Our virtual address.
    pub own: Ipv4Addr,
    /// The manager's.
    pub manager: Ipv4Addr,
    /// The community's networks.
    pub networks: Vec<Prefix>,
    /// Its membership.
    pub member: mpsc::Sender<Message>,
}

/// All of them, shared.
#[derive(Clone)]
pub struct Zones {
    zones: Arc<RwLock<Vec<Zone>>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Zone {
    /// Tells the membership of a member that DNS has found, and waits until it can be talked to.
    pub async fn found(&self, peer: Peer) {
        let (taken, done) = oneshot::channel();
        if self
            .member
            .send(Message::Found(Box::new(peer), taken))
            .await
            .is_ok()
        {
            let _ended = done.await;
        }
    }
}

impl Default for Zones {
    fn default() -> Self {
        Self {
            zones: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Zones {
    /// Adds a community, or replaces what was known of our membership in it.
    pub fn set(&self, zone: Zone) {
        self.change(|zones| {
            zones.retain(|known| known.fqdn != zone.fqdn);
            zones.push(zone);
            // The longest domain first: a community may lie in another one's domain.
            zones.sort_by(|a, b| b.domain.len().cmp(&a.domain.len()).then(a.fqdn.cmp(&b.fqdn)));
        });
    }

    /// Takes away what belongs to this membership.
    pub fn remove(&self, fqdn: &str) {
        self.change(|zones| zones.retain(|known| known.fqdn != fqdn));
    }

    /// All there are.
    #[must_use]
    pub fn all(&self) -> Vec<Zone> {
        self.zones.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The community that this name is of: lower case, without a dot at the end.
    #[must_use]
    pub fn of_name(&self, name: &str) -> Option<Zone> {
        let inside = |zone: &&Zone| {
            name == zone.domain
                || name
                    .strip_suffix(&zone.domain)
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        self.find(inside)
    }

    /// The community that this address is of.
    #[must_use]
    pub fn of_address(&self, address: Ipv4Addr) -> Option<Zone> {
        let inside = |zone: &&Zone| zone.networks.iter().any(|network| network.has_host(address));
        self.find(inside)
    }

    /// Tells of changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn find(&self, inside: impl FnMut(&&Zone) -> bool) -> Option<Zone> {
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        zones.iter().find(inside).cloned()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Zone>)) {
        change(&mut self.zones.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|version| *version += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(fqdn: &str, domain: &str, network: &str) -> Zone {
        Zone {
            domain: domain.into(),
            fqdn: fqdn.into(),
            adapter: "kith0".into(),
            own: Ipv4Addr::LOCALHOST,
            manager: Ipv4Addr::LOCALHOST,
            networks: vec![network.parse().unwrap()],
            member: mpsc::channel(1).0,
        }
    }

    #[test]
    fn names_and_addresses_belong_to_the_closest_community_and_no_others() {
        let zones = Zones::default();
        zones.set(zone("a.acme.example", "acme.example", "10.77.0.0/24"));
        zones.set(zone("b.lab.acme.example", "lab.acme.example", "10.78.0.0/24"));
        let of = |name: &str| zones.of_name(name).map(|zone| zone.fqdn);
        assert_eq!(of("printer.acme.example").unwrap(), "a.acme.example");
        assert_eq!(of("printer.lab.acme.example").unwrap(), "b.lab.acme.example");
        assert_eq!(of("acme.example").unwrap(), "a.acme.example");
        assert!(of("notacme.example").is_none() && of("example").is_none() && of("").is_none());
        let at = |address: &str| zones.of_address(address.parse().unwrap()).map(|zone| zone.fqdn);
        assert_eq!(at("10.78.0.9").unwrap(), "b.lab.acme.example");
        assert!(at("10.79.0.9").is_none() && at("10.78.0.0").is_none());
        zones.set(zone("a.acme.example", "acme.example", "10.80.0.0/24"));
        assert!(at("10.77.0.9").is_none() && at("10.80.0.9").is_some());
        zones.remove("a.acme.example");
        assert!(of("printer.acme.example").is_none());
    }
}
