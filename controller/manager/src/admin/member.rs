//! Members: changed, thrown out, deleted.

use super::check::{self, Wrong};
use super::invite::Addresses;
use super::wish::{CommunityWish, MemberWish};
use super::{Done, Outcome};
use crate::core::state::{Member, Standing, State};
use crate::core::{AdminError, AdminReply, Ended, Manager, MemberId, Time};
use kith_protocol::admin;
use std::collections::BTreeSet;

impl Manager {
    pub(super) fn update_member(&mut self, now: Time, message: &admin::Member) -> Outcome {
        let member = named(self.state(), &message.fqdn)?;
        let (id, community, old) = (member.id, member.community, MemberWish::of(member));
        let mut wrong = Wrong::default();
        let given = member
            .virtual_address
            .map_or_else(String::new, |address| address.to_string());
        // The present address comes back with what was read; it is a wish only if it is said to be one.
        let wished = message.address_reserved || message.virtual_address != given;
        let invitee = admin::Invitee {
            fqdn: message.fqdn.clone(),
            email: message.email.clone(),
            user: message.user.clone(),
            platform: message.platform.clone(),
            address: if wished {
                message.virtual_address.clone()
            } else {
                String::new()
            },
            tags: message.tags.clone(),
        };
        let wish = MemberWish::check(&invitee, &mut wrong);
        if let (Some(wish), Some(community)) = (&wish, self.state().community(community)) {
            let mut addresses = Addresses::of(self.state(), &BTreeSet::from([&*wish.fqdn]));
            addresses.take(
                &CommunityWish::of(community),
                community.manager_address,
                wish,
                &mut wrong,
            );
        }
        wrong.done()?;
        let wish = wish.ok_or_else(|| AdminError::Invalid(vec!["the member cannot be read".to_owned()]))?;
        let details = wish.details(&old);
        self.change_member(now, id, &wish);
        self.policies_changed(community);
        let reply = self
            .state()
            .member(id)
            .map(|member| super::listing::member(self.state(), member))
            .unwrap_or_default();
        Ok(Done::with(
            AdminReply::Member(Box::new(reply)),
            details.join(", "),
        ))
    }

    pub(super) fn revoke_member(&mut self, now: Time, asked: &admin::RevokeRequest) -> Outcome {
        let reason = check::line(&asked.reason)
            .map_err(|why| AdminError::Invalid(vec![format!("the reason {why}")]))?;
        let member = named(self.state(), &asked.fqdn)?;
        let (id, community, fqdn) = (member.id, member.community, member.fqdn.clone());
        if member.standing == Standing::Revoked {
            let before = member
                .revoked_reason
                .as_deref()
                .map_or_else(String::new, |reason| format!(" ({reason})"));
            return Err(AdminError::Conflict(format!(
                "{fqdn} is revoked already{before}; to let it in again: kith member invite --again {fqdn}"
            )));
        }
        self.end_session(now, id, Ended::Revoked(reason.clone()));
        if let Some(member) = self.state_mut().member_mut(id) {
            member.standing = Standing::Revoked;
            member.registering = None;
            member.confirmed = None;
            member.revoked_reason = (!reason.is_empty()).then(|| reason.as_str().into());
        }
        // Rules of others that name it are of no use any more. Its address stays its own: nobody else shall be taken for it.
        self.policies_changed(community);
        self.event(now, "member.revoked", community, &fqdn, reason.clone());
        Ok(Done::with(AdminReply::Done, reason))
    }

    pub(super) fn delete_member(&mut self, now: Time, name: &str) -> Outcome {
        let member = named(self.state(), name)?;
        let (id, community) = (member.id, member.community);
        self.remove_member(now, id);
        self.policies_changed(community);
        Ok(AdminReply::Done.into())
    }

    /// The member is gone; policies are still to be told.
    pub(super) fn remove_member(&mut self, now: Time, id: MemberId) {
        let Some(member) = self.state().member(id) else {
            return;
        };
        let (community, fqdn) = (member.community, member.fqdn.clone());
        self.end_session(now, id, Ended::Revoked("it was deleted".to_owned()));
        self.event(now, "member.deleted", community, &fqdn, "");
        self.state_mut().remove_member(id);
    }

    /// The member is as wished from now on; policies are still to be told.
    pub(super) fn change_member(&mut self, now: Time, id: MemberId, wish: &MemberWish) {
        let Some(member) = self.state().member(id) else {
            return;
        };
        let details = wish.details(&MemberWish::of(member));
        if details.is_empty() {
            return;
        }
        let (community, had) = (member.community, member.virtual_address);
        if wish.address.is_some() && wish.address != had {
            let why = wish.address.map_or_else(String::new, |address| {
                format!("its address is {address} from now on")
            });
            self.end_session(now, id, Ended::Changed(why));
        }
        self.set_member(id, wish);
        self.event(now, "member.changed", community, &wish.fqdn, details.join(", "));
    }

    /// Writes the wish down.
    pub(super) fn set_member(&mut self, id: MemberId, wish: &MemberWish) {
        let Some(member) = self.state_mut().member_mut(id) else {
            return;
        };
        member.user = wish.user.as_str().into();
        member.email = wish.email.as_str().into();
        member.platform = wish.platform.as_str().into();
        member.tags = wish.tags.iter().map(|tag| tag.as_str().into()).collect();
        member.address_reserved = wish.address.is_some();
        let had = member.virtual_address;
        if let Some(address) = wish.address.filter(|address| had != Some(*address)) {
            self.state_mut().own_address(id, address);
        }
    }
}

/// A member, or words for that there is none.
pub(super) fn named<'a>(state: &'a State, fqdn: &str) -> Result<&'a Member, AdminError> {
    let fqdn = check::name(fqdn)?;
    state.member_named(&fqdn).ok_or_else(|| {
        let hint = match state.community_of_name(&fqdn) {
            Some(community) => format!(
                "kith member list --community {} shows those that are",
                community.domain
            ),
            None => "and no community of its domain; kith community list shows those that are".to_owned(),
        };
        AdminError::NotFound(format!("there is no member {fqdn}; {hint}"))
    })
}
