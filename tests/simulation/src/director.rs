//! A route director of the simulation: the sessions' machine, its journal, and the grants that the manager gives.

use crate::dice::Dice;
use crate::net::{Net, Place};
use crate::world::What;
use kith_director::journal;
use kith_director::server::{Director, DirectorConfig, Grant, Output, PoolRange, TableOp};
use kith_director::{DirectorKey, Time};
use kith_manager::core::GrantOp;
use kith_wire::control::{KeyId, LEN};
use kith_wire::shim::PseudoIp;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A network in which an address means something: 0 is the public one, others are sites.
pub type Realm = usize;

/// One director.
pub struct Node {
    number: usize,
    /// As operators call it.
    pub name: String,
    /// Where it listens, and in which network.
    pub at: (Realm, SocketAddrV4),
    machine: Option<Director>,
    /// What a kill leaves.
    journal: Vec<u8>,
    /// What the manager wants granted now; the desk gives it to a director that starts.
    granted: BTreeMap<u64, Grant>,
    table: BTreeMap<PseudoIp, SocketAddrV4>,
    wake: u64,
    /// Down for so short a time that nobody has noticed.
    away: bool,
}

impl Node {
    /// One that has never run.
    pub fn new(number: usize, name: &str, at: (Realm, SocketAddrV4)) -> Self {
        Self {
            number,
            name: name.into(),
            at,
            machine: None,
            journal: journal::encode_all([]),
            granted: BTreeMap::new(),
            table: BTreeMap::new(),
            wake: u64::MAX,
            away: false,
        }
    }

    /// Where cuts see it.
    pub fn place(&self) -> Place {
        match self.at.0 {
            0 => Place::Director(self.number),
            realm => Place::Site(realm - 1),
        }
    }

    /// It runs.
    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// Down, and nobody has noticed yet.
    pub fn is_away(&self) -> bool {
        self.away
    }

    /// Which one.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many sessions it has.
    pub fn sessions(&self) -> u64 {
        self.table.len() as u64
    }

    /// Starts, with its journal or without.
    pub fn start(&mut self, net: &mut Net, with_journal: bool) {
        let first = PseudoIp::new(0xf000_0001 + ((self.number as u32) << 16));
        let Some(first) = first else {
            unreachable!("240.0.0.0/12 is a pool of pseudo addresses")
        };
        let mut config = DirectorConfig::new(*self.at.1.ip(), PoolRange { first, count: 1024 });
        config.port = self.at.1.port();
        let mut secret = [0; 32];
        net.dice.entropy()(&mut secret);
        let Ok(mut machine) = Director::new(config, secret) else {
            unreachable!("the settings are the usual ones")
        };
        let now = Time::from_millis(net.now);
        for grant in self.granted.values() {
            let _granted_before = machine.add_grant(now, grant.clone());
        }
        self.table.clear();
        if with_journal && let Ok(read) = journal::read(&self.journal) {
            machine.restore(now, &read);
        }
        self.journal = journal::encode_all(machine.journal());
        self.machine = Some(machine);
        self.drain(net);
    }

    /// kill -9; perhaps in the middle of a record.
    pub fn kill(&mut self, dice: &mut Dice) {
        self.machine = None;
        self.away = dice.percent(50);
        if dice.percent(30) && self.journal.len() > journal::MAGIC.len() {
            let torn = 1 + dice.index(journal::RECORD_LEN - 1);
            self.journal.truncate(self.journal.len() - torn);
        }
    }

    /// What the manager says of who may have a session.
    pub fn grant(&mut self, net: &mut Net, op: &GrantOp) {
        let now = Time::from_millis(net.now);
        let (add, key) = match op {
            GrantOp::Add { key_id, .. } => (true, key_id),
            GrantOp::Remove { key_id, .. } => (false, key_id),
        };
        if let Some(of) = self.granted.get(key).map(|grant| grant.name.clone()) {
            let name = &self.name;
            net.tell(&of, || {
                format!(
                    "{name}: {}",
                    if add { "granted again" } else { "grant taken back" }
                )
            });
        }
        match op {
            GrantOp::Add {
                key_id,
                key,
                community,
                name,
                ..
            } => {
                let grant = Grant {
                    key_id: KeyId(*key_id),
                    key: DirectorKey::new(*key.expose()),
                    community: community.0,
                    reserved: None,
                    name: name.to_string(),
                };
                let director = &self.name;
                net.tell(name, || format!("{director}: granted"));
                // The same again is nothing new: a member's key never changes under one number.
                if self.granted.insert(*key_id, grant.clone()).is_none()
                    && let Some(machine) = &mut self.machine
                    && let Err(why) = machine.add_grant(now, grant)
                {
                    net.wrong("a director takes every grant", Some(name), why.to_string());
                }
            }
            GrantOp::Remove { key_id, .. } => {
                self.granted.remove(key_id);
                if let Some(machine) = &mut self.machine {
                    machine.remove_grant(now, KeyId(*key_id));
                }
            }
        }
        self.drain(net);
    }

    /// Numbers of the keys that are granted.
    pub fn granted(&self) -> impl Iterator<Item = u64> + '_ {
        self.granted.keys().copied()
    }

    /// A message came.
    pub fn datagram(&mut self, net: &mut Net, from: (Place, Realm, SocketAddrV4), mut data: [u8; LEN]) {
        let Some(machine) = &mut self.machine else { return };
        let verdict = machine.datagram(Time::from_millis(net.now), from.2, &mut data);
        self.drain(net);
        if verdict.is_answered() {
            let (here, number, there) = (self.place(), self.number, (from.1, from.2));
            net.datagram(here, from.0, || What::FromDirector {
                director: number,
                to: there,
                data: Box::new(data),
            });
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, net: &mut Net, at: u64) {
        if self.wake != at {
            return;
        }
        self.wake = u64::MAX;
        if let Some(machine) = &mut self.machine {
            machine.tick(Time::from_millis(net.now));
        }
        self.drain(net);
    }

    /// The member's session's pseudo address, if it has one.
    pub fn pseudo_of(&self, now: u64, name: &str) -> Option<(Ipv4Addr, SocketAddrV4)> {
        let machine = self.machine.as_ref()?;
        let session = machine
            .sessions(Time::from_millis(now))
            .find(|session| session.name == name)?;
        Some((Ipv4Addr::from_bits(session.pseudo.to_bits()), session.bound))
    }

    fn drain(&mut self, net: &mut Net) {
        let Some(machine) = &mut self.machine else { return };
        while let Some(output) = machine.poll() {
            match output {
                Output::Journal(entry) => self.journal.extend(entry.encode()),
                Output::Table(TableOp::Bind { pseudo, bound, .. }) => drop(self.table.insert(pseudo, bound)),
                Output::Table(TableOp::Unbind { pseudo }) => drop(self.table.remove(&pseudo)),
                Output::Event(_) => {}
            }
        }
        if self.table.len() > self.granted.len() {
            let (sessions, grants) = (self.table.len(), self.granted.len());
            net.wrong(
                "queues and tables are bounded",
                None,
                format!("{} has {sessions} sessions for {grants} grants", self.name),
            );
        }
        if let Some(due) = machine.deadline().map(Time::as_millis)
            && due.max(net.now) < self.wake
        {
            self.wake = due.max(net.now);
            net.at(self.wake, What::WakeDirector(self.number, self.wake));
        }
    }
}
