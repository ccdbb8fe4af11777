//! The connection to a manager: gRPC over TLS 1.3, to the holder of one key and to nobody else.
//!
//! ```text
//!  Request ─► connection (dialled when needed, kept, dropped when it breaks) ─► Answer, or why there is none
//! ```
//!
//! Every call has a deadline that covers dialling too. A manager that is silent is found dead by HTTP/2's own signs of life, which is what ends a stream of
//! changes whose other side has gone.

use crate::manager::request::{Answer, Call, Failure, Manager, Patience};
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::{Envelope, Update};
use kith_protocol::tls::{Dial, DialError, Fingerprint};
use std::time::Duration;
use tokio::sync::Mutex;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// A connection to one manager, made when it is needed.
pub struct Link {
    dial: Dial,
    channel: Mutex<Option<Channel>>,
}

/// The stream must have been opened by then.
const OPENING: Duration = Duration::from_secs(10);
/// Between signs of life.
const KEEPALIVE: Duration = Duration::from_secs(15);

impl Link {
    /// Not connected yet.
    #[must_use]
    pub fn new(manager: &Manager) -> Self {
        let mut dial = Dial::new(&manager.host, manager.port, Fingerprint(manager.fingerprint));
        dial.keepalive = KEEPALIVE;
        Self {
            dial,
            channel: Mutex::new(None),
        }
    }

    /// Asks, and waits for the answer no longer than `patience`.
    pub async fn call(&self, call: Call, envelope: Envelope, patience: Patience) -> Result<Answer, Failure> {
        let patience = Duration::from_millis(patience.0);
        let answer = tokio::time::timeout(patience, self.ask(call, envelope, patience));
        let result = answer.await.unwrap_or(Err(Failure::TimedOut));
        self.forget_if_broken(result.as_ref().err()).await;
        result
    }

    /// Opens the stream of changes.
    pub async fn watch(&self, envelope: Envelope) -> Result<Streaming<Update>, Failure> {
        let opened = tokio::time::timeout(OPENING, async {
            let mut client = self.client().await?;
            client
                .watch(envelope)
                .await
                .map(tonic::Response::into_inner)
                .map_err(|status| failure(&status))
        });
        let result = opened.await.unwrap_or(Err(Failure::TimedOut));
        self.forget_if_broken(result.as_ref().err()).await;
        result
    }

    async fn ask(&self, call: Call, envelope: Envelope, patience: Duration) -> Result<Answer, Failure> {
        let mut client = self.client().await?;
        let mut request = tonic::Request::new(envelope);
        request.set_timeout(patience);
        let answer = match call {
            Call::Register => client
                .register(request)
                .await
                .map(|answer| Answer::Register(answer.into_inner())),
            Call::Confirm => client
                .confirm(request)
                .await
                .map(|answer| Answer::Confirm(answer.into_inner())),
            Call::Init => client
                .init(request)
                .await
                .map(|answer| Answer::Init(Box::new(answer.into_inner()))),
            Call::Join => client
                .join(request)
                .await
                .map(|answer| Answer::Join(Box::new(answer.into_inner()))),
            Call::Move => client
                .r#move(request)
                .await
                .map(|answer| Answer::Move(answer.into_inner())),
            Call::Refresh => client
                .refresh(request)
                .await
                .map(|answer| Answer::Refresh(answer.into_inner())),
            Call::Locate => client
                .locate(request)
                .await
                .map(|answer| Answer::Locate(Box::new(answer.into_inner()))),
            Call::Query => client
                .query(request)
                .await
                .map(|answer| Answer::Query(answer.into_inner())),
            Call::Leave => client
                .leave(request)
                .await
                .map(|answer| Answer::Leave(answer.into_inner())),
        };
        answer.map_err(|status| failure(&status))
    }

    async fn client(&self) -> Result<MembersClient<Channel>, Failure> {
        let mut kept = self.channel.lock().await;
        if let Some(channel) = &*kept {
            return Ok(MembersClient::new(channel.clone()));
        }
        let channel = self.dial.connect().await.map_err(|error| match error {
            DialError::Connect { why, .. } => Failure::Unreachable(why),
            other => Failure::Unreachable(other.to_string()),
        })?;
        *kept = Some(channel.clone());
        Ok(MembersClient::new(channel))
    }

    /// The next call dials anew.
    async fn forget_if_broken(&self, failure: Option<&Failure>) {
        if matches!(failure, Some(Failure::TimedOut | Failure::Unreachable(_))) {
            *self.channel.lock().await = None;
        }
    }
}

/// What a status says to a member.
#[must_use]
pub fn failure(status: &Status) -> Failure {
    match status.code() {
        Code::Unauthenticated => Failure::Dropped,
        Code::ResourceExhausted => Failure::Busy,
        Code::DeadlineExceeded | Code::Cancelled => Failure::TimedOut,
        _ => {
            let shown = status.message().chars().filter(|letter| !letter.is_control());
            Failure::Unreachable(shown.take(200).collect())
        }
    }
}
