//! What the host answers itself: its own part of the status, and audit records, which stand only in the store.

use super::AdminService;
use kith_protocol::admin::{Audit, AuditList, AuditQuery, ManagerStatus};
use kith_protocol::records;
use kith_store::Key;
use prost::Message;
use std::collections::VecDeque;
use tonic::Status;

/// Records in an answer, unless fewer are wanted.
const MOST: usize = 1_000;
/// Records read at a time.
const PAGE: usize = 1_000;

impl AdminService {
    /// Fills in what only the host knows.
    pub(super) fn complete(&self, mut status: ManagerStatus) -> ManagerStatus {
        status.program = env!("CARGO_PKG_VERSION").into();
        status.uptime_ms = u64::try_from(self.host.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        status.tunnel_port = self.about.tunnel_port.into();
        status.fingerprint = self.about.fingerprint.to_string();
        status.store = self.about.store.display().to_string();
        status.mail.clone_from(&self.about.mail);
        status
    }

    /// The newest records that match, oldest first.
    pub(super) async fn audit(&self, asked: AuditQuery) -> Result<AuditList, Status> {
        let most = match asked.limit as usize {
            0 => MOST,
            some => some.min(MOST),
        };
        let mut found: VecDeque<Audit> = VecDeque::new();
        let mut after = behind(asked.since_ms);
        loop {
            let page = self.host.store.range(Key::new("audit/"), after, PAGE).await;
            let page = page.map_err(|error| Status::unavailable(error.to_string()))?;
            for entry in &page.entries {
                let record = records::Audit::decode(entry.value.as_slice()).map_err(|error| {
                    Status::data_loss(format!("{} in the store is damaged: {error}", entry.key))
                })?;
                if record.at_ms < asked.since_ms || !record.subject.contains(&asked.subject) {
                    continue;
                }
                if found.len() == most {
                    found.pop_front();
                }
                found.push_back(listed(record));
            }
            after = page.entries.last().map(|last| last.key.clone());
            if !page.more {
                return Ok(AuditList {
                    records: found.into(),
                });
            }
        }
    }
}

/// The key behind which records of this time and later stand. Keys are times, and an order within a millisecond, in hexadecimal of one
/// length: their order is that of time (`core::state::writes`).
fn behind(since_ms: u64) -> Option<Key> {
    let before = since_ms.checked_sub(1)?.min(u64::MAX >> 20);
    let last = before << 20 | 0xf_ffff;
    Some(Key::new(format!("audit/{last:016x}")))
}

fn listed(record: records::Audit) -> Audit {
    Audit {
        at_ms: record.at_ms,
        actor: record.actor,
        role: record.role,
        action: record.action,
        subject: record.subject,
        detail: record.detail,
        allowed: record.allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `core::state::writes` names a record.
    fn key(at_ms: u64, order: u64) -> Key {
        Key::new(format!("audit/{:016x}", at_ms << 20 | order))
    }

    #[test]
    fn reading_begins_at_the_first_record_of_the_time_that_is_asked_for() {
        let noon = 1_772_366_407_000;
        let behind = behind(noon).unwrap();
        assert!(
            key(noon - 1, 0xf_ffff) <= behind,
            "the last one before is left out"
        );
        assert!(behind < key(noon, 0), "the first one is not");
        assert_eq!(super::behind(0), None);
        assert!(
            super::behind(u64::MAX).unwrap() >= key(u64::MAX >> 20, 0xf_ffff),
            "beyond all records"
        );
    }
}
