//! The members' service: envelopes in, the core's answers out.

use super::host::Host;
use super::outputs::dropped;
use super::peer::{Origin, Peer};
use super::streams::Updates;
use crate::core::{Answer, Call};
use kith_protocol::member::members_server::Members;
use kith_protocol::member::{
    ConfirmAnswer, Envelope, InitAnswer, JoinAnswer, LeaveAnswer, LocateAnswer, MoveAnswer, QueryAnswer,
    RefreshAnswer, RegisterAnswer, Update, confirm_answer, init_answer, join_answer, leave_answer,
    locate_answer, move_answer, query_answer, refresh_answer, register_answer,
};
use std::net::SocketAddrV4;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The members' service.
#[derive(Clone)]
pub struct MembersService {
    host: Arc<Host>,
}

impl MembersService {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self { host }
    }

    /// A member's stream of changes.
    pub(super) fn begin_watch(
        &self,
        request: Request<Envelope>,
    ) -> Result<Response<Updates<Update>>, Status> {
        let (peer, from) = whence(&request)?;
        Ok(Response::new(self.host.watch(&peer, from, request.into_inner())))
    }

    async fn ask(&self, call: Call, request: Request<Envelope>) -> Result<Answer, Status> {
        let (peer, from) = whence(&request)?;
        let answer = self.host.call(from, call, request.into_inner()).await?;
        if matches!(answer, Answer::Dropped(_)) {
            return Err(dropped());
        }
        // Even a refusal is only for those who proved who they are.
        peer.prove();
        Ok(answer)
    }
}

use super::unboxed::Unboxed;

/// An answer of one call: its own acknowledgement, or a refusal.
macro_rules! answered {
    ($self:ident, $request:ident, $call:ident, $message:ident, $answer:ident, $ack:ident) => {{
        let answer = match $self.ask(Call::$call, $request).await? {
            Answer::$call(ack) => $answer::Answer::$ack(Unboxed::unboxed(ack)),
            Answer::Refused(refusal) => $answer::Answer::Refusal(refusal),
            _ => return Err(Status::internal("the answer is to another question")),
        };
        Ok(Response::new($message { answer: Some(answer) }))
    }};
}

#[tonic::async_trait]
impl Members for MembersService {
    type WatchStream = Updates<Update>;

    async fn register(&self, request: Request<Envelope>) -> Result<Response<RegisterAnswer>, Status> {
        answered!(self, request, Register, RegisterAnswer, register_answer, Ack)
    }

    async fn confirm(&self, request: Request<Envelope>) -> Result<Response<ConfirmAnswer>, Status> {
        answered!(self, request, Confirm, ConfirmAnswer, confirm_answer, Ack)
    }

    async fn init(&self, request: Request<Envelope>) -> Result<Response<InitAnswer>, Status> {
        answered!(self, request, Init, InitAnswer, init_answer, Ack)
    }

    async fn join(&self, request: Request<Envelope>) -> Result<Response<JoinAnswer>, Status> {
        answered!(self, request, Join, JoinAnswer, join_answer, Ack)
    }

    async fn r#move(&self, request: Request<Envelope>) -> Result<Response<MoveAnswer>, Status> {
        answered!(self, request, Move, MoveAnswer, move_answer, Ack)
    }

    async fn refresh(&self, request: Request<Envelope>) -> Result<Response<RefreshAnswer>, Status> {
        answered!(self, request, Refresh, RefreshAnswer, refresh_answer, Ack)
    }

    async fn locate(&self, request: Request<Envelope>) -> Result<Response<LocateAnswer>, Status> {
        answered!(self, request, Locate, LocateAnswer, locate_answer, Peer)
    }

    async fn query(&self, request: Request<Envelope>) -> Result<Response<QueryAnswer>, Status> {
        answered!(self, request, Query, QueryAnswer, query_answer, Ack)
    }

    async fn leave(&self, request: Request<Envelope>) -> Result<Response<LeaveAnswer>, Status> {
        answered!(self, request, Leave, LeaveAnswer, leave_answer, Ack)
    }

    async fn watch(&self, request: Request<Envelope>) -> Result<Response<Updates<Update>>, Status> {
        self.begin_watch(request)
    }
}

/// The connection that a request came on. The front puts it there.
fn whence<T>(request: &Request<T>) -> Result<(Peer, SocketAddrV4), Status> {
    let peer = request.extensions().get::<Peer>();
    match peer.map(|peer| (peer, peer.origin())) {
        Some((peer, Origin::Tls { from, .. })) => Ok((peer.clone(), from)),
        _ => Err(Status::internal("the request came on no connection")),
    }
}
