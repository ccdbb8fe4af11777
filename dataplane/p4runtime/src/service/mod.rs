//! The P4Runtime service.
//!
//! Problem: several controllers, one dataplane, and some of them are hostile, slow or dead. Idea: one [`Target`] behind one gate;
//! who may write is decided by [`arbiter`], what they write is read and checked before the target sees it, and every
//! queue, message and number of streams has a limit.
//!
//! ```text
//!  Write ─► device? primary? (gate: shared) ─► decode all ─► Target::write ─► status with an error an update
//!  Read  ─► device? ─► decode all ─► Target::read ─► pieces ─► stream        (bounded: a slow reader waits alone)
//!  StreamChannel ─► arbitration (gate: exclusive) ─► notices to all
//!                   packet-out of the primary ─► Target::packet_out
//!  PacketIns::send ─► queue of the primary's stream; full: dropped and counted
//! ```
//!
//! The gate makes a new primary wait for writes in flight, as section 5.3 wants it.

pub mod arbiter;
mod listen;
pub mod pipeline;
mod read;
mod streams;

pub use listen::{ListenError, TlsFiles, serve_tcp, serve_unix};
pub(crate) use listen::{authority, identity};
pub use streams::{NotDelivered, PacketIns};

use crate::proto::v1::p4_runtime_server::{P4Runtime, P4RuntimeServer};
use crate::proto::v1::{self, write_request};
use crate::status;
use crate::target::{Atomicity, Outcome, Target, UpdateError};
use crate::update::Update;
use arbiter::election_id;
use pipeline::{Pipeline, Then};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use streams::Streams;
use tokio::sync::{RwLock, Semaphore};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// The version of the standard that this is.
pub const API_VERSION: &str = "1.4.1";

/// Limits and identity of a service.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The device id that clients must name; not 0.
    pub device_id: u64,
    /// Streams at once; the next one is refused.
    pub streams: usize,
    /// Packets that wait for a stream's client; the next one is dropped.
    pub queue: usize,
    /// Octets of the largest message taken.
    pub message: usize,
    /// Reads that are worked on at once; the next one waits.
    pub reads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            device_id: 1,
            streams: 16,
            queue: 1024,
            message: 1 << 20,
            reads: 4,
        }
    }
}

/// The service; clones are the same service.
#[derive(Clone)]
pub struct Service {
    config: Config,
    target: Arc<dyn Target>,
    streams: Arc<Streams>,
    pipeline: Arc<Mutex<Pipeline>>,
    /// Shared by writes, exclusive to a change of primary.
    gate: Arc<RwLock<()>>,
    reads: Arc<Semaphore>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// A service for this target.
    #[must_use]
    pub fn new(target: Arc<dyn Target>, config: Config) -> Self {
        Self {
            config,
            target,
            streams: Arc::new(Streams::new(&config)),
            pipeline: Arc::default(),
            gate: Arc::default(),
            reads: Arc::new(Semaphore::new(config.reads.max(1))),
        }
    }

    /// Where the dataplane puts packets for the controller.
    #[must_use]
    pub fn packet_ins(&self) -> PacketIns {
        PacketIns::new(self.streams.clone())
    }

    /// The service for a tonic router, with its limits.
    #[must_use]
    pub fn server(&self) -> P4RuntimeServer<Self> {
        P4RuntimeServer::new(self.clone()).max_decoding_message_size(self.config.message)
    }

    fn device(&self, device_id: u64) -> Result<(), Status> {
        if device_id == self.config.device_id {
            return Ok(());
        }
        Err(Status::not_found(format!(
            "device {device_id} is not here; this is device {}",
            self.config.device_id
        )))
    }

    /// Section 12.1: device and role, then primary.
    fn writer(
        &self,
        device_id: u64,
        role: &str,
        role_id: u64,
        election: Option<v1::Uint128>,
    ) -> Result<(), Status> {
        self.device(device_id)?;
        if !role.is_empty() || role_id != 0 {
            return Err(Status::not_found(
                "only the default role exists here; leave the role out",
            ));
        }
        if self.streams.may_write(election.map(election_id)) {
            return Ok(());
        }
        Err(Status::permission_denied(
            "only the primary writes; open StreamChannel and win the arbitration with this election id",
        ))
    }
}

#[tonic::async_trait]
impl P4Runtime for Service {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<v1::ReadResponse, Status>> + Send>>;
    type StreamChannelStream = Pin<Box<dyn Stream<Item = Result<v1::StreamMessageResponse, Status>> + Send>>;

