//! StreamChannel: arbitration, packets in, packets out; one task a stream.
//!
//! A stream has two queues to its client: notices, which must not be lost, and packets, which may. A client that
//! leaves a full queue of notices unread is cut off.

use super::Config;
use super::arbiter::{Arbiter, ElectionId, Notice, StreamId};
use crate::packet::{PacketIn, PacketOut};
use crate::proto::v1::stream_error::Details;
use crate::proto::v1::{
    self, stream_message_request::Update as Asked, stream_message_response::Update as Told,
};
use crate::target::{PacketOutError, Target};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{RwLock, mpsc};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Status, Streaming};

type Response = Result<v1::StreamMessageResponse, Status>;

/// Notices and errors that may wait for a client.
const NOTICES: usize = 64;

/// How long a stream may be open without an arbitration update.
const PATIENCE: Duration = Duration::from_secs(10);

/// All streams.
#[derive(Debug)]
pub(super) struct Streams {
    limit: usize,
    queue: usize,
    inner: Mutex<Inner>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    arbiter: Arbiter,
    open: BTreeMap<StreamId, Queues>,
    next: StreamId,
}

#[derive(Debug, Clone)]
struct Queues {
    notices: mpsc::Sender<Response>,
    packets: mpsc::Sender<v1::PacketIn>,
}

/// Where the dataplane puts packets for the controller. Never waits.
#[derive(Debug, Clone)]
pub struct PacketIns(Arc<Streams>);

/// Why a packet did not go to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// No controller is primary.
    #[error("no controller is primary")]
    Nobody,
    /// The primary is behind.
    #[error("the primary's queue is full")]
    Full,
}

impl PacketIns {
    pub(super) fn new(streams: Arc<Streams>) -> Self {
        Self(streams)
    }

    /// Hands a packet to the primary.
    ///
    /// # Errors
    /// If there is none, or its queue is full; the packet is gone and counted.
    pub fn send(&self, packet: PacketIn) -> Result<(), NotDelivered> {
        let sent = {
            let inner = self.0.lock();
            let primary = inner.arbiter.primary().and_then(|stream| inner.open.get(&stream));
            match primary {
                None => Err(NotDelivered::Nobody),
                Some(queues) => queues
                    .packets
                    .try_send(packet.encode())
                    .map_err(|_| NotDelivered::Full),
            }
        };
        if sent.is_err() {
            self.0.dropped.fetch_add(1, Relaxed);
        }
        sent
    }

    /// Packets that [`PacketIns::send`] could not hand over.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// Is there a primary?
    #[must_use]
    pub fn has_primary(&self) -> bool {
        self.0.lock().arbiter.primary().is_some()
    }
}

