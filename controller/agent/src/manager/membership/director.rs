//! The director's session that goes before a join, and where we are reached by it (figure 21).

use super::joining::Offer;
use super::{Membership, Ordered, Phase, Trouble};
use crate::config::Secret;
use crate::keying::Moment;
use crate::orders::{Director, Order};
use kith_protocol::member::{self, Location};
use std::net::{Ipv4Addr, SocketAddrV4};

/// How others reach us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight: under this address.
    Straight(Ipv4Addr),
    /// Through this director, as members outside name it.
    Through {
        /// Its address there.
        outside: SocketAddrV4,
        /// It is inside our own private network.
        private: bool,
    },
}

/// Directors that gave no session. Whether one is down, which the manager sees, or UDP is blocked where we are, which it cannot see, we do
/// not know: after the second in a row we say the latter, once; then UDP is tried again.
#[derive(Default)]
pub(super) struct UdpBlocked {
    in_a_row: u32,
    said: bool,
}

/// So many directors in a row give no session until UDP counts as blocked.
const BLOCKED: u32 = 2;

impl UdpBlocked {
    /// What the next Init says.
    pub(super) fn say(&mut self) -> bool {
        self.said = self.in_a_row >= BLOCKED;
        if self.said {
            self.in_a_row = 0;
        }
        self.said
    }

    /// Did the last Init say so?
    pub(super) fn was_said(&self) -> bool {
        self.said
    }

    /// A director gave no session in time.
    pub(super) fn no_session(&mut self) {
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// One did, or we are elsewhere.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Membership {
    /// Has the control thread take a session, if it has not got that one.
    pub(super) fn order_director(&mut self, written: &member::Director) -> Result<SocketAddrV4, Trouble> {
        if written.tcp {
            return Err(Trouble::TcpOnly(
                written
                    .name
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(64)
                    .collect(),
            ));
        }
        let port = u16::try_from(written.port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or(Trouble::Untrue("the director's port"))?;
        let outside = SocketAddrV4::new(Ipv4Addr::from_bits(written.address), port);
        let inside = if written.private && written.private_address != 0 {
            SocketAddrV4::new(Ipv4Addr::from_bits(written.private_address), port)
        } else {
            outside
        };
        let key = Secret::new(
            written
                .key
                .as_slice()
                .try_into()
                .map_err(|_| Trouble::Untrue("the director key's length"))?,
        );
        let known = self.director.as_ref().is_some_and(|ordered| {
            ordered.address == inside
                && ordered.key_id == written.key_id
                && ordered.sender_only == written.sender_only
                && bool::from(subtle::ConstantTimeEq::ct_eq(
                    &ordered.key.expose()[..],
                    &key.expose()[..],
                ))
        });
        if !known {
            self.pseudo = None;
            self.director = Some(Ordered {
                address: inside,
                key_id: written.key_id,
                key: key.clone(),
                sender_only: written.sender_only,
            });
            let (key_id, sender_only) = (written.key_id, written.sender_only);
            self.order(Order::Director(Director {
                address: inside,
                key_id,
                key,
                sender_only,
            }));
        }
        Ok(outside)
    }

    /// Joins, as soon as there is the session that goes before it.
    pub(super) fn take_session(&mut self, now: Moment, offer: Offer) {
        if self.director.is_none() || self.pseudo.is_some() {
            return self.join(now, Box::new(offer));
        }
        self.phase_until = Some(offer.until);
        self.phase = Phase::Session(Box::new(offer));
    }

    /// The director gave us an address, or took it.
    pub(super) fn session(&mut self, now: Moment, director: SocketAddrV4, pseudo: Option<Ipv4Addr>) {
        if self
            .director
            .as_ref()
            .is_none_or(|ordered| ordered.address != director)
        {
            return;
        }
        self.pseudo = pseudo;
        self.session_changed(now);
        if pseudo.is_none() {
            return;
        }
        self.udp.reset();
        if !matches!(self.phase, Phase::Session(_)) {
            return self.move_if_needed(now, false);
        }
        if let Phase::Session(offer) = std::mem::replace(&mut self.phase, Phase::Resting(None)) {
            self.join(now, offer);
        }
    }

    /// Where we are reached; `None` while the director has given us no address.
    pub(super) fn location(&self, way: Way) -> Option<Location> {
        match way {
            Way::Straight(address) => Some(Location {
                director: 0,
                director_port: 0,
                address: address.to_bits(),
                port: self.settings.udp_port.into(),
            }),
            Way::Through { outside, private } => {
                let pseudo = self.pseudo?;
                let address = if private {
                    self.network.as_ref()?.local
                } else {
                    pseudo
                };
                Some(Location {
                    director: outside.ip().to_bits(),
                    director_port: outside.port().into(),
                    address: address.to_bits(),
                    port: 0,
                })
            }
        }
    }
}