    #[allow(deprecated, reason = "older clients number roles")]
    async fn write(&self, request: Request<v1::WriteRequest>) -> Result<Response<v1::WriteResponse>, Status> {
        let request = request.into_inner();
        let pass = self.gate.clone().read_owned().await;
        self.writer(
            request.device_id,
            &request.role,
            request.role_id,
            request.election_id,
        )?;
        let atomicity = match request.atomicity() {
            write_request::Atomicity::ContinueOnError => Atomicity::Continue,
            write_request::Atomicity::RollbackOnError => Atomicity::Rollback,
            write_request::Atomicity::DataplaneAtomic => Atomicity::Dataplane,
        };
        if write_request::Atomicity::try_from(request.atomicity).is_err() {
            return Err(Status::unimplemented(
                "this atomicity is not known here; use one of the standard's",
            ));
        }
        let target = self.target.clone();
        let work = move || {
            // The pass goes with the work: it ends when the work does, even if the client is gone by then.
            let _pass = pass;
            write(target.as_ref(), &request.updates, atomicity)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Status::internal("the write died; read what is there"))??;
        Ok(Response::new(v1::WriteResponse {}))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        self.device(request.device_id)?;
        if !request.role.is_empty() {
            return Err(Status::not_found(
                "only the default role exists here; leave the role out",
            ));
        }
        let permit = self.reads.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Status::unavailable("the dataplane is stopping"))?;
        Ok(Response::new(read::start(
            self.target.clone(),
            request.entities,
            permit,
        )))
    }

    #[allow(deprecated, reason = "older clients number roles")]
    async fn set_forwarding_pipeline_config(
        &self,
        request: Request<v1::SetForwardingPipelineConfigRequest>,
    ) -> Result<Response<v1::SetForwardingPipelineConfigResponse>, Status> {
        let request = request.into_inner();
        let pass = self.gate.clone().read_owned().await;
        self.writer(
            request.device_id,
            &request.role,
            request.role_id,
            request.election_id,
        )?;
        let (target, pipeline) = (self.target.clone(), self.pipeline.clone());
        let work = move || {
            let _pass = pass;
            let mut pipeline = pipeline.lock().unwrap_or_else(PoisonError::into_inner);
            if pipeline.verify(request.action(), request.config.as_ref())? == Then::Reset {
                target
                    .reset()
                    .map_err(|error| Status::new(error.code(), error.to_string()))?;
            }
            pipeline.apply(request.action(), request.config);
            Ok::<_, Status>(())
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Status::internal("the change died; read what is there"))??;
        Ok(Response::new(v1::SetForwardingPipelineConfigResponse {}))
    }

    async fn get_forwarding_pipeline_config(
        &self,
        request: Request<v1::GetForwardingPipelineConfigRequest>,
    ) -> Result<Response<v1::GetForwardingPipelineConfigResponse>, Status> {
        let request = request.into_inner();
        self.device(request.device_id)?;
        let config = self
            .pipeline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(request.response_type());
        Ok(Response::new(v1::GetForwardingPipelineConfigResponse {
            config: Some(config),
        }))
    }

    async fn stream_channel(
        &self,
        request: Request<Streaming<v1::StreamMessageRequest>>,
    ) -> Result<Response<Self::StreamChannelStream>, Status> {
        let stream = self
            .streams
            .open(request.into_inner(), self.target.clone(), self.gate.clone())?;
        Ok(Response::new(stream))
    }

    async fn capabilities(
        &self,
        request: Request<v1::CapabilitiesRequest>,
    ) -> Result<Response<v1::CapabilitiesResponse>, Status> {
        let device_id = request.into_inner().device_id;
        if device_id != 0 {
            self.device(device_id)?;
        }
        let p4runtime_api_version = API_VERSION.to_owned();
        Ok(Response::new(v1::CapabilitiesResponse {
            p4runtime_api_version,
            experimental: None,
        }))
    }
}

/// Reads all updates, then carries out what its atomicity lets be carried out.
fn write(target: &dyn Target, updates: &[v1::Update], atomicity: Atomicity) -> Result<(), Status> {
    let read: Vec<_> = updates.iter().map(Update::decode).collect();
    let wrong = read.iter().any(Result::is_err);
    let outcomes: Vec<Outcome> = if wrong && atomicity != Atomicity::Continue {
        read.into_iter()
            .map(|one| Err(one.err().map_or(UpdateError::RolledBack, UpdateError::from)))
            .collect()
    } else {
        let mut places = Vec::with_capacity(read.len());
        let mut good = Vec::with_capacity(read.len());
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(read.len());
        for (place, one) in read.into_iter().enumerate() {
            match one {
                Ok(update) => {
                    places.push(place);
                    good.push(update);
                    outcomes.push(Ok(()));
                }
                Err(error) => outcomes.push(Err(error.into())),
            }
        }
        let done = target.write(&good, atomicity);
        for (place, outcome) in places
            .into_iter()
            .zip(done.map_err(|error| Status::new(error.code(), error.to_string()))?)
        {
            outcomes[place] = outcome;
        }
        outcomes
    };
    status::of_batch("write", &outcomes, UpdateError::code)
}
