//! The stream of a client: who is primary, packets in, packets out.

use super::ClientError;
use crate::entry::EntryError;
use crate::packet::{PacketIn, PacketOut};
use crate::proto::v1::p4_runtime_client::P4RuntimeClient;
use crate::proto::v1::{
    self, stream_message_request::Update as Asked, stream_message_response::Update as Told,
};
use crate::service::arbiter::{ElectionId, election_id, election_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

/// Messages to the target that may wait.
const AHEAD: usize = 256;

/// What comes from the target.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Who is primary now.
    Arbitration {
        /// Is it this client?
        primary: bool,
        /// Is there one at all?
        any: bool,
        /// The highest election id that the target has seen.
        highest: Option<ElectionId>,
    },
    /// A packet of our own program.
    Packet(PacketIn),
    /// A packet with metadata that our program does not have.
    Foreign(v1::PacketIn, EntryError),
    /// A message of ours was refused.
    Refused(v1::StreamError),
    /// Digests, idle timeouts, extensions.
    Other(Box<v1::StreamMessageResponse>),
}

/// An open stream. Dropping it ends it, and with it being primary.
#[derive(Debug)]
pub struct Session {
    device_id: u64,
    requests: mpsc::Sender<v1::StreamMessageRequest>,
    responses: Streaming<v1::StreamMessageResponse>,
}

impl Session {
    pub(super) async fn open(
        mut grpc: P4RuntimeClient<Channel>,
        device_id: u64,
        election: Option<ElectionId>,
    ) -> Result<Self, ClientError> {
        let (requests, outgoing) = mpsc::channel(AHEAD);
        // The first message is in the queue before the call: some targets answer the call only after it.
        requests
            .send(arbitration(device_id, election))
            .await
            .map_err(|_| ClientError::Closed)?;
        let responses = grpc
            .stream_channel(ReceiverStream::new(outgoing))
            .await?
            .into_inner();
        Ok(Self {
            device_id,
            requests,
            responses,
        })
    }

    /// The next event.
    ///
    /// # Errors
    /// If the stream is over; the session is then of no use any more.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            let message = self.responses.message().await?.ok_or(ClientError::Closed)?;
            return Ok(match message.update {
                Some(Told::Arbitration(update)) => {
                    let code = update.status.map_or(Code::Ok, |status| Code::from(status.code));
                    let highest = update.election_id.map(election_id);
                    Event::Arbitration {
                        primary: code == Code::Ok,
                        any: code != Code::NotFound,
                        highest,
                    }
                }
                Some(Told::Packet(packet)) => match PacketIn::decode(packet.clone()) {
                    Ok(packet) => Event::Packet(packet),
                    Err(error) => Event::Foreign(packet, error),
                },
                Some(Told::Error(error)) => Event::Refused(error),
                Some(_) => Event::Other(Box::new(message)),
                None => continue,
            });
        }
    }

    /// Waits for the first word about who is primary; is it this client? Other events before it are dropped.
    ///
    /// # Errors
    /// If the stream ends.
    pub async fn is_primary(&mut self) -> Result<bool, ClientError> {
        loop {
            if let Event::Arbitration { primary, .. } = self.next().await? {
                return Ok(primary);
            }
        }
    }

    /// Shows another election id. The client's writes go on to show the old one: use [`super::Client::show`].
    ///
    /// # Errors
    /// If the stream is over.
    pub async fn arbitrate(&mut self, election: Option<ElectionId>) -> Result<(), ClientError> {
        self.send(arbitration(self.device_id, election)).await
    }

    /// Sends a packet of our own program.
    ///
    /// # Errors
    /// If the stream is over. Whether the target took it is told later, by [`Event::Refused`].
    pub async fn packet_out(&mut self, packet: PacketOut) -> Result<(), ClientError> {
        self.send(v1::StreamMessageRequest {
            update: Some(Asked::Packet(packet.encode())),
        })
        .await
    }

    /// A handle that sends packets while another task waits for events.
    #[must_use]
    pub fn sender(&self) -> PacketOuts {
        PacketOuts(self.requests.clone())
    }

    async fn send(&mut self, message: v1::StreamMessageRequest) -> Result<(), ClientError> {
        self.requests.send(message).await.map_err(|_| ClientError::Closed)
    }
}

/// Sends packets on a session's stream.
#[derive(Debug, Clone)]
pub struct PacketOuts(mpsc::Sender<v1::StreamMessageRequest>);

impl PacketOuts {
    /// Sends a packet of our own program; waits while the queue is full.
    ///
    /// # Errors
    /// If the stream is over.
    pub async fn send(&self, packet: PacketOut) -> Result<(), ClientError> {
        let message = v1::StreamMessageRequest {
            update: Some(Asked::Packet(packet.encode())),
        };
        self.0.send(message).await.map_err(|_| ClientError::Closed)
    }
}

fn arbitration(device_id: u64, election: Option<ElectionId>) -> v1::StreamMessageRequest {
    let update = v1::MasterArbitrationUpdate {
        device_id,
        election_id: election.map(election_message),
        ..Default::default()
    };
    v1::StreamMessageRequest {
        update: Some(Asked::Arbitration(update)),
    }
}
