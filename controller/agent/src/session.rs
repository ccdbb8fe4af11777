//! The director session of this agent: the state machine of `kith-director`, its clock and its status.

use crate::config::{Director, Validated};
use crate::keying::Moment;
use crate::status::{DirectorStatus, SessionState};
use kith_director::client::{Client, ClientConfig, Event, Phase};
use kith_director::{DirectorKey, Time};
use kith_esp::Millis;
use kith_wire::control::{KeyId, LEN};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A session and what is known of it.
pub struct Session {
    client: Client,
    director: SocketAddrV4,
    since: Option<Millis>,
}

/// What followed from an input.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The pseudo address came, went or is another one.
    pub pseudo: bool,
    /// The session has ended for good.
    pub left: bool,
}

impl Session {
    /// Starts asking for a session, if one is configured.
    #[must_use]
    pub fn start(config: &Validated, now: Moment, entropy: u64) -> Option<Self> {
        let director: &Director = config.director.as_ref()?;
        let key = DirectorKey::new(*director.key.expose());
        let counter = now.wall_nanos / 1000;
        let mut settings = ClientConfig::new(director.address, KeyId(director.key_id), key, counter, entropy);
        settings.sender_only = director.sender_only;
        settings.keep_alive_at_most = director.keep_alive_ms.map(|ms| Duration::from_millis(ms.into()));
        let mut client = Client::new(settings);
        client.start(time(now));
        Some(Self {
            client,
            director: director.address,
            since: None,
        })
    }

    /// A message that came from `from`.
    pub fn datagram(&mut self, now: Moment, from: SocketAddrV4, data: &[u8]) -> Change {
        if let Err(ignored) = self.client.datagram(time(now), from, data) {
            tracing::debug!(%ignored, "a director's message changed nothing");
        }
        self.drain(now)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment) -> Change {
        self.client.tick(time(now));
        self.drain(now)
    }

    /// Gives the session back.
    pub fn leave(&mut self, now: Moment) -> Change {
        self.client.leave(time(now));
        self.drain(now)
    }

    /// The next message to send, and where to.
    pub fn transmit(&mut self) -> Option<([u8; LEN], SocketAddrV4)> {
        self.client
            .poll_transmit()
            .map(|message| (message, self.director))
    }

    /// When [`Session::tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.client.deadline().map(|at| Millis(at.as_millis()))
    }

    /// Our pseudo address, while there is a session.
    #[must_use]
    pub fn pseudo(&self) -> Option<Ipv4Addr> {
        self.client
            .pseudo()
            .map(|pseudo| Ipv4Addr::from_bits(pseudo.to_bits()))
    }

    /// The director.
    #[must_use]
    pub fn director(&self) -> SocketAddrV4 {
        self.director
    }

    /// For the status socket.
    #[must_use]
    pub fn status(&self, now: Moment) -> DirectorStatus {
        DirectorStatus {
            address: self.director,
            state: match self.client.phase() {
                Phase::Bound => SessionState::Up,
                Phase::Leaving | Phase::Left => SessionState::Left,
                Phase::Idle | Phase::Requesting | Phase::Challenged => SessionState::Requesting,
            },
            pseudo: self.pseudo(),
            observed: self.client.observed(),
            since_ms: self.since.map(|at| now.millis().0.saturating_sub(at.0)),
        }
    }

    fn drain(&mut self, now: Moment) -> Change {
        let mut change = Change::default();
        while let Some(event) = self.client.poll_event() {
            tracing::info!(?event, director = %self.director, "director session");
            match event {
                Event::Bound { .. } => {
                    (self.since, change.pseudo) = (Some(now.millis()), true);
                }
                Event::Lost { .. } => (self.since, change.pseudo) = (None, true),
                Event::Left { .. } => {
                    self.since = None;
                    change = Change {
                        pseudo: true,
                        left: true,
                    };
                }
                Event::Rebound { .. } | Event::Refused { .. } => {}
            }
        }
        change
    }
}

fn time(now: Moment) -> Time {
    Time::from_millis(now.millis().0)
}
