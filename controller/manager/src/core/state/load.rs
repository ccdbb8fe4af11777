//! Reading all from the store's entries, in whatever order they come. What does not fit together is refused, not repaired.

use super::{Community, Director, Member, Session, State};
use crate::core::ids::Time;
use kith_protocol::records;
use kith_store::{Entry, Revision};
use prost::Message;

/// Entries that make no sense together.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be decoded, or part of it is not what it should be.
    #[error("{key} in the store is damaged ({what}); restore a backup")]
    Damaged {
        /// Which entry.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// It belongs to something that is not there.
    #[error("{key} in the store belongs to {to}, which is not there; restore a backup")]
    Orphan {
        /// Which entry.
        key: String,
        /// What is missing.
        to: String,
    },
    /// Two entries claim the same.
    #[error("{key} in the store claims {what}, which another entry has; restore a backup")]
    Twice {
        /// Which entry.
        key: String,
        /// What both have.
        what: String,
    },
}

/// Entries are read in this order, so that what they belong to is there: kind of key, and what to do with it.
type Step = (
    &'static str,
    fn(&mut State, &Entry, Time) -> Result<(), LoadError>,
);
const STEPS: [Step; 8] = [
    ("community/", community),
    ("policy/", policy),
    ("member/", member),
    ("address/", address),
    ("session/", session),
    ("accounting/", accounting),
    ("director/", director),
    ("credential/", credential),
];

impl State {
    /// Of the store's entries, all of this revision. Keys of other kinds (`audit/`, `manager/`) are not for the core.
    pub fn load(entries: &[Entry], revision: Revision, now: Time) -> Result<Self, LoadError> {
        let mut state = Self {
            revision,
            operated: Revision(revision.0.saturating_sub(1)),
            ..Self::default()
        };
        for (kind, read) in STEPS {
            let of_kind = entries
                .iter()
                .filter(|entry| entry.key.as_str().starts_with(kind));
            of_kind
                .into_iter()
                .try_for_each(|entry| read(&mut state, entry, now))?;
        }
        state.open_books();
        Ok(state)
    }
}

fn community(state: &mut State, entry: &Entry, _: Time) -> Result<(), LoadError> {
    let community = Community::from_record(decode(entry)?).map_err(|what| damaged(entry, what))?;
    let index = community.index;
    if state.communities.contains_key(&index) {
        return Err(twice(entry, format!("the number {}", index.0)));
    }
    if state.domains.insert(community.domain.clone(), index).is_some() {
        return Err(twice(entry, format!("the name {}", community.domain)));
    }
    state.communities.insert(index, community);
    Ok(())
}

fn policy(state: &mut State, entry: &Entry, _: Time) -> Result<(), LoadError> {
    let record: records::Policy = decode(entry)?;
    let index = state.domains.get(record.community.as_str());
    let community = index.and_then(|index| state.communities.get_mut(index));
    let community = community.ok_or_else(|| orphan(entry, &record.community))?;
    community.policies.insert(record.id.as_str().into(), record);
    Ok(())
}

fn member(state: &mut State, entry: &Entry, _: Time) -> Result<(), LoadError> {
    let record: records::Member = decode(entry)?;
    let index = state.domains.get(record.community.as_str());
    let community = index.and_then(|index| state.communities.get_mut(index));
    let community = community.ok_or_else(|| orphan(entry, &record.community))?;
    let member = Member::from_record(record, community.index).map_err(|what| damaged(entry, what))?;
    if state.members.contains_key(&member.id) {
        return Err(twice(entry, format!("{:?}", member.id)));
    }
    community.members.insert(member.fqdn.clone(), member.id);
    if let Some(address) = member.virtual_address {
        if community.owner_of(address).is_some() {
            return Err(twice(entry, format!("the address {address}")));
        }
        community.owns(address, member.id);
    }
    state.members.insert(member.id, Box::new(member));
    Ok(())
}

/// Members name their addresses; an address must name its member too.
fn address(state: &mut State, entry: &Entry, _: Time) -> Result<(), LoadError> {
    let owner: records::Owner = decode(entry)?;
    let number = entry.key.as_str().rsplit('/').next().unwrap_or_default();
    let number = u32::from_str_radix(number, 16).map_err(|_| damaged(entry, "its key".to_owned()))?;
    let member = state
        .member_named(&owner.fqdn)
        .ok_or_else(|| orphan(entry, &owner.fqdn))?;
    if member.virtual_address != Some(number.into()) {
        return Err(orphan(entry, &owner.fqdn));
    }
    Ok(())
}

fn session(state: &mut State, entry: &Entry, now: Time) -> Result<(), LoadError> {
    let record: records::Session = decode(entry)?;
    let id = state
        .id_named(&record.fqdn)
        .ok_or_else(|| orphan(entry, &record.fqdn))?;
    let session = Session::from_record(record, now.0).map_err(|what| damaged(entry, what.to_owned()))?;
    let Some(member) = state.members.get_mut(&id) else {
        return Ok(());
    };
    if let Some(community) = state.communities.get_mut(&member.community) {
        community.joined += 1;
    }
    member.session = Some(Box::new(session));
    Ok(())
}

fn accounting(state: &mut State, entry: &Entry, _: Time) -> Result<(), LoadError> {
    let record: records::Accounting = decode(entry)?;
    let mut parts = entry.key.as_str().splitn(3, '/').skip(1);
    let (domain, host) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let fqdn = format!("{host}.{domain}");
    let id = state.id_named(&fqdn).ok_or_else(|| orphan(entry, &fqdn))?;
    if let Some(member) = state.members.get_mut(&id) {
        let octets = (record.run_octets_sent, record.run_octets_received);
        // The session under way goes on counting where it was last written.
        let session = member.session.as_deref_mut();
        if let Some(session) = session.filter(|session| record.run_id == session.run_id.0) {
            session.live.octets = octets;
        }
        member.accounting = Some(Box::new(record));
    }
    Ok(())
}

fn director(state: &mut State, entry: &Entry, _: Time) -> Result<(), LoadError> {
    let record: records::Director = decode(entry)?;
    let name = record.name.as_str().into();
    state.directors.insert(name, Director::new(record));
    Ok(())
}

fn credential(state: &mut State, entry: &Entry, _: Time) -> Result<(), LoadError> {
    let record: records::Credential = decode(entry)?;
    state.credentials.insert(record.id.as_str().into(), record);
    Ok(())
}

fn decode<M: Message + Default>(entry: &Entry) -> Result<M, LoadError> {
    M::decode(entry.value.as_slice()).map_err(|error| damaged(entry, error.to_string()))
}

fn damaged(entry: &Entry, what: impl Into<String>) -> LoadError {
    LoadError::Damaged {
        key: entry.key.to_string(),
        what: what.into(),
    }
}

fn orphan(entry: &Entry, to: &str) -> LoadError {
    LoadError::Orphan {
        key: entry.key.to_string(),
        to: to.to_owned(),
    }
}

fn twice(entry: &Entry, what: String) -> LoadError {
    LoadError::Twice {
        key: entry.key.to_string(),
        what,
    }
}
