//! All that the manager knows, in memory, and every change of it.
//!
//! Problem: ten thousand members must be answered from memory, while every change must be on disk before anybody hears of it. Idea: reads are
//! plain; a typed write changes memory and notes the key, and what was noted becomes one transaction of the store when the input is done.
//!
//! ```text
//!  member_mut, join, own_address, put_policy … ──► memory
//!                                            └──► keys that changed ──► take_transaction() ──► store
//! ```
//!
//! Cost: a member that is joined takes about a kilobyte, all indices included (a test measures it). Nothing here iterates in an order that
//! depends on a hash: the same inputs give the same outputs.

mod community;
mod director;
mod load;
mod member;
mod prefix;
mod reading;
mod session;
mod writes;

pub use community::Community;
pub use director::{Director, Health, Place};
pub use load::LoadError;
pub use member::{Confirmed, Member, Password, Registering, Standing, Token};
pub use prefix::{Prefix, PrefixError};
pub use session::{Live, Location, Session};

use super::ids::{CommunityIndex, MemberId, StreamId};
use kith_protocol::records;
use kith_store::Revision;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use writes::{Subject, Writes};

/// All that the manager knows.
#[derive(Default)]
pub struct State {
    communities: BTreeMap<CommunityIndex, Community>,
    domains: BTreeMap<Arc<str>, CommunityIndex>,
    members: BTreeMap<MemberId, Box<Member>>,
    directors: BTreeMap<Arc<str>, Director>,
    credentials: BTreeMap<Box<str>, records::Credential>,
    spis: BTreeMap<u32, MemberId>,
    streams: BTreeMap<StreamId, MemberId>,
    revision: Revision,
    writes: Writes,
    /// What members' rules are compiled of.
    pub(crate) books: crate::policy::Books,
    /// On disk when operators last changed something.
    operated: Revision,
}

/// Writing. Each of these changes memory and adds to the running transaction.
impl State {
    /// Adds a community, or changes one.
    pub fn put_community(&mut self, community: Community) {
        let index = community.index;
        self.domains.insert(community.domain.clone(), index);
        self.communities.insert(index, community);
        self.touch_community(index);
    }

    /// To change a community's own fields.
    pub fn community_mut(&mut self, index: CommunityIndex) -> Option<&mut Community> {
        self.touch_community(index);
        self.communities.get_mut(&index)
    }

    /// Removes a community, its members, policies and addresses. End their sessions first.
    pub fn remove_community(&mut self, index: CommunityIndex) {
        let Some(community) = self.communities.get(&index) else {
            return;
        };
        let members: Vec<MemberId> = community.members.values().copied().collect();
        let policies: Vec<Box<str>> = community.policies.keys().cloned().collect();
        members.into_iter().for_each(|id| self.remove_member(id));
        policies.iter().for_each(|id| self.remove_policy(index, id));
        self.note_community(index);
        self.books.community_gone(index);
        if let Some(community) = self.communities.remove(&index) {
            self.domains.remove(&community.domain);
        }
    }

    /// Adds a policy, or changes one. The community's policy version grows.
    pub fn put_policy(&mut self, index: CommunityIndex, policy: records::Policy) {
        let id: Box<str> = policy.id.as_str().into();
        let Some(community) = self.communities.get_mut(&index) else {
            return;
        };
        self.books.policy_changed(index, &id, Some(&policy));
        community.policy_version += 1;
        community.policies.insert(id.clone(), policy);
        self.touch_policy(index, id);
    }

    /// Removes a policy. The community's policy version grows.
    pub fn remove_policy(&mut self, index: CommunityIndex, id: &str) {
        let Some(community) = self.communities.get_mut(&index) else {
            return;
        };
        self.books.policy_changed(index, id, None);
        community.policy_version += 1;
        community.policies.remove(id);
        self.touch_policy(index, id.into());
    }

    /// Adds a member that was just invited; its community must be there and its name free.
    pub fn add_member(&mut self, member: Member) {
        let Some(community) = self.communities.get_mut(&member.community) else {
            return;
        };
        community.members.insert(member.fqdn.clone(), member.id);
        let id = member.id;
        self.members.insert(id, Box::new(member));
        self.touch_member(id);
    }

