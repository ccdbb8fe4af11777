//! Who may have a session at one director, for listings: grants of the configuration, and those of the manager.

use super::grants::Change;
use crate::config;
use crate::status;
use kith_director::Time;
use kith_director::server::{Director, Grant};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use tracing::warn;

/// Grants by key id, without their keys.
pub(super) struct Ledger {
    grants: BTreeMap<u64, Entry>,
    /// What listings call communities.
    communities: BTreeMap<u16, String>,
}

struct Entry {
    grant: status::Grant,
    /// It stands in the configuration: the manager does not touch it.
    fixed: bool,
}

impl Ledger {
    /// Of the configuration's grants.
    pub(super) fn of(grants: &[config::Grant]) -> Self {
        let entry = |grant: &config::Grant| Entry {
            grant: status::Grant {
                name: grant.name.clone(),
                key_id: grant.key_id,
                community: grant.community.name.clone(),
                community_index: grant.community.index,
                reserved: grant.pseudo.filter(|&pseudo| pseudo != Ipv4Addr::UNSPECIFIED),
            },
            fixed: true,
        };
        let name = |grant: &config::Grant| (grant.community.index, grant.community.name.clone());
        Self {
            grants: grants.iter().map(|grant| (grant.key_id, entry(grant))).collect(),
            communities: grants.iter().map(name).collect(),
        }
    }

    /// Does at the director what the manager wants, and notes it.
    pub(super) fn apply(&mut self, at: &str, now: Time, director: &mut Director, change: Change) {
        match change {
            Change::Add { grant, community } => self.add(at, now, director, grant, &community),
            Change::Complete => {}
            Change::Remove(key_id) => {
                if self.grants.get(&key_id.0).is_some_and(|entry| !entry.fixed) {
                    self.grants.remove(&key_id.0);
                    director.remove_grant(now, key_id);
                }
            }
        }
    }

    fn add(&mut self, at: &str, now: Time, director: &mut Director, grant: Grant, community: &str) {
        let key_id = grant.key_id;
        match self.grants.get(&key_id.0) {
            Some(entry) if entry.fixed => {
                let (static_one, member) = (&entry.grant.name, &grant.name);
                return warn!(director = %at, %member, %static_one, "the configuration grants this key id; the manager's grant is left out");
            }
            // Another key, or another community: what was granted before is over.
            Some(_) => drop(director.remove_grant(now, key_id)),
            None => {}
        }
        self.communities.insert(grant.community, community.to_owned());
        let listed = status::Grant {
            name: grant.name.clone(),
            key_id: key_id.0,
            community: community.to_owned(),
            community_index: grant.community,
            reserved: None,
        };
        match director.add_grant(now, grant) {
            Ok(()) => drop(self.grants.insert(
                key_id.0,
                Entry {
                    grant: listed,
                    fixed: false,
                },
            )),
            Err(problem) => {
                self.grants.remove(&key_id.0);
                warn!(director = %at, member = %listed.name, %problem, "a grant of the manager is refused");
            }
        }
    }

    pub(super) fn total(&self) -> usize {
        self.grants.len()
    }

    /// In order of key ids.
    pub(super) fn listed(&self) -> impl Iterator<Item = &status::Grant> {
        self.grants.values().map(|entry| &entry.grant)
    }

    /// What listings call a community.
    pub(super) fn community(&self, index: u16) -> String {
        self.communities.get(&index).cloned().unwrap_or_default()
    }
}
