//! A P4Runtime client: for our controller, for the command line, against any target.
//!
//! ```text
//!  Client::connect(..) ─► reads, pipeline config, capabilities      no arbitration needed
//!     └ arbitrate(id)  ─► Session: am I primary? packets in and out; its end is the end of being primary
//!     └ write(..)      ─► one outcome an update
//! ```
//!
//! What is written and read are messages or, for our own program, the types of [`crate::update`] and [`crate::query`].

mod connect;
mod error;
mod session;

pub use connect::Address;
pub use error::{ClientError, Failure, Failures};
pub use session::{Event, PacketOuts, Session};

use crate::association::{AssociationFilter, AssociationState};
use crate::proto::config::P4Info;
use crate::proto::v1::p4_runtime_client::P4RuntimeClient;
use crate::proto::v1::set_forwarding_pipeline_config_request::Action;
use crate::proto::v1::{self, get_forwarding_pipeline_config_request::ResponseType, write_request};
use crate::service::arbiter::{ElectionId, election_message};
use crate::target::Atomicity;
use crate::update::Update;
use tonic::Streaming;
use tonic::transport::Channel;

/// Octets of the largest message taken from a target.
const MESSAGE: usize = 16 << 20;

/// A connection to a target; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    grpc: P4RuntimeClient<Channel>,
    device_id: u64,
    election: Option<ElectionId>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody answers there, or the other side's certificate is not the authority's.
    pub async fn connect(address: &Address, device_id: u64) -> Result<Self, ClientError> {
        let channel = connect::channel(address).await?;
        let grpc = P4RuntimeClient::new(channel).max_decoding_message_size(MESSAGE);
        Ok(Self {
            grpc,
            device_id,
            election: None,
        })
    }

    /// Opens the stream and shows an election id; with the highest one, this client is primary. `None` never is.
    ///
    /// The session gives events and must be kept: its end is the end of being primary. Writes of this client, and of clones
    /// made after this call, show the same id.
    ///
    /// # Errors
    /// If the target refuses the stream.
    pub async fn arbitrate(&mut self, election: Option<ElectionId>) -> Result<Session, ClientError> {
        self.election = election;
        Session::open(self.grpc.clone(), self.device_id, election).await
    }

    /// Lets writes show this election id from now on, as [`Session::arbitrate`] does on the stream.
    pub fn show(&mut self, election: Option<ElectionId>) {
        self.election = election;
    }

    /// Writes a batch of our own program's updates.
    ///
    /// # Errors
    /// [`ClientError::Batch`] says what became of each update.
    pub async fn write(&mut self, updates: &[Update], atomicity: Atomicity) -> Result<(), ClientError> {
        self.write_messages(updates.iter().map(Update::encode).collect(), atomicity)
            .await
    }

    /// Writes a batch of any program's updates.
    ///
    /// # Errors
    /// [`ClientError::Batch`] says what became of each update.
    pub async fn write_messages(
        &mut self,
        updates: Vec<v1::Update>,
        atomicity: Atomicity,
    ) -> Result<(), ClientError> {
        let atomicity = match atomicity {
            Atomicity::Continue => write_request::Atomicity::ContinueOnError,
            Atomicity::Rollback => write_request::Atomicity::RollbackOnError,
            Atomicity::Dataplane => write_request::Atomicity::DataplaneAtomic,
        };
        let request = v1::WriteRequest {
            device_id: self.device_id,
            election_id: self.election.map(election_message),
            updates,
            atomicity: atomicity.into(),
            ..Default::default()
        };
        self.grpc.write(request).await?;
        Ok(())
    }

    /// Reads entities; each of `filters` asks for some.
    ///
    /// # Errors
    /// If the call fails at once.
    pub async fn read(&mut self, filters: Vec<v1::Entity>) -> Result<Reading, ClientError> {
        let request = v1::ReadRequest {
            device_id: self.device_id,
            entities: filters,
            ..Default::default()
        };
        Ok(Reading(self.grpc.read(request).await?.into_inner()))
    }

    /// Reads entities to the end.
    ///
    /// # Errors
    /// If the call fails, or one of the filters is wrong.
    pub async fn read_all(&mut self, filters: Vec<v1::Entity>) -> Result<Vec<v1::Entity>, ClientError> {
        let mut reading = self.read(filters).await?;
        let mut all = Vec::new();
        while let Some(piece) = reading.next().await? {
            all.extend(piece);
        }
        Ok(all)
    }

    /// The security associations that are installed, as they are now; the target gives no keys.
    ///
    /// # Errors
    /// If the call fails, or the target has none of our program's.
    pub async fn associations(&mut self) -> Result<Vec<AssociationState>, ClientError> {
        let asked = v1::entity::Entity::ExternEntry(AssociationFilter::default().encode());
        let read = self.read_all(vec![v1::Entity { entity: Some(asked) }]).await?;
        let states = read.iter().filter_map(|entity| match &entity.entity {
            Some(v1::entity::Entity::ExternEntry(entry)) => Some(AssociationState::decode(entry)),
            _ => None,
        });
        states
            .collect::<Result<_, _>>()
            .map_err(|error| ClientError::Foreign(error.to_string()))
    }

    /// What the target's program offers.
    ///
    /// # Errors
    /// If the call fails, or the target has no program.
    pub async fn p4info(&mut self) -> Result<P4Info, ClientError> {
        let config = self.pipeline(ResponseType::P4infoAndCookie).await?;
        config.p4info.ok_or(ClientError::NoProgram)
    }

    /// The pipeline configuration, or parts of it.
    ///
    /// # Errors
    /// If the call fails, or the target has no program.
    pub async fn pipeline(
        &mut self,
        parts: ResponseType,
    ) -> Result<v1::ForwardingPipelineConfig, ClientError> {
        let request = v1::GetForwardingPipelineConfigRequest {
            device_id: self.device_id,
            response_type: parts.into(),
        };
        let response = self
            .grpc
            .get_forwarding_pipeline_config(request)
            .await?
            .into_inner();
        response.config.ok_or(ClientError::NoProgram)
    }

    /// Sets the pipeline configuration, or checks it.
    ///
    /// # Errors
    /// If the target refuses it.
    pub async fn set_pipeline(
        &mut self,
        action: Action,
        config: Option<v1::ForwardingPipelineConfig>,
    ) -> Result<(), ClientError> {
        let request = v1::SetForwardingPipelineConfigRequest {
            device_id: self.device_id,
            election_id: self.election.map(election_message),
            action: action.into(),
            config,
            ..Default::default()
        };
        self.grpc.set_forwarding_pipeline_config(request).await?;
        Ok(())
    }

    /// The version of the standard that the target speaks.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn api_version(&mut self) -> Result<String, ClientError> {
        let request = v1::CapabilitiesRequest {
            device_id: self.device_id,
        };
        Ok(self
            .grpc
            .capabilities(request)
            .await?
            .into_inner()
            .p4runtime_api_version)
    }
}

/// Answers as they come.
#[derive(Debug)]
pub struct Reading(Streaming<v1::ReadResponse>);

impl Reading {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// If the call fails; wrong filters are named at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<v1::Entity>>, ClientError> {
        Ok(self.0.message().await?.map(|response| response.entities))
    }
}
