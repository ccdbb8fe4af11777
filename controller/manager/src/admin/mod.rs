//! What operators do: communities, invitations, members, policies, directors, credentials, whole networks.
//!
//! Problem: people make mistakes, and programs repeat themselves; neither may leave half a change, and who did what must be found out later.
//! Idea: a command is checked whole, against all that is known, before anything is changed; all its changes are one transaction, the record of the
//! act among them; a network is compared with what is there, and only the difference is done.
//!
//! ```text
//!  Command ─► role? ─► check everything ─► change ─► audit ─► one transaction ─► answer
//!               │            │                         ▲
//!               └── no ──────┴── what is wrong, what to do: nothing changed, but the audit record
//! ```
//!
//! Cost: proportional to what changes; a change of policies or pools looks at every member of the community once.

mod accounting;
mod acts;
mod apply;
mod check;
mod community;
mod credential;
mod director;
mod export;
mod invite;
mod listing;
mod member;
mod plan;
mod policy;
mod wish;

pub use crate::policy::compile as compile_policy;
pub use acts::Act;

use crate::core::{Actor, AdminError, AdminReply, Command, Manager, Time};
use acts::short;
use kith_protocol::records;

/// What was done: the answer, and what the audit log says of it.
struct Done {
    reply: AdminReply,
    detail: String,
}

/// How commands end.
type Outcome = Result<Done, AdminError>;

/// Runs a command: all of it, or nothing but the audit record. For [`crate::core::Settings`].
pub fn run(
    manager: &mut Manager,
    now: Time,
    actor: &Actor,
    command: Command,
) -> Result<AdminReply, AdminError> {
    let act = Act::of(&command);
    let allowed = actor.role >= act.needs;
    let outcome = if allowed {
        perform(manager, now, actor, command)
    } else {
        Err(refused(&act, actor))
    };
    if act.changes && outcome.is_ok() {
        manager.state_mut().note_operated();
    }
    let (detail, refusal) = match &outcome {
        Ok(done) => (done.detail.clone(), false),
        Err(error) => (error.to_string(), true),
    };
    if act.recorded || !allowed {
        audit(manager, now, actor, &act, &detail, !refusal);
    }
    outcome.map(|done| done.reply)
}

fn perform(manager: &mut Manager, now: Time, actor: &Actor, command: Command) -> Outcome {
    match command {
        Command::Status => Ok(manager.status().into()),
        Command::SetManager(settings) => manager.set_manager(now, &settings),
        Command::CreateCommunity(wish) => manager.create_community(now, &wish),
        Command::UpdateCommunity(wish) => manager.update_community(now, &wish),
        Command::DeleteCommunity(name) => manager.delete_community(now, &name.name),
        Command::ListCommunities => Ok(manager.list_communities().into()),
        Command::Invite(asked, passwords) => manager.invite(now, &asked, passwords),
        Command::ListMembers(query) => manager.list_members(&query),
        Command::UpdateMember(wish) => manager.update_member(now, &wish),
        Command::RevokeMember(asked) => manager.revoke_member(now, &asked),
        Command::DeleteMember(name) => manager.delete_member(now, &name.name),
        Command::PutPolicy(policy) => manager.put_policy(now, &policy),
        Command::DeletePolicy(name) => manager.delete_policy(now, &name),
        Command::ListPolicies(name) => manager.list_policies(&name.name),
        Command::ExplainPolicy(asked) => manager.explain_policy(&asked),
        Command::PutDirector(director) => manager.put_director(now, &director),
        Command::DeleteDirector(name) => manager.delete_director(now, &name.name),
        Command::ListDirectors => Ok(manager.list_directors().into()),
        Command::Apply(asked, passwords) => manager.apply(now, actor, &asked, passwords),
        Command::Export(asked) => manager.export(&asked),
        Command::ListAccounting(query) => manager.list_accounting(now, &query),
        Command::CreateCredential(asked) => manager.create_credential(now, &asked),
        Command::DeleteCredential(name) => manager.delete_credential(now, &name.name),
        Command::ListCredentials => Ok(manager.list_credentials().into()),
        Command::Backup => Ok(AdminReply::Done.into()),
    }
}

fn refused(act: &Act, actor: &Actor) -> AdminError {
    AdminError::NotAllowed {
        action: act.name.to_owned(),
        needs: act.needs,
        actor: actor.name.clone(),
        has: actor.role,
    }
}

fn audit(manager: &mut Manager, now: Time, actor: &Actor, act: &Act, detail: &str, allowed: bool) {
    manager.state_mut().audit(records::Audit {
        at_ms: now.0,
        actor: short(&actor.name),
        role: actor.role.to_string(),
        action: act.name.to_owned(),
        subject: act.subject.clone(),
        detail: short(detail),
        allowed,
    });
}

impl From<AdminReply> for Done {
    fn from(reply: AdminReply) -> Self {
        Self {
            reply,
            detail: String::new(),
        }
    }
}

impl Done {
    fn with(reply: AdminReply, detail: impl Into<String>) -> Self {
        Self {
            reply,
            detail: detail.into(),
        }
    }
}
