//! What waits to be sent to one member: a bounded queue that is the stream itself.
//!
//! No task belongs to it: the connection that carries the stream polls it, and whoever pushes wakes that connection. An idle stream costs
//! the queue's head and no more. When it is full it takes nothing until it was emptied: the core is told and answers with a resync.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio_stream::Stream;
use tonic::Status;

/// Where updates are put.
pub struct Pusher<T>(Arc<Mutex<Queue<T>>>);

/// Where they come out. Dropping it tells `closed`.
pub struct Updates<T> {
    queue: Arc<Mutex<Queue<T>>>,
    closed: Option<Box<dyn FnOnce() + Send>>,
}

struct Queue<T> {
    waiting: VecDeque<T>,
    most: usize,
    end: Option<Result<(), Status>>,
    waker: Option<Waker>,
    gone: bool,
}

/// Nothing more fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A stream of at most `most` things that wait.
pub fn stream<T>(most: usize, closed: impl FnOnce() + Send + 'static) -> (Pusher<T>, Updates<T>) {
    let queue = Arc::new(Mutex::new(Queue {
        waiting: VecDeque::new(),
        most,
        end: None,
        waker: None,
        gone: false,
    }));
    let updates = Updates {
        queue: queue.clone(),
        closed: Some(Box::new(closed)),
    };
    (Pusher(queue), updates)
}

impl<T> Pusher<T> {
    /// Another handle on the same queue.
    #[must_use]
    pub fn ender(&self) -> Self {
        Self(self.0.clone())
    }

    /// Puts one more behind the others. What comes to a stream that has ended, or that nobody reads any more, is dropped.
    pub fn push(&self, update: T) -> Result<(), Full> {
        let mut queue = lock(&self.0);
        if queue.gone || queue.end.is_some() {
            return Ok(());
        }
        if queue.waiting.len() >= queue.most {
            return Err(Full);
        }
        queue.waiting.push_back(update);
        queue.wake();
        Ok(())
    }

    /// In place of all that waits.
    pub fn replace(&self, update: T) {
        let mut queue = lock(&self.0);
        queue.waiting.clear();
        if !queue.gone && queue.end.is_none() {
            queue.waiting.push_back(update);
            queue.wake();
        }
    }

    /// After what waits, the end.
    pub fn end(&self, how: Result<(), Status>) {
        let mut queue = lock(&self.0);
        queue.end.get_or_insert(how);
        queue.wake();
    }
}

impl<T> Queue<T> {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Stream for Updates<T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut queue = lock(&self.queue);
        if let Some(update) = queue.waiting.pop_front() {
            if queue.waiting.is_empty() {
                // Nothing is kept for a stream that is idle most of its life.
                queue.waiting = VecDeque::new();
            }
            return Poll::Ready(Some(Ok(update)));
        }
        match queue.end.replace(Ok(())) {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(status)) => Poll::Ready(Some(Err(status))),
            None => {
                queue.end = None;
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Updates<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.gone = true;
        queue.waiting = VecDeque::new();
        drop(queue);
        if let Some(closed) = self.closed.take() {
            closed();
        }
    }
}

fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio_stream::StreamExt;

    #[tokio::test]
    async fn a_slow_reader_never_grows_the_queue() {
        let (push, mut updates) = stream(3, || ());
        let taken = (0..100).filter(|&n| push.push(n).is_ok()).count();
        assert_eq!(taken, 3);
        push.replace(1000);
        push.end(Ok(()));
        assert_eq!(push.push(7), Ok(()), "what comes after the end is nobody's loss");
        assert_eq!(updates.next().await.unwrap().unwrap(), 1000);
        assert!(updates.next().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_who_goes_is_noticed_once() {
        let gone = Arc::new(AtomicUsize::new(0));
        let count = gone.clone();
        let (push, mut updates) = stream(3, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let reader = tokio::spawn(async move { (updates.next().await.unwrap().unwrap(), updates) });
        tokio::task::yield_now().await;
        push.push(5).unwrap();
        let (first, mut updates) = reader.await.unwrap();
        assert_eq!(first, 5);
        push.end(Err(Status::unavailable("later")));
        assert_eq!(updates.next().await.unwrap().unwrap_err().message(), "later");
        assert!(updates.next().await.is_none());
        drop(updates);
        assert_eq!(gone.load(Ordering::Relaxed), 1);
        assert_eq!(push.push(6), Ok(()));
    }
}
