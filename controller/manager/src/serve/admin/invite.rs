//! Initial passwords, made before the core is asked: Argon2id takes many milliseconds, and nobody else shall wait for it.

use super::AdminService;
use crate::core::{Actor, InitialPassword, Role};
use kith_protocol::admin::{ApplyRequest, InviteRequest};
use tonic::Status;

/// Members invited with one request.
const MOST: usize = 10_000;

impl AdminService {
    pub(super) async fn passwords_to_invite(
        &self,
        actor: &Actor,
        asked: &InviteRequest,
    ) -> Result<Vec<InitialPassword>, Status> {
        self.passwords(actor, asked.invitees.len()).await
    }

    /// Members that are there already keep what they have; whoever only wants to know the plan needs no passwords.
    pub(super) async fn passwords_to_apply(
        &self,
        actor: &Actor,
        asked: &ApplyRequest,
    ) -> Result<Vec<InitialPassword>, Status> {
        let members = asked.network.as_ref().map_or(&[][..], |network| &network.members);
        if asked.dry_run || members.is_empty() {
            return Ok(Vec::new());
        }
        let missing = self.host.drive(|_, manager| {
            let state = manager.state();
            members
                .iter()
                .filter(|member| state.member_named(&member.fqdn).is_none())
                .count()
        });
        self.passwords(actor, missing.unwrap_or(0)).await
    }

    async fn passwords(&self, actor: &Actor, count: usize) -> Result<Vec<InitialPassword>, Status> {
        // Whoever may not invite is refused by the core, and costs no work before.
        if actor.role < Role::Operator {
            return Ok(Vec::new());
        }
        if count > MOST {
            return Err(Status::invalid_argument(format!(
                "{count} members are more than {MOST} at a time; invite them in parts"
            )));
        }
        let cost = self.cost;
        let made = tokio::task::spawn_blocking(move || {
            let mut fill = crate::serve::entropy::fill;
            (0..count)
                .map(|_| InitialPassword::generate(cost, &mut fill))
                .collect::<Result<Vec<_>, _>>()
        });
        let made = made
            .await
            .map_err(|_| Status::internal("making passwords ended by a panic"))?;
        made.map_err(|error| Status::internal(error.to_string()))
    }
}
