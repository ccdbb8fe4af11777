//! How far back the past reaches.

use crate::{History, Revision};
use std::collections::VecDeque;

/// Revisions of the past and their weights, oldest first.
#[derive(Clone)]
pub(crate) struct Retention {
    bound: History,
    kept: VecDeque<(Revision, usize)>,
    octets: usize,
}

impl Retention {
    pub fn new(bound: History) -> Self {
        Self {
            bound,
            kept: VecDeque::new(),
            octets: 0,
        }
    }

    /// Adds a revision.
    pub fn push(&mut self, revision: Revision, octets: usize) {
        self.kept.push_back((revision, octets));
        self.octets += octets;
    }

    /// Takes the newest revisions back, down to `revision`.
    pub fn truncate(&mut self, revision: Revision) {
        while let Some((_, octets)) = self.kept.pop_back_if(|(kept, _)| *kept > revision) {
            self.octets -= octets;
        }
    }

    /// The newest revision that has to go, if any.
    pub fn surplus(&self) -> Option<Revision> {
        let (mut revisions, mut octets) = (self.kept.len(), self.octets);
        let mut last = None;
        for (revision, weight) in &self.kept {
            if revisions <= 1 || (revisions <= self.bound.revisions && octets <= self.bound.octets) {
                break;
            }
            (revisions, octets) = (revisions - 1, octets - weight);
            last = Some(*revision);
        }
        last
    }

    /// They are gone.
    pub fn forget(&mut self, until: Revision) {
        while let Some((_, octets)) = self.kept.pop_front_if(|(kept, _)| *kept <= until) {
            self.octets -= octets;
        }
    }

    /// Nothing of the past is left.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.octets = 0;
    }

    /// Whether all that happened after a revision is known.
    pub fn reaches(&self, after: Revision, present: Revision) -> bool {
        let floor = self.kept.front().map_or(present.0, |(oldest, _)| oldest.0 - 1);
        (floor..=present.0).contains(&after.0)
    }
}
