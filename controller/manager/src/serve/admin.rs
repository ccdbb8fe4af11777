//! The operators' service. Who asks has been found out (see `door`); what the role allows is the core's to say, where it is audited.

mod invite;
mod listing;
mod stream;

use super::host::Host;
use super::identity;
use crate::core::{Actor, AdminError, AdminReply, Command};
use kith_protocol::admin::admin_server::Admin;
use kith_protocol::admin::{
    AccountingList, ApplyAnswer, ApplyRequest, AuditList, AuditQuery, Chunk, Communities, Community,
    CredentialRequest, Credentials, Director, Directors, Empty, Event, EventQuery, ExplainRequest,
    Explanation, ExportRequest, Invitations, InviteRequest, ManagerSettings, ManagerStatus, Member,
    MemberQuery, Members, Name, Network, NewCredential, Policies, Policy, PolicyName, RevokeRequest,
};
use kith_protocol::authenticator::Argon2Cost;
use kith_protocol::tls::Fingerprint;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status};

/// What the service says of the manager beside what the core knows.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) fingerprint: Fingerprint,
    pub(super) tunnel_port: u16,
    pub(super) store: PathBuf,
    pub(super) mail: String,
}

/// The operators' service.
#[derive(Clone)]
pub struct AdminService {
    host: Arc<Host>,
    about: Arc<About>,
    cost: Argon2Cost,
    stop: watch::Receiver<bool>,
    backups: Arc<Semaphore>,
}

impl AdminService {
    pub(super) fn new(host: Arc<Host>, about: About, cost: Argon2Cost, stop: watch::Receiver<bool>) -> Self {
        Self {
            host,
            about: Arc::new(about),
            cost,
            stop,
            backups: Arc::new(Semaphore::new(1)),
        }
    }

    async fn order(&self, method: &str, actor: Actor, command: Command) -> Result<AdminReply, Status> {
        let answer = self.host.command(actor, command).await;
        let outcome = answer
            .as_ref()
            .map_or_else(|error| status(error).code(), |_| tonic::Code::Ok);
        self.host.metrics.admin(method, &format!("{outcome:?}"));
        answer.map_err(|error| status(&error))
    }
}

/// What is wrong, for people; the code is for programs.
fn status(error: &AdminError) -> Status {
    let words = error.to_string();
    match error {
        AdminError::NotAllowed { .. } => Status::permission_denied(words),
        AdminError::NotFound(_) => Status::not_found(words),
        AdminError::Exists(_) => Status::already_exists(words),
        AdminError::Invalid(_) => Status::invalid_argument(words),
        AdminError::Conflict(_) => Status::failed_precondition(words),
        AdminError::Exhausted(_) => Status::resource_exhausted(words),
        AdminError::Store(_) => Status::unavailable(words),
    }
}

/// The actor whom the front has put there.
fn actor<T>(request: &Request<T>) -> Result<Actor, Status> {
    let actor = request.extensions().get::<Actor>();
    actor.cloned().ok_or_else(|| Status::internal("nobody asks"))
}

use super::unboxed::Unboxed;

/// A method that is one command with one reply.
macro_rules! ordered {
    ($self:ident, $request:ident, $method:literal, $reply:ident, $command:expr) => {{
        let actor = actor(&$request)?;
        let message = $request.into_inner();
        #[allow(clippy::redundant_closure_call)]
        match $self.order($method, actor, ($command)(message)).await? {
            AdminReply::$reply(reply) => Ok(Response::new(Unboxed::unboxed(reply))),
            _ => Err(Status::internal("the answer is to another question")),
        }
    }};
    ($self:ident, $request:ident, $method:literal, $command:expr) => {{
        let actor = actor(&$request)?;
        #[allow(clippy::redundant_closure_call)]
        $self
            .order($method, actor, ($command)($request.into_inner()))
            .await?;
        Ok(Response::new(Empty {}))
    }};
}

#[tonic::async_trait]
impl Admin for AdminService {
    type WatchEventsStream = stream::Stream<Event>;
    type BackupStream = stream::Stream<Chunk>;

    async fn get_status(&self, request: Request<Empty>) -> Result<Response<ManagerStatus>, Status> {
        let answer: Result<Response<ManagerStatus>, Status> =
            ordered!(self, request, "get_status", Status, |_| Command::Status);
        answer.map(|answer| answer.map(|status| self.complete(status)))
    }

    async fn set_manager(
        &self,
        request: Request<ManagerSettings>,
    ) -> Result<Response<ManagerStatus>, Status> {
        let answer: Result<Response<ManagerStatus>, Status> =
            ordered!(self, request, "set_manager", Status, Command::SetManager);
        let status = answer?.map(|status| self.complete(status));
        let reached = status.get_ref();
        let kept = identity::set_public(&*self.host.store, &reached.host, reached.port).await;
        kept.map_err(|error| {
            Status::unavailable(format!(
                "the address is in use, but not kept over a restart: {error}"
            ))
        })?;
        Ok(status)
    }

