//! Read: answers in pieces, as fast as the client takes them.

use crate::proto::v1;
use crate::query::Query;
use crate::status;
use crate::target::{Outcome, Target, UpdateError};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;

type Responses = Pin<Box<dyn Stream<Item = Result<v1::ReadResponse, Status>> + Send>>;

/// Pieces that are ready before the client asks for them.
const AHEAD: usize = 2;

/// Starts to answer; the permit is held until the last piece is on its way, or the client is gone.
pub(super) fn start(
    target: Arc<dyn Target>,
    entities: Vec<v1::Entity>,
    permit: OwnedSemaphorePermit,
) -> Responses {
    let (pieces, responses) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if let Err(status) = answer(target.as_ref(), &entities, &pieces) {
            let _ = pieces.blocking_send(Err(status));
        }
    });
    Box::pin(ReceiverStream::new(responses))
}

type Pieces = mpsc::Sender<Result<v1::ReadResponse, Status>>;

/// Section 13.3: what is valid is answered, what is not is named at the end.
fn answer(target: &dyn Target, entities: &[v1::Entity], pieces: &Pieces) -> Result<(), Status> {
    let read: Vec<_> = entities.iter().map(Query::decode).collect();
    let good: Vec<_> = read.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
    let mut done = target
        .read(&good, &mut |answers| {
            let entities = answers.iter().map(crate::query::Answer::encode).collect();
            match pieces.blocking_send(Ok(v1::ReadResponse { entities })) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
        .into_iter();
    let outcomes = read.into_iter().map(|one| match one {
        Ok(_) => done.next().unwrap_or(Ok(())),
        Err(error) => Err(UpdateError::from(error)),
    });
    status::of_batch("read", &outcomes.collect::<Vec<Outcome>>(), UpdateError::code)
}
