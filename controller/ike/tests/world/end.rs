//! One end: its endpoint, and the host that does what the endpoint says.

use super::host::TestHost;
use kith_esp::{DefaultAead, Inbound, Limits, Millis, Outbound};
use kith_ike::suite::EspSuite;
use kith_ike::*;
use std::collections::{BTreeMap, HashMap};

/// One end: the endpoint and the SAs that it was given.
pub struct End {
    pub endpoint: Endpoint<TestHost>,
    pub inbound: HashMap<u32, (ChildId, AssociationId, Inbound<DefaultAead>)>,
    pub outbound: Option<(ChildId, Outbound<DefaultAead>)>,
    pub waiting: BTreeMap<ChildId, Outbound<DefaultAead>>,
    pub spis: BTreeMap<ChildId, (u32, u32)>,
    pub up: Vec<AssociationId>,
    pub downs: Vec<(AssociationId, Down)>,
    /// Algorithms of the newest pair.
    pub suite: Option<EspSuite>,
    /// What the last one that came up found between the ends.
    pub nat: NatFound,
    pub events: Vec<String>,
    pub sent: u64,
    pub received: u64,
    /// Packets for which there was no SA.
    pub lost: u64,
    pub sent_octets: u64,
    /// Datagrams that were sent before the keys that the same input led to were given to the host.
    pub answered_before_keys: u64,
}

impl End {
    pub fn new(endpoint: Endpoint<TestHost>) -> Self {
        Self {
            endpoint,
            inbound: HashMap::new(),
            outbound: None,
            waiting: BTreeMap::new(),
            spis: BTreeMap::new(),
            up: Vec::new(),
            downs: Vec::new(),
            suite: None,
            nat: NatFound::default(),
            events: Vec::new(),
            sent: 0,
            received: 0,
            lost: 0,
            sent_octets: 0,
            answered_before_keys: 0,
        }
    }

    /// Something that its endpoint has to say.
    pub fn tell(&mut self, millis: u64, id: AssociationId, event: Event) {
        self.event(Millis(millis), id, event);
    }

    pub fn event(&mut self, now: Millis, id: AssociationId, event: Event) {
        match event {
            Event::Up(up) => {
                self.events.push(format!("up {}", up.suite));
                self.nat = up.nat;
                self.up.push(id);
            }
            Event::Child(new) => {
                self.suite = Some(new.suite);
                let NewChild {
                    id: child,
                    inbound: (spi, keys),
                    outbound: (peer_spi, peer_keys),
                    ..
                } = *new;
                let limits = Limits::default();
                let inbound = Inbound::new(spi, keys, limits, now);
                self.inbound.insert(spi.get(), (child, id, inbound));
                self.waiting
                    .insert(child, Outbound::new(peer_spi, peer_keys, limits, now));
                self.spis.insert(child, (spi.get(), peer_spi.get()));
                self.events.push(format!("child {}", child.0));
            }
            Event::Send(child) => {
                let outbound = self.waiting.remove(&child).unwrap();
                self.outbound = Some((child, outbound));
                self.events.push(format!("send {}", child.0));
            }
            Event::Forget(child, why) => {
                let (spi, _) = self.spis.remove(&child).unwrap();
                self.inbound.remove(&spi);
                self.waiting.remove(&child);
                if self
                    .outbound
                    .as_ref()
                    .is_some_and(|(current, _)| *current == child)
                {
                    self.outbound = None;
                }
                self.events.push(format!("forget {} {why:?}", child.0));
            }
            Event::ChildRefused { replaces, why } => {
                self.events
                    .push(format!("refused {:?} {why}", replaces.map(|id| id.0)));
            }
            Event::Rekeyed { by, .. } => self.events.push(format!("rekeyed {by:?}")),
            Event::Moved(path) => self.events.push(format!("moved {}", path.remote)),
            Event::Whereabouts(octets) => {
                self.events
                    .push(format!("whereabouts {}", String::from_utf8_lossy(&octets)));
            }
            Event::Down(down) => {
                self.events.push(format!("down {down}"));
                self.up.retain(|up| *up != id);
                self.downs.push((id, down));
            }
        }
    }

    /// The newest pair.
    pub fn newest(&self) -> Option<ChildId> {
        self.spis.keys().next_back().copied()
    }
}
