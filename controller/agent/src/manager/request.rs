//! Requests to a manager, and what can come back: what the machines and their hosts speak about.

pub use kith_protocol::call::Call;
use kith_protocol::member::{
    ConfirmAnswer, Envelope, InitAnswer, JoinAnswer, LeaveAnswer, LocateAnswer, ManagerAddress, MoveAnswer,
    QueryAnswer, RefreshAnswer, RegisterAnswer,
};
use std::fmt;

/// Names a request; an answer to an older one changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a stream of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// How long to wait for an answer, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Patience(pub u64);

/// Where a manager is, and by what it is recognised.
#[derive(Clone, PartialEq, Eq)]
pub struct Manager {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// SHA-256 of its certificate's public key.
    pub fingerprint: [u8; 32],
}

/// A request, ready to be sent.
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// To whom.
    pub manager: Manager,
    /// What is called.
    pub call: Call,
    /// With what.
    pub envelope: Envelope,
    /// How long to wait for the answer.
    pub patience: Patience,
}

/// What a manager answered. (Boxed where it is large.)
pub enum Answer {
    /// To [`Call::Register`].
    Register(RegisterAnswer),
    /// To [`Call::Confirm`].
    Confirm(ConfirmAnswer),
    /// To [`Call::Init`].
    Init(Box<InitAnswer>),
    /// To [`Call::Join`].
    Join(Box<JoinAnswer>),
    /// To [`Call::Move`].
    Move(MoveAnswer),
    /// To [`Call::Refresh`].
    Refresh(RefreshAnswer),
    /// To [`Call::Locate`].
    Locate(Box<LocateAnswer>),
    /// To [`Call::Query`].
    Query(QueryAnswer),
    /// To [`Call::Leave`].
    Leave(LeaveAnswer),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The manager dropped the request without a word: it knows no such member, or not this authenticator.
    #[error("the manager does not accept this device's word")]
    Dropped,
    /// The manager has too much to do.
    #[error("the manager is busy")]
    Busy,
    /// No answer in time. Whether the request arrived is not known.
    #[error("no answer in time")]
    TimedOut,
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Manager {
    /// Reads what a registration file or a manager says; `None` if that is no address.
    #[must_use]
    pub fn read(written: &ManagerAddress) -> Option<Self> {
        Some(Self {
            host: Some(written.host.clone()).filter(|host| !host.is_empty() && host.len() <= 253)?,
            port: u16::try_from(written.port).ok().filter(|port| *port != 0)?,
            fingerprint: written.fingerprint.as_slice().try_into().ok()?,
        })
    }
}
