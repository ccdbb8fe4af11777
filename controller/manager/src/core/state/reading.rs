//! Reading what the manager knows: plain look-ups, no change, no order that depends on a hash.

use super::{Community, Director, Member, Session, State};
use crate::core::ids::{CommunityIndex, MemberId, StreamId};
use kith_protocol::records;
use kith_store::Revision;

/// Reading.
impl State {
    /// The newest revision that is on disk.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What was on disk when operators last changed something; their change is of a later revision. What was changed before
    /// a start counts as the newest change.
    #[must_use]
    pub fn operated(&self) -> Revision {
        self.operated
    }

    /// Communities in order of their numbers.
    pub fn communities(&self) -> impl Iterator<Item = &Community> {
        self.communities.values()
    }

    /// A community by its number.
    #[must_use]
    pub fn community(&self, index: CommunityIndex) -> Option<&Community> {
        self.communities.get(&index)
    }

    /// A community by its domain name.
    #[must_use]
    pub fn community_named(&self, domain: &str) -> Option<&Community> {
        self.communities.get(self.domains.get(domain)?)
    }

    /// The community that a full name lies in: the longest domain that it ends with.
    #[must_use]
    pub fn community_of_name(&self, fqdn: &str) -> Option<&Community> {
        let mut rest = fqdn;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(community) = self.community_named(parent) {
                return Some(community);
            }
            rest = parent;
        }
        None
    }

    /// A number that no community has.
    #[must_use]
    pub fn free_community_index(&self) -> Option<CommunityIndex> {
        let indices = (1..=u16::MAX).map(CommunityIndex);
        indices
            .into_iter()
            .find(|index| !self.communities.contains_key(index))
    }

    /// Members in order of their numbers, which is no order.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|member| &**member)
    }

    /// How many members all communities have.
    #[must_use]
    pub fn member_count(&self) -> u64 {
        self.members.len() as u64
    }

    /// How many members are joined.
    #[must_use]
    pub fn joined_count(&self) -> u64 {
        self.communities.values().map(Community::joined_count).sum()
    }

    /// A member by its number.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id).map(|member| &**member)
    }

    /// A member by its full name.
    #[must_use]
    pub fn member_named(&self, fqdn: &str) -> Option<&Member> {
        self.member(self.id_named(fqdn)?)
    }

    /// A member's number by its full name.
    #[must_use]
    pub fn id_named(&self, fqdn: &str) -> Option<MemberId> {
        let mut rest = fqdn;
        while let Some((_, parent)) = rest.split_once('.') {
            let community = self.community_named(parent);
            if let Some(id) = community.and_then(|community| community.members.get(fqdn)) {
                return Some(*id);
            }
            rest = parent;
        }
        None
    }

    /// A member's session.
    #[must_use]
    pub fn session(&self, id: MemberId) -> Option<&Session> {
        self.member(id)?.session()
    }

    /// Directors in order of their names.
    pub fn directors(&self) -> impl Iterator<Item = &Director> {
        self.directors.values()
    }

    /// A director by its name.
    #[must_use]
    pub fn director(&self, name: &str) -> Option<&Director> {
        self.directors.get(name)
    }

    /// Credentials in order of their ids.
    pub fn credentials(&self) -> impl Iterator<Item = &records::Credential> {
        self.credentials.values()
    }

    /// A credential by its id.
    #[must_use]
    pub fn credential(&self, id: &str) -> Option<&records::Credential> {
        self.credentials.get(id)
    }

    /// Whose stream it is.
    #[must_use]
    pub fn stream_owner(&self, stream: StreamId) -> Option<MemberId> {
        self.streams.get(&stream).copied()
    }

    /// Streams that are open.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, MemberId)> + '_ {
        self.streams.iter().map(|(stream, member)| (*stream, *member))
    }

    /// How many streams are open.
    #[must_use]
    pub fn stream_count(&self) -> u64 {
        self.streams.len() as u64
    }

    /// Is the SPI in use for some member's packets to us?
    #[must_use]
    pub fn spi_taken(&self, spi: u32) -> bool {
        self.spis.contains_key(&spi)
    }

    /// The domain name of a community; empty if there is none of that number.
    #[must_use]
    pub fn domain(&self, index: CommunityIndex) -> &str {
        self.community(index).map_or("", |community| &community.domain)
    }
}
