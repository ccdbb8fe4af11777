//! `google.rpc.Status` in `grpc-status-details-bin`: how a batch's errors travel (specification 1.4, sections 10 and 12.3).
//!
//! ```text
//!  grpc-status: 2 (UNKNOWN)
//!  grpc-status-details-bin: google.rpc.Status { code: 2, message, details: [p4.v1.Error, one an update] }
//! ```

use crate::proto::{rpc, v1};
use prost::Message;
use tonic::{Code, Status};

/// The status of a batch, from an outcome for each of its updates.
///
/// # Errors
/// The status, if an outcome is an error.
pub fn of_batch<E: std::fmt::Display>(
    what: &str,
    outcomes: &[Result<(), E>],
    code: impl Fn(&E) -> Code,
) -> Result<(), Status> {
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    if failed == 0 {
        return Ok(());
    }
    let mut left = WORDS;
    let mut error = |outcome: &Result<(), E>| match outcome {
        Ok(()) => v1::Error::default(),
        Err(error) => {
            let text = error.to_string();
            let message = if text.len() <= left { text } else { String::new() };
            left -= message.len();
            v1::Error {
                canonical_code: code(error).into(),
                message,
                ..Default::default()
            }
        }
    };
    let message = format!(
        "{what}: {failed} of {} failed; details say which and why",
        outcomes.len()
    );
    let details = outcomes.iter().map(|outcome| any(&error(outcome))).collect();
    let status = rpc::Status {
        code: Code::Unknown.into(),
        message: message.clone(),
        details,
    };
    Err(Status::with_details(
        Code::Unknown,
        message,
        status.encode_to_vec().into(),
    ))
}

/// The errors of a batch, one an update, out of a status; none if the status is of the call as a whole.
#[must_use]
pub fn batch_errors(status: &Status) -> Option<Vec<v1::Error>> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let errors = details.iter().map(|detail| {
        detail
            .type_url
            .ends_with("/p4.v1.Error")
            .then(|| v1::Error::decode(&detail.value[..]).ok())
            .flatten()
    });
    errors
        .collect::<Option<Vec<_>>>()
        .filter(|errors| !errors.is_empty())
}

const ERROR_TYPE: &str = "type.googleapis.com/p4.v1.Error";

/// Octets of error messages in one status. It travels in HTTP/2 headers, of which clients take few: errors beyond it have their code alone.
const WORDS: usize = 16 << 10;

fn any(error: &v1::Error) -> prost_types::Any {
    prost_types::Any {
        type_url: ERROR_TYPE.to_owned(),
        value: error.encode_to_vec(),
    }
}
