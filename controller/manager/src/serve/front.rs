//! Before the services: where a request goes, who may ask, how long it may take.
//!
//! ```text
//!  /kith.member.v1.Members/…  ─► members         (its envelope says who; over TLS only)
//!                   …/Watch   ─► watching        the same, with small buffers: it lasts
//!  /kith.admin.v1.Admin/…     ─► who is it? ─► admin      nobody known: refused before the message is read
//!  /kith.director.v1.Directors/… ─► whose token? ─► attend   the same (over TLS only)
//!  anything else              ─► unimplemented
//! ```

use super::admin::AdminService;
use super::attend::DirectorsService;
use super::door::Door;
use super::members::MembersService;
use super::peer::{Busy, Origin, Peer};
use super::watching;
use crate::metrics::Metrics;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use kith_protocol::admin::admin_server::AdminServer;
use kith_protocol::attendance::REPORT_MESSAGE;
use kith_protocol::director::directors_server::DirectorsServer;
use kith_protocol::member::members_server::MembersServer;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

/// Octets of a member's message; the longest that makes sense names 64 networks in 1 KiB. With this, the streams of a connection and the
/// connections there may be, what unread requests hold is bounded: 256 KiB a connection, 128 MiB by all strangers.
pub const MEMBER_MESSAGE: usize = 16 * 1024;
/// Requests under way on a connection of a stranger.
const STRANGER: usize = 4;
/// Octets of an operator's message: a network of 50,000 members fits.
pub const ADMIN_MESSAGE: usize = 16 * 1024 * 1024;
/// Operators' requests may take so long: a large network is applied as one.
const ADMIN_DEADLINE: Duration = Duration::from_secs(120);

const MEMBERS: &str = "/kith.member.v1.Members/";
/// Of the above, the one that lasts.
const WATCH: &str = "/kith.member.v1.Members/Watch";
const ADMIN: &str = "/kith.admin.v1.Admin/";
const DIRECTORS: &str = "/kith.director.v1.Directors/";

/// What stands behind every listener.
pub struct Front {
    members: MembersServer<MembersService>,
    watch: MembersService,
    admin: AdminServer<AdminService>,
    directors: DirectorsServer<DirectorsService>,
    door: Arc<Door>,
    deadline: Duration,
    metrics: Arc<Metrics>,
}

impl Front {
    pub(super) fn new(
        members: MembersService,
        admin: AdminService,
        directors: DirectorsService,
        door: Arc<Door>,
        deadline: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            watch: members.clone(),
            members: MembersServer::new(members).max_decoding_message_size(MEMBER_MESSAGE),
            admin: AdminServer::new(admin)
                .max_decoding_message_size(ADMIN_MESSAGE)
                .max_encoding_message_size(usize::MAX),
            directors: DirectorsServer::new(directors).max_decoding_message_size(REPORT_MESSAGE),
            door,
            deadline,
            metrics,
        }
    }

    /// Answers a request; refusals are answers too.
    pub(super) async fn answer(
        self: Arc<Self>,
        peer: Peer,
        mut request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let busy = peer.busy();
        let path = request.uri().path();
        let answer = if !peer.is_known() && peer.open() > STRANGER {
            refused(&Status::resource_exhausted("one request after the other, please"))
        } else if path.starts_with(MEMBERS) {
            match peer.origin() {
                Origin::Tls { .. } => {
                    request.extensions_mut().insert(peer);
                    if request.uri().path() == WATCH {
                        within(self.deadline, watching::answer(self.watch.clone(), request)).await
                    } else {
                        within(self.deadline, self.members.clone().call(request)).await
                    }
                }
                Origin::Local { .. } => {
                    refused(&Status::unimplemented("members are served over TLS, not here"))
                }
            }
        } else if path.starts_with(ADMIN) {
            match self.door.actor(&peer.origin(), request.headers()) {
                Ok(actor) => {
                    peer.prove();
                    request.extensions_mut().insert(actor);
                    within(ADMIN_DEADLINE, self.admin.clone().call(request)).await
                }
                Err(status) => refused(&status),
            }
        } else if path.starts_with(DIRECTORS) {
            self.attended(peer, request).await
        } else {
            refused(&Status::unimplemented("no such service"))
        };
        Ok(answer.map(|body| Answer { body, _busy: busy }))
    }

    async fn attended(&self, peer: Peer, mut request: Request<Incoming>) -> Response<tonic::body::Body> {
        let Origin::Tls { from, .. } = peer.origin() else {
            return refused(&Status::unimplemented("directors are served over TLS, not here"));
        };
        match self.door.director(request.headers()) {
            Ok(attendant) => {
                peer.prove();
                request.extensions_mut().insert((attendant, from));
                within(self.deadline, self.directors.clone().call(request)).await
            }
            Err(status) => {
                self.metrics.attendance("token");
                refused(&status)
            }
        }
    }
}

async fn within(
    deadline: Duration,
    answer: impl Future<Output = Result<Response<tonic::body::Body>, Infallible>>,
) -> Response<tonic::body::Body> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => refused(&Status::deadline_exceeded("the request took too long")),
    }
}

fn refused(status: &Status) -> Response<tonic::body::Body> {
    status.clone().into_http()
}

/// An answer's body: while it lasts, the connection is in use.
pub struct Answer {
    body: tonic::body::Body,
    _busy: Busy,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
