//! Inside the tunnel, as far as the core's orders go: whose packets a manager's SPI takes, under which SPI ours go back, and to where.
//!
//! Ciphers are left out: a packet opens if its SPI belongs to keys that both ends made in the same exchange. That they make the same keys is
//! tested where they are made.

use crate::net::{Net, Place};
use crate::world::What;
use kith_manager::core::{ChannelOp, Input, Manager, MemberId, RunId};
use kith_protocol::heartbeat::{Heartbeat, Sender};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;

/// Keys of an exchange before are still taken.
const OVERLAP: usize = 2;

struct Channel {
    fqdn: String,
    spis: VecDeque<u32>,
    member_spi: u32,
    run_id: RunId,
    endpoint: Option<SocketAddrV4>,
    beats: u64,
    serial: u64,
    heard: (u64, u64),
}

/// All members' channels.
#[derive(Default)]
pub struct Hub {
    every: u64,
    channels: BTreeMap<MemberId, Channel>,
    spis: BTreeMap<u32, MemberId>,
    serial: u64,
}

impl Hub {
    /// Of a manager whose heartbeats come so often, milliseconds.
    pub fn new(every: u64) -> Self {
        Self {
            every,
            ..Self::default()
        }
    }

    /// The core orders.
    pub fn order(&mut self, net: &mut Net, op: ChannelOp, core: Option<&Manager>) {
        match op {
            ChannelOp::Install(install) => {
                let member = install.member;
                self.spis.insert(install.manager_spi, member);
                if let Some(channel) = self.channels.get_mut(&member)
                    && channel.run_id == install.run_id
                {
                    channel.spis.push_back(install.manager_spi);
                    channel.member_spi = install.member_spi;
                    if channel.spis.len() > OVERLAP
                        && let Some(old) = channel.spis.pop_front()
                    {
                        self.spis.remove(&old);
                    }
                    return;
                }
                self.remove(member);
                self.spis.insert(install.manager_spi, member);
                let fqdn = core.and_then(|core| core.state().member(member));
                let fqdn = fqdn.map_or_else(String::new, |member| member.fqdn.to_string());
                self.serial += 1;
                let serial = self.serial;
                let channel = Channel {
                    fqdn,
                    spis: VecDeque::from([install.manager_spi]),
                    member_spi: install.member_spi,
                    run_id: install.run_id,
                    endpoint: None,
                    beats: 0,
                    serial,
                    heard: (0, 0),
                };
                self.channels.insert(member, channel);
                net.after(self.every, What::BeatDue(member, serial));
            }
            ChannelOp::Remove { member } => self.remove(member),
            ChannelOp::Community { .. } | ChannelOp::NoCommunity { .. } => {}
        }
    }

    /// A member's heartbeat under this SPI: what the core is told, and of whom.
    pub fn heard(&mut self, spi: u32, from: SocketAddrV4, beat: &Heartbeat) -> Option<(String, Input)> {
        let member = *self.spis.get(&spi)?;
        let channel = self.channels.get_mut(&member)?;
        channel.endpoint = Some(from);
        channel.heard = (beat.sequence, beat.time_ms);
        let input = Input::Heartbeat {
            member,
            run_id: RunId(beat.run_id),
            sent: beat.octets_sent,
            received: beat.octets_received,
            from,
        };
        Some((channel.fqdn.clone(), input))
    }

    /// The manager's own heartbeat to a member is due.
    pub fn beat(&mut self, net: &mut Net, member: MemberId, serial: u64) {
        let every = self.every;
        let Some(channel) = self
            .channels
            .get_mut(&member)
            .filter(|channel| channel.serial == serial)
        else {
            return;
        };
        net.after(every, What::BeatDue(member, serial));
        let Some(to) = channel.endpoint else { return };
        channel.beats += 1;
        let beat = Heartbeat {
            sender: Sender::Manager,
            sequence: channel.beats,
            run_id: channel.run_id.0,
            octets_sent: 0,
            octets_received: 0,
            time_ms: crate::server::time(net).0,
            heard_sequence: channel.heard.0,
            heard_time_ms: channel.heard.1,
        };
        let spi = channel.member_spi;
        net.datagram(Place::Manager, Place::Manager, || What::ManagerBeat {
            to,
            spi,
            beat,
        });
    }

    fn remove(&mut self, member: MemberId) {
        if let Some(channel) = self.channels.remove(&member) {
            for spi in &channel.spis {
                self.spis.remove(spi);
            }
        }
    }
}
