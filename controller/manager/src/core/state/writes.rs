//! The running transaction: which keys changed, not how. Values are encoded once, when the transaction is taken, from what is in memory
//! by then; so a key stands in it at most once, however often it was touched.

use super::State;
use crate::core::ids::{CommunityIndex, MemberId};
use crate::core::outbox::Concerns;
use kith_protocol::records;
use kith_store::{Compare, Condition, Key, Operation, Transaction};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What a key is about.
pub(super) enum Subject {
    Community(CommunityIndex),
    Member(MemberId),
    Session(MemberId),
    Accounting(MemberId),
    Owner(CommunityIndex, Ipv4Addr),
    Policy(CommunityIndex, Box<str>),
    Director(Arc<str>),
    Credential(Box<str>),
    Audit(Box<records::Audit>),
}

/// Keys that changed since the last transaction was taken.
#[derive(Default)]
pub(super) struct Writes {
    dirty: BTreeMap<String, Subject>,
    conditions: Vec<Condition>,
    /// Orders audit records of one millisecond.
    audits: u32,
}

impl Writes {
    pub(super) fn touch(&mut self, key: String, subject: Subject) {
        self.dirty.insert(key, subject);
    }

    /// This key must not be there yet; must be said before the key is touched.
    pub(super) fn absent(&mut self, key: &str) {
        // Touched already: it was there, and goes or stays in this very transaction.
        if !self.dirty.contains_key(key) {
            self.conditions.push(Condition {
                key: Key::new(key),
                is: Compare::Absent,
            });
        }
    }

    pub(super) fn audit(&mut self, record: records::Audit) {
        self.audits = self.audits.wrapping_add(1);
        let order = record.at_ms << 20 | u64::from(self.audits & 0xf_ffff);
        self.touch(format!("audit/{order:016x}"), Subject::Audit(Box::new(record)));
    }
}

impl State {
    /// What changed since this was last asked, as one transaction, and whom it has to do with; none if nothing did.
    pub(in crate::core) fn take_transaction(&mut self) -> Option<(Transaction, Concerns)> {
        if self.writes.dirty.is_empty() {
            return None;
        }
        let dirty = std::mem::take(&mut self.writes.dirty);
        let conditions = std::mem::take(&mut self.writes.conditions);
        let concerns = self.concerns(dirty.values());
        let operations = dirty
            .into_iter()
            .map(|(key, subject)| match self.value(&subject) {
                Some(value) => Operation::put(key, value),
                None => Operation::delete(key),
            });
        let operations = operations.collect();
        let transaction = Transaction {
            conditions,
            operations,
        };
        Some((transaction, concerns))
    }

    /// Members' records are theirs, everything else is everybody's.
    fn concerns<'a>(&self, mut subjects: impl Iterator<Item = &'a Subject>) -> Concerns {
        let whose = |subject: &Subject| match subject {
            Subject::Member(id) | Subject::Session(id) | Subject::Accounting(id) => Some(vec![*id]),
            // Nobody's any more: whose it was has another member record too.
            Subject::Owner(index, address) => {
                let owner = self.community(*index)?.owner_of(*address);
                Some(owner.into_iter().collect())
            }
            _ => None,
        };
        let members = subjects.try_fold(BTreeSet::new(), |mut members, subject| {
            members.extend(whose(subject)?);
            Some(members)
        });
        members.map_or(Concerns::Everybody, Concerns::Members)
    }

    /// What the key holds from now on; none if it is gone.
    fn value(&self, subject: &Subject) -> Option<Vec<u8>> {
        match subject {
            Subject::Community(index) => Some(self.communities.get(index)?.record().encode_to_vec()),
            Subject::Member(id) => {
                let member = self.members.get(id)?;
                Some(member.record(self.domain(member.community)).encode_to_vec())
            }
            Subject::Session(id) => {
                let member = self.members.get(id)?;
                Some(member.session()?.record(&member.fqdn).encode_to_vec())
            }
            Subject::Accounting(id) => Some(self.members.get(id)?.accounting()?.encode_to_vec()),
            Subject::Owner(index, address) => {
                let owner = self.communities.get(index)?.owner_of(*address)?;
                let fqdn = self.members.get(&owner)?.fqdn.to_string();
                Some(records::Owner { fqdn }.encode_to_vec())
            }
            Subject::Policy(index, id) => Some(self.communities.get(index)?.policy(id)?.encode_to_vec()),
            Subject::Director(name) => Some(self.directors.get(name)?.record.encode_to_vec()),
            Subject::Credential(id) => Some(self.credentials.get(id)?.encode_to_vec()),
            Subject::Audit(record) => Some(record.encode_to_vec()),
        }
    }
}