impl Streams {
    pub(super) fn new(config: &Config) -> Self {
        let inner = Inner {
            arbiter: Arbiter::new(config.device_id),
            open: BTreeMap::new(),
            next: 0,
        };
        Self {
            limit: config.streams,
            queue: config.queue.max(1),
            inner: Mutex::new(inner),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn may_write(&self, election: Option<ElectionId>) -> bool {
        self.lock().arbiter.may_write(election)
    }

    /// Takes a new stream; its task runs until either side ends it.
    pub(super) fn open(
        self: &Arc<Self>,
        requests: Streaming<v1::StreamMessageRequest>,
        target: Arc<dyn Target>,
        gate: Arc<RwLock<()>>,
    ) -> Result<Pin<Box<dyn Stream<Item = Response> + Send>>, Status> {
        let (notices, notices_out) = mpsc::channel(NOTICES);
        let (packets, packets_out) = mpsc::channel(self.queue);
        let id = {
            let inner = &mut *self.lock();
            if inner.open.len() >= self.limit {
                return Err(Status::resource_exhausted(format!(
                    "{} streams are open, which is the limit",
                    self.limit
                )));
            }
            inner.next += 1;
            inner.open.insert(
                inner.next,
                Queues {
                    notices: notices.clone(),
                    packets,
                },
            );
            inner.next
        };
        let task = Task {
            id,
            streams: self.clone(),
            target,
            gate,
            notices,
        };
        tokio::spawn(task.run(requests));
        Ok(Box::pin(Outgoing {
            notices: notices_out,
            packets: packets_out,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell(&self, notices: Vec<Notice>) {
        for (stream, notice) in notices {
            let Some(queues) = self.open.get(&stream) else {
                continue;
            };
            let message = v1::StreamMessageResponse {
                update: Some(Told::Arbitration(notice)),
            };
            // A client that lets this many notices lie is cut off by its own task, which finds the queue full.
            let _ = queues.notices.try_send(Ok(message));
        }
    }
}

/// A stream's incoming half.
struct Task {
    id: StreamId,
    streams: Arc<Streams>,
    target: Arc<dyn Target>,
    gate: Arc<RwLock<()>>,
    notices: mpsc::Sender<Response>,
}

impl Task {
    async fn run(self, mut requests: Streaming<v1::StreamMessageRequest>) {
        if let Err(status) = self.serve(&mut requests).await {
            // The client learns why. One that does not read waits no longer than its patience.
            let _ = tokio::time::timeout(PATIENCE, self.notices.send(Err(status))).await;
        }
    }

    async fn serve(&self, requests: &mut Streaming<v1::StreamMessageRequest>) -> Result<(), Status> {
        let mut arbitrated = false;
        loop {
            let next = tokio::select! {
                next = requests.next() => next,
                () = self.notices.closed() => return Ok(()),
                () = tokio::time::sleep(PATIENCE), if !arbitrated => {
                    return Err(Status::deadline_exceeded("no arbitration update came; send one first"));
                }
            };
            let Some(message) = next else { return Ok(()) };
            match message?.update {
                Some(Asked::Arbitration(update)) => {
                    self.arbitrate(&update).await?;
                    arbitrated = true;
                }
                Some(Asked::Packet(packet)) => self.packet_out(packet)?,
                Some(Asked::DigestAck(ack)) => {
                    let digest_ack = v1::DigestListAckError {
                        digest_list_ack: Some(ack),
                    };
                    self.complain(
                        Code::InvalidArgument,
                        "there are no digests here",
                        Details::DigestListAck(digest_ack),
                    )?;
                }
                Some(Asked::Other(_)) | None => {
                    let details = Details::Other(v1::StreamOtherError { other: None });
                    self.complain(Code::Unimplemented, "this message is not known here", details)?;
                }
            }
        }
    }

    async fn arbitrate(&self, update: &v1::MasterArbitrationUpdate) -> Result<(), Status> {
        // Section 5.3: who was primary until now finishes writing before another may begin.
        let changes = self.streams.lock().arbiter.changes_primary(self.id, update);
        let _closed = if changes {
            Some(self.gate.write().await)
        } else {
            None
        };
        let inner = &mut *self.streams.lock();
        let notices = inner.arbiter.update(self.id, update)?;
        if self.notices.capacity() == 0 {
            return Err(Status::resource_exhausted("notices are not being read"));
        }
        inner.tell(notices);
        Ok(())
    }

    fn packet_out(&self, packet: v1::PacketOut) -> Result<(), Status> {
        let complain = |code, text: &str, packet: Option<v1::PacketOut>| {
            self.complain(
                code,
                text,
                Details::PacketOut(v1::PacketOutError { packet_out: packet }),
            )
        };
        if self.streams.lock().arbiter.primary() != Some(self.id) {
            return complain(Code::PermissionDenied, "only the primary sends packets", None);
        }
        // The metadata go back to the client, the frame does not: it has it.
        let echo = v1::PacketOut {
            payload: Vec::new(),
            metadata: packet.metadata.clone(),
        };
        let packet = match PacketOut::decode(packet) {
            Ok(packet) => packet,
            Err(error) => return complain(Code::InvalidArgument, &error.to_string(), Some(echo)),
        };
        match self.target.packet_out(packet) {
            Ok(()) => Ok(()),
            Err(error @ PacketOutError::Full) => {
                complain(Code::ResourceExhausted, &error.to_string(), Some(echo))
            }
            Err(error) => complain(Code::InvalidArgument, &error.to_string(), Some(echo)),
        }
    }

    /// Tells the client about a message that was refused; if it does not read, it is not told.
    fn complain(&self, code: Code, text: &str, details: Details) -> Result<(), Status> {
        let error = v1::StreamError {
            canonical_code: code.into(),
            message: text.to_owned(),
            details: Some(details),
            ..Default::default()
        };
        // Notices keep room for themselves.
        if self.notices.capacity() > NOTICES / 2 {
            let _ = self.notices.try_send(Ok(v1::StreamMessageResponse {
                update: Some(Told::Error(error)),
            }));
        }
        Ok(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let inner = &mut *self.streams.lock();
        inner.open.remove(&self.id);
        let notices = inner.arbiter.leave(self.id);
        inner.tell(notices);
    }
}

/// A stream's outgoing half: notices before packets.
struct Outgoing {
    notices: mpsc::Receiver<Response>,
    packets: mpsc::Receiver<v1::PacketIn>,
}

impl Stream for Outgoing {
    type Item = Response;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        match self.notices.poll_recv(context) {
            Poll::Ready(Some(notice)) => return Poll::Ready(Some(notice)),
            // The task is gone.
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        match self.packets.poll_recv(context) {
            Poll::Ready(Some(packet)) => Poll::Ready(Some(Ok(v1::StreamMessageResponse {
                update: Some(Told::Packet(packet)),
            }))),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
