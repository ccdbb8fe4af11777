//! Answers that wait until what they say is in force, by the member they are about. Bounded in number and in time.

use kith_director::Time;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Answers that wait at most.
pub const MAX_HELD: usize = 8_192;
/// How long they wait at most: a member asks again sooner.
pub const HOLD: Duration = Duration::from_secs(2);

/// A frame and the port it leaves by.
pub type Answer = (u16, Vec<u8>);

/// All answers that wait.
#[derive(Debug, Default)]
pub struct Held {
    groups: HashMap<u32, (Time, Vec<Answer>)>,
    /// When groups began, oldest first. Some may have gone since.
    begun: VecDeque<(Time, u32)>,
    count: usize,
}

impl Held {
    /// An answer about this member waits from now on.
    pub fn hold(&mut self, now: Time, member: u32, answer: Answer) {
        let (_, answers) = self.groups.entry(member).or_insert_with(|| {
            self.begun.push_back((now, member));
            (now, Vec::new())
        });
        answers.push(answer);
        self.count += 1;
    }

    /// The answers about this member, which wait no more.
    pub fn take(&mut self, member: u32) -> Vec<Answer> {
        let (_, answers) = self.groups.remove(&member).unwrap_or_default();
        self.count -= answers.len();
        answers
    }

    /// Forgets all answers; how many there were.
    pub fn clear(&mut self) -> usize {
        self.groups.clear();
        self.begun.clear();
        std::mem::take(&mut self.count)
    }

    /// Forgets answers that have waited too long; how many there were.
    pub fn expire(&mut self, now: Time) -> usize {
        let mut expired = 0;
        while let Some(&(begun, member)) = self.begun.front() {
            if now.since(begun) < HOLD {
                break;
            }
            self.begun.pop_front();
            // They may have been sent, and others may wait since.
            if self.groups.get(&member).is_some_and(|(since, _)| *since == begun) {
                expired += self.take(member).len();
            }
        }
        expired
    }

    /// When [`Held::expire`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.begun.front().map(|(begun, _)| begun.after(HOLD))
    }

    /// About whom answers wait.
    pub fn members(&self) -> impl Iterator<Item = u32> {
        self.groups.keys().copied()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }
}
