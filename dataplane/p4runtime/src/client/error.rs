//! What can go wrong for a client.

use crate::proto::v1;
use crate::service::ListenError;
use crate::status;
use tonic::{Code, Status};

/// Why an update or a filter of a batch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which one of the batch, from 0.
    pub index: usize,
    /// The canonical code.
    pub code: Code,
    /// The target's words; it may have left them out.
    pub message: String,
}

/// What failed of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// How many updates or filters the batch had.
    pub of: usize,
    /// Those that failed, in order.
    pub failed: Vec<Failure>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// An address that cannot be one.
    #[error("{0:?} is no address; write unix:/path, http://host:port or https://host:port")]
    Address(String),
    /// Nobody there.
    #[error("{address}: no connection: {why}; is the target running, and does it listen there?")]
    Connect {
        /// Where.
        address: String,
        /// What happened.
        why: String,
    },
    /// Own certificate, key, or authority.
    #[error(transparent)]
    Tls(#[from] ListenError),
    /// Some of a batch failed.
    #[error("{0}")]
    Batch(Failures),
    /// The call as a whole failed.
    #[error("the target answered {:?}: {}", .0.code(), .0.message())]
    Call(Box<Status>),
    /// The stream is over.
    #[error("the target closed the stream; connect again")]
    Closed,
    /// An answer that is none of our program's.
    #[error("the target's answer is not of our program: {0}; is it another program's dataplane?")]
    Foreign(String),
    /// The target has no program.
    #[error("the target runs no P4 program yet; set one with SetForwardingPipelineConfig")]
    NoProgram,
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        match status::batch_errors(&status) {
            Some(errors) => Self::Batch(Failures::new(&errors)),
            None => Self::Call(Box::new(status)),
        }
    }
}

impl ClientError {
    /// The code of the call, or of the first update that failed by itself.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Call(status) => Some(status.code()),
            Self::Batch(failures) => {
                let own = failures
                    .failed
                    .iter()
                    .find(|failure| failure.code != Code::Aborted);
                own.or(failures.failed.first()).map(|failure| failure.code)
            }
            _ => None,
        }
    }
}

impl Failures {
    fn new(errors: &[v1::Error]) -> Self {
        let failed = errors
            .iter()
            .enumerate()
            .filter(|(_, error)| error.canonical_code != 0);
        let failure = |(index, error): (usize, &v1::Error)| Failure {
            index,
            code: Code::from(error.canonical_code),
            message: error.message.clone(),
        };
        Self {
            of: errors.len(),
            failed: failed.map(failure).collect(),
        }
    }
}

impl std::fmt::Display for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} failed", self.failed.len(), self.of)?;
        // Those that were only taken back say nothing new.
        let mut own = self.failed.iter().filter(|failure| failure.code != Code::Aborted);
        for failure in own.by_ref().take(3) {
            write!(
                f,
                "; number {}: {:?}: {}",
                failure.index + 1,
                failure.code,
                failure.message
            )?;
        }
        match own.count() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
