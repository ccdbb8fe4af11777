//! A letter, and how it is written down (RFC 5322).

use super::MailError;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use zeroize::Zeroizing;

/// A letter to one person. No `Debug`: it holds an initial password or a code.
pub struct Letter {
    /// To whom.
    pub to: String,
    /// Its subject; no secret.
    pub subject: String,
    /// What it says.
    pub body: Zeroizing<String>,
}

/// Not a mail address.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is not a mail address ({why}); write it as name@domain")]
pub struct MailboxError {
    address: String,
    why: String,
}

pub(super) fn mailbox(address: &str) -> Result<Mailbox, MailboxError> {
    address
        .parse()
        .map_err(|error: lettre::address::AddressError| MailboxError {
            address: address.to_owned(),
            why: error.to_string(),
        })
}

pub(super) fn compose(from: &Mailbox, letter: &Letter) -> Result<Message, MailError> {
    Message::builder()
        .from(from.clone())
        .to(mailbox(&letter.to)?)
        // RFC 3834 section 5: nobody's absence notice shall answer this.
        .header(AutoSubmitted)
        .subject(&letter.subject)
        .header(ContentType::TEXT_PLAIN)
        .body(letter.body.as_str().to_owned())
        .map_err(|error| MailError::Compose(error.to_string()))
}

/// `Auto-Submitted: auto-generated`.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