    async fn create_community(&self, request: Request<Community>) -> Result<Response<Community>, Status> {
        ordered!(
            self,
            request,
            "create_community",
            Community,
            Command::CreateCommunity
        )
    }

    async fn update_community(&self, request: Request<Community>) -> Result<Response<Community>, Status> {
        ordered!(
            self,
            request,
            "update_community",
            Community,
            Command::UpdateCommunity
        )
    }

    async fn delete_community(&self, request: Request<Name>) -> Result<Response<Empty>, Status> {
        ordered!(self, request, "delete_community", Command::DeleteCommunity)
    }

    async fn list_communities(&self, request: Request<Empty>) -> Result<Response<Communities>, Status> {
        ordered!(self, request, "list_communities", Communities, |_| {
            Command::ListCommunities
        })
    }

    async fn invite(&self, request: Request<InviteRequest>) -> Result<Response<Invitations>, Status> {
        let passwords = self
            .passwords_to_invite(&actor(&request)?, request.get_ref())
            .await?;
        ordered!(self, request, "invite", Invitations, |asked| Command::Invite(
            asked, passwords
        ))
    }

    async fn list_members(&self, request: Request<MemberQuery>) -> Result<Response<Members>, Status> {
        ordered!(self, request, "list_members", Members, Command::ListMembers)
    }

    async fn update_member(&self, request: Request<Member>) -> Result<Response<Member>, Status> {
        ordered!(self, request, "update_member", Member, |member| {
            Command::UpdateMember(Box::new(member))
        })
    }

    async fn revoke_member(&self, request: Request<RevokeRequest>) -> Result<Response<Empty>, Status> {
        ordered!(self, request, "revoke_member", Command::RevokeMember)
    }

    async fn delete_member(&self, request: Request<Name>) -> Result<Response<Empty>, Status> {
        ordered!(self, request, "delete_member", Command::DeleteMember)
    }

    async fn put_policy(&self, request: Request<Policy>) -> Result<Response<Policy>, Status> {
        ordered!(self, request, "put_policy", Policy, Command::PutPolicy)
    }

    async fn delete_policy(&self, request: Request<PolicyName>) -> Result<Response<Empty>, Status> {
        ordered!(self, request, "delete_policy", Command::DeletePolicy)
    }

    async fn list_policies(&self, request: Request<Name>) -> Result<Response<Policies>, Status> {
        ordered!(self, request, "list_policies", Policies, Command::ListPolicies)
    }

    async fn explain_policy(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<Explanation>, Status> {
        ordered!(
            self,
            request,
            "explain_policy",
            Explanation,
            Command::ExplainPolicy
        )
    }

    async fn put_director(&self, request: Request<Director>) -> Result<Response<Director>, Status> {
        ordered!(self, request, "put_director", Director, Command::PutDirector)
    }

    async fn delete_director(&self, request: Request<Name>) -> Result<Response<Empty>, Status> {
        ordered!(self, request, "delete_director", Command::DeleteDirector)
    }

    async fn list_directors(&self, request: Request<Empty>) -> Result<Response<Directors>, Status> {
        ordered!(self, request, "list_directors", Directors, |_| {
            Command::ListDirectors
        })
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyAnswer>, Status> {
        let passwords = self
            .passwords_to_apply(&actor(&request)?, request.get_ref())
            .await?;
        ordered!(self, request, "apply", Applied, |asked| Command::Apply(
            asked, passwords
        ))
    }

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<Network>, Status> {
        ordered!(self, request, "export", Network, Command::Export)
    }

    async fn list_accounting(
        &self,
        request: Request<MemberQuery>,
    ) -> Result<Response<AccountingList>, Status> {
        ordered!(
            self,
            request,
            "list_accounting",
            Accounting,
            Command::ListAccounting
        )
    }

    async fn list_audit(&self, request: Request<AuditQuery>) -> Result<Response<AuditList>, Status> {
        actor(&request)?;
        self.audit(request.into_inner()).await.map(Response::new)
    }

    async fn watch_events(
        &self,
        request: Request<EventQuery>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        actor(&request)?;
        Ok(Response::new(self.watch(request.into_inner())))
    }

    async fn create_credential(
        &self,
        request: Request<CredentialRequest>,
    ) -> Result<Response<NewCredential>, Status> {
        ordered!(
            self,
            request,
            "create_credential",
            NewCredential,
            Command::CreateCredential
        )
    }

    async fn delete_credential(&self, request: Request<Name>) -> Result<Response<Empty>, Status> {
        ordered!(self, request, "delete_credential", Command::DeleteCredential)
    }

    async fn list_credentials(&self, request: Request<Empty>) -> Result<Response<Credentials>, Status> {
        ordered!(self, request, "list_credentials", Credentials, |_| {
            Command::ListCredentials
        })
    }

    async fn backup(&self, request: Request<Empty>) -> Result<Response<Self::BackupStream>, Status> {
        let actor = actor(&request)?;
        self.copy(actor).await.map(Response::new)
    }
}
