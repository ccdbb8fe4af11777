//! Who deals with whom: a member that was given a ticket for another is told of its changes, and the other of its, until the ticket expires.
//!
//! Kept on both sides, in memory only, sorted, sixteen octets each. This is what makes the work of a change proportional to those whom it
//! concerns (source document 003, paragraph 33).

use super::ids::{MemberId, Time};

/// With whom one member deals.
#[derive(Default)]
pub struct Relations(Vec<(MemberId, u32)>);

impl Relations {
    /// They deal with each other until then.
    pub fn note(&mut self, other: MemberId, now: Time, until: Time) {
        let until = seconds(until).saturating_add(1);
        match self.0.binary_search_by_key(&other, |(id, _)| *id) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(until),
            Err(at) if self.0.len() < self.0.capacity() => self.0.insert(at, (other, until)),
            Err(_) => {
                // Before it grows, what is over goes.
                let now = seconds(now);
                self.0.retain(|(_, until)| *until > now);
                let at = self.0.partition_point(|(id, _)| *id < other);
                self.0.insert(at, (other, until));
            }
        }
    }

    /// Not any more.
    pub fn forget(&mut self, other: MemberId) {
        if let Ok(at) = self.0.binary_search_by_key(&other, |(id, _)| *id) {
            self.0.remove(at);
        }
    }

    /// With whom it deals now, in order of their numbers.
    pub fn at(&self, now: Time) -> impl Iterator<Item = MemberId> + '_ {
        let now = seconds(now);
        self.0
            .iter()
            .filter(move |(_, until)| *until > now)
            .map(|(id, _)| *id)
    }

    /// How many are kept, over or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Good until the year 2106.
fn seconds(time: Time) -> u32 {
    u32::try_from(time.0 / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_end_with_their_tickets_and_do_not_pile_up() {
        let mut relations = Relations::default();
        for second in 0..100_000u64 {
            let now = Time(second * 1000);
            relations.note(MemberId(second % 5000), now, now.plus(60_000));
        }
        assert!(relations.len() < 256, "{}", relations.len());
        let now: Vec<u64> = relations.at(Time(99_999_000)).map(|id| id.0).collect();
        let mut expected: Vec<u64> = (99_939..100_000).map(|second| second % 5000).collect();
        expected.sort_unstable();
        assert_eq!(now, expected);
        relations.forget(MemberId(now[0]));
        assert_eq!(relations.at(Time(99_999_000)).count(), expected.len() - 1);
    }
}
