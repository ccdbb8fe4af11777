//! Where the core's orders to directors and to the hub inside the tunnel go.
//!
//! A core that was loaded tells everything from the beginning: between [`Outlets::begin`] and [`Outlets::end`] it is noted what it told, and
//! what an earlier one had told beyond that is taken back.

use super::tunnel::Tunnel;
use crate::core::{ChannelOp, CommunityIndex, GrantOp, MemberId};
use kith_protocol::secret::Secret32;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Takes orders of one kind. Must not wait; must not call the host.
pub type Take<T> = Box<dyn FnMut(T) + Send>;

/// All that takes orders.
#[derive(Default)]
pub struct Outlets {
    directors: HashMap<Arc<str>, Director>,
    hub: Option<Tunnel>,
    channels: Told<MemberId>,
}

struct Director {
    take: Take<GrantOp>,
    grants: Told<u64>,
    /// As they were told: a grant that is told again as it is would end a session for nothing.
    keys: HashMap<u64, (Secret32, CommunityIndex)>,
}

/// What was told, and of that what was told since the beginning of the present telling.
struct Told<K> {
    all: BTreeSet<K>,
    anew: Option<BTreeSet<K>>,
}

impl<K> Default for Told<K> {
    fn default() -> Self {
        Self {
            all: BTreeSet::new(),
            anew: None,
        }
    }
}

impl<K: Ord + Copy> Told<K> {
    fn add(&mut self, key: K) {
        self.all.insert(key);
        if let Some(anew) = &mut self.anew {
            anew.insert(key);
        }
    }

    fn remove(&mut self, key: K) {
        self.all.remove(&key);
        if let Some(anew) = &mut self.anew {
            anew.remove(&key);
        }
    }

    /// Those not told again.
    fn end(&mut self) -> Vec<K> {
        let Some(anew) = self.anew.take() else {
            return Vec::new();
        };
        let old = std::mem::replace(&mut self.all, anew);
        old.difference(&self.all).copied().collect()
    }
}

impl Outlets {
    /// Orders for this director go there.
    pub fn director(&mut self, name: &str, take: Take<GrantOp>) {
        let grants = Told::default();
        let keys = HashMap::new();
        self.directors
            .insert(name.into(), Director { take, grants, keys });
    }

    /// Orders for the hub go there from now on; answers with where they went before.
    pub(super) fn hub(&mut self, tunnel: Option<Tunnel>) -> Option<Tunnel> {
        std::mem::replace(&mut self.hub, tunnel)
    }

    /// The hub, if there is one.
    pub(super) fn tunnel(&mut self) -> Option<&mut Tunnel> {
        self.hub.as_mut()
    }

    pub(super) fn begin(&mut self) {
        self.channels.anew = Some(BTreeSet::new());
        for director in self.directors.values_mut() {
            director.grants.anew = Some(BTreeSet::new());
        }
    }

    pub(super) fn end(&mut self) {
        for member in self.channels.end() {
            if let Some(hub) = &mut self.hub {
                hub.order(ChannelOp::Remove { member });
            }
        }
        for (name, director) in &mut self.directors {
            for key_id in director.grants.end() {
                director.keys.remove(&key_id);
                (director.take)(GrantOp::Remove {
                    director: name.clone(),
                    key_id,
                });
            }
        }
    }

    pub(super) fn channel(&mut self, order: ChannelOp) {
        match &order {
            ChannelOp::Install(install) => self.channels.add(install.member),
            ChannelOp::Remove { member } => self.channels.remove(*member),
            ChannelOp::Community { .. } | ChannelOp::NoCommunity { .. } => {}
        }
        if let Some(hub) = &mut self.hub {
            hub.order(order);
        }
    }

    /// Orders for directors elsewhere are theirs to fetch: nothing is known of them here.
    pub(super) fn grant(&mut self, order: GrantOp) {
        let (GrantOp::Add { director, .. } | GrantOp::Remove { director, .. }) = &order;
        let Some(director) = self.directors.get_mut(director) else {
            return;
        };
        match &order {
            GrantOp::Add {
                key_id,
                key,
                community,
                ..
            } => {
                director.grants.add(*key_id);
                let told = (key.clone(), *community);
                if director.keys.get(key_id) == Some(&told) {
                    return;
                }
                director.keys.insert(*key_id, told);
            }
            GrantOp::Remove { key_id, .. } => {
                director.grants.remove(*key_id);
                director.keys.remove(key_id);
            }
        }
        (director.take)(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn add(director: &str, key_id: u64) -> GrantOp {
        let (key, community) = (Secret32::new([7; 32]), CommunityIndex(1));
        GrantOp::Add {
            director: director.into(),
            key_id,
            key,
            community,
            name: "ada.acme.example".into(),
        }
    }

    #[test]
    fn what_is_not_told_again_is_taken_back() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut outlets = Outlets::default();
        let log = heard.clone();
        let take = move |order: GrantOp| {
            log.lock().unwrap().push(match order {
                GrantOp::Add { key_id, .. } => ("add", key_id),
                GrantOp::Remove { key_id, .. } => ("remove", key_id),
            });
        };
        outlets.director("nrd1", Box::new(take));
        outlets.begin();
        for key_id in [1, 2, 3] {
            outlets.grant(add("nrd1", key_id));
        }
        outlets.grant(add("elsewhere", 9));
        outlets.end();
        outlets.grant(GrantOp::Remove {
            director: "nrd1".into(),
            key_id: 3,
        });
        outlets.grant(add("nrd1", 4));
        heard.lock().unwrap().clear();
        outlets.begin();
        outlets.grant(add("nrd1", 1));
        outlets.grant(add("nrd1", 5));
        outlets.end();
        let expected = [("add", 5), ("remove", 2), ("remove", 4)];
        assert_eq!(*heard.lock().unwrap(), expected);
    }
}
