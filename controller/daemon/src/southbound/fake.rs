//! A dataplane's tables in memory, behind a connection that does as badly as it is told to.

use super::{Change, Entries, Event, Refused, Request, SenderEntry, SessionEntry, Southbound, Update};
use kith_director::server::PoolRange;
use kith_wire::shim::PseudoIp;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;

/// How badly, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Badness {
    /// Updates that fail for no reason.
    pub failures: u64,
    /// Requests that break the connection, before or after they are carried out.
    pub breaks: u64,
}

/// A dataplane.
#[derive(Debug)]
pub struct Fake {
    /// Table `sender`.
    pub senders: BTreeMap<u32, SenderEntry>,
    /// Table `session`.
    pub sessions: BTreeMap<u32, SessionEntry>,
    /// What it was made.
    pub endpoint: Option<Update>,
    /// Frames sent.
    pub sent: Vec<(u16, Vec<u8>)>,
    /// How many updates of which kind it was asked for: inserts, modifications, deletions.
    pub asked: (usize, usize, usize),
    /// Entries that each table holds.
    pub capacity: usize,
    /// Keys that it has a place for.
    pub pool: PoolRange,
    /// How badly it does.
    pub badness: Badness,
    connected: bool,
    events: VecDeque<Event>,
    random: u64,
}

impl Fake {
    /// An empty one, connected to nobody.
    pub fn new(first: PseudoIp, count: u32, seed: u64) -> Self {
        Self {
            senders: BTreeMap::new(),
            sessions: BTreeMap::new(),
            endpoint: None,
            sent: Vec::new(),
            asked: (0, 0, 0),
            capacity: count as usize,
            pool: PoolRange { first, count },
            badness: Badness::default(),
            connected: false,
            events: VecDeque::new(),
            random: seed,
        }
    }

    /// The controller's connection comes about, and it decides.
    pub fn connect(&mut self) {
        self.connected = true;
        self.events.push_back(Event::Primary);
    }

    /// The connection breaks: answers on their way are lost.
    pub fn disconnect(&mut self) {
        self.events.retain(|event| matches!(event, Event::Away { .. }));
        if std::mem::take(&mut self.connected) {
            let why = "broken".into();
            self.events.push_back(Event::Away { why });
        }
    }

    /// Is there a connection?
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Is there one, and has the controller heard that the one before it is gone?
    pub fn takes_requests(&self) -> bool {
        self.connected
            && !self
                .events
                .iter()
                .any(|event| matches!(event, Event::Away { .. }))
    }

    /// It starts anew, with empty tables.
    pub fn restart(&mut self) {
        self.disconnect();
        self.senders.clear();
        self.sessions.clear();
        self.endpoint = None;
    }

    /// A packet comes up.
    pub fn punt(&mut self, reason: u16, frame: Vec<u8>) {
        if self.connected {
            let port = 0;
            self.events.push_back(Event::PacketIn { port, reason, frame });
        }
    }

    /// What happened goes to the controller another time.
    pub fn push(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < percent
    }

    fn update(&mut self, update: &Update) -> Result<(), Refused> {
        if self.chance(self.badness.failures) {
            return Err(Refused::Failed);
        }
        let (asked, capacity, pool) = (&mut self.asked, self.capacity, self.pool);
        match *update {
            Update::Endpoint { .. } => {
                self.endpoint = Some(*update);
                Ok(())
            }
            Update::PuntRate { .. } => Ok(()),
            Update::Sender { member, change } => {
                enter(&mut self.senders, asked, capacity, pool, member, change)
            }
            Update::Session { member, change } => {
                enter(&mut self.sessions, asked, capacity, pool, member, change)
            }
        }
    }
}

fn enter<T>(
    table: &mut BTreeMap<u32, T>,
    asked: &mut (usize, usize, usize),
    capacity: usize,
    pool: PoolRange,
    member: u32,
    change: Change<T>,
) -> Result<(), Refused> {
    let (there, full) = (table.contains_key(&member), table.len() >= capacity);
    let index = member.checked_sub(pool.first.to_bits());
    if index.is_none_or(|index| index >= pool.count) && !there {
        return Err(Refused::OutOfRange);
    }
    match change {
        Change::Insert(_) => asked.0 += 1,
        Change::Modify(_) => asked.1 += 1,
        Change::Delete => asked.2 += 1,
    }
    match change {
        Change::Insert(_) if there => Err(Refused::Exists),
        Change::Insert(_) if full => Err(Refused::Full),
        Change::Modify(_) | Change::Delete if !there => Err(Refused::NotFound),
        Change::Insert(entry) | Change::Modify(entry) => {
            table.insert(member, entry);
            Ok(())
        }
        Change::Delete => {
            table.remove(&member);
            Ok(())
        }
    }
}

impl Southbound for Fake {
    fn submit(&mut self, request: Request) -> Result<(), Request> {
        if !self.takes_requests() {
            return Err(request);
        }
        if self.chance(self.badness.breaks) {
            self.disconnect();
            return Err(request);
        }
        match request {
            Request::Read => self.events.push_back(Event::Entries(Entries {
                senders: self.senders.iter().map(|(&key, &entry)| (key, entry)).collect(),
                sessions: self.sessions.iter().map(|(&key, &entry)| (key, entry)).collect(),
            })),
            Request::Write { number, updates } => {
                let results = updates.iter().map(|update| self.update(update)).collect();
                self.events.push_back(Event::Written { number, results });
            }
            Request::PacketOut { port, frame } => self.sent.push((port, frame)),
            Request::Reconnect => self.disconnect(),
        }
        if self.chance(self.badness.breaks) {
            self.disconnect();
        }
        Ok(())
    }

    fn event(&mut self) -> impl Future<Output = Event> + Send {
        let event = self.events.pop_front();
        async move {
            match event {
                Some(event) => event,
                None => std::future::pending().await,
            }
        }
    }

    fn ready(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
