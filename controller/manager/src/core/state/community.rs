//! A community as the manager holds it: what is stored, and the indices over its members.

use super::{Prefix, PrefixError};
use crate::core::ids::{CommunityIndex, MemberId};
use kith_protocol::records;
use kith_protocol::secret::Secret32;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A community.
pub struct Community {
    /// Its number at every director.
    pub index: CommunityIndex,
    /// Its domain name, lower case.
    pub domain: Arc<str>,
    /// Virtual networks; members get addresses of the first that suits them.
    pub pools: Vec<Prefix>,
    /// For people.
    pub description: String,
    /// Since when it is there.
    pub created_ms: u64,
    /// Counts changes of its policies.
    pub policy_version: u64,
    /// The manager's own virtual address.
    pub manager_address: Ipv4Addr,
    /// From which the keys of pairs come.
    pub pair_secret: Secret32,
    /// What happens to packets that no policy is about.
    pub deny_by_default: bool,
    /// Names of directors that may serve it; empty for all.
    pub directors: Vec<String>,
    /// How long tickets last, seconds; 0 for the manager's default.
    pub ticket_lifetime_s: u32,
    /// By their ids.
    pub(super) policies: BTreeMap<Box<str>, records::Policy>,
    pub(super) members: BTreeMap<Arc<str>, MemberId>,
    pub(super) addresses: BTreeMap<u32, MemberId>,
    pub(super) joined: u64,
    /// For each pool: no address below this one is free.
    pub(super) lowest_free: Vec<u32>,
}

impl Community {
    /// A new one without members; pools must have been checked.
    #[must_use]
    pub fn new(index: CommunityIndex, domain: &str, pools: Vec<Prefix>, pair_secret: [u8; 32]) -> Self {
        Self {
            index,
            domain: domain.into(),
            manager_address: manager_address(&pools),
            lowest_free: lowest(&pools),
            pools,
            description: String::new(),
            created_ms: 0,
            policy_version: 1,
            pair_secret: Secret32::new(pair_secret),
            deny_by_default: false,
            directors: Vec::new(),
            ticket_lifetime_s: 0,
            policies: BTreeMap::new(),
            members: BTreeMap::new(),
            addresses: BTreeMap::new(),
            joined: 0,
        }
    }

    /// Its policies in order of their ids.
    pub fn policies(&self) -> impl Iterator<Item = &records::Policy> {
        self.policies.values()
    }

    /// One policy.
    #[must_use]
    pub fn policy(&self, id: &str) -> Option<&records::Policy> {
        self.policies.get(id)
    }

    /// Its members in order of their names.
    pub fn members(&self) -> impl Iterator<Item = (&Arc<str>, MemberId)> {
        self.members.iter().map(|(name, id)| (name, *id))
    }

