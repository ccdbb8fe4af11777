//! Who runs the communities: a list of acts, each repeated until the manager has said what became of it.

use crate::device::{Device, Invited, Stage};
use crate::mirror::NOTHING_LOST;
use crate::net::Net;
use crate::server::Server;
use crate::world::What;
use kith_agent::manager::request::Manager;
use kith_manager::core::{AdminError, AdminReply, Command, InitialPassword, Token};
use kith_protocol::admin;
use kith_protocol::authenticator::Argon2Cost;
use kith_protocol::records::MemberState;
use std::collections::VecDeque;

/// An act.
#[derive(Clone)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Act {
    Create(admin::Community),
    Director(admin::Director),
    /// Devices by number.
    Invite(Vec<usize>),
    Revoke(usize),
    Delete(usize),
    Policy(admin::Policy),
    NoPolicy(String, String),
    Community(admin::Community),
}

/// The operator.
#[derive(Default)]
pub struct Operator {
    /// What is to be done, and when at the earliest.
    pub plan: VecDeque<(u64, Act)>,
    under_way: Option<UnderWay>,
    /// Acts done and refused.
    pub done: (u64, u64),
    /// The manager, as invitations name it.
    manager: Option<Manager>,
}

struct UnderWay {
    act: Act,
    token: Token,
    generation: u32,
    passwords: Vec<InitialPassword>,
    tries: u32,
}

impl Operator {
    /// With nothing to do yet.
    pub fn of(manager: Manager) -> Self {
        Self {
            manager: Some(manager),
            ..Self::default()
        }
    }

    /// Nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.plan.is_empty() && self.under_way.is_none()
    }

    /// Looks at what there is to do.
    pub fn turn(&mut self, net: &mut Net, server: &mut Server, devices: &mut [Device]) {
        for device in devices.iter_mut().filter(|device| device.wants_invitation) {
            device.wants_invitation = false;
            self.plan.push_front((net.now, Act::Invite(vec![device.number])));
        }
        if !server.is_up() {
            return;
        }
        match self.under_way.take() {
            // A manager that died did not answer, and may have done it.
            Some(lost) if lost.generation != server.generation => {
                self.begin(net, server, devices, lost.act, lost.tries + 1)
            }
            Some(waiting) => self.under_way = Some(waiting),
            None => {
                if self.plan.front().is_some_and(|(at, _)| *at <= net.now)
                    && let Some((_, act)) = self.plan.pop_front()
                {
                    self.begin(net, server, devices, act, 0);
                }
            }
        }
    }

    /// The manager has answered.
    pub fn answered(
        &mut self,
        net: &mut Net,
        server: &mut Server,
        devices: &mut [Device],
        token: Token,
        answer: Result<AdminReply, AdminError>,
    ) {
        let Some(done) = self.under_way.take_if(|under_way| under_way.token == token) else {
            return;
        };
        match answer {
            Err(AdminError::Store(_)) => self.plan.push_front((net.now + 500, done.act)),
            Err(why) => {
                net.tell_all(|| format!("operator: refused, {why}"));
                self.done.1 += 1;
                // The second time it may have been done the first time; else nothing of the plan is refused.
                if done.tries == 0 {
                    net.wrong("operators are served", None, format!("an act was refused: {why}"));
                }
                self.follow(net, devices, &done);
            }
            Ok(_) => {
                self.done.0 += 1;
                net.tell_all(|| format!("operator: done, {}", words(&done.act, devices)));
                if !holds(&done.act, server, devices) {
                    let what = format!(
                        "an operator was told that it is done, and the disk does not say so: {}",
                        words(&done.act, devices)
                    );
                    net.wrong(NOTHING_LOST, None, what);
                }
                self.follow(net, devices, &done);
            }
        }
    }

    fn begin(&mut self, net: &mut Net, server: &mut Server, devices: &[Device], act: Act, tries: u32) {
        let mut passwords = Vec::new();
        let command = match &act {
            Act::Create(community) => Command::CreateCommunity(community.clone()),
            Act::Director(director) => Command::PutDirector(director.clone()),
            Act::Community(community) => {
                server.mirror.readdress_all(&community.domain);
                Command::UpdateCommunity(community.clone())
            }
            Act::Policy(policy) => Command::PutPolicy(policy.clone()),
            Act::NoPolicy(community, id) => Command::DeletePolicy(admin::PolicyName {
                community: community.clone(),
                id: id.clone(),
            }),
            Act::Revoke(number) => {
                server.mirror.act(net.now, &devices[*number].fqdn);
                Command::RevokeMember(admin::RevokeRequest {
                    fqdn: devices[*number].fqdn.clone(),
                    reason: "lost".into(),
                })
            }
            Act::Delete(number) => {
                server.mirror.act(net.now, &devices[*number].fqdn);
                Command::DeleteMember(admin::Name {
                    name: devices[*number].fqdn.clone(),
                })
            }
            Act::Invite(numbers) => {
                let mut entropy = net.dice.entropy();
                let made = numbers
                    .iter()
                    .filter_map(|_| InitialPassword::generate(Argon2Cost::SIMULATION, &mut entropy).ok());
                let made: Vec<InitialPassword> = made.collect();
                passwords = made.iter().map(again).collect();
                for number in numbers {
                    server.mirror.act(net.now, &devices[*number].fqdn);
                }
                let invitees = numbers.iter().map(|number| invitee(&devices[*number])).collect();
                let request = admin::InviteRequest {
                    invitees,
                    no_mail: true,
                    again: true,
                    ..admin::InviteRequest::default()
                };
                Command::Invite(request, made)
            }
        };
        net.tell_all(|| format!("operator: {}", words(&act, devices)));
        if let Some(token) = server.command(net, command) {
            let generation = server.generation;
            self.under_way = Some(UnderWay {
                act,
                token,
                generation,
                passwords,
                tries,
            });
        } else {
            self.plan.push_front((net.now + 500, act));
        }
    }

    /// Invitations go to those whom they are for.
    fn follow(&self, net: &mut Net, devices: &mut [Device], done: &UnderWay) {
        let (Act::Invite(numbers), Some(manager)) = (&done.act, &self.manager) else {
            return;
        };
        for (number, password) in numbers.iter().zip(&done.passwords) {
            let device = &mut devices[*number];
            device.invited = Some(Invited {
                manager: manager.clone(),
                key: password.key.clone(),
            });
            // Whoever runs as a member is told by the manager that this is over, and begins anew then.
            if matches!(device.stage, Stage::Up(_)) {
                continue;
            }
            device.file = None;
            device.kill(net);
            let wait = net.dice.between(100, 5_000);
            net.after(wait, What::Boot(*number, device.life));
        }
    }
}

