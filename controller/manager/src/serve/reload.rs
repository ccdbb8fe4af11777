//! Loading the core from the store: at the start, and again when the store has refused a change.

use super::host::Host;
use crate::core::{LoadError, Manager, Time};
use kith_store::{Entry, Key, Revision, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info};

/// What the core keeps in memory. Audit records are read when somebody lists them.
const KINDS: [&str; 9] = [
    "community/",
    "policy/",
    "member/",
    "address/",
    "session/",
    "accounting/",
    "director/",
    "credential/",
    "manager/",
];
/// Entries read at a time.
const PAGE: usize = 1_000;
/// The shortest and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Makes a core of entries.
pub(super) type Load = Box<dyn Fn(Vec<Entry>, Revision, Time) -> Result<Manager, LoadError> + Send + Sync>;

/// Why there is no core.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it has makes no sense.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Host {
    /// Loads a core and puts it in its place.
    pub(super) async fn load_once(self: &Arc<Self>) -> Result<(), ReadError> {
        let (entries, revision) = read(&*self.store).await?;
        let manager = (self.load)(entries, revision, Time(self.clock.now()))?;
        self.install(manager);
        Ok(())
    }

    /// Loads another core in place of one that was discarded, as often as it takes.
    pub(super) async fn reload(self: Arc<Self>) {
        self.metrics.reload();
        // What was submitted may have been kept: only when all of it is answered is the store what it will be.
        self.committer.settle().await;
        let mut pause = PAUSES.0;
        loop {
            match self.load_once().await {
                Ok(()) => return info!("everything was read again; serving"),
                Err(ReadError::Store(StoreError::Closed)) => {
                    error!("the store has closed; only another process can open it again");
                    return self.give_up();
                }
                Err(problem) => error!(%problem, "the store cannot be read; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// All entries that the core is made of, of one revision.
async fn read(store: &dyn Store) -> Result<(Vec<Entry>, Revision), StoreError> {
    loop {
        let mut entries = Vec::new();
        let mut revision = None;
        let mut moved = false;
        for kind in KINDS {
            let mut after = None;
            loop {
                let page = store.range(Key::new(kind), after, PAGE).await?;
                moved |= *revision.get_or_insert(page.revision) != page.revision;
                after = page.entries.last().map(|last| last.key.clone());
                entries.extend(page.entries);
                if !page.more {
                    break;
                }
            }
        }
        // Somebody else wrote meanwhile: the pages do not belong together.
        if !moved {
            return Ok((entries, revision.unwrap_or_default()));
        }
    }
}
