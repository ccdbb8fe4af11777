//! Answers that go on: events as they happen, and a copy of the store.

use super::AdminService;
use crate::core::{Actor, Command};
use kith_protocol::admin::{Chunk, Event, EventQuery};
use std::pin::Pin;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::info;

/// A stream of messages.
pub(super) type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

/// Octets of a piece of a backup.
const PIECE: usize = 256 * 1024;
/// Pieces, or events, that wait for a slow reader.
const AHEAD: usize = 4;

impl AdminService {
    /// Events from now on. Whoever reads too slowly is told how many were missed, and the stream ends.
    pub(super) fn watch(&self, asked: EventQuery) -> Stream<Event> {
        let (mut events, mut stop) = (self.host.events(), self.stop.clone());
        let (put, take) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = events.recv() => event,
                    () = put.closed() => return,
                    _ = stop.changed() => return,
                };
                let item = match event {
                    Ok(event) if !asked.community.is_empty() && event.community != asked.community => {
                        continue;
                    }
                    Ok(event) => Ok(event),
                    Err(RecvError::Lagged(missed)) => Err(Status::data_loss(format!(
                        "{missed} events were missed; watch again"
                    ))),
                    Err(RecvError::Closed) => return,
                };
                let last = item.is_err();
                if put.send(item).await.is_err() || last {
                    return;
                }
            }
        });
        Box::pin(ReceiverStream::new(take))
    }

    /// A copy of one revision of the store, in pieces.
    pub(super) async fn copy(&self, actor: Actor) -> Result<Stream<Chunk>, Status> {
        // It changes nothing, but whoever has a copy has everything: it is allowed, and written down, like any other act.
        let name = actor.name.clone();
        self.order("backup", actor, Command::Backup).await?;
        let busy = || Status::resource_exhausted("a backup is under way; try again when it is done");
        let place = self.backups.clone().try_acquire_owned().map_err(|_| busy())?;
        let failed =
            |error: &dyn std::fmt::Display| Status::unavailable(format!("no copy could be made: {error}"));
        // Beside the store: there is room for it, and nobody else reads there.
        let folder = self
            .about
            .store
            .parent()
            .map(ToOwned::to_owned)
            .unwrap_or_default();
        let copy = folder.join(format!(".backup-{}", std::process::id()));
        let made = self.host.store.backup(&copy).await;
        let opened = match made {
            Ok(_) => File::open(&copy).await.map_err(|error| failed(&error)),
            Err(error) => Err(failed(&error)),
        };
        // What is open can be read without a name; nothing is left behind.
        let removed = tokio::fs::remove_file(&copy).await;
        let mut file = opened?;
        removed.map_err(|error| failed(&error))?;
        info!(actor = %name, "backup");
        let (put, take) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let _place = place;
            loop {
                let mut data = vec![0; PIECE];
                let item = match file.read(&mut data).await {
                    Ok(0) => return,
                    Ok(read) => {
                        data.truncate(read);
                        Ok(Chunk { data })
                    }
                    Err(error) => Err(Status::data_loss(error.to_string())),
                };
                let last = item.is_err();
                if put.send(item).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(take)))
    }
}