/// Does the disk say so?
fn holds(act: &Act, server: &Server, devices: &[Device]) -> bool {
    let mirror = &server.mirror;
    let member = |number: &usize| mirror.members.get(&devices[*number].fqdn);
    match act {
        Act::Create(wish) | Act::Community(wish) => {
            let is = mirror.communities.get(&wish.domain);
            is.is_some_and(|is| is.pools == wish.pools && is.deny_by_default == wish.deny_by_default)
        }
        Act::Director(_) => true,
        Act::Invite(numbers) => numbers
            .iter()
            .all(|number| member(number).is_some_and(|member| !member.password_key.is_empty())),
        Act::Revoke(number) => {
            let out = !mirror.sessions.contains_key(&devices[*number].fqdn);
            out && member(number).is_some_and(|member| member.state() == MemberState::Revoked)
        }
        Act::Delete(number) => member(number).is_none(),
        Act::Policy(wish) => mirror.policies.values().any(|policy| {
            (&policy.community, &policy.id, policy.allow) == (&wish.community, &wish.id, wish.allow)
        }),
        Act::NoPolicy(community, id) => !mirror
            .policies
            .values()
            .any(|policy| (&policy.community, &policy.id) == (community, id)),
    }
}

/// A device's user has the mailbox of its number.
fn invitee(device: &Device) -> admin::Invitee {
    let number = device.number;
    admin::Invitee {
        fqdn: device.fqdn.clone(),
        email: format!("u{number}@mail.example"),
        user: format!("user{}@mail.example", number % 20),
        tags: if number.is_multiple_of(5) {
            vec!["servers".into()]
        } else {
            Vec::new()
        },
        ..admin::Invitee::default()
    }
}

fn again(password: &InitialPassword) -> InitialPassword {
    InitialPassword {
        password: password.password.clone(),
        salt: password.salt,
        key: password.key.clone(),
    }
}

fn words(act: &Act, devices: &[Device]) -> String {
    let name = |number: &usize| devices[*number].fqdn.clone();
    match act {
        Act::Create(community) => format!("creates {}", community.domain),
        Act::Director(director) => format!("enters {}", director.name),
        Act::Invite(numbers) => format!(
            "invites {}",
            numbers.iter().map(name).collect::<Vec<_>>().join(", ")
        ),
        Act::Revoke(number) => format!("revokes {}", name(number)),
        Act::Delete(number) => format!("deletes {}", name(number)),
        Act::Policy(policy) => format!(
            "policy {}: {} from {} to {}",
            policy.id, policy.allow, policy.from, policy.to
        ),
        Act::NoPolicy(_, id) => format!("no policy {id}"),
        Act::Community(community) => format!(
            "{} has {:?}, deny {}",
            community.domain, community.pools, community.deny_by_default
        ),
    }
}
