//! The hub inside the members' tunnels, beside the host: orders to it, and what it asks of the manager.
//!
//! ```text
//!  outlets (under the host's lock) ──► Tunnel: orders that wait ──► Handle ──► hub's thread
//!  host ◄── lock ── Names, heartbeats ◄───────────────────────────────────────────┘
//! ```
//!
//! The thread takes the host's lock, so nobody may wait for the thread while holding it: orders that it does not take at once wait here, and
//! are offered again with the next order and with every tick. They are bounded: the newest about a member is all that is kept.

use super::host::Host;
use crate::core::{self, ChannelOp, Input, LocateRefusal, RunId};
use crate::dns::{MemberId, Names, Target, Unlocated};
use crate::inband::driver::{self, Handle, NotTaken};
use crate::inband::{Association, Command, Install, Office, Settings};
use kith_esp::{Millis, Spi};
use kith_protocol::heartbeat::Heartbeat;
use kith_protocol::member::Peer;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::{Arc, Weak};
use tracing::warn;

/// Orders to the hub.
pub(super) struct Tunnel {
    handle: Handle,
    waiting: VecDeque<Command>,
}

impl Tunnel {
    /// Starts the hub on a bound socket.
    pub(super) fn start(socket: UdpSocket, host: &Arc<Host>, heartbeat_ms: u64) -> io::Result<Self> {
        let settings = Settings {
            heartbeat: Millis(heartbeat_ms),
            ..Settings::default()
        };
        let mut seed = [0; 8];
        super::entropy::fill(&mut seed);
        let office = Box::new(Desk(Arc::downgrade(host)));
        let handle = driver::start(socket, settings, u64::from_be_bytes(seed), office)?;
        Ok(Self {
            handle,
            waiting: VecDeque::new(),
        })
    }

    /// Passes an order on; never waits.
    pub(super) fn order(&mut self, order: ChannelOp) {
        let command = match order {
            ChannelOp::Install(install) => {
                let (Ok(ours), Ok(theirs)) = (Spi::new(install.manager_spi), Spi::new(install.member_spi))
                else {
                    return warn!(member = ?install.member, "a channel with a reserved SPI is left out");
                };
                let now = self.handle.now().clock;
                Command::Install(Box::new(Install {
                    member: install.member,
                    virtual_address: install.virtual_address,
                    manager_address: install.manager_address,
                    run_id: install.run_id.0,
                    association: Association::new(ours, theirs, &install.keys, now),
                }))
            }
            ChannelOp::Remove { member } => Command::Remove(member),
            // Names are looked up in the manager itself.
            ChannelOp::Community { .. } | ChannelOp::NoCommunity { .. } => return,
        };
        self.waiting.push_back(command);
        self.flush();
    }

    /// Offers again what was not taken.
    pub(super) fn flush(&mut self) {
        while let Some(command) = self.waiting.pop_front() {
            if let Err(NotTaken(command)) = self.handle.send(command) {
                self.waiting.push_front(command);
                return self.forget_older();
            }
        }
    }

    /// Of several orders about one member only the last counts.
    fn forget_older(&mut self) {
        let mut seen = HashSet::new();
        let mut newest: VecDeque<Command> = VecDeque::with_capacity(self.waiting.len());
        while let Some(command) = self.waiting.pop_back() {
            let member = match &command {
                Command::Install(install) => install.member,
                Command::Remove(member) => *member,
                Command::Heartbeat(_) => continue,
            };
            if seen.insert(member) {
                newest.push_front(command);
            }
        }
        self.waiting = newest;
    }

    /// What the hub counts: kind, name, count.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.handle.counters().all()
    }
}

/// The manager, as the hub asks it. Does not keep the host alive: the host keeps the hub.
struct Desk(Weak<Host>);

impl Desk {
    fn ask<R>(&self, act: impl FnOnce(core::Time, &mut core::Manager) -> R) -> Option<R> {
        self.0.upgrade()?.drive(act)
    }
}

impl Names for Desk {
    fn ours(&self, asker: MemberId, target: Target<'_>) -> bool {
        self.ask(|_, manager| is_ours(manager, asker, target))
            .unwrap_or(false)
    }

    fn locate(&mut self, _: u64, asker: MemberId, target: Target<'_>) -> Result<Peer, Unlocated> {
        let found = self.ask(|now, manager| {
            manager
                .locate(now, asker, target)
                .map_err(|refusal| match refusal {
                    LocateRefusal::AskerNotJoined => Unlocated::AskerUnknown,
                    LocateRefusal::Unknown if !is_ours(manager, asker, target) => Unlocated::NotOurs,
                    LocateRefusal::Unknown | LocateRefusal::NotJoined | LocateRefusal::Denied => {
                        Unlocated::NotJoined
                    }
                })
        });
        found.unwrap_or(Err(Unlocated::Unable))
    }
}

impl Office for Desk {
    fn heard(&mut self, member: MemberId, heartbeat: &Heartbeat, from: SocketAddrV4) {
        let input = Input::Heartbeat {
            member,
            run_id: RunId(heartbeat.run_id),
            sent: heartbeat.octets_sent,
            received: heartbeat.octets_received,
            from,
        };
        self.ask(|now, manager| manager.input(now, input));
    }
}

/// Is it in the asker's community, joined or not?
fn is_ours(manager: &core::Manager, asker: MemberId, target: Target<'_>) -> bool {
    let state = manager.state();
    let Some(member) = state.member(asker) else {
        return false;
    };
    let Some(community) = state.community(member.community) else {
        return false;
    };
    match target {
        Target::Name(name) => kith_protocol::names::host_in(name, &community.domain).is_some(),
        Target::Address(address) => community.pools.iter().any(|pool| pool.contains(address)),
    }
}
