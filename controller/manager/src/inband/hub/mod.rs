//! All members' channels: datagrams in, datagrams out, time passed in.

use super::channel::{Channel, Install};
mod services;

use super::counters::{Counters, Did, Refused, Word};
use super::limits::Bucket;
use super::packet;
use super::tcp::Stack;
use super::{Now, Office, Settings, Uninstalled};
use crate::dns::MemberId;
use kith_esp::{Millis, Spi};
use kith_pipeline::host::transport::Opened;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::DropReason;
use kith_wire::esp::EspHeader;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ESP};
use kith_wire::shim::{self, DataType, Shim};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

const DNS_PORT: u16 = 53;
/// Heartbeats that go out at once: with thousands of members, packets are taken in between.
const BEATS: usize = 128;
/// Buffers that are kept for the next packets.
const SPARE: usize = 64;

/// What goes out.
pub struct Datagram {
    /// Where to.
    pub to: SocketAddrV4,
    packet: HostPacket,
}

impl Datagram {
    /// The UDP data.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.packet.bytes()
    }
}

/// All members' channels.
pub struct Hub {
    settings: Settings,
    // Boxed: a table has much room that is not used.
    channels: HashMap<MemberId, Box<Channel>>,
    /// Whose packets come under this SPI.
    spis: HashMap<Spi, MemberId>,
    stacks: HashMap<MemberId, Stack>,
    /// When which channel sends its next heartbeat. All wait equally long, so the first in is the first out.
    beats: VecDeque<(Millis, MemberId, u64)>,
    total: Bucket,
    generation: u64,
    seed: u64,
    outward: VecDeque<Datagram>,
    spare: Vec<HostPacket>,
    answer: Vec<u8>,
    counters: Arc<Counters>,
}

impl Hub {
    /// Without members. `seed` is random: TCP's sequence numbers come from it.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Now) -> Self {
        Self {
            total: Bucket::new(settings.total_rate, now.clock),
            settings,
            channels: HashMap::new(),
            spis: HashMap::new(),
            stacks: HashMap::new(),
            beats: VecDeque::new(),
            generation: 0,
            seed,
            outward: VecDeque::new(),
            spare: Vec::new(),
            answer: Vec::new(),
            counters: Arc::default(),
        }
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// How many members have a channel.
    #[must_use]
    pub fn members(&self) -> usize {
        self.channels.len()
    }

    /// A member has joined, or has new keys.
    pub fn install(&mut self, install: Install, now: Now) -> Result<(), Uninstalled> {
        let (member, spi) = (install.member, install.association.inbound.spi());
        if self.spis.get(&spi).is_some_and(|owner| *owner != member) {
            return Err(Uninstalled::SpiTaken(spi.get()));
        }
        let full = self.channels.len() >= self.settings.members;
        match self.channels.get_mut(&member) {
            // The same SPI again would be the same keys again, or two associations under one number.
            Some(channel) if channel.spis().any(|used| used == spi) => {
                return Err(Uninstalled::SpiTaken(spi.get()));
            }
            Some(channel) if channel.continues(&install) => {
                if let Some(unused) = channel.refresh(install.association) {
                    self.spis.remove(&unused);
                }
            }
            Some(_) => {
                self.remove(member);
                self.begin(install, now);
            }
            None if full => return Err(Uninstalled::Full(self.settings.members)),
            None => self.begin(install, now),
        }
        self.spis.insert(spi, member);
        Ok(())
    }

    /// A member is out: its keys are wiped.
    pub fn remove(&mut self, member: MemberId) {
        if let Some(channel) = self.channels.remove(&member) {
            for spi in channel.spis() {
                self.spis.remove(&spi);
            }
        }
        self.stacks.remove(&member);
    }

    /// Heartbeats go out this often from now on.
    pub fn heartbeat(&mut self, every: Millis, now: Now) {
        self.settings.heartbeat = every;
        // All anew, or the order in the queue would be that of two intervals.
        self.beats.clear();
        let due = Millis(now.clock.0.saturating_add(every.0));
        self.beats.extend(
            self.channels
                .values()
                .map(|channel| (due, channel.member, channel.generation)),
        );
    }

