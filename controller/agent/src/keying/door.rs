//! Which tickets open the door.
//!
//! Looking at a ticket keeps nothing of it; that it was used is noted when its bearer has proved to know the key inside. So who overhears a ticket can
//! neither get in with it nor keep its honest bearer out.

use kith_protocol::authenticator::TicketKey;
use kith_protocol::member::Location;
use kith_protocol::replay::Replay;
use kith_protocol::ticket::{self, TicketBody, TicketRefusal};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Moment, Whereabouts};

/// Initiators whose newest ticket is remembered.
const INITIATORS: usize = 4_096;

/// Whom tickets must be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Our full name.
    pub fqdn: String,
    /// Our virtual address.
    pub address: Ipv4Addr,
    /// The manager's clock minus ours, milliseconds.
    pub clock_offset_ms: i64,
}

/// What opens tickets, and which were used.
pub struct Door {
    /// Without a manager no ticket is expected.
    managed: bool,
    home: Option<Home>,
    key: Option<TicketKey>,
    replay: Replay,
}

impl Door {
    /// Closed until there are a home and a key.
    #[must_use]
    pub fn new(managed: bool) -> Self {
        Self {
            managed,
            home: None,
            key: None,
            replay: Replay::new(INITIATORS),
        }
    }

    /// Tickets must be for this member from now on.
    pub fn set_home(&mut self, home: Option<Home>) {
        self.home = home;
    }

    /// Tickets are opened with this from now on.
    pub fn set_key(&mut self, key: Option<TicketKey>) {
        self.key = key;
    }

    /// Are tickets expected at all?
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.managed
    }

    /// Milliseconds since 1970 by the manager's clock.
    #[must_use]
    pub fn manager_ms(&self, now: Moment) -> u64 {
        let offset = self.home.as_ref().map_or(0, |home| home.clock_offset_ms);
        (now.wall_nanos / 1_000_000).saturating_add_signed(offset)
    }

    /// A ticket that is good, for us, brought from the address that it names, and not replaced by a newer one. Nothing is kept of it.
    ///
    /// # Errors
    /// The name of what is wrong.
    pub fn open(&self, now: Moment, source: Ipv4Addr, sealed: &[u8]) -> Result<TicketBody, &'static str> {
        if !self.managed {
            return Err("ticket_unexpected");
        }
        let (Some(home), Some(key)) = (&self.home, &self.key) else {
            return Err("ticket_not_joined");
        };
        let now_ms = self.manager_ms(now);
        let body = ticket::open(key, &home.fqdn, home.address, now_ms, sealed).map_err(name)?;
        if body.initiator_virtual != source {
            return Err("ticket_not_theirs");
        }
        if self.replay.is_replay(source, body.sequence) {
            return Err(name(TicketRefusal::Replayed));
        }
        Ok(body)
    }

    /// Its bearer has proved itself: older tickets of it are worth nothing from now on.
    ///
    /// # Errors
    /// A newer one was used meanwhile.
    pub fn mark(&mut self, source: Ipv4Addr, sequence: u64) -> Result<(), &'static str> {
        self.replay.check(source, sequence).map(|_| ()).map_err(name)
    }
}

fn name(refusal: TicketRefusal) -> &'static str {
    use TicketRefusal as R;
    match refusal {
        R::Altered => "ticket_altered",
        R::Foreign => "ticket_foreign",
        R::Expired => "ticket_expired",
        R::NotYet => "ticket_not_yet",
        R::WrongTarget => "ticket_wrong_target",
        R::Malformed => "ticket_malformed",
        R::Replayed => "ticket_replayed",
    }
}

/// Where a ticket says that its bearer is.
#[must_use]
pub fn whereabouts(location: &Location) -> Option<Whereabouts> {
    let address = Ipv4Addr::from_bits(location.address);
    let port = |number: u32| u16::try_from(number).ok().filter(|port| *port != 0);
    if address.is_unspecified() {
        return None;
    }
    Some(match location.director {
        0 => Whereabouts::Public(SocketAddrV4::new(address, port(location.port)?)),
        director => Whereabouts::Director {
            director: SocketAddrV4::new(Ipv4Addr::from_bits(director), port(location.director_port)?),
            pseudo: address,
        },
    })
}
