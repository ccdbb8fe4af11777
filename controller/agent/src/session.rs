//! The director session of this agent: the state machine of `kith-director`, its clock and its status.
//!
//! Problem: whoever answers for a director may be gone for minutes while its dataplane goes on relaying. Idea: silence proves
//! nothing. The pseudo address stays in use while the director is asked again and again; only its word (no session, or
//! another address) changes it.

use crate::config::Director;
use crate::keying::Moment;
use crate::status::{DirectorStatus, SessionState};
use kith_director::client::{Client, ClientConfig, Event, Lost, Phase};
use kith_director::{DirectorKey, Time};
use kith_esp::Millis;
use kith_wire::control::{KeyId, LEN};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// A session and what is known of it.
pub struct Session {
    client: Client,
    settings: Director,
    /// The pseudo address that the director gave last and has not taken back, and since when it is ours.
    held: Option<(Ipv4Addr, Millis)>,
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
    /// Starts asking for a session.
    #[must_use]
    pub fn start(director: Director, now: Moment, entropy: u64) -> Self {
        let key = DirectorKey::new(*director.key.expose());
        let counter = now.wall_nanos / 1000;
        let mut settings = ClientConfig::new(director.address, KeyId(director.key_id), key, counter, entropy);
        settings.sender_only = director.sender_only;
        settings.keep_alive_at_most = director.keep_alive_ms.map(|ms| Duration::from_millis(ms.into()));
        let mut client = Client::new(settings);
        client.start(time(now));
        Self {
            client,
            settings: director,
            held: None,
        }
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

    /// Our own address or way out is another one: asks at once, and does not wait for the next keep-alive.
    pub fn roamed(&mut self, now: Moment) -> Change {
        self.client.network_changed(time(now));
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
            .map(|message| (message, self.settings.address))
    }

    /// When [`Session::tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.client.deadline().map(|at| Millis(at.as_millis()))
    }

    /// Our pseudo address, while there is a session as far as anybody has said.
    #[must_use]
    pub fn pseudo(&self) -> Option<Ipv4Addr> {
        self.held.map(|(pseudo, _)| pseudo)
    }

    /// The director.
    #[must_use]
    pub fn director(&self) -> SocketAddrV4 {
        self.settings.address
    }

    /// Is it this very session that is asked for, or another?
    #[must_use]
    pub fn is(&self, director: &Director) -> bool {
        let ours = &self.settings;
        let same_key = ours.key.expose().ct_eq(director.key.expose());
        (ours.address, ours.key_id, ours.sender_only)
            == (director.address, director.key_id, director.sender_only)
            && bool::from(same_key)
            && !matches!(self.client.phase(), Phase::Leaving | Phase::Left)
    }

    /// Only to send: we are reached otherwise.
    #[must_use]
    pub fn is_sender_only(&self) -> bool {
        self.settings.sender_only
    }

    /// Where the director sees us.
    #[must_use]
    pub fn observed(&self) -> Option<SocketAddrV4> {
        self.client.observed()
    }

    /// For the status socket.
    #[must_use]
    pub fn status(&self, now: Moment) -> DirectorStatus {
        DirectorStatus {
            address: self.settings.address,
            state: match self.client.phase() {
                Phase::Bound => SessionState::Up,
                Phase::Leaving | Phase::Left => SessionState::Left,
                Phase::Idle | Phase::Requesting | Phase::Challenged => SessionState::Requesting,
            },
            pseudo: self.pseudo(),
            observed: self.client.observed(),
            since_ms: self.held.map(|(_, at)| now.millis().0.saturating_sub(at.0)),
        }
    }

    fn drain(&mut self, now: Moment) -> Change {
        let mut change = Change::default();
        while let Some(event) = self.client.poll_event() {
            tracing::info!(?event, director = %self.settings.address, "director session");
            let before = self.pseudo();
            match event {
                Event::Bound { pseudo, .. } => {
                    let pseudo = Ipv4Addr::from_bits(pseudo.to_bits());
                    if before != Some(pseudo) {
                        self.held = Some((pseudo, now.millis()));
                    }
                }
                Event::Lost {
                    reason: Lost::NoSession,
                } => self.held = None,
                Event::Left { .. } => {
                    self.held = None;
                    change.left = true;
                    change.pseudo = true;
                }
                Event::Lost { reason: Lost::Silent } | Event::Rebound { .. } | Event::Refused { .. } => {}
            }
            change.pseudo |= before != self.pseudo();
        }
        change
    }
}

