//! A network as `Apply` takes it, and nothing that the manager decides itself: applying it changes nothing.

use super::Outcome;
use super::check;
use super::community::{named, wished};
use super::listing::in_order;
use super::wish::{CommunityWish, MemberWish};
use crate::core::state::{Community, Standing, State};
use crate::core::{AdminReply, Manager};
use kith_protocol::admin;

impl Manager {
    pub(super) fn export(&self, asked: &admin::ExportRequest) -> Outcome {
        let mut communities = in_order(self.state());
        if !asked.communities.is_empty() {
            communities.clear();
            for name in &asked.communities {
                communities.push(named(self.state(), &check::name(name)?)?);
            }
            communities.sort_by(|a, b| a.domain.cmp(&b.domain));
            communities.dedup_by(|a, b| a.domain == b.domain);
        }
        Ok(AdminReply::Network(network(self.state(), &communities)).into())
    }
}

/// Revoked members are not part of a network as it should be.
fn network(state: &State, communities: &[&Community]) -> admin::Network {
    let members = communities
        .iter()
        .flat_map(|community| community.members())
        .filter_map(|(_, id)| state.member(id));
    let members = members.filter(|member| member.standing != Standing::Revoked);
    let policies = communities.iter().flat_map(|community| community.policies());
    admin::Network {
        communities: communities
            .iter()
            .map(|community| wished(&CommunityWish::of(community)))
            .collect(),
        members: members.map(|member| MemberWish::of(member).message()).collect(),
        policies: policies.map(super::policy::message).collect(),
        directors: state
            .directors()
            .map(|director| super::director::wished(&director.record))
            .collect(),
    }
}
