//! A connection to a manager: every call blocks, has a deadline, and fails with one sentence.

use super::error::ManagerError;
use super::place::{Place, Reach};
use crate::error::Error;
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::tls::{self, DialError};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A manager may take so long: initial passwords for a thousand members are slow to derive, by design. It gives up itself before.
const PATIENCE: Duration = Duration::from_secs(130);
/// Octets of an answer: a page of members is less than one of these.
const ANSWER: usize = 64 * 1024 * 1024;

/// Calls of the operators' service.
pub(crate) type Client = AdminClient<InterceptedService<Channel, Bearer>>;

/// Says with every call who asks.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A connection.
pub(crate) struct Link {
    runtime: Runtime,
    client: Client,
    place: Place,
}

impl Link {
    /// To the manager that is meant.
    pub(crate) fn connect(reach: &Reach) -> Result<Self, Error> {
        let place = reach.find()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::Io {
            doing: "wait for",
            path: place.name().into(),
            source,
        })?;
        let client = runtime.block_on(place.dial())?;
        Ok(Self {
            runtime,
            client,
            place,
        })
    }

    /// One question, one answer. `doing` completes "asked to …".
    pub(crate) fn ask<R>(
        &mut self,
        doing: &'static str,
        call: impl AsyncFnOnce(&mut Client) -> Result<Response<R>, Status>,
    ) -> Result<R, Error> {
        let Self {
            runtime,
            client,
            place,
        } = self;
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, call(client)).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(place.refusal(doing, &status).into()),
            Err(_) => Err(place.refusal(doing, &Status::deadline_exceeded("")).into()),
        }
    }

    /// Where it leads, for people.
    pub(crate) fn name(&self) -> String {
        self.place.name()
    }

    /// Something longer than a question.
    pub(super) fn run<R>(&mut self, work: impl AsyncFnOnce(&mut Client, &Place) -> R) -> R {
        let Self {
            runtime,
            client,
            place,
        } = self;
        runtime.block_on(work(client, place))
    }
}

impl Place {
    /// Connects.
    pub(super) async fn dial(&self) -> Result<Client, ManagerError> {
        let (channel, token) = match self {
            Self::Unix(path) => {
                self.look(path)?;
                (tls::unix(path).await, None)
            }
            Self::Https { dial, token, .. } => (dial.connect().await, token.clone()),
        };
        let channel = channel.map_err(|error| self.not_reached(error))?;
        Ok(AdminClient::with_interceptor(channel, Bearer(token)).max_decoding_message_size(ANSWER))
    }

    /// What an answer that is none means.
    pub(super) fn refusal(&self, doing: &'static str, status: &Status) -> ManagerError {
        ManagerError::of(&self.name(), self.shown(), doing, status)
    }

    /// What the system says of a socket, before anybody makes a sentence of it.
    fn look(&self, path: &Path) -> Result<(), ManagerError> {
        let at = self.name();
        match UnixStream::connect(path).map_err(|error| (error.kind(), error)) {
            Ok(_) => Ok(()),
            Err((ErrorKind::NotFound | ErrorKind::ConnectionRefused, _)) => Err(ManagerError::NotRunning(at)),
            Err((ErrorKind::PermissionDenied, _)) => Err(ManagerError::Forbidden(at)),
            Err((_, error)) => {
                let why = error.to_string();
                Err(ManagerError::Unreachable { at, why })
            }
        }
    }

    fn not_reached(&self, error: DialError) -> ManagerError {
        let at = self.name();
        let why = match error {
            DialError::Connect { why, .. } => why,
            other => other.to_string(),
        };
        // The causes are in a row, the first one last.
        if why.contains("ApplicationVerificationFailure") {
            return ManagerError::Stranger(at);
        }
        let known = [
            ("Connection refused", "nobody listens there"),
            ("no answer in time", "no answer in time"),
            ("failed to lookup", "there is no host of this name"),
            ("unreachable", "there is no way to it"),
            ("InvalidContentType", "what answers there does not speak TLS"),
            ("NoApplicationProtocol", "what answers there is no manager"),
        ];
        let known = known.iter().find(|(part, _)| why.contains(part));
        let last = || why.rsplit(": ").next().unwrap_or(&why).to_owned();
        let why = known.map_or_else(last, |(_, words)| (*words).to_owned());
        ManagerError::Unreachable { at, why }
    }
}
