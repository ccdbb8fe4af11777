//! Grants that the manager of this process gives: their way to the desks.
//!
//! ```text
//!  manager ── Take (never waits) ──► channel ──► desk: before the journal is restored, then in every turn
//! ```
//!
//! Nothing on this way may be lost, so it has no bound of its own; it never holds more than the manager's members, and a desk empties it
//! ten times a second at least.

use kith_director::DirectorKey;
use kith_director::server::Grant;
use kith_manager::core::GrantOp;
use kith_manager::serve::Take;
use kith_protocol::secret::Secret32;
use kith_wire::control::KeyId;
use std::collections::HashMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the manager wants changed at one director.
pub enum Change {
    /// This one may have a session.
    Add {
        /// Who.
        grant: Grant,
        /// What listings call the community.
        community: String,
    },
    /// This key may not.
    Remove(KeyId),
    /// All that the manager grants has been said.
    Complete,
}

impl Change {
    /// A member's grant.
    pub(crate) fn granted(key_id: u64, key: &Secret32, community: u16, name: &str) -> Self {
        // A member's name is its host's, a dot, and its community's.
        let domain = name.split_once('.').map_or("", |(_, domain)| domain).to_owned();
        let grant = Grant {
            key_id: KeyId(key_id),
            key: DirectorKey::new(*key.expose()),
            community,
            reserved: None,
            name: name.to_owned(),
        };
        Self::Add {
            grant,
            community: domain,
        }
    }
}

/// A desk's end.
pub(super) type Changes = UnboundedReceiver<Change>;

/// The ways of all directors, until their desks take them.
#[derive(Default)]
pub struct Grants(HashMap<String, Changes>);

impl Grants {
    /// Opens a director's way; the manager's end.
    pub fn open(&mut self, director: &str) -> Take<GrantOp> {
        let (put, take): (UnboundedSender<Change>, _) = unbounded_channel();
        self.0.insert(director.to_owned(), take);
        Box::new(move |order| {
            // A desk that has ended decides nothing any more.
            drop(put.send(change(order)));
        })
    }

    /// The desk's end; none if there is no manager.
    pub(super) fn take(&mut self, director: &str) -> Option<Changes> {
        self.0.remove(director)
    }
}

fn change(order: GrantOp) -> Change {
    match order {
        GrantOp::Add {
            key_id,
            key,
            community,
            name,
            ..
        } => Change::granted(key_id, &key, community.0, &name),
        GrantOp::Remove { key_id, .. } => Change::Remove(KeyId(key_id)),
    }
}
