//! A community's policies, and who each of their words means.
//!
//! Problem: every member keeps only what concerns it, in addresses; when a member gets an address, a user or a tag, exactly those whose rules
//! change must be found without compiling for ten thousand. Idea: the set of addresses that each word means is kept up to date, and a change of
//! a set concerns just those at the other end of the policies that use the word.
//!
//! ```text
//!  policy  allow  user:alice ───────► tag:servers   tcp/22
//!                   │                    │
//!  sets         10.77.0.2, .9        10.77.0.16/28         alice gets another address ─► concerns her, and the servers
//! ```
//!
//! Cost: a member's change is some look-ups, and its sets made into blocks again; compiling is proportional to the rules that come out.

use super::addresses::{ANY, Masked, blocks, exactly};
use super::rule::Policy;
use super::words::{Selector, Who};
use kith_protocol::member::Rule;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::Ipv4Addr;

/// Rules that a member's table takes at most. What does not fit is left out, the final allow with it: so it is denied.
pub const MAX_RULES: usize = 4096;

/// A community's policies in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct Book {
    manager: Ipv4Addr,
    deny_by_default: bool,
    policies: Vec<Indexed>,
    sets: Vec<Set>,
    by_selector: BTreeMap<Selector, usize>,
    /// Members by number, if some set has them: their address, and which sets.
    placed: BTreeMap<u64, (u32, Vec<usize>)>,
    /// Sets whose blocks are of before.
    unsettled: BTreeSet<usize>,
}

/// Whose rules may be others than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// Every member of the community.
    Everybody,
    /// The owners of these addresses.
    Owners(BTreeSet<Ipv4Addr>),
}

impl Touched {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Owners(mut owners), Self::Owners(others)) => {
                owners.extend(others);
                Self::Owners(owners)
            }
            _ => Self::Everybody,
        }
    }
}

#[derive(Debug, Clone)]
struct Indexed {
    policy: Policy,
    from: End,
    to: End,
}

/// One end of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Any,
    Set(usize),
}

#[derive(Debug, Clone, Default)]
struct Set {
    addresses: BTreeSet<u32>,
    blocks: Vec<Masked>,
}

impl Book {
    /// Of a community with these policies; its members are placed afterwards.
    #[must_use]
    pub fn new(manager: Ipv4Addr, deny_by_default: bool, policies: impl IntoIterator<Item = Policy>) -> Self {
        let mut book = Self {
            manager,
            deny_by_default,
            policies: Vec::new(),
            sets: Vec::new(),
            by_selector: BTreeMap::new(),
            placed: BTreeMap::new(),
            unsettled: BTreeSet::new(),
        };
        for policy in policies {
            let (from, to) = (book.end(&policy.from), book.end(&policy.to));
            book.policies.push(Indexed { policy, from, to });
        }
        book.policies
            .sort_by(|a, b| a.policy.order().cmp(&b.policy.order()));
        book
    }