    /// Its members behind this name, in order.
    pub fn members_after(&self, name: &str) -> impl Iterator<Item = (&Arc<str>, MemberId)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = self.members.range::<str, _>((Excluded(name), Unbounded));
        range.map(|(name, id)| (name, *id))
    }

    /// How many members it has.
    #[must_use]
    pub fn member_count(&self) -> u64 {
        self.members.len() as u64
    }

    /// How many of them are joined.
    #[must_use]
    pub fn joined_count(&self) -> u64 {
        self.joined
    }

    /// Who owns a virtual address, joined or not.
    #[must_use]
    pub fn owner_of(&self, address: Ipv4Addr) -> Option<MemberId> {
        self.addresses.get(&address.into()).copied()
    }

    /// Owned addresses, in order.
    pub fn addresses(&self) -> impl Iterator<Item = (Ipv4Addr, MemberId)> + '_ {
        self.addresses
            .iter()
            .map(|(address, id)| ((*address).into(), *id))
    }

    /// Virtual addresses that nobody has.
    #[must_use]
    pub fn addresses_free(&self) -> u64 {
        let hosts = self.pools.iter().filter_map(|pool| pool.hosts());
        let all: u64 = hosts.map(|(first, last)| u64::from(last - first) + 1).sum();
        // One is the manager's.
        all.saturating_sub(1 + self.addresses.len() as u64)
    }

    /// Sets other pools. Owned addresses outside of them stay owned until their members join again.
    pub fn set_pools(&mut self, pools: Vec<Prefix>) {
        self.lowest_free = lowest(&pools);
        if !pools.iter().any(|pool| pool.contains(self.manager_address)) {
            self.manager_address = manager_address(&pools);
        }
        self.pools = pools;
    }

    /// The first free address of the first pool that has one, outside of all these networks.
    #[must_use]
    pub fn free_address(&mut self, outside: &[Prefix]) -> Option<Ipv4Addr> {
        let manager = u32::from(self.manager_address);
        for (pool, lowest) in self.pools.iter().zip(&mut self.lowest_free) {
            let Some((_, last)) = pool.hosts() else { continue };
            let mut candidate = *lowest;
            if candidate > last {
                continue;
            }
            // Until an address was skipped that is free, but not for this member, all below the candidate are owned.
            let mut all_owned = true;
            let mut owned = self
                .addresses
                .range(candidate..=last)
                .map(|(address, _)| *address)
                .peekable();
            while candidate <= last {
                if owned.peek() == Some(&candidate) {
                    owned.next();
                } else if candidate != manager {
                    let address = Ipv4Addr::from(candidate);
                    let Some(lan) = outside.iter().find(|lan| lan.contains(address)) else {
                        return Some(address);
                    };
                    all_owned = false;
                    candidate = u32::from(lan.broadcast());
                    while owned.next_if(|address| *address <= candidate).is_some() {}
                }
                let Some(next) = candidate.checked_add(1) else {
                    break;
                };
                candidate = next;
                if all_owned {
                    *lowest = candidate;
                }
            }
        }
        None
    }

    pub(super) fn from_record(record: records::Community) -> Result<Self, String> {
        let index = u16::try_from(record.index).ok().filter(|index| *index != 0);
        let index = index.ok_or_else(|| format!("its number {} is not within 1 to 65535", record.index))?;
        let pools: Result<Vec<Prefix>, PrefixError> = record.pools.iter().map(|pool| pool.parse()).collect();
        let pools = pools.map_err(|error| error.to_string())?;
        let secret = record.pair_secret.as_slice().try_into();
        let secret = secret.map_err(|_| "its secret is not 32 octets".to_owned())?;
        let mut community = Self::new(CommunityIndex(index), &record.domain, pools, secret);
        community.description = record.description;
        community.created_ms = record.created_ms;
        community.policy_version = record.policy_version;
        community.manager_address = record.manager_address.into();
        community.deny_by_default = record.deny_by_default;
        community.directors = record.directors;
        community.ticket_lifetime_s = record.ticket_lifetime_s;
        Ok(community)
    }

    pub(super) fn record(&self) -> records::Community {
        records::Community {
            domain: self.domain.to_string(),
            pools: self.pools.iter().map(Prefix::to_string).collect(),
            description: self.description.clone(),
            index: self.index.0.into(),
            created_ms: self.created_ms,
            policy_version: self.policy_version,
            manager_address: self.manager_address.into(),
            pair_secret: self.pair_secret.expose().to_vec(),
            deny_by_default: self.deny_by_default,
            directors: self.directors.clone(),
            ticket_lifetime_s: self.ticket_lifetime_s,
        }
    }

    pub(super) fn owns(&mut self, address: Ipv4Addr, member: MemberId) {
        self.addresses.insert(address.into(), member);
    }

    pub(super) fn disowns(&mut self, address: Ipv4Addr) {
        self.addresses.remove(&address.into());
        for (pool, lowest) in self.pools.iter().zip(&mut self.lowest_free) {
            if let Some((first, _)) = pool.hosts().filter(|_| pool.contains(address)) {
                *lowest = (*lowest).min(u32::from(address).max(first));
            }
        }
    }
}

/// The manager takes the first pool's first host address.
fn manager_address(pools: &[Prefix]) -> Ipv4Addr {
    let first = pools.first().and_then(|pool| pool.hosts());
    first.map_or(Ipv4Addr::UNSPECIFIED, |(first, _)| first.into())
}

fn lowest(pools: &[Prefix]) -> Vec<u32> {
    let first = |pool: &Prefix| pool.hosts().map_or(0, |(first, _)| first);
    pools.iter().map(first).collect()
}
