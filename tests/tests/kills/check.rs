//! What is found after a kill, held against what was acknowledged and what was asked for.
//!
//! The store's files are copied as the kill left them and the copy is opened: the manager meanwhile opens the files themselves. So both
//! find every kill's remains, and neither helps the other.

use super::ledger::{Book, stage};
use super::operators::{MEMBERS, POLICIES};
use kith_protocol::records::{Community, Member, MemberState, Owner, Policy, Session};
use kith_store::sqlite::Sqlite;
use kith_store::{Entry, Key, Options, Revision, Store};
use prost::Message;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Copies the store's files beside each other into a folder.
pub fn copy(state: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).unwrap();
    for name in ["store.db", "store.db-wal"] {
        let from = state.join(name);
        if from.is_file() {
            std::fs::copy(from, to.join(name)).unwrap();
        }
    }
    to.join("store.db")
}

/// Everything that a store holds.
pub struct Found {
    entries: BTreeMap<String, Entry>,
    pub revision: Revision,
}

impl Found {
    /// Opens a copy. SQLite must find it whole.
    pub fn read(path: &Path) -> Self {
        let store = Sqlite::open(path, Options::default()).expect("the store opens after any kill");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let page = runtime.block_on(store.range(Key::new(""), None, usize::MAX));
        let page = page.unwrap_or_else(|error| panic!("{error}"));
        drop(store);
        let connection = rusqlite::Connection::open(path).unwrap();
        let whole: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(whole, "ok", "the file is damaged");
        Self {
            entries: page
                .entries
                .into_iter()
                .map(|entry| (entry.key.as_str().to_owned(), entry))
                .collect(),
            revision: page.revision,
        }
    }