    /// To change what is stored of a member. Addresses, sessions and accounting have functions of their own.
    pub fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.touch_member(id);
        self.members.get_mut(&id).map(|member| &mut **member)
    }

    /// Removes a member, its address and accounting. End its session first.
    pub fn remove_member(&mut self, id: MemberId) {
        self.end_session(id);
        self.release_address(id);
        self.touch_member(id);
        if let Some(key) = self.key_of("accounting", id) {
            self.writes.touch(key, Subject::Accounting(id));
        }
        let Some(member) = self.members.remove(&id) else {
            return;
        };
        if let Some(community) = self.communities.get_mut(&member.community) {
            community.members.remove(&member.fqdn);
        }
    }

    /// Makes an address the member's; the one it had is free again. The store refuses if somebody else has it.
    pub fn own_address(&mut self, id: MemberId, address: Ipv4Addr) {
        self.release_address(id);
        let Some(member) = self.member_mut(id) else { return };
        member.virtual_address = Some(address);
        let index = member.community;
        let Some(community) = self.communities.get_mut(&index) else {
            return;
        };
        community.owns(address, id);
        let key = address_key(&community.domain, address);
        self.writes.absent(&key);
        self.writes.touch(key, Subject::Owner(index, address));
    }

    /// Makes the member's address free again.
    pub fn release_address(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let Some(address) = member.virtual_address.take() else {
            return;
        };
        let index = member.community;
        if let Some(community) = self.communities.get_mut(&index) {
            community.disowns(address);
            let key = address_key(&community.domain, address);
            self.writes.touch(key, Subject::Owner(index, address));
        }
        self.touch_member(id);
    }

    /// Begins or replaces a session. What it deals with, its stream and counts must have been carried over by the caller.
    pub fn put_session(&mut self, id: MemberId, session: Session) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let spi = session.manager_spi;
        match member.session.replace(Box::new(session)) {
            Some(old) => drop(self.spis.remove(&old.manager_spi)),
            None => {
                let community = self.communities.get_mut(&member.community);
                community.into_iter().for_each(|community| community.joined += 1);
            }
        }
        self.spis.insert(spi, id);
        self.touch_session(id);
    }

    /// To change what is stored of a session.
    pub fn session_mut(&mut self, id: MemberId) -> Option<&mut Session> {
        self.touch_session(id);
        self.members.get_mut(&id)?.session.as_deref_mut()
    }

    /// To change what is known of a session in memory only: nothing is written.
    pub fn live_mut(&mut self, id: MemberId) -> Option<&mut Live> {
        let session = self.members.get_mut(&id)?.session.as_deref_mut()?;
        Some(&mut session.live)
    }

    /// Ends a session.
    pub fn end_session(&mut self, id: MemberId) -> Option<Session> {
        self.session(id)?;
        self.touch_session(id);
        let member = self.members.get_mut(&id)?;
        let session = member.session.take()?;
        let index = member.community;
        if let Some(community) = self.communities.get_mut(&index) {
            community.joined = community.joined.saturating_sub(1);
        }
        self.spis.remove(&session.manager_spi);
        if let Some(stream) = session.live.stream {
            self.streams.remove(&stream);
        }
        Some(*session)
    }

    /// A member's accounting; begun if there is none.
    pub fn accounting_mut(&mut self, id: MemberId) -> Option<&mut records::Accounting> {
        let key = self.key_of("accounting", id)?;
        self.writes.touch(key, Subject::Accounting(id));
        Some(self.members.get_mut(&id)?.accounting.get_or_insert_default())
    }

    /// Adds a director, or changes one; its health is kept.
    pub fn put_director(&mut self, record: records::Director) {
        let name: Arc<str> = record.name.as_str().into();
        match self.directors.get_mut(&name) {
            Some(director) => director.record = record,
            None => drop(self.directors.insert(name.clone(), Director::new(record))),
        }
        self.touch_director(name);
    }

    /// Removes a director.
    pub fn remove_director(&mut self, name: &str) {
        self.directors.remove(name);
        self.touch_director(name.into());
    }

    /// To note a director's health: nothing is written.
    pub fn health_mut(&mut self, name: &str) -> Option<&mut Health> {
        Some(&mut self.directors.get_mut(name)?.health)
    }

    /// To note where a director is: nothing is written.
    pub(in crate::core) fn fleeting_director_mut(&mut self, name: &str) -> Option<&mut Director> {
        self.directors.get_mut(name)
    }

    /// Adds a credential, or changes one.
    pub fn put_credential(&mut self, credential: records::Credential) {
        let id: Box<str> = credential.id.as_str().into();
        self.credentials.insert(id.clone(), credential);
        self.touch_credential(id);
    }

    /// Removes a credential.
    pub fn remove_credential(&mut self, id: &str) {
        self.credentials.remove(id);
        self.touch_credential(id.into());
    }

    /// An operator changes something: a plan that was made before may not hold any more.
    pub fn note_operated(&mut self) {
        self.operated = self.revision;
    }

    /// Writes an audit record. It is not kept in memory: those who list it read the store.
    pub fn audit(&mut self, record: records::Audit) {
        self.writes.audit(record);
    }
}

