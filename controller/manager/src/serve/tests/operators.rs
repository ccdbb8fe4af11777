//! As much of the operators' half of the core as these tests ask for: what they try is the serving, not the commands.

use crate::core::state::{Member, Password, Prefix};
use crate::core::{Actor, AdminError, AdminReply, Command, Manager, Output, Role, Time};
use crate::core::{MemberId, State};
use crate::serve::Operators;
use aws_lc_rs::digest::{SHA256, digest};
use kith_protocol::admin;
use kith_protocol::authenticator::Argon2Cost;
use kith_protocol::invitation::Invitation;
use kith_protocol::names::Fqdn;
use kith_protocol::tls::Fingerprint;
use kith_protocol::{member, records};

pub(super) const OPERATORS: Operators = Operators {
    compile_policy: allow_all,
    command: run,
    cost: Argon2Cost::SIMULATION,
};

fn allow_all(_: &State, _: MemberId) -> Vec<member::Rule> {
    vec![member::Rule {
        allow: true,
        ..member::Rule::default()
    }]
}

fn run(manager: &mut Manager, now: Time, actor: &Actor, command: Command) -> Result<AdminReply, AdminError> {
    let (action, needs) = match &command {
        Command::Status => ("manager.status", Role::Viewer),
        Command::ListDirectors => ("director.list", Role::Viewer),
        Command::ListCredentials => ("credential.list", Role::Admin),
        Command::CreateCommunity(_) => ("community.create", Role::Admin),
        Command::Invite(..) => ("member.invite", Role::Operator),
        _ => ("other", Role::Admin),
    };
    let allowed = actor.role >= needs;
    if needs > Role::Viewer {
        manager.state_mut().audit(records::Audit {
            at_ms: now.0,
            actor: actor.name.clone(),
            role: actor.role.to_string(),
            action: action.into(),
            allowed,
            ..records::Audit::default()
        });
    }
    if !allowed {
        let (action, actor, has) = (action.to_owned(), actor.name.clone(), actor.role);
        return Err(AdminError::NotAllowed {
            action,
            needs,
            actor,
            has,
        });
    }
    match command {
        Command::Status => Ok(AdminReply::Status(admin::ManagerStatus {
            communities: manager.state().communities().count() as u64,
            members: manager.state().member_count(),
            joined: manager.state().joined_count(),
            ..admin::ManagerStatus::default()
        })),
        Command::CreateCommunity(wanted) => create(manager, now, wanted),
        Command::Invite(asked, passwords) => {
            let mut invitations = Vec::new();
            for (invitee, password) in asked.invitees.iter().zip(passwords) {
                invitations.push(invite(manager, now, invitee, password)?);
            }
            Ok(AdminReply::Invitations(admin::Invitations { invitations }))
        }
        Command::ListDirectors => Ok(AdminReply::Directors(admin::Directors {
            directors: manager
                .state()
                .directors()
                .map(|director| listed(&director.record))
                .collect(),
        })),
        Command::PutDirector(wanted) => {
            manager.state_mut().put_director(records::Director {
                name: wanted.name.clone(),
                address: wanted.address.parse::<std::net::Ipv4Addr>().unwrap().into(),
                port: wanted.port,
                udp: wanted.udp,
                capacity: wanted.capacity,
                ..records::Director::default()
            });
            Ok(AdminReply::Director(wanted))
        }
        Command::CreateCredential(wanted) => {
            let token = format!("token-of-{}", wanted.name);
            let certificate = !wanted.certificate_der.is_empty();
            let hash = match certificate {
                true => Fingerprint::of_certificate(&wanted.certificate_der.as_slice().into())
                    .unwrap()
                    .0
                    .to_vec(),
                false => digest(&SHA256, token.as_bytes()).as_ref().to_vec(),
            };
            manager.state_mut().put_credential(records::Credential {
                id: wanted.name.clone(),
                name: wanted.name,
                role: wanted.role,
                hash,
                certificate,
                created_ms: now.0,
                expires_ms: if wanted.valid_s == 0 {
                    0
                } else {
                    now.0 + wanted.valid_s * 1000
                },
            });
            Ok(AdminReply::NewCredential(admin::NewCredential {
                credential: None,
                token,
            }))
        }
        _ => Err(AdminError::NotFound("these tests do not ask for it".into())),
    }
}

fn create(manager: &mut Manager, now: Time, wanted: admin::Community) -> Result<AdminReply, AdminError> {
    if manager.state().community_named(&wanted.domain).is_some() {
        return Err(AdminError::Exists(format!("{} is there already", wanted.domain)));
    }
    let pools: Vec<Prefix> = wanted.pools.iter().map(|pool| pool.parse().unwrap()).collect();
    let index = manager.state().free_community_index().unwrap();
    let secret = manager.random();
    let community = crate::core::state::Community::new(index, &wanted.domain, pools, secret);
    let (domain, manager_address) = (community.domain.clone(), community.manager_address);
    manager.state_mut().put_community(community);
    manager.emit(Output::Channel(crate::core::ChannelOp::Community {
        community: index,
        domain,
        manager_address,
    }));
    manager.event(now, "community.created", index, &wanted.domain, "");
    Ok(AdminReply::Community(wanted))
}

fn invite(
    manager: &mut Manager,
    now: Time,
    invitee: &admin::Invitee,
    password: crate::core::InitialPassword,
) -> Result<admin::Invitation, AdminError> {
    let community = manager.state().community_of_name(&invitee.fqdn).unwrap().index;
    let id = manager.new_member_id();
    let mut member = Member::new(id, community, &invitee.fqdn, now.0);
    member.email = invitee.email.as_str().into();
    let expires_ms = now.0 + 3_600_000;
    let (key, salt) = (password.key, password.salt);
    member.password = Some(Box::new(Password {
        key,
        salt,
        expires_ms,
        uses: 0,
    }));
    manager.state_mut().add_member(member);
    let reached = &manager.settings().managers[0];
    let invitation = Invitation {
        host: reached.host.clone(),
        port: reached.port.try_into().unwrap(),
        fingerprint: Fingerprint::from_slice(&reached.fingerprint).unwrap(),
        fqdn: Fqdn::parse(&invitee.fqdn).unwrap(),
        salt,
        password: password.password,
    };
    let text = invitation.text().to_string();
    Ok(admin::Invitation {
        fqdn: invitee.fqdn.clone(),
        text,
        expires_ms,
        mailed_to: String::new(),
    })
}

fn listed(record: &records::Director) -> admin::Director {
    admin::Director {
        name: record.name.clone(),
        address: std::net::Ipv4Addr::from(record.address).to_string(),
        port: record.port,
        udp: record.udp,
        capacity: record.capacity,
        ..admin::Director::default()
    }
}
