//! Invitations: a name, an initial password that works once, and the letter that carries both.
//!
//! The password's key is derived by the host before it asks: Argon2id takes many milliseconds, and nobody shall wait for it. The manager keeps the
//! key alone; password and text leave with the answer and the mail.

use super::check::{self, Wrong};
use super::community::named;
use super::wish::MemberWish;
use super::{Done, Outcome};
use crate::core::state::{Community, Member, Password, Standing, State};
use crate::core::{AdminError, AdminReply, Ended, InitialPassword, Mail, Manager, MemberId, Time};
use kith_protocol::names::{Fqdn, host_in};
use kith_protocol::tls::Fingerprint;
use kith_protocol::{admin, invitation, letter};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Invitations are good for a week, unless somebody says otherwise.
const VALID_S: u64 = 7 * 86_400;
/// From a minute to a year.
const VALID: std::ops::RangeInclusive<u64> = 60..=366 * 86_400;
/// Members invited with one command.
const MAX_INVITEES: usize = 10_000;

/// How invitations are made.
pub(super) struct Terms {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) fingerprint: Fingerprint,
    pub(super) valid_s: u64,
    pub(super) mail: bool,
}

impl Manager {
    pub(super) fn invite(
        &mut self,
        now: Time,
        asked: &admin::InviteRequest,
        passwords: Vec<InitialPassword>,
    ) -> Outcome {
        let terms = self.terms(asked.valid_s, !asked.no_mail)?;
        if asked.invitees.is_empty() || asked.invitees.len() > MAX_INVITEES {
            return Err(AdminError::Invalid(vec![format!(
                "name from 1 to {MAX_INVITEES} members, not {}",
                asked.invitees.len()
            )]));
        }
        let mut wrong = Wrong::default();
        let invitees = asked.invitees.iter().map(|invitee| known(self.state(), invitee));
        let wishes: Vec<MemberWish> = invitees
            .filter_map(|invitee| MemberWish::check(&invitee, &mut wrong))
            .collect();
        let mut seen = BTreeSet::new();
        for wish in wishes.iter().filter(|wish| !seen.insert(&wish.fqdn)) {
            wrong.say(format!("member {}: is named twice", wish.fqdn));
        }
        wrong.done()?;
        let state = self.state();
        let domain = if asked.community.is_empty() {
            None
        } else {
            Some(named(state, &check::name(&asked.community)?)?.domain.clone())
        };
        let present: Vec<&str> = wishes
            .iter()
            .filter(|wish| state.member_named(&wish.fqdn).is_some())
            .map(|wish| &*wish.fqdn)
            .collect();
        if !present.is_empty() && !asked.again {
            let (them, verb) = (
                check::some(&present),
                if present.len() == 1 {
                    "is a member"
                } else {
                    "are members"
                },
            );
            return Err(AdminError::Exists(format!(
                "{them} {verb} already; to invite again, so that the device that registered before is out, add --again"
            )));
        }
        let mut wrong = Wrong::default();
        for wish in &wishes {
            match community_of(state, &wish.fqdn) {
                Ok(community) => check_member(&domain, community, wish, &mut wrong),
                Err(why) => wrong.say(why),
            }
        }
        let addresses = Addresses::of(state, &BTreeSet::new());
        addresses.check(state, &wishes, &mut wrong);
        wrong.done()?;
        enough(&passwords, wishes.len())?;

        let mut invitations = Vec::new();
        for (wish, password) in wishes.iter().zip(passwords) {
            invitations.extend(self.invite_one(now, wish, password, &terms));
        }
        let communities: BTreeSet<_> = wishes
            .iter()
            .filter_map(|wish| Some(self.state().member_named(&wish.fqdn)?.community))
            .collect();
        communities
            .into_iter()
            .for_each(|community| self.policies_changed(community));
        let detail = invitations.iter().map(told).collect::<Vec<_>>().join(", ");
        Ok(Done::with(
            AdminReply::Invitations(admin::Invitations { invitations }),
            detail,
        ))
    }

