//! Who is primary (specification 1.4, section 5). No I/O: streams are numbers, notices are given back.
//!
//! ```text
//!  update(stream, election id) ─► highest ever, or equal to it? primary : backup      tie with another: refused
//!  leave(stream)               ─► was it the primary? nobody is, until somebody shows the highest id again
//! ```

use crate::proto::{rpc, v1};
use std::collections::BTreeMap;
use tonic::{Code, Status};

/// A stream's number, never used twice.
pub type StreamId = u64;

/// An election id.
pub type ElectionId = u128;

/// What to tell a stream.
pub type Notice = (StreamId, v1::MasterArbitrationUpdate);

/// The streams of one device in the default role.
#[derive(Debug)]
pub struct Arbiter {
    device_id: u64,
    clients: BTreeMap<StreamId, Option<ElectionId>>,
    highest: Option<ElectionId>,
    primary: Option<StreamId>,
}

impl Arbiter {
    /// Nobody is connected.
    #[must_use]
    pub fn new(device_id: u64) -> Self {
        Self {
            device_id,
            clients: BTreeMap::new(),
            highest: None,
            primary: None,
        }
    }

    /// The primary's stream.
    #[must_use]
    pub fn primary(&self) -> Option<StreamId> {
        self.primary
    }

    /// May who shows this election id write? Section 12.1: only the primary.
    #[must_use]
    pub fn may_write(&self, election: Option<ElectionId>) -> bool {
        let primary = self
            .primary
            .and_then(|stream| self.clients.get(&stream))
            .copied()
            .flatten();
        primary.is_some() && primary == election
    }

    /// A stream sent an arbitration update.
    ///
    /// # Errors
    /// With the status that the stream is to end with.
    pub fn update(
        &mut self,
        stream: StreamId,
        update: &v1::MasterArbitrationUpdate,
    ) -> Result<Vec<Notice>, Status> {
        let live = self.clients.contains_key(&stream);
        if update.device_id != self.device_id {
            let text = format!(
                "device {} is not here; this is device {}",
                update.device_id, self.device_id
            );
            let code = if live {
                Code::FailedPrecondition
            } else {
                Code::NotFound
            };
            return Err(Status::new(code, text));
        }
        if !is_default_role(update.role.as_ref()) {
            let text = "only the default role exists here; leave the role out";
            return Err(Status::new(
                if live {
                    Code::FailedPrecondition
                } else {
                    Code::NotFound
                },
                text,
            ));
        }
        if update.role.as_ref().is_some_and(|role| role.config.is_some()) {
            return Err(Status::invalid_argument(
                "the default role has no configuration; leave role.config out",
            ));
        }
        let election = update.election_id.map(election_id);
        let taken =
            |(other, theirs): (&StreamId, &Option<ElectionId>)| *other != stream && *theirs == election;
        if election.is_some() && self.clients.iter().any(taken) {
            return Err(Status::invalid_argument(
                "another client has this election id; take another",
            ));
        }
        self.clients.insert(stream, election);
        let was_primary = self.primary == Some(stream);
        if election.is_some() && election >= self.highest {
            self.highest = election;
            self.primary = Some(stream);
            return Ok(self.notices(|_| true));
        }
        if was_primary {
            self.primary = None;
            return Ok(self.notices(|_| true));
        }
        Ok(self.notices(|one| one == stream))
    }

    /// Would this update change who is primary? Then writes in flight are to end first.
    #[must_use]
    pub fn changes_primary(&self, stream: StreamId, update: &v1::MasterArbitrationUpdate) -> bool {
        let election = update.election_id.map(election_id);
        let becomes = election.is_some() && election >= self.highest;
        becomes || self.primary == Some(stream)
    }

    /// A stream ended.
    pub fn leave(&mut self, stream: StreamId) -> Vec<Notice> {
        self.clients.remove(&stream);
        if self.primary != Some(stream) {
            return Vec::new();
        }
        self.primary = None;
        self.notices(|_| true)
    }

    fn notices(&self, to: impl Fn(StreamId) -> bool) -> Vec<Notice> {
        let streams = self.clients.keys().filter(|stream| to(**stream));
        streams.map(|stream| (*stream, self.notice(*stream))).collect()
    }

    /// Section 5.4.
    fn notice(&self, stream: StreamId) -> v1::MasterArbitrationUpdate {
        let (code, message) = match self.primary {
            Some(primary) if primary == stream => (Code::Ok, "you are primary"),
            Some(_) => (Code::AlreadyExists, "you are a backup; another client is primary"),
            None => (Code::NotFound, "you are a backup; no client is primary"),
        };
        v1::MasterArbitrationUpdate {
            device_id: self.device_id,
            role: None,
            election_id: self.highest.map(election_message),
            status: Some(rpc::Status {
                code: code.into(),
                message: message.to_owned(),
                details: Vec::new(),
            }),
        }
    }
}

