//! The books of all communities, kept beside what they are made of.
//!
//! Whoever changes a member or a community says so, which costs nothing; the next who reads the book brings it up to date.

use super::book::Book;
use super::rule::parse;
use super::words::Who;
use crate::core::state::{Member, Standing, State};
use crate::core::{CommunityIndex, MemberId};
use kith_protocol::member::Rule;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Books by community. Those that nobody has asked for since their policies changed are not there.
#[derive(Default)]
pub struct Books(RefCell<BTreeMap<CommunityIndex, Kept>>);

struct Kept {
    book: Book,
    /// Members that are not as the book has them.
    stale: BTreeSet<MemberId>,
}

impl Books {
    /// Its policies, its default or its manager's address may be others.
    pub(crate) fn community_changed(&mut self, index: CommunityIndex) {
        self.0.get_mut().remove(&index);
    }

    /// Its address, user, tags or standing may be others, or it is new or gone.
    pub(crate) fn member_changed(&mut self, index: CommunityIndex, id: MemberId) {
        if let Some(kept) = self.0.get_mut().get_mut(&index) {
            kept.stale.insert(id);
        }
    }
}

impl State {
    /// Asks a community's book; none if there is no such community.
    pub fn with_book<R>(&self, index: CommunityIndex, ask: impl FnOnce(&Book) -> R) -> Option<R> {
        let community = self.community(index)?;
        let mut books = self.books.0.borrow_mut();
        let kept = books.entry(index).or_insert_with(|| {
            let policies = community.policies().filter_map(|record| parse(record).ok());
            let book = Book::new(community.manager_address, community.deny_by_default, policies);
            Kept {
                book,
                stale: community.members().map(|(_, id)| id).collect(),
            }
        });
        for id in std::mem::take(&mut kept.stale) {
            kept.book.mark(id.0, self.member(id).map(Member::who).as_ref());
        }
        kept.book.settle();
        Some(ask(&kept.book))
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
