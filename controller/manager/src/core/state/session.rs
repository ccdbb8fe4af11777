//! A joined member's session: what is stored of it, and what lives only in memory.

use super::member::{array, some};
use crate::core::ids::{CommitId, RunId, StreamId};
use crate::core::relations::Relations;
use kith_protocol::{member, records};
use kith_store::Revision;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A joined member's session.
pub struct Session {
    /// The run of its agent.
    pub run_id: RunId,
    /// Since when.
    pub joined_ms: u64,
    /// Its virtual address.
    pub virtual_address: Ipv4Addr,
    /// Its address on its own network.
    pub local_address: Ipv4Addr,
    /// Where we see it from.
    pub observed_address: Ipv4Addr,
    /// Where its packets go.
    pub location: Location,
    /// The director that it has a session at, to be reached or only to send.
    pub director: Option<Arc<str>>,
    /// The two addresses differ.
    pub behind_nat: bool,
    /// It stands in for others.
    pub group: bool,
    /// As it said.
    pub platform: Box<str>,
    /// As it said.
    pub program: Box<str>,
    /// As it said.
    pub netbios_name: Option<Box<str>>,
    /// Under which it takes our packets inside the tunnel; 0 until it has keys with this process. In memory only.
    pub member_spi: u32,
    /// Under which we take its. In memory only.
    pub manager_spi: u32,
    /// What is not stored.
    pub live: Live,
}

/// What is known of a session in memory only.
pub struct Live {
    /// When something authentic of this run came last.
    pub heard_ms: u64,
    /// Octets that this run has sent and received, by its heartbeats.
    pub octets: (u64, u64),
    /// When accounting was last written.
    pub accounted_ms: u64,
    /// Its stream of changes.
    pub stream: Option<StreamId>,
    /// The newest revision that it was told of, or should have been; `u64::MAX` while we do not know what it was told.
    pub told: u64,
    /// Of its compiled policy as it has it.
    pub policy_hash: u64,
    /// With whom it deals.
    pub relations: Relations,
    /// The transaction with which it had its address; nobody is told of the address before that is on disk.
    pub(in crate::core) addressed: CommitId,
    /// The join as it was answered, until it is heard.
    pub(in crate::core) answered: Option<Box<crate::core::join::Answered>>,
}

/// Where a member's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Its director, as the outside names it; 0.0.0.0 if it has a public address.
    pub director: Ipv4Addr,
    /// That director's port.
    pub director_port: u16,
    /// Pseudo address, private address, or its public address.
    pub address: Ipv4Addr,
    /// Where it listens; of meaning with a public address only.
    pub port: u16,
}

impl Location {
    /// Of a message; none if a port is none.
    #[must_use]
    pub fn of(message: &member::Location) -> Option<Self> {
        Some(Self {
            director: message.director.into(),
            director_port: u16::try_from(message.director_port).ok()?,
            address: message.address.into(),
            port: u16::try_from(message.port).ok()?,
        })
    }

    /// As a message.
    #[must_use]
    pub fn message(self) -> member::Location {
        member::Location {
            director: self.director.into(),
            director_port: self.director_port.into(),
            address: self.address.into(),
            port: self.port.into(),
        }
    }
}

impl Live {
    /// Of a session that begins, or that was read from the store.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            heard_ms: now_ms,
            octets: (0, 0),
            accounted_ms: now_ms,
            stream: None,
            told: u64::MAX,
            policy_hash: 0,
            relations: Relations::default(),
            addressed: CommitId(0),
            answered: None,
        }
    }

    /// It is answered that it has joined, with all that there is up to this revision.
    pub(in crate::core) fn joined_at(&mut self, revision: Revision) {
        self.tell(revision);
        if let Some(answered) = &mut self.answered {
            answered.revision = revision.0;
        }
    }

    /// It is told the last word of this revision. When that is not the first last word, nobody can say by its revision which of them it has.
    pub(in crate::core) fn tell(&mut self, revision: Revision) {
        self.told = if self.told < revision.0 {
            revision.0
        } else {
            u64::MAX
        };
    }
}

impl Session {
    pub(super) fn from_record(record: records::Session, now_ms: u64) -> Result<Self, &'static str> {
        let port = |port: u32| u16::try_from(port).map_err(|_| "its port");
        Ok(Self {
            run_id: RunId(array(&record.run_id, "its run id")?),
            joined_ms: record.joined_ms,
            virtual_address: record.virtual_address.into(),
            local_address: record.local_address.into(),
            observed_address: record.observed_address.into(),
            location: Location {
                director: record.director.into(),
                director_port: port(record.director_port)?,
                address: record.address.into(),
                port: port(record.port)?,
            },
            director: some(record.director_name).map(Into::into),
            behind_nat: record.behind_nat,
            group: record.group,
            platform: record.platform.into(),
            program: record.program.into(),
            netbios_name: some(record.netbios_name),
            member_spi: 0,
            manager_spi: 0,
            live: Live::new(now_ms),
        })
    }

    /// Keys and SPIs inside the tunnel are not in it: none outlives the process that counted its nonces.
    pub(super) fn record(&self, fqdn: &str) -> records::Session {
        records::Session {
            fqdn: fqdn.to_owned(),
            run_id: self.run_id.0.to_vec(),
            joined_ms: self.joined_ms,
            virtual_address: self.virtual_address.into(),
            local_address: self.local_address.into(),
            observed_address: self.observed_address.into(),
            director: self.location.director.into(),
            director_port: self.location.director_port.into(),
            address: self.location.address.into(),
            port: self.location.port.into(),
            director_name: self.director.as_deref().unwrap_or_default().to_owned(),
            platform: self.platform.to_string(),
            program: self.program.to_string(),
            netbios_name: self.netbios_name.as_deref().unwrap_or_default().to_owned(),
            behind_nat: self.behind_nat,
            secret: Vec::new(),
            member_spi: 0,
            manager_spi: 0,
            heard_ms: self.live.heard_ms,
            group: self.group,
        }
    }
}
