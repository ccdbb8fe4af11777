//! How a route director in another process comes to hold what its manager grants: both ends, without I/O.
//!
//! Problem: grants change while a director is connecting, while it is away and while the manager is; it must end with exactly the manager's
//! set, and neither end may keep a queue that grows. Idea: the manager's [`Roster`] keeps the set, numbers changes, and remembers of the last
//! ones only *which* key ids they touched; what is sent for a change is how that key id stands when it is sent. A stream is nothing but a
//! [`Cursor`]: so there is no queue at all, and one who falls behind the log begins anew. The director's [`Mirror`] applies what comes, and
//! removes at the end of a snapshot what was in none of its pages.
//!
//! ```text
//!  roster:  set ─────── pages in order of key ids ───► mirror: added, noted as seen
//!           log: … 41:k7 42:k3 43:k7 │ 44:k9           end of snapshot 43: what was not seen is removed
//!                          cursor ───┘ ── change 44 ─► one more than the last, or the stream is wrong
//! ```
//!
//! Cost: a change is a tree operation and 8 octets of log; [`LOG`] of them are kept a director.

mod mirror;
mod roster;
#[cfg(test)]
mod tests;

pub use mirror::{Disorder, Mirror, News};
pub use roster::{Cursor, Next, Roster};

use crate::director;
use crate::secret::Secret32;
use std::sync::Arc;
use std::time::Duration;

/// Changes that one who was away may have missed and still go on without a snapshot.
pub const LOG: usize = 8_192;
/// Grants in one page of a snapshot at most.
pub const PAGE: usize = 256;
/// Between two reports of a director's health.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// A director that has not reported for this time is gone.
pub const SILENCE: Duration = Duration::from_secs(6);
/// Octets of an order at most: a page of the longest names.
pub const ORDER_MESSAGE: usize = 256 * 1024;
/// Octets of a report at most.
pub const REPORT_MESSAGE: usize = 4 * 1024;

/// Leave for one member to have a session. No `Debug`: it holds the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// What its messages to the director are authenticated with.
    pub key: Secret32,
    /// The community's number.
    pub community: u16,
    /// The member's full name.
    pub name: Arc<str>,
}

impl Grant {
    fn message(&self, key_id: u64) -> director::Grant {
        director::Grant {
            key_id,
            key: self.key.expose().to_vec(),
            community: self.community.into(),
            name: self.name.to_string(),
        }
    }
}