fn time(now: Moment) -> Time {
    Time::from_millis(now.millis().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_director::journal;
    use kith_director::server::{self, DirectorConfig, Grant, PoolRange};
    use kith_wire::control::Status;
    use kith_wire::shim::PseudoIp;

    const DIRECTOR: &str = "203.0.113.10:20202";
    const MEMBER: &str = "198.51.100.1:4000";

    fn at(millis: u64) -> Moment {
        Moment {
            micros: millis * 1000,
            wall_nanos: 0,
        }
    }

    fn settings(address: SocketAddrV4) -> Director {
        Director {
            address,
            key_id: 1,
            key: crate::config::Secret::new([7; 32]),
            sender_only: false,
            keep_alive_ms: None,
        }
    }

    fn session() -> Session {
        let director: SocketAddrV4 = DIRECTOR.parse().unwrap();
        let key = DirectorKey::new([7; 32]);
        let mut client = Client::new(ClientConfig::new(director, KeyId(1), key, 1, 9));
        client.start(Time::ZERO);
        Session {
            client,
            settings: settings(director),
            held: None,
        }
    }

    fn director() -> server::Director {
        let first = PseudoIp::new(0xf000_0001).unwrap();
        let config = DirectorConfig::new("203.0.113.10".parse().unwrap(), PoolRange { first, count: 8 });
        let mut director = server::Director::new(config, [1; 32]).unwrap();
        let grant = Grant {
            key_id: KeyId(1),
            key: DirectorKey::new([7; 32]),
            community: 1,
            reserved: None,
            name: "m".into(),
        };
        director.add_grant(Time::ZERO, grant).unwrap();
        director
    }

    /// Time passes until `until`, in steps; messages go to `director`, if there is one. All changes together.
    fn pass(
        session: &mut Session,
        mut director: Option<&mut server::Director>,
        from: u64,
        until: u64,
    ) -> Change {
        let mut all = Change::default();
        for millis in (from..until).step_by(50) {
            let change = session.tick(at(millis));
            all.pseudo |= change.pseudo;
            while let Some((mut message, to)) = session.transmit() {
                let Some(director) = &mut director else { continue };
                let from = MEMBER.parse().unwrap();
                let verdict = director.datagram(Time::from_millis(millis), from, &mut message);
                if verdict.is_answered() {
                    let change = session.datagram(at(millis), to, &message);
                    all.pseudo |= change.pseudo;
                }
            }
        }
        all
    }

    fn joined() -> (Session, server::Director) {
        let (mut session, mut director) = (session(), director());
        let change = pass(&mut session, Some(&mut director), 0, 1_000);
        assert!(change.pseudo && session.pseudo().is_some());
        (session, director)
    }

    #[test]
    fn a_director_silent_for_ten_minutes_takes_nothing_from_a_session() {
        let (mut session, director) = joined();
        let pseudo = session.pseudo();
        let octets = journal::encode_all(director.journal());
        let away = 600_000;
        let change = pass(&mut session, None, 1_000, away);
        assert_eq!((change, session.pseudo()), (Change::default(), pseudo));
        assert_eq!(
            session.status(at(away)).state,
            SessionState::Requesting,
            "it goes on asking"
        );
        // Its controller is back with its journal.
        let mut restarted = self::director();
        restarted.restore(Time::from_millis(away), &journal::read(&octets).unwrap());
        let change = pass(&mut session, Some(&mut restarted), away, away + 10_000);
        assert_eq!((change, session.pseudo()), (Change::default(), pseudo));
        let status = session.status(at(away + 10_000));
        assert_eq!(status.state, SessionState::Up);
        assert!(status.since_ms.unwrap() > 600_000, "it is the same session");
    }

    #[test]
    fn a_directors_word_that_there_is_no_session_ends_it_and_another_begins() {
        let (mut session, _) = joined();
        let old = session.pseudo();
        let mut forgetful = self::director();
        // Somebody else took the address meanwhile.
        let first = PseudoIp::new(0xf000_0001).unwrap();
        let other = Grant {
            key_id: KeyId(2),
            key: DirectorKey::new([8; 32]),
            community: 1,
            reserved: Some(first),
            name: "other".into(),
        };
        forgetful.add_grant(Time::ZERO, other).unwrap();
        let change = pass(&mut session, Some(&mut forgetful), 1_000, 40_000);
        assert!(change.pseudo);
        assert!(session.pseudo().is_some() && session.pseudo() != old);
    }

    #[test]
    fn a_forged_no_session_takes_nothing() {
        let (mut session, _) = joined();
        let pseudo = session.pseudo();
        for millis in (1_000..20_000).step_by(50) {
            session.tick(at(millis));
            while let Some((message, to)) = session.transmit() {
                let asked = kith_wire::control::Control::parse(&message).unwrap();
                let mut answer = DirectorKey::new([7; 32]).open(asked).unwrap();
                answer.status = Status::NoSession;
                answer.flags = kith_wire::control::FLAG_RESPONSE;
                let forged = DirectorKey::new([6; 32]).seal(&answer);
                assert_eq!(session.datagram(at(millis), to, &forged), Change::default());
            }
        }
        assert_eq!(session.pseudo(), pseudo);
    }

    #[test]
    fn a_session_is_told_from_one_that_is_asked_for_with_anything_else() {
        let (session, asked) = (session(), settings(DIRECTOR.parse().unwrap()));
        assert!(session.is(&asked));
        let mut others = vec![asked.clone(); 4];
        others[0].key_id = 2;
        others[1].sender_only = true;
        others[2].key = crate::config::Secret::new([8; 32]);
        others[3].address.set_port(1);
        assert!(others.iter().all(|other| !session.is(other)));
    }

    #[test]
    fn a_session_given_back_is_gone() {
        let (mut session, mut director) = joined();
        session.leave(at(1_000));
        let change = pass(&mut session, Some(&mut director), 1_000, 2_000);
        assert!(change.pseudo && session.pseudo().is_none());
    }
}
