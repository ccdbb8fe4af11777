//! Every command by name, and the role that it needs: one table.

use crate::core::{Command, Role};

/// A command, as the audit log and refusals name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// "member.revoke"
    pub name: &'static str,
    /// The least role that may.
    pub needs: Role,
    /// What it is about: a name, or nothing.
    pub subject: String,
    /// It changes something: a plan that was made before does not hold any more.
    pub changes: bool,
    /// It is always audited: what changes something, and what gives everything away. The rest is audited when it is refused.
    pub recorded: bool,
}

impl Act {
    /// Of a command.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        use Role::{Admin, Operator, Viewer};
        let reads = |name, needs, subject: &str| Self {
            name,
            needs,
            subject: short(subject),
            changes: false,
            recorded: false,
        };
        let changes = |name, needs, subject: &str| Self {
            name,
            needs,
            subject: short(subject),
            changes: true,
            recorded: true,
        };
        match command {
            Command::Status => reads("manager.status", Viewer, ""),
            Command::ListCommunities => reads("community.list", Viewer, ""),
            Command::ListMembers(query) => reads("member.list", Viewer, &query.community),
            Command::ListPolicies(name) => reads("policy.list", Viewer, &name.name),
            Command::ExplainPolicy(asked) => reads("policy.explain", Viewer, &asked.from),
            Command::ListDirectors => reads("director.list", Viewer, ""),
            Command::ListAccounting(query) => reads("accounting.list", Viewer, &query.community),
            Command::Export(_) => reads("network.export", Viewer, ""),
            Command::Apply(asked, _) if asked.dry_run => reads("network.plan", Viewer, ""),

            Command::Invite(asked, _) => changes("member.invite", Operator, &invited(asked)),
            Command::UpdateMember(member) => changes("member.update", Operator, &member.fqdn),
            Command::RevokeMember(asked) => changes("member.revoke", Operator, &asked.fqdn),
            Command::DeleteMember(name) => changes("member.delete", Operator, &name.name),
            Command::PutPolicy(policy) => changes(
                "policy.put",
                Operator,
                &format!("{}/{}", policy.community, policy.id),
            ),
            Command::DeletePolicy(name) => changes(
                "policy.delete",
                Operator,
                &format!("{}/{}", name.community, name.id),
            ),

            Command::SetManager(settings) => changes("manager.set", Admin, &settings.host),
            Command::CreateCommunity(community) => changes("community.create", Admin, &community.domain),
            Command::UpdateCommunity(community) => changes("community.update", Admin, &community.domain),
            Command::DeleteCommunity(name) => changes("community.delete", Admin, &name.name),
            Command::PutDirector(director) => changes("director.put", Admin, &director.name),
            Command::DeleteDirector(name) => changes("director.delete", Admin, &name.name),
            Command::Apply(..) => changes("network.apply", Admin, ""),
            Command::CreateCredential(asked) => changes("credential.create", Admin, &asked.name),
            Command::DeleteCredential(name) => changes("credential.delete", Admin, &name.name),
            // Whoever has a copy has everything.
            Command::Backup => Self {
                recorded: true,
                ..reads("manager.backup", Admin, "")
            },
            // Who else may act is of use to an intruder.
            Command::ListCredentials => reads("credential.list", Admin, ""),
        }
    }
}

fn invited(asked: &kith_protocol::admin::InviteRequest) -> String {
    match asked.invitees.as_slice() {
        [one] => one.fqdn.clone(),
        many => format!("{} ({} members)", asked.community, many.len()),
    }
}

/// What somebody wrote, on one line and not too long.
pub(super) fn short(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(400)
        .collect();
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_protocol::admin as a;

    /// One of each; `Act::of` would not compile if it left one out.
    fn all() -> Vec<Command> {
        vec![
            Command::Status,
            Command::SetManager(a::ManagerSettings::default()),
            Command::CreateCommunity(a::Community::default()),
            Command::UpdateCommunity(a::Community::default()),
            Command::DeleteCommunity(a::Name::default()),
            Command::ListCommunities,
            Command::Invite(a::InviteRequest::default(), Vec::new()),
            Command::ListMembers(a::MemberQuery::default()),
            Command::UpdateMember(Box::default()),
            Command::RevokeMember(a::RevokeRequest::default()),
            Command::DeleteMember(a::Name::default()),
            Command::PutPolicy(a::Policy::default()),
            Command::DeletePolicy(a::PolicyName::default()),
            Command::ListPolicies(a::Name::default()),
            Command::ExplainPolicy(a::ExplainRequest::default()),
            Command::PutDirector(a::Director::default()),
            Command::DeleteDirector(a::Name::default()),
            Command::ListDirectors,
            Command::Apply(a::ApplyRequest::default(), Vec::new()),
            Command::Apply(
                a::ApplyRequest {
                    dry_run: true,
                    ..a::ApplyRequest::default()
                },
                Vec::new(),
            ),
            Command::Export(a::ExportRequest::default()),
            Command::ListAccounting(a::MemberQuery::default()),
            Command::CreateCredential(a::CredentialRequest::default()),
            Command::DeleteCredential(a::Name::default()),
            Command::ListCredentials,
            Command::Backup,
        ]
    }

    #[test]
    fn every_command_has_a_name_of_its_own_and_a_role() {
        let names: std::collections::BTreeSet<&str> =
            all().iter().map(|command| Act::of(command).name).collect();
        assert_eq!(names.len(), 26);
        assert!(names.iter().all(|name| name.contains('.')));
    }

    #[test]
    fn viewers_change_nothing_and_operators_leave_the_network_as_it_is() {
        for command in all() {
            let act = Act::of(&command);
            let of_members = act.name.starts_with("member.") || act.name.starts_with("policy.");
            let needed = match (act.changes, of_members) {
                (true, true) => Role::Operator,
                (true, false) => Role::Admin,
                (false, _) if ["credential.list", "manager.backup"].contains(&act.name) => Role::Admin,
                (false, _) => Role::Viewer,
            };
            assert_eq!(act.needs, needed, "{}", act.name);
        }
    }

    #[test]
    fn what_is_written_to_the_log_is_one_short_line() {
        assert_eq!(short("a\nb\u{7}"), "a b");
        assert_eq!(short(&"x".repeat(10_000)).len(), 400);
    }
}