    /// Makes the member if it is not there, and invites it. Everything was checked.
    pub(super) fn invite_one(
        &mut self,
        now: Time,
        wish: &MemberWish,
        password: InitialPassword,
        terms: &Terms,
    ) -> Option<admin::Invitation> {
        let id = match self.state().id_named(&wish.fqdn) {
            Some(id) => self.anew(now, id),
            None => self.new_member(now, &wish.fqdn)?,
        };
        self.set_member(id, wish);
        let expires_ms = now.plus(terms.valid_s.saturating_mul(1000)).0;
        let member = self.state_mut().member_mut(id)?;
        member.password = Some(Box::new(Password {
            key: password.key.clone(),
            salt: password.salt,
            expires_ms,
            uses: 0,
        }));
        let (community, to) = (member.community, mail_address(member));
        let invitation = invitation::Invitation {
            host: terms.host.clone(),
            port: terms.port,
            fingerprint: terms.fingerprint,
            fqdn: Fqdn::parse(&wish.fqdn).ok()?,
            salt: password.salt,
            password: password.password.clone(),
        };
        let text = invitation.text().to_string();
        if terms.mail {
            let letter = letter::invitation(&invitation, self.state().domain(community), expires_ms);
            self.mail(
                now,
                id,
                Mail {
                    to: to.clone(),
                    subject: letter.subject,
                    body: letter.body,
                },
            );
        }
        let mailed_to = if terms.mail { to } else { String::new() };
        self.event(now, "member.invited", community, &wish.fqdn, mailed_to.clone());
        Some(admin::Invitation {
            fqdn: wish.fqdn.clone(),
            text,
            expires_ms,
            mailed_to,
        })
    }

    /// How invitations are made; refused while nobody could follow one.
    pub(super) fn terms(&self, valid_s: u64, mail: bool) -> Result<Terms, AdminError> {
        let valid_s = if valid_s == 0 { VALID_S } else { valid_s };
        if !VALID.contains(&valid_s) {
            let (least, most) = (VALID.start(), VALID.end() / 86_400);
            return Err(AdminError::Invalid(vec![format!(
                "an invitation is good for {least} seconds to {most} days, not {valid_s} seconds"
            )]));
        }
        let unreachable = || {
            AdminError::Conflict("nobody could find this manager: tell it by which name or address members reach it, with: kith manager set --host".to_owned())
        };
        let manager = self.settings().managers.first().ok_or_else(unreachable)?;
        let port = u16::try_from(manager.port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(unreachable)?;
        let fingerprint = Fingerprint::from_slice(&manager.fingerprint).ok_or_else(unreachable)?;
        if !invitation::check_host(&manager.host) || manager.host == "0.0.0.0" {
            return Err(unreachable());
        }
        Ok(Terms {
            host: manager.host.clone(),
            port,
            fingerprint,
            valid_s,
            mail,
        })
    }

    /// Whoever registered under this name before is out. Its token is kept, so that it is refused by name.
    fn anew(&mut self, now: Time, id: MemberId) -> MemberId {
        self.end_session(now, id, Ended::Superseded);
        if let Some(member) = self.state_mut().member_mut(id) {
            member.standing = Standing::NotRegistered;
            member.registering = None;
            member.confirmed = None;
            member.revoked_reason = None;
        }
        id
    }

    fn new_member(&mut self, now: Time, fqdn: &str) -> Option<MemberId> {
        let community = self.state().community_of_name(fqdn)?.index;
        let id = self.new_member_id();
        self.state_mut()
            .add_member(Member::new(id, community, fqdn, now.0));
        Some(id)
    }
}

/// Whoever is invited again keeps what is not said anew.
fn known(state: &State, invitee: &admin::Invitee) -> admin::Invitee {
    let name = Fqdn::normalise(&invitee.fqdn).ok();
    let Some(member) = name.and_then(|name| state.member_named(name.as_str())) else {
        return invitee.clone();
    };
    let old = MemberWish::of(member).message();
    let keep = |new: &str, old: String| if new.is_empty() { old } else { new.to_owned() };
    admin::Invitee {
        fqdn: old.fqdn,
        email: keep(&invitee.email, old.email),
        user: keep(&invitee.user, old.user),
        platform: keep(&invitee.platform, old.platform),
        address: keep(&invitee.address, old.address),
        tags: if invitee.tags.is_empty() {
            old.tags
        } else {
            invitee.tags.clone()
        },
    }
}

/// Every member brings its own.
pub(super) fn enough(passwords: &[InitialPassword], wanted: usize) -> Result<(), AdminError> {
    if passwords.len() >= wanted {
        return Ok(());
    }
    Err(AdminError::Conflict(
        "members were deleted while this was prepared; do it again".to_owned(),
    ))
}

/// The community that a name is in, or words for that there is none.
pub(super) fn community_of<'a>(state: &'a State, fqdn: &str) -> Result<&'a Community, String> {
    state.community_of_name(fqdn).ok_or_else(|| {
        let domain = fqdn.split_once('.').map_or("", |(_, domain)| domain);
        format!(
            "member {fqdn}: there is no community {domain}; create it first: kith community create {domain}"
        )
    })
}