    /// Takes a datagram. What `packet` holds afterwards is of no meaning.
    pub fn datagram(
        &mut self,
        now: Now,
        from: SocketAddrV4,
        packet: &mut HostPacket,
        office: &mut dyn Office,
    ) {
        self.counters.count(Did::Received);
        if let Err(word) = self.take(now, from, packet, office) {
            self.counters.count(word);
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Now, office: &mut dyn Office) {
        for _ in 0..BEATS {
            let Some(&(due, member, generation)) = self.beats.front() else {
                break;
            };
            if due > now.clock {
                break;
            }
            self.beats.pop_front();
            self.beat(now, member, generation);
        }
        let due =
            |stack: &mut Stack| stack.is_idle(now.clock) || stack.deadline(now.clock) <= Some(now.clock);
        let members: Vec<MemberId> = self
            .stacks
            .iter_mut()
            .filter_map(|(member, stack)| due(stack).then_some(*member))
            .collect();
        for member in members {
            self.turn(now, member, None, office);
            if self
                .stacks
                .get(&member)
                .is_some_and(|stack| stack.is_idle(now.clock))
            {
                self.stacks.remove(&member);
            }
        }
    }

    /// When [`Hub::tick`] has something to do.
    #[must_use]
    pub fn deadline(&mut self, now: Now) -> Option<Millis> {
        let beat = self.beats.front().map(|(due, ..)| *due);
        let stacks = self
            .stacks
            .values_mut()
            .filter_map(|stack| stack.deadline(now.clock));
        stacks.chain(beat).min()
    }

    /// The next datagram to send; give it back with [`Hub::sent`].
    pub fn poll(&mut self) -> Option<Datagram> {
        self.outward.pop_front()
    }

    /// What became of a datagram.
    pub fn sent(&mut self, datagram: Datagram, taken: bool) {
        if taken {
            self.counters.count(Did::Sent);
        } else {
            self.counters.count(Refused::SendFailed);
        }
        self.spare(datagram.packet);
    }

    fn begin(&mut self, install: Install, now: Now) {
        self.generation += 1;
        let channel = Channel::new(install, self.generation, self.settings.member_rate, now.clock);
        let due = Millis(now.clock.0.saturating_add(self.settings.heartbeat.0));
        self.beats.push_back((due, channel.member, channel.generation));
        self.channels.insert(channel.member, Box::new(channel));
    }

    /// The whole way in. What is dropped is an error.
    fn take(
        &mut self,
        now: Now,
        from: SocketAddrV4,
        packet: &mut HostPacket,
        office: &mut dyn Office,
    ) -> Result<(), Word> {
        let shim = take_shim(packet)?;
        let (source, destination, spi) = outside(packet.bytes())?;
        let member = *self.spis.get(&spi).ok_or(DropReason::EspSpiUnknown)?;
        let channel = self.channels.get_mut(&member).ok_or(DropReason::EspSpiUnknown)?;
        // ESP does not authenticate the virtual header: what the association says counts (as in `kith_pipeline::host::decap`).
        if source != channel.virtual_address {
            return Err(DropReason::VirtualSourceSpoofed.into());
        }
        if destination != channel.manager_address {
            return Err(DropReason::VirtualNotOurs.into());
        }
        let heard = channel.open(packet, spi, from, &shim, now.clock)?;
        if let Some(retired) = heard.retired {
            self.spis.remove(&retired);
            self.counters.count(Did::Rekeyed);
        }
        if let Some(did) = heard.did {
            self.counters.count(did);
        }
        match heard.opened {
            Opened::Packet => {}
            Opened::Dummy => {
                self.counters.count(Did::Dummy);
                return Ok(());
            }
            Opened::Fragment => return Err(DropReason::VirtualFragment.into()),
        }
        if !channel.bucket.take(now.clock) {
            return Err(Refused::MemberLimited.into());
        }
        if !self.total.take(now.clock) {
            return Err(Refused::TotalLimited.into());
        }
        self.serve(now, member, from, packet, office)
    }

    fn send_udp(&mut self, now: Now, member: MemberId, from: u16, to: u16, data: &[u8]) -> Result<(), Word> {
        let channel = self.channels.get(&member).ok_or(DropReason::MemberUnknown)?;
        let ends = ((channel.manager_address, from), (channel.virtual_address, to));
        let mut packet = self.buffer();
        if !packet::write_udp(&mut packet, ends.0, ends.1, data) {
            self.spare(packet);
            return Err(DropReason::BufferRoom.into());
        }
        self.send(now, member, packet)
    }

    /// Seals a virtual packet and puts it where the driver takes it.
    fn send(&mut self, now: Now, member: MemberId, mut packet: HostPacket) -> Result<(), Word> {
        let channel = self.channels.get_mut(&member).ok_or(DropReason::MemberUnknown)?;
        match channel.seal(&mut packet, now.clock) {
            Ok(to) => {
                self.outward.push_back(Datagram { to, packet });
                Ok(())
            }
            Err(reason) => {
                self.spare(packet);
                Err(reason.into())
            }
        }
    }

    fn buffer(&mut self) -> HostPacket {
        self.spare.pop().unwrap_or_else(packet::buffer)
    }

    fn spare(&mut self, packet: HostPacket) {
        if self.spare.len() < SPARE {
            self.spare.push(packet);
        }
    }
}

/// Cuts the shim off. Only virtual packets come here: the manager is nobody's director.
fn take_shim(packet: &mut HostPacket) -> Result<Shim, DropReason> {
    let (shim, _) = Shim::parse(packet.bytes()).map_err(DropReason::shim)?;
    let shim = *shim;
    if shim.data_type() != Some(DataType::Virtual) {
        return Err(DropReason::ShimTypeUnknown);
    }
    if packet.shrink_front(shim::LEN) {
        Ok(shim)
    } else {
        Err(DropReason::ShimTruncated)
    }
}

/// Source, destination and SPI of a virtual packet, which is all there is and ESP.
fn outside(packet: &[u8]) -> Result<(Ipv4Addr, Ipv4Addr, Spi), DropReason> {
    let (ip, payload) = Ipv4::parse(packet).map_err(DropReason::virtual_ipv4)?;
    if ipv4::HEADER_LEN + payload.len() != packet.len() {
        return Err(DropReason::VirtualLength);
    }
    if ip.protocol() != PROTOCOL_ESP {
        return Err(DropReason::CleartextRefused);
    }
    let header = EspHeader::parse(payload).map_err(|_| DropReason::EspTruncated)?;
    let spi = Spi::new(header.spi.get()).map_err(|_| DropReason::EspSpiUnknown)?;
    Ok((ip.source(), ip.destination(), spi))
}
