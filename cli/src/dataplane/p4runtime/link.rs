//! A connection to a P4Runtime target: its program, entries read and written, and its stream.
//!
//! The rest of the program waits for answers in order, so the runtime is this connection's own and every call blocks.
//!
//! **Who may write.** A target lets one client write, the primary: the one whose election id is highest. Beside a controller, we
//! are a backup, which may read everything. [`Link::arbitrate`] says which of the two we are.

use super::address::P4Target;
use super::schema::Schema;
use crate::error::Error;
use kith_p4runtime::association::AssociationState;
use kith_p4runtime::client::{Address, Client, ClientError, Event, Failure, Session};
use kith_p4runtime::proto::v1;
use kith_p4runtime::target::Atomicity;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::{Code, Status};

/// How long a target may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a target said that is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection, no program, or files for TLS that are none.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It refuses.
    #[error("{at} refuses to {doing}: {}", said(.status))]
    Refused {
        /// Who.
        at: String,
        /// What was asked.
        doing: &'static str,
        /// Its answer.
        status: Box<Status>,
    },
    /// It does not answer.
    #[error("{at} did not answer within {} s when asked to {doing}", PATIENCE.as_secs())]
    Silent {
        /// Who.
        at: String,
        /// What was asked.
        doing: &'static str,
    },
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    runtime: Runtime,
    client: Client,
    address: Address,
    device_id: u64,
}

/// What we are to a target.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// The one who may write.
    Primary,
    /// One of those who may not. The highest election id so far, if the target tells; and whether anybody may write.
    Backup { highest: Option<u128>, somebody: bool },
    /// The target ended the stream: it takes no such client.
    Refused(Box<Status>),
}

impl Link {
    pub(super) fn connect(target: &P4Target) -> Result<Self, Error> {
        let address = target.find()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::Io {
            doing: "wait for",
            path: address.to_string().into(),
            source,
        })?;
        let connecting =
            async { tokio::time::timeout(PATIENCE, Client::connect(&address, target.device_id)).await };
        let client = match runtime.block_on(connecting) {
            Ok(client) => client.map_err(LinkError::Client)?,
            Err(_) => return Err(silent(&address, "connect")),
        };
        Ok(Self {
            runtime,
            client,
            address,
            device_id: target.device_id,
        })
    }

    /// Where it leads, for people.
    pub(super) fn place(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn device_id(&self) -> u64 {
        self.device_id
    }

    /// The version of P4Runtime that the target speaks.
    pub(super) fn version(&mut self) -> Result<String, Error> {
        let asked = wait(&self.runtime, self.client.api_version());
        self.answer("say what it can", asked)
    }

    /// The target's program.
    pub(super) fn schema(&mut self) -> Result<Schema, Error> {
        let asked = wait(&self.runtime, self.client.p4info());
        self.answer("tell its program", asked).map(Schema::new)
    }

    /// Reads everything that one of `filters` matches, until `each` has enough.
    pub(super) fn read(
        &mut self,
        filters: Vec<v1::entity::Entity>,
        mut each: impl FnMut(v1::entity::Entity) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        const DOING: &str = "read";
        let filters = filters
            .into_iter()
            .map(|filter| v1::Entity { entity: Some(filter) })
            .collect();
        let asked = wait(&self.runtime, self.client.read(filters));
        let mut reading = self.answer(DOING, asked)?;
        // Patience is for each piece: a million entries may take longer than one.
        loop {
            let next = wait(&self.runtime, reading.next());
            let Some(piece) = self.answer(DOING, next)? else {
                return Ok(());
            };
            for entity in piece.into_iter().filter_map(|entity| entity.entity) {
                if each(entity).is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// The security associations of a dataplane of ours.
    pub(super) fn associations(&mut self) -> Result<Vec<AssociationState>, Error> {
        let asked = wait(&self.runtime, self.client.associations());
        self.answer("list security associations", asked)
    }

    /// Writes a batch as the primary with this election id. Those of it that failed.
    pub(super) fn write(
        &mut self,
        election: u128,
        updates: Vec<v1::Update>,
        atomicity: Atomicity,
    ) -> Result<Vec<Failure>, Error> {
        self.client.show(Some(election));
        match wait(&self.runtime, self.client.write_messages(updates, atomicity)) {
            Some(Err(ClientError::Batch(failures))) => Ok(failures.failed),
            other => self.answer("write", other).map(|()| Vec::new()),
        }
    }

    /// Opens a stream with this election id, and tells what that makes us. Without an id we are a backup.
    pub(super) fn arbitrate(&mut self, election: Option<u128>) -> Result<(Session, Standing), Error> {
        let opened = wait(&self.runtime, self.client.arbitrate(election));
        let mut session = self.answer("take this client", opened)?;
        let standing = self.standing(&mut session)?;
        Ok((session, standing))
    }

    /// Tries another election id on an open stream.
    pub(super) fn again(&mut self, session: &mut Session, election: u128) -> Result<Standing, Error> {
        let sent = wait(&self.runtime, session.arbitrate(Some(election)));
        // Why the stream has ended is said below.
        if !matches!(sent, Some(Err(ClientError::Closed))) {
            self.answer("take this client", sent)?;
        }
        self.standing(session)
    }

    /// The next thing that the target says by itself; `None` if it says nothing for so long.
    pub(super) fn told(&mut self, session: &mut Session, patience: Duration) -> Result<Option<Event>, Error> {
        let next = async { tokio::time::timeout(patience, session.next()).await.ok() };
        match self.runtime.block_on(next) {
            None => Ok(None),
            Some(event) => self.answer("keep its stream open", Some(event)).map(Some),
        }
    }

    fn standing(&mut self, session: &mut Session) -> Result<Standing, Error> {
        loop {
            match self.told(session, PATIENCE) {
                Ok(Some(Event::Arbitration { primary: true, .. })) => return Ok(Standing::Primary),
                Ok(Some(Event::Arbitration {
                    any: somebody,
                    highest,
                    ..
                })) => {
                    return Ok(Standing::Backup { highest, somebody });
                }
                // Packets may come before the answer.
                Ok(Some(_)) => {}
                Ok(None) => return Err(silent(&self.address, "say who is primary")),
                Err(Error::P4Runtime(LinkError::Refused { status, .. })) => {
                    return Ok(Standing::Refused(status));
                }
                Err(other) => return Err(other),
            }
        }
    }

    fn answer<T>(&self, doing: &'static str, answer: Option<Result<T, ClientError>>) -> Result<T, Error> {
        match answer {
            None => Err(silent(&self.address, doing)),
            Some(Ok(value)) => Ok(value),
            Some(Err(ClientError::Call(status))) => Err(refused(self, doing, status)),
            Some(Err(error)) => Err(LinkError::Client(error).into()),
        }
    }
}

/// That the target refused.
pub(super) fn refused(link: &Link, doing: &'static str, status: Box<Status>) -> Error {
    let at = link.place();
    LinkError::Refused { at, doing, status }.into()
}

fn silent(address: &Address, doing: &'static str) -> Error {
    LinkError::Silent {
        at: address.to_string(),
        doing,
    }
    .into()
}

fn wait<T>(runtime: &Runtime, answer: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await.ok() })
}

/// The word for a canonical code, as the standard writes it.
pub(super) fn code_word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn said(status: &Status) -> String {
    match status.message() {
        "" => code_word(status.code()).to_owned(),
        text => format!("{text} ({})", code_word(status.code())),
    }
}
