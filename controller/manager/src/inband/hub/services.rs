//! What an authentic packet asks for, and what it gets.

use super::{DNS_PORT, Hub};
use crate::dns::{self, MemberId, Query, Transport};
use crate::inband::counters::{Did, Refused, Word};
use crate::inband::packet::{self, Content};
use crate::inband::tcp::Stack;
use crate::inband::{Now, Office};
use kith_esp::Millis;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::DropReason;
use kith_protocol::heartbeat::{self, Heartbeat, Sender};
use std::net::SocketAddrV4;

impl Hub {
    /// What an authentic packet asks for.
    pub(super) fn serve(
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
    pub(super) fn beat(&mut self, now: Now, member: MemberId, generation: u64) {
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
    pub(super) fn turn(
        &mut self,
        now: Now,
        member: MemberId,
        segment: Option<&[u8]>,
        office: &mut dyn Office,
    ) {
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
}
