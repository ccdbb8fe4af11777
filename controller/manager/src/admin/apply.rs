//! A whole network at once: planned, and if it is well, done in one transaction.

use super::plan::{Plan, moves, plan};
use super::{Done, Outcome, short};
use crate::core::{Actor, AdminError, AdminReply, CommunityIndex, Ended, InitialPassword, Manager, Time};
use kith_protocol::admin::change::Kind;
use kith_protocol::admin::{ApplyAnswer, ApplyRequest, Invitation, Network};
use kith_protocol::records;
use kith_store::Revision;
use std::collections::BTreeSet;

impl Manager {
    pub(super) fn apply(
        &mut self,
        now: Time,
        actor: &Actor,
        asked: &ApplyRequest,
        passwords: Vec<InitialPassword>,
    ) -> Outcome {
        self.unchanged_since(Revision(asked.expected_revision))?;
        let nothing = Network::default();
        let plan = plan(
            self.state(),
            asked.network.as_ref().unwrap_or(&nothing),
            asked.prune,
            now,
        )?;
        let mut answer = ApplyAnswer {
            changes: plan.changes.clone(),
            revision: self.state().revision().0,
            invitations: Vec::new(),
            applied: !asked.dry_run,
        };
        let detail = summary(&plan);
        if !asked.dry_run {
            answer.invitations = self.take_steps(now, &plan, passwords, !asked.no_mail)?;
            self.audit_changes(now, actor, &plan);
        }
        Ok(Done::with(AdminReply::Applied(answer), detail))
    }

    /// Has no operator changed anything since?
    fn unchanged_since(&self, expected: Revision) -> Result<(), AdminError> {
        if expected == Revision(0) || expected > self.state().operated() {
            return Ok(());
        }
        Err(AdminError::Conflict(
            "somebody else has changed something since this was planned; look at a new plan, and apply that"
                .to_owned(),
        ))
    }

    /// All is checked but what the invitations need; that comes first.
    fn take_steps(
        &mut self,
        now: Time,
        plan: &Plan,
        passwords: Vec<InitialPassword>,
        mail: bool,
    ) -> Result<Vec<Invitation>, AdminError> {
        let terms = if plan.invited.is_empty() {
            None
        } else {
            Some(self.terms(0, mail)?)
        };
        super::invite::enough(&passwords, plan.invited.len())?;

        plan.directors
            .iter()
            .for_each(|record| self.set_director(now, record));
        let mut touched: BTreeSet<CommunityIndex> = BTreeSet::new();
        for (index, id) in &plan.gone_policies {
            self.event(now, "policy.deleted", *index, id, "");
            self.state_mut().remove_policy(*index, id);
            touched.insert(*index);
        }
        for id in &plan.gone_members {
            touched.extend(self.state().member(*id).map(|member| member.community));
            self.remove_member(now, *id);
        }
        for (index, wish) in &plan.communities {
            match index.or_else(|| self.state().free_community_index()) {
                Some(index) if self.state().community(index).is_some() => {
                    self.change_community(now, index, wish)
                }
                Some(index) => self.new_community(now, index, wish),
                // There are fewer than 65535: it was checked.
                None => {}
            }
        }
        // All leave their places before anybody takes a new one.
        for (id, wish) in &plan.changed_members {
            if moves(self.state(), *id, wish) {
                self.end_session(now, *id, Ended::Changed("it gets another address".to_owned()));
                self.state_mut().release_address(*id);
            }
        }
        for (id, wish) in &plan.changed_members {
            touched.extend(self.state().member(*id).map(|member| member.community));
            self.change_member(now, *id, wish);
        }
        let mut invitations = Vec::new();
        for (wish, password) in plan.invited.iter().zip(passwords) {
            invitations.extend(
                terms
                    .as_ref()
                    .and_then(|terms| self.invite_one(now, wish, password, terms)),
            );
            touched.extend(
                self.state()
                    .member_named(&wish.fqdn)
                    .map(|member| member.community),
            );
        }
        for record in &plan.policies {
            let Some(index) = self
                .state()
                .community_named(&record.community)
                .map(|community| community.index)
            else {
                continue;
            };
            self.event(
                now,
                "policy.changed",
                index,
                &record.id,
                super::policy::described(record).join(", "),
            );
            self.state_mut().put_policy(index, record.clone());
            touched.insert(index);
        }
        touched.into_iter().for_each(|index| self.policies_changed(index));
        Ok(invitations)
    }

    /// One record for each change, beside that of the whole.
    fn audit_changes(&mut self, now: Time, actor: &Actor, plan: &Plan) {
        for change in &plan.changes {
            let verb = match change.kind() {
                Kind::Create => "network.create",
                Kind::Update => "network.update",
                Kind::Delete => "network.delete",
            };
            self.state_mut().audit(records::Audit {
                at_ms: now.0,
                actor: short(&actor.name),
                role: actor.role.to_string(),
                action: verb.to_owned(),
                subject: short(&change.subject),
                detail: short(&change.details.join(", ")),
                allowed: true,
            });
        }
    }
}

/// "2 created, 1 changed, 0 deleted"
fn summary(plan: &Plan) -> String {
    let count = |kind: Kind| plan.changes.iter().filter(|change| change.kind() == kind).count();
    let (created, changed, deleted) = (count(Kind::Create), count(Kind::Update), count(Kind::Delete));
    format!("{created} created, {changed} changed, {deleted} deleted")
}
