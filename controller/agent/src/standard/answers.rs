//! What an operator is answered.

use super::control::Request;
use super::engine::Engine;
use kith_ike::{AssociationId, Moment};
use serde_json::{Value, json};

impl Engine {
    /// Does it, or says what is wrong.
    pub(super) fn answer(&mut self, now: Moment, request: Request) -> Value {
        let done = match request {
            Request::Status => return self.status(),
            Request::Connect(name) => self.index(&name).and_then(|index| {
                self.peers[index].opened();
                let begun = self.connect(now, index);
                begun.then_some(()).ok_or("it is not known where this peer is")
            }),
            Request::RekeyChild(name) => self.pair(&name).map(|(id, child)| {
                self.endpoint.rekey_child(now, id, child);
            }),
            Request::CloseChild(name) => self.pair(&name).map(|(id, child)| {
                self.endpoint.close_child(now, id, child);
            }),
            Request::RekeyIke(name) => self.up(&name).map(|id| self.endpoint.rekey(now, id)),
            Request::Close(name) => self.index(&name).map(|index| {
                self.peers[index].closed();
                let ids: Vec<AssociationId> = self.peers[index].links.iter().map(|link| link.id).collect();
                for id in ids {
                    self.endpoint.close(now, id);
                }
            }),
        };
        match done {
            Ok(()) => json!({ "done": true }),
            Err(why) => json!({ "error": why }),
        }
    }

    fn status(&self) -> Value {
        let peers = self.peers.iter().map(|peer| {
            let link = peer.newest();
            json!({
                "name": peer.config.name,
                "up": link.is_some(),
                "associations": peer.links.len(),
                "suite": link.map(|link| &link.suite),
                "remote": link.and_then(|link| link.up).map(|(path, _)| path.remote),
                "nat_ours": link.and_then(|link| link.up).map(|(_, nat)| nat.ours),
                "nat_theirs": link.and_then(|link| link.up).map(|(_, nat)| nat.theirs),
                "pairs": link.map_or(0, |link| self.tunnels.count(link.id)),
                "counts": peer.counts,
                "last_down": peer.last_down,
            })
        });
        let counters = self.endpoint.counters();
        let ike = kith_ike::Drop::ALL.map(|why| (why.name(), counters.get(why)));
        let mut drops = self.drops.named();
        drops.extend(ike.into_iter().filter(|(_, count)| *count > 0));
        json!({ "peers": peers.collect::<Vec<_>>(), "drops": drops })
    }

    fn index(&self, name: &str) -> Result<usize, &'static str> {
        let mut peers = self.peers.iter();
        peers
            .position(|peer| peer.config.name == name)
            .ok_or("no peer has this name")
    }

    fn up(&self, name: &str) -> Result<AssociationId, &'static str> {
        let peer = &self.peers[self.index(name)?];
        peer.newest().map(|link| link.id).ok_or("this peer is not up")
    }

    fn pair(&self, name: &str) -> Result<(AssociationId, kith_ike::ChildId), &'static str> {
        let id = self.up(name)?;
        let child = self.tunnels.newest(id).ok_or("there is no pair with this peer")?;
        Ok((id, child))
    }
}