/// Is the wish one of this community, as the operator said?
fn check_member(
    said: &Option<std::sync::Arc<str>>,
    community: &Community,
    wish: &MemberWish,
    wrong: &mut Wrong,
) {
    if let Some(said) = said
        && host_in(&wish.fqdn, said).is_none()
    {
        wrong.say(format!(
            "member {}: is no name of {said}; write its full name, as laptop.{said}",
            wish.fqdn
        ));
    }
    if host_in(&wish.fqdn, &community.domain).is_none() {
        wrong.say(format!(
            "member {}: is no name of {}",
            wish.fqdn, community.domain
        ));
    }
}

/// Who will have which address, when all that is wished for is done.
pub(super) struct Addresses {
    owners: BTreeMap<(String, Ipv4Addr), String>,
}

impl Addresses {
    /// As they are, without those of members that go or are given others.
    pub(super) fn of(state: &State, without: &BTreeSet<&str>) -> Self {
        let mut owners = BTreeMap::new();
        for community in state.communities() {
            for (address, id) in community.addresses() {
                let Some(member) = state.member(id).filter(|member| !without.contains(&*member.fqdn)) else {
                    continue;
                };
                owners.insert((community.domain.to_string(), address), member.fqdn.to_string());
            }
        }
        Self { owners }
    }

    /// Can all these members have the addresses that are wished for them?
    pub(super) fn check(mut self, state: &State, wishes: &[MemberWish], wrong: &mut Wrong) {
        for wish in wishes {
            let Some(community) = state.community_of_name(&wish.fqdn) else {
                continue;
            };
            let pools = super::wish::CommunityWish::of(community);
            self.take(&pools, community.manager_address, wish, wrong);
        }
    }

    /// One of them, in a community as it will be.
    pub(super) fn take(
        &mut self,
        community: &super::wish::CommunityWish,
        manager: Ipv4Addr,
        wish: &MemberWish,
        wrong: &mut Wrong,
    ) {
        let Some(address) = wish.address else { return };
        let fqdn = &wish.fqdn;
        if address == manager {
            return wrong.say(format!(
                "member {fqdn}: {address} is the manager's own; choose another"
            ));
        }
        if !super::community::host_in(community, address) {
            let pools = community
                .pools
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            return wrong.say(format!(
                "member {fqdn}: {address} is no address for members; the pools are {pools}"
            ));
        }
        let owner = self
            .owners
            .entry((community.domain.clone(), address))
            .or_insert_with(|| fqdn.clone());
        if owner != fqdn {
            wrong.say(format!(
                "member {fqdn}: {address} belongs to {owner}; choose another"
            ));
        }
    }
}

fn mail_address(member: &Member) -> String {
    if member.email.is_empty() {
        member.user.to_string()
    } else {
        member.email.to_string()
    }
}

fn told(invitation: &admin::Invitation) -> String {
    match invitation.mailed_to.as_str() {
        "" => format!("{} (not mailed)", invitation.fqdn),
        to => format!("{} (mailed to {to})", invitation.fqdn),
    }
}