    /// The policies in the order in which they are asked.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().map(|indexed| &indexed.policy)
    }

    /// What happens to packets that no policy is about.
    #[must_use]
    pub fn deny_by_default(&self) -> bool {
        self.deny_by_default
    }

    /// A member is like this from now on, or gone. Says whose rules may be others than before, itself included where `who` has an address.
    pub fn place(&mut self, number: u64, who: Option<&Who<'_>>) -> Touched {
        let changed = self.mark(number, who);
        self.settle();
        self.touched(&changed, who.and_then(|who| who.address))
    }

    /// Many members at once.
    pub fn place_all<'a>(&mut self, members: impl IntoIterator<Item = (u64, Who<'a>)>) {
        for (number, who) in members {
            self.mark(number, Some(&who));
        }
        self.settle();
    }

    /// Notes a member; [`Self::settle`] before anybody compiles. Says which sets are others than before.
    pub(super) fn mark(&mut self, number: u64, who: Option<&Who<'_>>) -> BTreeSet<usize> {
        let now = who.and_then(|who| Some((u32::from(who.address?), self.sets_of(who))));
        let now = now.filter(|(_, sets)| !sets.is_empty());
        let before = match &now {
            Some(now) => self.placed.insert(number, now.clone()),
            None => self.placed.remove(&number),
        };
        if before == now {
            return BTreeSet::new();
        }
        let mut changed = BTreeSet::new();
        let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
        for &set in before
            .1
            .iter()
            .filter(|set| before.0 != now.0 || !now.1.contains(set))
        {
            self.sets[set].addresses.remove(&before.0);
            changed.insert(set);
        }
        for &set in now
            .1
            .iter()
            .filter(|set| before.0 != now.0 || !before.1.contains(set))
        {
            self.sets[set].addresses.insert(now.0);
            changed.insert(set);
        }
        self.unsettled.extend(&changed);
        changed
    }

    /// Makes blocks of all sets that are others than before.
    pub(super) fn settle(&mut self) {
        for set in std::mem::take(&mut self.unsettled) {
            self.sets[set].blocks = blocks(&self.sets[set].addresses);
        }
    }

    /// Whose rules a policy is in; none of that name concerns nobody.
    #[must_use]
    pub fn concerned(&self, id: &str) -> Touched {
        let mut owners = BTreeSet::new();
        for Indexed { from, to, .. } in self.policies.iter().filter(|indexed| &*indexed.policy.id == id) {
            let (End::Set(from), End::Set(to)) = (*from, *to) else {
                return Touched::Everybody;
            };
            let sets = [&self.sets[from], &self.sets[to]];
            owners.extend(
                sets.iter()
                    .flat_map(|set| &set.addresses)
                    .map(|address| Ipv4Addr::from(*address)),
            );
        }
        Touched::Owners(owners)
    }

    /// Whose rules name this member's address: the other ends of the policies that are about it.
    #[must_use]
    pub fn naming(&self, who: &Who<'_>) -> Touched {
        self.touched(&self.sets_of(who).into_iter().collect(), None)
    }

    /// What this member must keep: the first rule that matches decides, and what matches none is denied.
    #[must_use]
    pub fn compile(&self, who: &Who<'_>) -> Vec<Rule> {
        let Some(own) = who.address.map(u32::from) else {
            return Vec::new();
        };
        let mut rules = Rules::new(exactly(own), exactly(self.manager.into()));
        let mine = self.sets_of(who);
        for Indexed { policy, from, to } in &self.policies {
            for (source, destination) in self.pairs(*from, *to, &mine, exactly(own)) {
                policy.services.iter().for_each(|service| {
                    let (protocol, port) = service.numbers();
                    rules.add(policy.allow, source, destination, (protocol, 0, port));
                    rules.add(policy.allow, destination, source, (protocol, port, 0));
                });
            }
            if rules.complete {
                break;
            }
        }
        rules.finish(!self.deny_by_default)
    }

    /// What is compared of conversations that this member has part in, first who begins, then with whom.
    fn pairs(&self, from: End, to: End, mine: &[usize], own: Masked) -> Vec<(Masked, Masked)> {
        let others = |set: usize| self.sets[set].blocks.iter().copied();
        match (from, to) {
            (End::Any, End::Any) => vec![(ANY, ANY)],
            (End::Any, End::Set(to)) => others(to).map(|to| (ANY, to)).collect(),
            (End::Set(from), End::Any) => others(from).map(|from| (from, ANY)).collect(),
            (End::Set(from), End::Set(to)) => {
                let out = mine.contains(&from).then(|| others(to).map(|to| (own, to)));
                let back = mine.contains(&to).then(|| others(from).map(|from| (from, own)));
                out.into_iter()
                    .flatten()
                    .chain(back.into_iter().flatten())
                    .collect()
            }
        }
    }

    /// Whose rules depend on these sets, and the owner of `own`.
    fn touched(&self, changed: &BTreeSet<usize>, own: Option<Ipv4Addr>) -> Touched {
        let mut owners: BTreeSet<Ipv4Addr> = own.into_iter().collect();
        let is_changed = |end: End| matches!(end, End::Set(set) if changed.contains(&set));
        for Indexed { from, to, .. } in &self.policies {
            for (end, other) in [(*from, *to), (*to, *from)] {
                match other {
                    _ if !is_changed(end) => {}
                    End::Any => return Touched::Everybody,
                    End::Set(set) => owners.extend(
                        self.sets[set]
                            .addresses
                            .iter()
                            .map(|address| Ipv4Addr::from(*address)),
                    ),
                }
            }
        }
        Touched::Owners(owners)
    }

    /// The sets that this member is in, if it has an address.
    fn sets_of(&self, who: &Who<'_>) -> Vec<usize> {
        if self.sets.is_empty() {
            return Vec::new();
        }
        let words = [
            Selector::Machine(who.fqdn.into()),
            Selector::User(who.user.into()),
        ];
        let words = words
            .into_iter()
            .chain(who.tags.iter().cloned().map(Selector::Tag));
        let sets: BTreeSet<usize> = words
            .filter_map(|word| self.by_selector.get(&word).copied())
            .collect();
        sets.into_iter().collect()
    }

    fn end(&mut self, selector: &Selector) -> End {
        if *selector == Selector::Any {
            return End::Any;
        }
        let next = self.sets.len();
        let set = *self.by_selector.entry(selector.clone()).or_insert(next);
        if set == next {
            self.sets.push(Set::default());
        }
        End::Set(set)
    }
}

