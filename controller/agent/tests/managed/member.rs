//! A managed member in a namespace, with the test as its manager's client.

use kith_agent::agent::{Agent, Handle};
use kith_agent::config::{self, Secret};
use kith_agent::keying::Whereabouts;
use kith_agent::managed::Settings;
use kith_agent::orders::{Joined, Order, Peer, Report, Rule};
use kith_agent::status::Status;
use kith_protocol::authenticator::TicketKey;
use kith_protocol::member::Location;
use kith_protocol::secret::Secret32;
use kith_protocol::ticket::{self, TicketBody};
use nix::sched::{CloneFlags, setns};
use std::collections::VecDeque;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the test knows of a member, as a manager would.
#[derive(Clone, Copy)]
pub struct Identity {
    pub fqdn: &'static str,
    pub address: Ipv4Addr,
    pub public: SocketAddrV4,
    /// What its socket is bound to.
    pub listens: Ipv4Addr,
    pub ticket_key: [u8; 32],
}

pub const NETWORKS: [&str; 2] = ["10.77.0.0/24", "10.78.0.0/24"];
pub const MANAGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// Lets everything pass.
pub const ANY: Rule = Rule {
    allow: true,
    source: (0, 0),
    destination: (0, 0),
    protocol: 0,
    source_port: 0,
    destination_port: 0,
};

pub struct Member {
    pub identity: Identity,
    agent: Option<Agent>,
    handle: Handle,
    orders: Option<SyncSender<Order>>,
    reports: Receiver<Report>,
    seen: Mutex<VecDeque<Report>>,
}

/// Does something in a namespace, in a thread of its own.
pub fn inside<T: Send + 'static>(namespace: &str, what: impl FnOnce() -> T + Send + 'static) -> T {
    let path = format!("/run/netns/{namespace}");
    let there = std::thread::spawn(move || {
        // Moves this thread alone, and those that it makes.
        setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        what()
    });
    there.join().unwrap()
}

pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as u64
}

impl Member {
    /// Starts it; it is not joined yet.
    pub fn start(namespace: &str, identity: Identity) -> Self {
        let (orders, ordered) = sync_channel(64);
        let (reporting, reports) = sync_channel(64);
        let settings = Settings {
            udp: config::Udp {
                address: identity.listens,
                port: identity.public.port(),
            },
            ..Settings::default()
        };
        let agent = inside(namespace, move || {
            Agent::start_managed(settings, ordered, reporting).unwrap()
        });
        Self {
            identity,
            handle: agent.handle(),
            agent: Some(agent),
            orders: Some(orders),
            reports,
            seen: Mutex::default(),
        }
    }

    /// Orders something, and waits until it is in force.
    pub fn order(&self, order: Order) {
        let orders = self.orders.as_ref().unwrap();
        orders.send(order).unwrap();
        let (sender, receiver) = sync_channel(1);
        orders.send(Order::Barrier(sender)).unwrap();
        receiver.recv_timeout(Duration::from_secs(5)).unwrap();
    }

    pub fn join(&self) {
        self.join_at(Some(self.identity.public));
    }

    /// Joined, and reached through a director only.
    pub fn join_behind(&self) {
        self.join_at(None);
    }

    /// Joined, and reached there.
    pub fn join_at(&self, public: Option<SocketAddrV4>) {
        let networks = NETWORKS.map(|network| network.parse().unwrap()).to_vec();
        self.order(Order::Joined(Joined {
            address: self.identity.address,
            networks,
            fqdn: self.identity.fqdn.into(),
            clock_offset_ms: 0,
            public,
        }));
    }

    pub fn status(&self) -> Status {
        self.handle.status().unwrap()
    }

    pub fn dropped(&self, name: &str) -> u64 {
        self.status().drops.get(name).copied().unwrap_or_default()
    }

    pub fn refused(&self, name: &str) -> u64 {
        self.status().refusals.get(name).copied().unwrap_or_default()
    }

    /// Waits for a report; others are kept for later.
    pub fn reported(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let mut seen = self.seen.lock().unwrap();
        if let Some(at) = seen.iter().position(&wanted) {
            return seen.remove(at).unwrap();
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            match self.reports.recv_timeout(Duration::from_millis(100)) {
                Ok(report) if wanted(&report) => return report,
                Ok(report) => seen.push_back(report),
                Err(_) => {}
            }
        }
        panic!("not reported within 5 s; only {seen:?}");
    }

    /// The client is gone: the agent ends by itself.
    pub fn end(&mut self) -> bool {
        self.orders = None;
        self.agent.take().is_none_or(Agent::join)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

impl Identity {
    /// The ticket with which this member introduces itself to `target`; `change` makes it another one.
    pub fn ticket(&self, target: &Self, key: [u8; 32], change: impl FnOnce(&mut TicketBody)) -> Vec<u8> {
        let now = now_ms();
        let mut body = TicketBody {
            sequence: now * 1000,
            issued_ms: now,
            expires_ms: now + 3_600_000,
            shared_key: Secret32::new(key),
            target_virtual: target.address,
            initiator_virtual: self.address,
            initiator_location: Location {
                director: 0,
                director_port: 0,
                address: self.public.ip().to_bits(),
                port: self.public.port().into(),
            },
            initiator_private: *self.public.ip(),
            initiator_subnet: 24,
            initiator: self.fqdn.into(),
            target: target.fqdn.into(),
        };
        change(&mut body);
        let sealing = TicketKey::from_secret(Secret32::new(target.ticket_key));
        let mut random = |out: &mut [u8]| {
            use std::io::Read;
            File::open("/dev/urandom").unwrap().read_exact(out).unwrap();
        };
        ticket::seal(&sealing, &body, &mut random).unwrap()
    }

    /// What this member is told about `other`.
    pub fn peer(&self, other: &Self, key: [u8; 32], sequence: u64, expires_ms: u64) -> Order {
        let ticket = self.ticket(other, key, |body| {
            (body.sequence, body.expires_ms) = (sequence, expires_ms);
        });
        Order::Peer(Box::new(Peer {
            fqdn: other.fqdn.into(),
            address: other.address,
            location: Whereabouts::Public(other.public),
            psk: Secret::new(key),
            sequence,
            ticket,
            expires_ms,
        }))
    }
}
