//! Where the core's orders to directors and to the hub inside the tunnel go: to those in this process at once, to directors in another one
//! when their stream asks for more (`attend`).
//!
//! A core that was loaded tells everything from the beginning: between [`Outlets::begin`] and [`Outlets::end`] it is noted what it told, and
//! what an earlier one had told beyond that is taken back.

use super::tunnel::Tunnel;
use crate::core::{ChannelOp, GrantOp, MemberId};
use kith_protocol::attendance::{Cursor, Grant, Next, Roster};
use kith_protocol::director::Welcome;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddrV4;
use std::sync::Arc;
use tokio::sync::Notify;

/// Takes orders of one kind. Must not wait; must not call the host.
pub type Take<T> = Box<dyn FnMut(T) + Send>;

/// All that takes orders.
pub struct Outlets {
    /// Names what directors elsewhere are told: random, and another one in every process.
    epoch: u64,
    directors: HashMap<Arc<str>, Director>,
    hub: Option<Tunnel>,
    channels: Told<MemberId>,
    /// Everything is being told from the beginning.
    anew: bool,
}

/// Where a director's orders go.
struct Director {
    /// As they were told: a grant that is told again as it is would end a session for nothing.
    roster: Roster,
    /// In this process.
    take: Option<Take<GrantOp>>,
    /// In another one.
    attended: Option<Attended>,
}

/// A process that attends for a director.
struct Attended {
    stream: u64,
    instance: [u8; 16],
    from: SocketAddrV4,
    wake: Arc<Notify>,
}

/// Why a process may not attend for a director.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Taken {
    /// It is part of the manager's own process.
    #[error("the manager's own process is this director")]
    Here,
    /// Another one does.
    #[error(
        "another process attends for this director, from {0}; stop it first, or give this one a name and a token of its own"
    )]
    By(SocketAddrV4),
}

/// A stream's beginning.
pub(super) struct Claim {
    pub(super) welcome: Welcome,
    pub(super) cursor: Cursor,
    pub(super) wake: Arc<Notify>,
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
    /// Nobody takes anything yet. The epoch is a random number.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            directors: HashMap::new(),
            hub: None,
            channels: Told::default(),
            anew: false,
        }
    }

    /// Orders for this director go there: it is in this process.
    pub fn director(&mut self, name: &str, take: Take<GrantOp>) {
        self.entry(name).take = Some(take);
    }

    /// A process elsewhere attends for a director from now on, on this stream. It holds the state `known` (epoch and sequence number). While
    /// another process does, it is refused; an earlier stream of the same process is over.
    pub(super) fn claim(
        &mut self,
        name: &str,
        stream: u64,
        (instance, from): ([u8; 16], SocketAddrV4),
        (epoch, sequence): (u64, u64),
    ) -> Result<Claim, Taken> {
        let director = self.entry(name);
        if director.take.is_some() {
            return Err(Taken::Here);
        }
        if let Some(other) = &director.attended {
            if other.instance != instance {
                return Err(Taken::By(other.from));
            }
            other.wake.notify_one();
        }
        let wake = Arc::new(Notify::new());
        let (welcome, cursor) = director.roster.attend(epoch, sequence);
        director.attended = Some(Attended {
            stream,
            instance,
            from,
            wake: wake.clone(),
        });
        Ok(Claim {
            welcome,
            cursor,
            wake,
        })
    }

    /// The next order of a stream; none if it is not the director's any more.
    pub(super) fn next(&self, name: &str, stream: u64, cursor: &mut Cursor) -> Option<Next> {
        let director = self.directors.get(name)?;
        let mine = director.attended.as_ref()?.stream == stream;
        mine.then(|| director.roster.next(cursor))
    }

    /// A stream is over. False if another one had taken its place.
    pub(super) fn leave(&mut self, name: &str, stream: u64) -> bool {
        let Some(director) = self.directors.get_mut(name) else {
            return false;
        };
        let mine = director.attended.take_if(|attended| attended.stream == stream);
        mine.is_some()
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
        self.anew = true;
        self.channels.anew = Some(BTreeSet::new());
        for director in self.directors.values_mut() {
            director.roster.begin();
        }
    }

    pub(super) fn end(&mut self) {
        self.anew = false;
        for member in self.channels.end() {
            if let Some(hub) = &mut self.hub {
                hub.order(ChannelOp::Remove { member });
            }
        }
        for (name, director) in &mut self.directors {
            for key_id in director.roster.end() {
                director.tell(GrantOp::Remove {
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

    /// Notes it, and tells the director: at once in this process, when its stream asks in another.
    pub(super) fn grant(&mut self, order: GrantOp) {
        let (GrantOp::Add { director: name, .. } | GrantOp::Remove { director: name, .. }) = &order;
        let director = self.entry(&name.clone());
        let news = match &order {
            GrantOp::Add {
                key_id,
                key,
                community,
                name,
                ..
            } => {
                let grant = Grant {
                    key: key.clone(),
                    community: community.0,
                    name: name.clone(),
                };
                director.roster.add(*key_id, grant)
            }
            GrantOp::Remove { key_id, .. } => director.roster.remove(*key_id),
        };
        if news {
            director.tell(order);
        }
    }

    fn entry(&mut self, name: &str) -> &mut Director {
        let (epoch, anew) = (self.epoch, self.anew);
        self.directors.entry(name.into()).or_insert_with(|| {
            let mut roster = Roster::new(epoch);
            if anew {
                roster.begin();
            }
            Director {
                roster,
                take: None,
                attended: None,
            }
        })
    }
}

impl Director {
    fn tell(&mut self, order: GrantOp) {
        if let Some(take) = &mut self.take {
            take(order);
        }
        if let Some(attended) = &self.attended {
            attended.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::CommunityIndex;
    use kith_protocol::director::director_order::Order;
    use kith_protocol::secret::Secret32;
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
        let mut outlets = Outlets::new(7);
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

    #[test]
    fn one_process_attends_for_a_director_and_its_newer_stream_takes_its_place() {
        let mut outlets = Outlets::new(7);
        let (one, other) = ([1; 16], [2; 16]);
        let from: SocketAddrV4 = "192.0.2.1:4000".parse().unwrap();
        outlets.begin();
        outlets.grant(add("prd1", 3));
        outlets.end();
        outlets.director("nrd1", Box::new(|_| ()));
        let here = outlets.claim("nrd1", 1, (one, from), (0, 0));
        assert!(matches!(here, Err(Taken::Here)));

        let mut first = outlets.claim("prd1", 2, (one, from), (0, 0)).ok().unwrap();
        let refused = outlets.claim("prd1", 3, (other, from), (0, 0));
        assert!(matches!(refused, Err(Taken::By(by)) if by == from));
        let Some(Next::Order(order)) = outlets.next("prd1", 2, &mut first.cursor) else {
            panic!("a page is due")
        };
        assert!(matches!(order.order, Some(Order::Page(page)) if page.grants[0].key_id == 3));

        let mut second = outlets.claim("prd1", 4, (one, from), (0, 0)).ok().unwrap();
        assert!(
            outlets.next("prd1", 2, &mut first.cursor).is_none(),
            "the older one ends"
        );
        assert!(!outlets.leave("prd1", 2), "and takes nobody with it");
        assert!(outlets.next("prd1", 4, &mut second.cursor).is_some());
        assert!(outlets.leave("prd1", 4));
        assert!(outlets.claim("prd1", 5, (other, from), (0, 0)).is_ok());
    }
}