/// Is no role named?
#[allow(deprecated, reason = "older clients number roles")]
fn is_default_role(role: Option<&v1::Role>) -> bool {
    role.is_none_or(|role| role.name.is_empty() && role.id == 0)
}

/// An election id out of its message.
#[must_use]
pub fn election_id(message: v1::Uint128) -> ElectionId {
    u128::from(message.high) << 64 | u128::from(message.low)
}

/// An election id as a message.
#[must_use]
pub fn election_message(id: ElectionId) -> v1::Uint128 {
    v1::Uint128 {
        high: (id >> 64) as u64,
        low: id as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(id: Option<ElectionId>) -> v1::MasterArbitrationUpdate {
        v1::MasterArbitrationUpdate {
            device_id: 1,
            election_id: id.map(election_message),
            ..Default::default()
        }
    }

    /// Who was told what.
    fn told(notices: Vec<Notice>) -> Vec<(StreamId, Code)> {
        notices
            .into_iter()
            .map(|(stream, notice)| (stream, notice.status.unwrap_or_default().code.into()))
            .collect()
    }

    #[test]
    fn the_highest_id_is_primary_and_all_are_told() {
        let mut arbiter = Arbiter::new(1);
        assert_eq!(told(arbiter.update(1, &hello(Some(5))).unwrap()), [(1, Code::Ok)]);
        assert_eq!(
            told(arbiter.update(2, &hello(Some(4))).unwrap()),
            [(2, Code::AlreadyExists)]
        );
        let all = told(arbiter.update(3, &hello(Some(6))).unwrap());
        assert_eq!(
            all,
            [(1, Code::AlreadyExists), (2, Code::AlreadyExists), (3, Code::Ok)]
        );
        assert!(arbiter.may_write(Some(6)) && !arbiter.may_write(Some(5)) && !arbiter.may_write(None));
    }

    #[test]
    fn ids_count_in_all_128_bits() {
        let mut arbiter = Arbiter::new(1);
        arbiter.update(1, &hello(Some(u128::from(u64::MAX)))).unwrap();
        arbiter.update(2, &hello(Some(1 << 64))).unwrap();
        assert_eq!(arbiter.primary(), Some(2));
    }

    #[test]
    fn nobody_inherits_from_a_primary_that_left() {
        let mut arbiter = Arbiter::new(1);
        arbiter.update(1, &hello(Some(5))).unwrap();
        arbiter.update(2, &hello(Some(4))).unwrap();
        assert_eq!(told(arbiter.leave(1)), [(2, Code::NotFound)]);
        assert!(!arbiter.may_write(Some(4)) && !arbiter.may_write(Some(5)));
        arbiter.update(2, &hello(Some(4))).unwrap();
        assert_eq!(arbiter.primary(), None, "5 was the highest ever");
        arbiter.update(2, &hello(Some(5))).unwrap();
        assert_eq!(arbiter.primary(), Some(2));
    }

    #[test]
    fn a_primary_may_step_down() {
        let mut arbiter = Arbiter::new(1);
        arbiter.update(1, &hello(Some(5))).unwrap();
        arbiter.update(2, &hello(None)).unwrap();
        let all = told(arbiter.update(1, &hello(Some(3))).unwrap());
        assert_eq!(all, [(1, Code::NotFound), (2, Code::NotFound)]);
    }

    #[test]
    fn ties_strangers_and_roles_are_refused() {
        let mut arbiter = Arbiter::new(1);
        arbiter.update(1, &hello(Some(5))).unwrap();
        let code =
            |arbiter: &mut Arbiter, stream, update| arbiter.update(stream, &update).unwrap_err().code();
        assert_eq!(
            code(&mut arbiter, 2, hello(Some(5))),
            Code::InvalidArgument,
            "a tie"
        );
        let elsewhere = v1::MasterArbitrationUpdate {
            device_id: 2,
            ..hello(Some(6))
        };
        assert_eq!(code(&mut arbiter, 2, elsewhere.clone()), Code::NotFound);
        assert_eq!(code(&mut arbiter, 1, elsewhere), Code::FailedPrecondition);
        let role = v1::Role {
            name: "half".into(),
            ..Default::default()
        };
        let other = v1::MasterArbitrationUpdate {
            role: Some(role),
            ..hello(Some(6))
        };
        assert_eq!(code(&mut arbiter, 2, other), Code::NotFound);
        assert_eq!(arbiter.primary(), Some(1), "none of this changed anything");
        assert!(
            arbiter.update(1, &hello(Some(5))).is_ok(),
            "one's own id is no tie"
        );
    }

    #[test]
    fn no_id_is_a_backup_for_ever() {
        let mut arbiter = Arbiter::new(1);
        assert_eq!(
            told(arbiter.update(1, &hello(None)).unwrap()),
            [(1, Code::NotFound)]
        );
        assert!(!arbiter.may_write(None));
        arbiter.update(2, &hello(Some(0))).unwrap();
        assert_eq!(arbiter.primary(), Some(2), "0 is an id, none is not");
    }
}
