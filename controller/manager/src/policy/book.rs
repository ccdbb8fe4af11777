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
//! Cost: a member's change is some look-ups, and its sets made into blocks again; compiling is proportional to the rules that come out. A
//! policy that comes or goes is that too, unless it has a word that no policy had: then everybody is looked at once, some ten nanoseconds each.

use super::addresses::{ANY, Masked, blocks, exactly};
use super::rule::Policy;
use super::rules::{OWN, Rules};
use super::words::{Selector, Who};
use kith_protocol::member::Rule;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// Words that no policy has any more are kept up to this and as many again as may be in use: then the book is made anew.
const IDLE_SETS: usize = 64;

/// A community's policies in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct Book {
    manager: Ipv4Addr,
    deny_by_default: bool,
    policies: Vec<Indexed>,
    sets: Vec<Set>,
    words: Words,
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
    /// No member.
    #[must_use]
    pub fn nobody() -> Self {
        Self::Owners(BTreeSet::new())
    }

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

/// See [`Book::bound`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Everybody's.
    all: usize,
    /// And of those who are in each set.
    sets: Vec<usize>,
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

/// Which set a word means. Nothing goes through them in their order, which is none.
#[derive(Debug, Clone, Default)]
struct Words {
    machines: HashMap<Box<str>, usize>,
    users: HashMap<Box<str>, usize>,
    tags: HashMap<Box<str>, usize>,
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
            words: Words::default(),
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
        self.place_all([(number, who.copied())])
    }

    /// Many members at once.
    pub fn place_all<'a>(&mut self, members: impl IntoIterator<Item = (u64, Option<Who<'a>>)>) -> Touched {
        let (mut changed, mut owners) = (BTreeSet::new(), BTreeSet::new());
        for (number, who) in members {
            changed.extend(self.mark(number, who.as_ref()));
            owners.extend(who.and_then(|who| who.address));
        }
        self.settle();
        self.touched(&changed, owners)
    }

    /// Policies are like this from now on, or gone. Says whose rules may be others than before. `everybody` that has been placed is asked for
    /// only if there is a word that is new here.
    pub fn change<'a, M: Iterator<Item = (u64, Who<'a>)>>(
        &mut self,
        gone: &BTreeSet<&str>,
        put: Vec<Policy>,
        everybody: impl FnOnce() -> M,
    ) -> Touched {
        let ids: BTreeSet<Box<str>> = put.iter().map(|policy| policy.id.clone()).collect();
        let changes = |policy: &Policy| gone.contains(&*policy.id) || ids.contains(&policy.id);
        let before = self.concerned(changes);
        self.policies.retain(|indexed| !changes(&indexed.policy));
        let known = self.sets.len();
        for policy in put {
            let (from, to) = (self.end(&policy.from), self.end(&policy.to));
            self.policies.push(Indexed { policy, from, to });
        }
        self.policies
            .sort_by(|a, b| a.policy.order().cmp(&b.policy.order()));
        if self.sets.len() > known {
            self.fill(known, everybody());
        }
        before.and(self.concerned(changes))
    }

    /// Many words are kept that no policy has any more: better made anew.
    pub(super) fn is_cluttered(&self) -> bool {
        self.sets.len() > 2 * (2 * self.policies.len()) + IDLE_SETS
    }

    /// How many rules members may come to, at most; less work than to compile, for all of them together.
    #[must_use]
    pub fn bound(&self) -> Bound {
        let (mut all, mut sets) = (OWN + 1, vec![0; self.sets.len()]);
        for Indexed { policy, from, to } in &self.policies {
            // There and back.
            let each = 2 * policy.services.len();
            let blocks = |set: usize| self.sets[set].blocks.len();
            match (*from, *to) {
                (End::Any, End::Any) => all += each,
                (End::Any, End::Set(set)) | (End::Set(set), End::Any) => all += each * blocks(set),
                (End::Set(from), End::Set(to)) => {
                    sets[from] += each * blocks(to);
                    sets[to] += each * blocks(from);
                }
            }
        }
        Bound { all, sets }
    }

    /// This member's rules are so many at most.
    #[must_use]
    pub fn at_most(&self, number: u64, Bound { all, sets }: &Bound) -> usize {
        let mine = self.placed.get(&number).map(|(_, mine)| mine.as_slice());
        let mine = mine.unwrap_or_default().iter().filter_map(|set| sets.get(*set));
        all + mine.sum::<usize>()
    }

    /// Sets from this one on are new: nobody was put in them yet.
    fn fill<'a>(&mut self, first: usize, everybody: impl Iterator<Item = (u64, Who<'a>)>) {
        for (number, who) in everybody {
            let Some(address) = who.address.map(u32::from) else {
                continue;
            };
            let new = self.sets_of(&who).into_iter().filter(|set| *set >= first);
            for set in new.collect::<Vec<usize>>() {
                self.sets[set].addresses.insert(address);
                let (_, sets) = self.placed.entry(number).or_insert((address, Vec::new()));
                // They stay in order: no set that it is in has a higher number.
                sets.push(set);
            }
        }
        self.unsettled.extend(first..self.sets.len());
        self.settle();
    }

    /// Notes a member; [`Self::settle`] before anybody compiles. Says which sets are others than before.
    fn mark(&mut self, number: u64, who: Option<&Who<'_>>) -> BTreeSet<usize> {
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
    fn settle(&mut self) {
        for set in std::mem::take(&mut self.unsettled) {
            self.sets[set].blocks = blocks(&self.sets[set].addresses);
        }
    }

    /// Whose rules these policies are in.
    fn concerned(&self, these: impl Fn(&Policy) -> bool) -> Touched {
        let mut owners = BTreeSet::new();
        for Indexed { from, to, .. } in self.policies.iter().filter(|indexed| these(&indexed.policy)) {
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

    /// Whose rules depend on these sets, and these owners.
    fn touched(&self, changed: &BTreeSet<usize>, mut owners: BTreeSet<Ipv4Addr>) -> Touched {
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

    /// The sets that this member is in, in order.
    fn sets_of(&self, who: &Who<'_>) -> Vec<usize> {
        let Words {
            machines,
            users,
            tags,
        } = &self.words;
        let tags = who.tags.iter().map(|tag| tags.get(tag));
        let all = tags.chain([machines.get(who.fqdn), users.get(who.user)]);
        let mut sets: Vec<usize> = all.flatten().copied().collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    fn end(&mut self, selector: &Selector) -> End {
        let Words {
            machines,
            users,
            tags,
        } = &mut self.words;
        let (words, word) = match selector {
            Selector::Any => return End::Any,
            Selector::Machine(word) => (machines, word),
            Selector::User(word) => (users, word),
            Selector::Tag(word) => (tags, word),
        };
        let next = self.sets.len();
        let set = *words.entry(word.clone()).or_insert(next);
        if set == next {
            self.sets.push(Set::default());
        }
        End::Set(set)
    }
}
