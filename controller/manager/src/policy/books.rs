//! The books of all communities, kept beside what they are made of; and whose rules may be others since members were last told.
//!
//! Whoever changes a member, a policy or a community says so, which costs nothing; the next who reads the book brings it up to date. What each
//! change touches is gathered until [`State::take_touched`] asks: nobody else has to be compiled for, and no caller has to remember whom a
//! change was about.

use super::book::{Book, Touched};
use super::rule::{Policy, parse};
use super::rules::MAX_RULES;
use super::words::Who;
use crate::core::state::{Member, Standing, State};
use crate::core::{CommunityIndex, MemberId};
use kith_protocol::member::Rule;
use kith_protocol::records;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Books by community.
#[derive(Default)]
pub struct Books(RefCell<BTreeMap<CommunityIndex, Kept>>);

struct Kept {
    /// None before somebody asks.
    book: Option<Book>,
    /// Members that are not as the book has them.
    stale: BTreeSet<MemberId>,
    /// Policies that are not as the book has them: what they are now, if anything.
    changed: BTreeMap<Box<str>, Option<Policy>>,
    /// Whose rules may be others than they were told.
    touched: Touched,
}

impl Default for Kept {
    /// Of a community that was just read or made: nobody was told anything yet.
    fn default() -> Self {
        Self {
            book: None,
            stale: BTreeSet::new(),
            changed: BTreeMap::new(),
            touched: Touched::nobody(),
        }
    }
}

impl Kept {
    fn touch(&mut self, touched: Touched) {
        let before = std::mem::replace(&mut self.touched, Touched::Everybody);
        self.touched = before.and(touched);
    }
}

impl Books {
    /// Its default, its manager's address or anything else of it may be others.
    pub(crate) fn community_changed(&mut self, index: CommunityIndex) {
        let kept = self.0.get_mut().entry(index).or_default();
        (kept.book, kept.touched) = (None, Touched::Everybody);
    }

    /// There is no such community any more.
    pub(crate) fn community_gone(&mut self, index: CommunityIndex) {
        self.0.get_mut().remove(&index);
    }

    /// Its address, user, tags or standing may be others, or it is new or gone.
    pub(crate) fn member_changed(&mut self, index: CommunityIndex, id: MemberId) {
        if let Some(kept) = self.0.get_mut().get_mut(&index) {
            kept.stale.insert(id);
        }
    }

    /// A policy is like this from now on, or gone.
    pub(crate) fn policy_changed(
        &mut self,
        index: CommunityIndex,
        id: &str,
        record: Option<&records::Policy>,
    ) {
        if let Some(kept) = self.0.get_mut().get_mut(&index) {
            let policy = record.and_then(|record| parse(record).ok());
            kept.changed.insert(id.into(), policy);
        }
    }
}

impl State {
    /// Asks a community's book; none if there is no such community.
    pub fn with_book<R>(&self, index: CommunityIndex, ask: impl FnOnce(&Book) -> R) -> Option<R> {
        self.with_kept(index, |_, book| ask(book))
    }

    /// For a state that was just read: from now on what changes is known.
    pub(crate) fn open_books(&self) {
        for community in self.communities() {
            self.with_book(community.index, |_| ());
        }
    }

    /// Whose rules may be others than when this was last asked.
    pub(crate) fn take_touched(&self, index: CommunityIndex) -> Touched {
        let taken = self.with_kept(index, |touched, _| std::mem::replace(touched, Touched::nobody()));
        taken.unwrap_or_else(Touched::nobody)
    }

    /// A member that would have more rules than its table holds, with these policies put and those deleted; of those whom that concerns.
    pub(crate) fn overfull(
        &self,
        index: CommunityIndex,
        put: &[records::Policy],
        deleted: &[&str],
    ) -> Option<&Member> {
        let full = self.with_kept(index, |_, book| {
            let new: Vec<Policy> = put.iter().filter_map(|record| parse(record).ok()).collect();
            let ids: BTreeSet<&str> = put
                .iter()
                .map(|record| &*record.id)
                .chain(deleted.iter().copied())
                .collect();
            let before = book.policies().filter(|policy| ids.contains(&*policy.id));
            let before: Vec<Policy> = before.cloned().collect();
            let touched = book.change(&ids, new, || self.placed(index));
            let bound = book.bound();
            let many = |member: &&Member| {
                book.at_most(member.id.0, &bound) >= MAX_RULES
                    && book.compile(&member.who()).len() >= MAX_RULES
            };
            let concerned = self.touched_members(index, &touched);
            let full = concerned.into_iter().filter_map(|id| self.member(id)).find(many);
            // It was a question only.
            book.change(&ids, before, || self.placed(index));
            full
        });
        full.flatten()
    }

    /// Members that are meant.
    pub(crate) fn touched_members(&self, index: CommunityIndex, touched: &Touched) -> Vec<MemberId> {
        let Some(community) = self.community(index) else {
            return Vec::new();
        };
        match touched {
            Touched::Everybody => community.members().map(|(_, id)| id).collect(),
            Touched::Owners(owners) => owners
                .iter()
                .filter_map(|owner| community.owner_of(*owner))
                .collect(),
        }
    }

    fn with_kept<R>(
        &self,
        index: CommunityIndex,
        act: impl FnOnce(&mut Touched, &mut Book) -> R,
    ) -> Option<R> {
        let community = self.community(index)?;
        let mut books = self.books.0.borrow_mut();
        let kept = books.entry(index).or_default();
        let (stale, changed) = (std::mem::take(&mut kept.stale), std::mem::take(&mut kept.changed));
        // Without a book everybody is touched already. First members as they are now, then policies: what either touches is all there is.
        if let Some(book) = &mut kept.book {
            let mut touched = Touched::nobody();
            if !stale.is_empty() {
                let members = stale.into_iter();
                touched = book.place_all(members.map(|id| (id.0, self.member(id).map(Member::who))));
            }
            if !changed.is_empty() {
                let ids = changed.keys().map(|id| &**id).collect();
                let put = changed.values().flatten().cloned().collect();
                touched = touched.and(book.change(&ids, put, || self.placed(index)));
            }
            kept.touch(touched);
        }
        if kept.book.as_ref().is_none_or(Book::is_cluttered) {
            let policies = community.policies().filter_map(|record| parse(record).ok());
            let mut book = Book::new(community.manager_address, community.deny_by_default, policies);
            book.place_all(self.placed(index).map(|(number, who)| (number, Some(who))));
            kept.book = Some(book);
        }
        let Kept { book, touched, .. } = kept;
        book.as_mut().map(|book| act(touched, book))
    }

    fn placed(&self, index: CommunityIndex) -> impl Iterator<Item = (u64, Who<'_>)> {
        let members = self
            .community(index)
            .into_iter()
            .flat_map(|community| community.members());
        let members = members.filter_map(|(_, id)| self.member(id));
        members.map(|member| (member.id.0, member.who()))
    }
}

impl Member {
    /// What policies know of it. Who is revoked has no address to them: nobody's rules name it.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        Who {
            fqdn: &self.fqdn,
            user: self.owner(),
            tags: &self.tags,
            address: self
                .virtual_address
                .filter(|_| self.standing != Standing::Revoked),
        }
    }
}

/// What this member must keep. For [`crate::core::Settings`].
#[must_use]
pub fn compile(state: &State, id: MemberId) -> Vec<Rule> {
    let Some(member) = state.member(id) else {
        return Vec::new();
    };
    state
        .with_book(member.community, |book| book.compile(&member.who()))
        .unwrap_or_default()
}
