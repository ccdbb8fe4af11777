//! All members' channels: datagrams in, datagrams out, time passed in.

use super::channel::{Channel, Install};
use super::counters::{Counters, Did, Refused, Word};
use super::limits::Bucket;
use super::packet::{self, Content};
use super::tcp::Stack;
use super::{Now, Office, Settings, Uninstalled};
use crate::dns::{self, MemberId, Query, Transport};
use kith_esp::{Millis, Spi};
use kith_pipeline::host::transport::Opened;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::DropReason;
use kith_protocol::heartbeat::{self, Heartbeat, Sender};
use kith_wire::esp::EspHeader;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ESP};
use kith_wire::shim::{self, DataType, Shim};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

const DNS_PORT: u16 = 53;
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
    channels: HashMap<MemberId, Channel>,
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
        while let Some(&(due, member, generation)) = self.beats.front()
            && due <= now.clock
        {
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
        self.channels.insert(channel.member, channel);
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

    /// What an authentic packet asks for.
    fn serve(
        &mut self,
        now: Now,
        member: MemberId,
        from: SocketAddrV4,
        packet: &mut HostPacket,
        office: &mut dyn Office,
    ) -> Result<(), Word> {
        match packet::content(packet.bytes())? {
            Content::Echo => {
                packet::echo(packet)?;
                let mut reply = self.buffer();
                if !packet::write(&mut reply, &[packet.bytes()]) {
                    return Err(DropReason::BufferRoom.into());
                }
                self.counters.count(Did::Echo);
                self.send(now, member, reply)
            }
            Content::Udp {
                from: port,
                to,
                data: (begin, end),
            } => {
                let data = packet.bytes().get(begin..end).ok_or(Refused::InnerMalformed)?;
                match to {
                    DNS_PORT => self.name(now, member, port, data, office),
                    heartbeat::PORT => self.heard(member, from, data, office),
                    _ => Err(Refused::PortUnknown.into()),
                }
            }
            Content::Tcp { to: DNS_PORT, opens } => {
                if !self.stacks.contains_key(&member) {
                    if !opens {
                        return Err(Refused::TcpUnknown.into());
                    }
                    self.open_stack(now, member);
                }
                self.turn(now, member, Some(packet.bytes()), office);
                Ok(())
            }
            Content::Tcp { .. } => Err(Refused::PortUnknown.into()),
        }
    }

    /// A question in a datagram.
    fn name(
        &mut self,
        now: Now,
        member: MemberId,
        port: u16,
        data: &[u8],
        office: &mut dyn Office,
    ) -> Result<(), Word> {
        let query = Query {
            bytes: data,
            asker: Some(member),
            transport: Transport::Udp,
            now_ms: now.unix_ms,
        };
        let outcome = dns::answer(&query, office, &mut self.answer);
        self.counters.count(outcome);
        if self.answer.is_empty() {
            return Ok(());
        }
        let answer = std::mem::take(&mut self.answer);
        let sent = self.send_udp(now, member, DNS_PORT, port, &answer);
        self.answer = answer;
        sent
    }

    fn heard(
        &mut self,
        member: MemberId,
        from: SocketAddrV4,
        data: &[u8],
        office: &mut dyn Office,
    ) -> Result<(), Word> {
        let heartbeat = Heartbeat::decode(data).map_err(|_| Refused::HeartbeatMalformed)?;
        if heartbeat.sender != Sender::Member {
            return Err(Refused::HeartbeatMalformed.into());
        }
        let channel = self.channels.get_mut(&member).ok_or(DropReason::EspSpiUnknown)?;
        if heartbeat.run_id != channel.run_id {
            return Err(Refused::HeartbeatForeign.into());
        }
        if heartbeat.sequence > channel.beats.heard {
            channel.beats.heard = heartbeat.sequence;
            channel.beats.heard_ms = heartbeat.time_ms;
        }
        self.counters.count(Did::HeartbeatHeard);
        office.heard(member, &heartbeat, from);
        Ok(())
    }

    /// A heartbeat to a member, if it can be reached; then the next one is due.
    fn beat(&mut self, now: Now, member: MemberId, generation: u64) {
        let Some(channel) = self
            .channels
            .get_mut(&member)
            .filter(|channel| channel.generation == generation)
        else {
            return;
        };
        self.beats.push_back((
            Millis(now.clock.0.saturating_add(self.settings.heartbeat.0)),
            member,
            generation,
        ));
        if !channel.is_reachable() {
            return;
        }
        channel.beats.sent += 1;
        let heartbeat = Heartbeat {
            sender: Sender::Manager,
            sequence: channel.beats.sent,
            run_id: channel.run_id,
            octets_sent: 0,
            octets_received: 0,
            time_ms: now.unix_ms,
            heard_sequence: channel.beats.heard,
            heard_time_ms: channel.beats.heard_ms,
        };
        let port = heartbeat::PORT;
        match self.send_udp(now, member, port, port, &heartbeat.encode()) {
            Ok(()) => self.counters.count(Did::HeartbeatSent),
            Err(word) => self.counters.count(word),
        }
    }

    /// A stack for a member that has none. If all are in use, that which was used longest ago gives way.
    fn open_stack(&mut self, now: Now, member: MemberId) {
        let Some(channel) = self.channels.get(&member) else {
            return;
        };
        if self.stacks.len() >= self.settings.tcp_members.max(1)
            && let Some(oldest) = self
                .stacks
                .iter()
                .min_by_key(|(_, stack)| stack.touched)
                .map(|(member, _)| *member)
        {
            self.stacks.remove(&oldest);
            self.counters.count(Refused::TcpEvicted);
        }
        // Each stack begins elsewhere.
        self.seed = self
            .seed
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let stack = Stack::new(
            channel.manager_address,
            channel.virtual_address,
            self.seed,
            now.clock,
        );
        self.stacks.insert(member, stack);
    }

    /// Lets a member's stack work, and sends what it gives.
    fn turn(&mut self, now: Now, member: MemberId, segment: Option<&[u8]>, office: &mut dyn Office) {
        let (Some(stack), Some(channel)) = (self.stacks.get_mut(&member), self.channels.get_mut(&member))
        else {
            return;
        };
        let (counters, total) = (&self.counters, &mut self.total);
        let mut answer = |bytes: &[u8], out: &mut Vec<u8>| {
            if !channel.bucket.take(now.clock) {
                counters.count(Refused::MemberLimited);
                return false;
            }
            if !total.take(now.clock) {
                counters.count(Refused::TotalLimited);
                return false;
            }
            let query = Query {
                bytes,
                asker: Some(member),
                transport: Transport::Tcp,
                now_ms: now.unix_ms,
            };
            counters.count(dns::answer(&query, office, out));
            !out.is_empty()
        };
        match segment {
            Some(segment) => stack.take(segment, now.clock, counters, &mut answer),
            None => stack.run(now.clock, counters, &mut answer),
        }
        while let Some(outward) = self.stacks.get_mut(&member).and_then(Stack::pop) {
            let mut packet = self.buffer();
            let written = packet::write(&mut packet, &[&outward]);
            let sent = if written {
                self.send(now, member, packet)
            } else {
                Err(DropReason::BufferRoom.into())
            };
            if let Err(word) = sent {
                self.counters.count(word);
            }
        }
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