/// For the core alone.
impl State {
    /// To change what is in memory only of a member: nothing is written.
    pub(in crate::core) fn fleeting_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.get_mut(&id).map(|member| &mut **member)
    }

    /// SPIs of the channel inside the tunnel, under which we take a member's packets and it ours. In memory only, like the keys.
    pub(in crate::core) fn set_spis(&mut self, id: MemberId, manager: u32, member: u32) {
        let session = self
            .members
            .get_mut(&id)
            .and_then(|member| member.session.as_deref_mut());
        let Some(session) = session else { return };
        session.member_spi = member;
        let old = std::mem::replace(&mut session.manager_spi, manager);
        self.spis.remove(&old);
        self.spis.insert(manager, id);
    }

    /// A virtual address that nobody has, outside of these networks.
    pub(in crate::core) fn free_address(
        &mut self,
        index: CommunityIndex,
        outside: &[Prefix],
    ) -> Option<Ipv4Addr> {
        self.communities.get_mut(&index)?.free_address(outside)
    }

    pub(in crate::core) fn set_revision(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// Gives a session this stream and answers with the one it had.
    pub(in crate::core) fn attach_stream(&mut self, id: MemberId, stream: StreamId) -> Option<StreamId> {
        let old = self.live_mut(id)?.stream.replace(stream);
        if let Some(old) = old {
            self.streams.remove(&old);
        }
        self.streams.insert(stream, id);
        old
    }

    /// The stream is no more; answers whose it was.
    pub(in crate::core) fn detach_stream(&mut self, stream: StreamId) -> Option<MemberId> {
        let id = self.streams.remove(&stream)?;
        let live = self.live_mut(id).filter(|live| live.stream == Some(stream))?;
        live.stream = None;
        Some(id)
    }

    fn touch_community(&mut self, index: CommunityIndex) {
        self.books.community_changed(index);
        self.note_community(index);
    }

    fn note_community(&mut self, index: CommunityIndex) {
        if let Some(community) = self.communities.get(&index) {
            let key = format!("community/{}", community.domain);
            self.writes.touch(key, Subject::Community(index));
        }
    }

    /// With its community, whose policy version grew.
    fn touch_policy(&mut self, index: CommunityIndex, id: Box<str>) {
        self.note_community(index);
        let key = format!("policy/{}/{id}", self.domain(index));
        self.writes.touch(key, Subject::Policy(index, id));
    }

    fn touch_member(&mut self, id: MemberId) {
        if let Some(member) = self.members.get(&id) {
            self.books.member_changed(member.community, id);
        }
        if let Some(key) = self.key_of("member", id) {
            self.writes.touch(key, Subject::Member(id));
        }
    }

    fn touch_session(&mut self, id: MemberId) {
        if let Some(key) = self.key_of("session", id) {
            self.writes.touch(key, Subject::Session(id));
        }
    }

    fn touch_director(&mut self, name: Arc<str>) {
        self.writes
            .touch(format!("director/{name}"), Subject::Director(name));
    }

    fn touch_credential(&mut self, id: Box<str>) {
        self.writes
            .touch(format!("credential/{id}"), Subject::Credential(id));
    }

    /// `kind/domain/host`
    fn key_of(&self, kind: &str, id: MemberId) -> Option<String> {
        let member = self.members.get(&id)?;
        let domain = self.domain(member.community);
        let host = member.fqdn.strip_suffix(domain)?.strip_suffix('.')?;
        Some(format!("{kind}/{domain}/{host}"))
    }
}

fn address_key(domain: &str, address: Ipv4Addr) -> String {
    format!("address/{domain}/{:08x}", u32::from(address))
}
