//! What is known of each peer: its associations, where it is, how often keys changed.

use super::config::{Peer, Start};
use kith_ike::{AssociationId, Connection, NatFound, Path, Role, Up};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};

/// The first wait after a failure, and the longest.
const RETRY: (u64, u64) = (1_000, 30_000);

/// A peer and what became of it.
pub(super) struct PeerState {
    pub(super) config: Peer,
    pub(super) links: Vec<Link>,
    pub(super) counts: Counts,
    pub(super) last_down: Option<String>,
    /// Not begun before.
    pub(super) retry_at: u64,
    wait: u64,
    /// The operator closed it.
    closed: bool,
}

/// One association with it.
pub(super) struct Link {
    pub(super) id: AssociationId,
    pub(super) up: Option<(Path, NatFound)>,
    pub(super) suite: String,
    /// When a translator was last kept awake.
    pub(super) kept: u64,
}

/// How often things happened.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Counts {
    pub(super) ups: u64,
    pub(super) downs: u64,
    pub(super) children: u64,
    pub(super) children_rekeyed_by_us: u64,
    pub(super) children_rekeyed_by_peer: u64,
    pub(super) ike_rekeyed_by_us: u64,
    pub(super) ike_rekeyed_by_peer: u64,
    pub(super) refused: u64,
    pub(super) packets_out: u64,
    pub(super) packets_in: u64,
}

impl PeerState {
    /// Nothing has happened yet.
    pub(super) fn new(config: Peer) -> Self {
        Self {
            config,
            links: Vec::new(),
            counts: Counts::default(),
            last_down: None,
            retry_at: 0,
            wait: RETRY.0,
            closed: false,
        }
    }

    /// How to begin with it from `local`.
    pub(super) fn connection(&self, local: Ipv4Addr) -> Option<Connection> {
        let at = |address: Ipv4Addr| SocketAddr::from((address, super::sockets::IKE_PORT));
        Some(Connection {
            path: Path {
                local: at(local),
                remote: at(self.config.remote?),
            },
            peer: self.config.id.clone(),
            terms: self.config.terms.clone(),
            ticket: None,
        })
    }

    /// Is it time to begin without traffic?
    pub(super) fn wants(&self, now: u64) -> bool {
        self.config.start == Start::AtOnce && !self.closed && self.links.is_empty() && now >= self.retry_at
    }

    /// An association has begun, if it had not.
    pub(super) fn begun(&mut self, now: u64, id: AssociationId) -> &mut Link {
        let at = self
            .links
            .iter()
            .position(|link| link.id == id)
            .unwrap_or_else(|| {
                self.links.push(Link {
                    id,
                    up: None,
                    suite: String::new(),
                    kept: now,
                });
                self.links.len() - 1
            });
        &mut self.links[at]
    }

    /// It is up.
    pub(super) fn up(&mut self, now: u64, id: AssociationId, up: &Up) {
        let link = self.begun(now, id);
        link.up = Some((up.path, up.nat));
        link.suite = up.suite.to_string();
        self.counts.ups += 1;
        self.wait = RETRY.0;
    }

    /// The operator closed it: we do not begin again.
    pub(super) fn closed(&mut self) {
        self.closed = true;
    }

    /// The operator wants it.
    pub(super) fn opened(&mut self) {
        self.closed = false;
    }

    /// May traffic begin it?
    pub(super) fn may_begin(&self) -> bool {
        self.config.start != Start::Wait && !self.closed
    }

    /// It is over.
    pub(super) fn down(&mut self, now: u64, id: AssociationId, why: String) {
        self.links.retain(|link| link.id != id);
        self.counts.downs += 1;
        self.last_down = Some(why);
        self.retry_at = now.saturating_add(self.wait);
        self.wait = (self.wait * 2).min(RETRY.1);
    }

    /// The newest that is up.
    pub(super) fn newest(&self) -> Option<&Link> {
        self.links.iter().rev().find(|link| link.up.is_some())
    }

    /// A child was agreed.
    pub(super) fn child(&mut self, replaced: bool, role: Role) {
        self.counts.children += 1;
        match (replaced, role) {
            (false, _) => {}
            (true, Role::Initiator) => self.counts.children_rekeyed_by_us += 1,
            (true, Role::Responder) => self.counts.children_rekeyed_by_peer += 1,
        }
    }

    /// The IKE SA was replaced.
    pub(super) fn rekeyed(&mut self, id: AssociationId, suite: String, by: Role) {
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            link.suite = suite;
        }
        match by {
            Role::Initiator => self.counts.ike_rekeyed_by_us += 1,
            Role::Responder => self.counts.ike_rekeyed_by_peer += 1,
        }
    }
}

/// Where ESP goes: to the port of translators, unless one has changed it.
pub(super) fn esp_address(path: Path) -> SocketAddr {
    let mut to = path.remote;
    if to.port() == super::sockets::IKE_PORT {
        to.set_port(super::sockets::NAT_PORT);
    }
    to
}
