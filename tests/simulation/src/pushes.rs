//! Who must be told of a change: those that deal with whoever changed, and have a stream; those whose rules are others now. Nobody else, and each once.
//!
//! The book is kept from what leaves the manager, not from what it remembers: an answer to Locate makes two members deal with each other, the
//! end of a session on disk ends that.

use crate::mirror::Moved;
use crate::net::Net;
use kith_manager::core::{Manager, StreamId};
use kith_protocol::member::update::Change;
use kith_protocol::member::{Policy, Rule};
use kith_protocol::records;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Exactly those whom it concerns.
pub const EXACTLY: &str = "a change is told to exactly the online members that it concerns";

/// A telling: whom, of whom, and which address is gone; none: where it is.
type Telling = (String, String, Option<u32>);

/// The book of who deals with whom, and of what each was told.
#[derive(Default)]
pub struct Pushes {
    relations: BTreeMap<String, BTreeSet<String>>,
    rules: BTreeMap<String, Vec<Rule>>,
    /// What must be told now.
    expected: BTreeSet<Telling>,
    /// How often somebody was told of a member, and of rules.
    pub told: (u64, u64),
}

impl Pushes {
    /// Two deal with each other from now on.
    pub fn relate(&mut self, one: &str, other: &str) {
        if one != other {
            self.relations.entry(one.into()).or_default().insert(other.into());
            self.relations.entry(other.into()).or_default().insert(one.into());
        }
    }

    /// The manager has begun again: who dealt with whom is forgotten, and all must join again.
    pub fn forget_all(&mut self) {
        self.relations.clear();
        self.rules.clear();
        self.expected.clear();
    }

    /// Sessions have changed on disk, and the manager is about to be told so.
    pub fn expect(&mut self, manager: &Manager, open: &BTreeSet<StreamId>, moved: &[Moved]) {
        for Moved { fqdn, before, after } in moved {
            let Some(before) = before else { continue };
            let online: Vec<String> = self
                .relations
                .get(fqdn)
                .into_iter()
                .flatten()
                .filter(|other| stream_of(manager, other).is_some_and(|stream| open.contains(&stream)))
                .cloned()
                .collect();
            let gone = after
                .as_ref()
                .is_none_or(|after| after.virtual_address != before.virtual_address);
            let there = after.as_ref().is_some_and(|after| way(after) != way(before));
            for other in online {
                if gone {
                    self.expected
                        .insert((other.clone(), fqdn.clone(), Some(before.virtual_address)));
                }
                if there {
                    self.expected.insert((other, fqdn.clone(), None));
                }
            }
            if after.is_none() {
                for other in self.relations.remove(fqdn).unwrap_or_default() {
                    self.relations.entry(other).or_default().remove(fqdn);
                }
            }
        }
    }

    /// The manager pushes this to a member.
    pub fn pushed(&mut self, net: &mut Net, to: &str, change: &Change) {
        let telling = match change {
            Change::Peer(peer) => (to.to_owned(), peer.fqdn.clone(), None),
            Change::Gone(gone) => (to.to_owned(), gone.fqdn.clone(), Some(gone.virtual_address)),
            Change::Policy(policy) => return self.ruled(net, to, policy, true),
            _ => return,
        };
        self.told.0 += 1;
        if !self.expected.remove(&telling) {
            net.wrong(
                EXACTLY,
                Some(to),
                format!("it was told {}, which does not concern it", words(&telling)),
            );
        }
    }

    /// A member is told its rules; with an answer, they may be those that it has.
    pub fn ruled(&mut self, net: &mut Net, to: &str, policy: &Policy, pushed: bool) {
        let before = self.rules.insert(to.to_owned(), policy.rules.clone());
        if pushed {
            self.told.1 += 1;
            if before.as_ref() == Some(&policy.rules) {
                net.wrong(EXACTLY, Some(to), "it was told the rules that it has");
            }
        }
    }

    /// All that follows from a change has been put out.
    pub fn all_told(&mut self, net: &mut Net) {
        if let Some(telling) = self.expected.pop_first() {
            net.wrong(
                EXACTLY,
                Some(&telling.0),
                format!("it was not told {}", words(&telling)),
            );
        }
        self.expected.clear();
    }

    /// Nothing is on its way to the disk: does this member, if it is online, have the rules that are?
    pub fn has_its_rules(&self, net: &mut Net, manager: &Manager, open: &BTreeSet<StreamId>, fqdn: &str) {
        if stream_of(manager, fqdn).is_none_or(|stream| !open.contains(&stream)) {
            return;
        }
        let Some(id) = manager.state().id_named(fqdn) else {
            return;
        };
        let rules = (manager.settings().compile_policy)(manager.state(), id);
        if self.rules.get(fqdn) != Some(&rules) {
            net.wrong(
                EXACTLY,
                Some(fqdn),
                "its rules are others now, and it was not told",
            );
        }
    }
}

fn stream_of(manager: &Manager, fqdn: &str) -> Option<StreamId> {
    manager.state().member_named(fqdn)?.session()?.live.stream
}

/// What others need to know of a session.
fn way(session: &records::Session) -> (&[u8], u32, u32, u32, u32, u32) {
    (
        &session.run_id,
        session.virtual_address,
        session.director,
        session.director_port,
        session.address,
        session.port,
    )
}

fn words((_, of, gone): &Telling) -> String {
    match gone {
        Some(address) => format!("that {of} is not at {} any more", Ipv4Addr::from(*address)),
        None => format!("where {of} is now"),
    }
}