    fn under<'a, M: Message + Default>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, M, &'a Entry)> {
        let all = self.entries.range(prefix.to_owned()..);
        all.take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| {
                let record = M::decode(&*entry.value).unwrap_or_else(|error| panic!("{key}: {error}"));
                (key.as_str(), record, entry)
            })
    }

    fn get<M: Message + Default>(&self, key: &str) -> Option<M> {
        let entry = self.entries.get(key)?;
        Some(M::decode(&*entry.value).unwrap_or_else(|error| panic!("{key}: {error}")))
    }

    /// All that is wrong with it.
    pub fn check(&self, book: &Book) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.revision.0 < book.revision {
            wrong.push(format!(
                "revision {} after {} was shown",
                self.revision.0, book.revision
            ));
        }
        for (key, entry) in &self.entries {
            if entry.created > entry.modified || entry.modified > self.revision {
                wrong.push(format!(
                    "{key}: created {:?}, modified {:?}, all {:?}",
                    entry.created, entry.modified, self.revision
                ));
            }
        }
        self.numbers(book, &mut wrong);
        self.applications(book, &mut wrong);
        self.members(book, &mut wrong);
        self.addresses(book, &mut wrong);
        wrong
    }

    fn numbers(&self, book: &Book, wrong: &mut Vec<String>) {
        for (name, _) in book.under("community/") {
            let found = self
                .get::<Community>(name)
                .map_or(0, |record| number(&record.description));
            wrong.extend(book.check(name, found).err());
        }
        for (name, _) in book.under("policy/") {
            let found = self
                .get::<Policy>(name)
                .map_or(0, |record| number(&record.comment));
            wrong.extend(book.check(name, found).err());
        }
    }

    /// What was applied as one is there as one.
    fn applications(&self, book: &Book, wrong: &mut Vec<String>) {
        for (name, _) in book.under("apply/") {
            let domain = name.trim_start_matches("apply/");
            let community = self.get::<Community>(&format!("community/{domain}"));
            let found = community.map_or(0, |record| number(&record.description));
            wrong.extend(book.check(name, found).err());
            let policies: Vec<u64> = self
                .under::<Policy>(&format!("policy/{domain}/"))
                .map(|(_, record, _)| number(&record.comment))
                .collect();
            if found > 0 && policies != vec![found; POLICIES as usize] {
                wrong.push(format!(
                    "{name}: half of {found} is there: policies of {policies:?}"
                ));
            }
            let members: Vec<String> = self
                .under::<Member>(&format!("member/{domain}/"))
                .map(|(key, ..)| key.rsplit('/').next().unwrap_or_default().to_owned())
                .collect();
            let all = (0..MEMBERS).map(|place| format!("g{found}-{place}"));
            if found > 0 && domain.starts_with("full") && members != all.collect::<Vec<_>>() {
                wrong.push(format!("{name}: half of {found} is there: members {members:?}"));
            }
        }
    }

    fn members(&self, book: &Book, wrong: &mut Vec<String>) {
        let stage_of = |fqdn: &str| {
            let Some(member) = self.get::<Member>(&format!("member/{}", path(fqdn))) else {
                return 0;
            };
            let joined = self.entries.contains_key(&format!("session/{}", path(fqdn)));
            match (member.state(), joined) {
                (MemberState::Registered, true) => stage::JOINED,
                (MemberState::Registered, false) if member.virtual_address != 0 => stage::LEFT,
                (MemberState::Registered, false) => stage::REGISTERED,
                (MemberState::Registering, false) => stage::REGISTERING,
                (MemberState::NotRegistered, false) => stage::INVITED,
                _ => u64::MAX,
            }
        };
        for (name, _) in book.under("member/") {
            let fqdn = name.trim_start_matches("member/");
            let found = stage_of(fqdn);
            wrong.extend(book.check(name, found).err());
            // They were invited by twos.
            let twin = match fqdn.split_once("a.") {
                Some((first, rest)) if found == 0 => stage_of(&format!("{first}b.{rest}")),
                _ => 0,
            };
            if twin > 0 {
                wrong.push(format!("{name}: half of an invitation is there"));
            }
        }
        for (key, member, _) in self.under::<Member>("member/") {
            let lacks = match member.state() {
                MemberState::Registering => member
                    .registering
                    .as_ref()
                    .is_none_or(|of| of.code_hash.len() != 32 || of.file_key.len() != 32),
                MemberState::Registered => {
                    member.identity.len() != 32 || member.token_key.len() != 32 || member.registered_ms == 0
                }
                _ => !member.token_key.is_empty(),
            };
            if lacks {
                wrong.push(format!(
                    "{key}: half of the step to {:?} is there",
                    member.state()
                ));
            }
        }
    }

    /// One owner an address, one address a member, one session a joined member.
    fn addresses(&self, book: &Book, wrong: &mut Vec<String>) {
        let key = |fqdn: &str, address: u32| {
            let domain = fqdn.split_once('.').map_or("", |(_, domain)| domain);
            format!("address/{domain}/{address:08x}")
        };
        for (at, owner, _) in self.under::<Owner>("address/") {
            let member = self.get::<Member>(&format!("member/{}", path(&owner.fqdn)));
            let has = member.map_or(0, |member| member.virtual_address);
            if key(&owner.fqdn, has) != at {
                wrong.push(format!("{at} is {}'s, who has {has:08x}", owner.fqdn));
            }
        }
        for (at, member, _) in self.under::<Member>("member/") {
            let own = key(&member.fqdn, member.virtual_address);
            if member.virtual_address != 0 && self.get::<Owner>(&own).is_none_or(|of| of.fqdn != member.fqdn)
            {
                wrong.push(format!("{at} has an address that is not its own: {own}"));
            }
        }
        for (at, session, _) in self.under::<Session>("session/") {
            let member = self.get::<Member>(&format!("member/{}", path(&session.fqdn)));
            if member.map_or(0, |member| member.virtual_address) != session.virtual_address {
                wrong.push(format!(
                    "{at} is at {:08x}, its member not",
                    session.virtual_address
                ));
            }
        }
        for (fqdn, address) in &book.addresses {
            let member = self.get::<Member>(&format!("member/{}", path(fqdn)));
            let found = member.map(|member| Ipv4Addr::from(member.virtual_address));
            if found != Some(*address) {
                wrong.push(format!("{fqdn} was given {address} and has {found:?}"));
            }
        }
    }

    /// How many members there are.
    pub fn population(&self) -> usize {
        self.under::<Member>("member/").count()
    }
}

/// `domain/host` of a full name.
fn path(fqdn: &str) -> String {
    fqdn.split_once('.')
        .map_or_else(String::new, |(host, domain)| format!("{domain}/{host}"))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