/// Protocol, source port, destination port; 0 for any.
type Ports = (u8, u16, u16);

/// Rules in the making.
struct Rules {
    rules: Vec<Rule>,
    seen: HashSet<(Masked, Masked, Ports)>,
    /// The last one matches everything.
    complete: bool,
}

/// Between member and manager all is allowed, whatever policies say: names and heartbeats go there.
const OWN: usize = 2;

impl Rules {
    fn new(own: Masked, manager: Masked) -> Self {
        let mut rules = Self {
            rules: Vec::new(),
            seen: HashSet::new(),
            complete: false,
        };
        rules.add(true, own, manager, (0, 0, 0));
        rules.add(true, manager, own, (0, 0, 0));
        rules
    }

    /// A rule that can never be reached is left out.
    fn add(
        &mut self,
        allow: bool,
        source: Masked,
        destination: Masked,
        (protocol, source_port, port): Ports,
    ) {
        if self.complete
            || !self
                .seen
                .insert((source, destination, (protocol, source_port, port)))
        {
            return;
        }
        self.complete = (source, destination, protocol, source_port, port) == (ANY, ANY, 0, 0, 0);
        self.rules.push(Rule {
            allow,
            source: source.0,
            source_mask: source.1,
            destination: destination.0,
            destination_mask: destination.1,
            protocol: protocol.into(),
            source_port: source_port.into(),
            destination_port: port.into(),
        });
    }

    /// What comes last and decides as the default does is left to the default.
    fn finish(mut self, allow_by_default: bool) -> Vec<Rule> {
        if !self.complete {
            self.add(allow_by_default, ANY, ANY, (0, 0, 0));
        }
        let last = self.rules.last().is_some_and(|rule| rule.allow);
        let tail = self
            .rules
            .iter()
            .skip(OWN)
            .rev()
            .take_while(|rule| rule.allow == last)
            .count();
        self.rules.truncate(self.rules.len() - tail);
        if self.rules.len() >= MAX_RULES {
            self.rules.truncate(MAX_RULES);
        } else if last {
            self.rules.push(Rule {
                allow: true,
                ..Rule::default()
            });
        }
        self.rules
    }
}
