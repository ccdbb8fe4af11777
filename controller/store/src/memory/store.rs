//! The store in memory behind the trait.

use super::{Memory, Ticket};
use crate::sqlite::copy;
use crate::{Committed, Entry, Key, Lease, Page, Revision, Store, StoreError, Transaction, WatchEvent};
use futures_util::future::{BoxFuture, ready};
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

impl Store for Memory {
    fn get(&self, key: Key) -> BoxFuture<'_, Result<(Option<Entry>, Revision), StoreError>> {
        Box::pin(ready(self.get_now(&key)))
    }

    fn range(
        &self,
        prefix: Key,
        after: Option<Key>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(ready(self.range_now(&prefix, after.as_ref(), limit)))
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        match self.wait_if_held(transaction) {
            Err(transaction) => Box::pin(ready(self.transact_now(&transaction))),
            Ok((_, answer)) => Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) }),
        }
    }

    fn watch(
        &self,
        prefix: Key,
        after: Revision,
    ) -> BoxFuture<'_, Result<flume::Receiver<WatchEvent>, StoreError>> {
        Box::pin(ready(self.watch_now(prefix, after)))
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<Lease, StoreError>> {
        Box::pin(ready(self.grant_now(ttl)))
    }

    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(self.keep_alive_now(lease)))
    }

    fn revoke(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(self.revoke_now(lease)))
    }

    /// The copy is a file that [`crate::sqlite::Sqlite`] opens.
    fn backup<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Revision, StoreError>> {
        let written = self.open().map(|inner| inner.disk.clone()).and_then(|disk| {
            let leases: Vec<_> = disk.leases.into_iter().collect();
            copy::write(to, disk.entries.values(), &leases, disk.last_lease, disk.revision)
        });
        Box::pin(ready(written))
    }
}

type Answer = oneshot::Receiver<Result<Committed, StoreError>>;

impl Memory {
    /// Puts a transaction into the queue if commits are held, or gives it back.
    fn wait_if_held(&self, transaction: Transaction) -> Result<(Ticket, Answer), Transaction> {
        let mut inner = self.lock();
        if !inner.held || inner.closed {
            return Err(transaction);
        }
        let (answer, outcome) = oneshot::channel();
        Ok((inner.submit(transaction, Some(answer)), outcome))
    }
}
