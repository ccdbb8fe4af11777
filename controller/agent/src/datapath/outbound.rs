//! The thread from the adapter to the network: read, cut, seal, send. It owns the outbound keys.

use super::hold::{Held, Outcome, Refusal, Room, Unknown};
use super::segment::{self, Read, Segments};
use super::shared::{Note, Shared, ToOutbound, Waker, wait};
use super::train::{Sent, Train};
use super::tun::{READ_LEN, Tun};
use super::udp::Udp;
use crate::envelope;
use crate::keying::Event;
use kith_esp::Millis;
use kith_pipeline::host::encap::{Encap, Encapsulated};
use kith_pipeline::host::tables::{HostTables, MemberIndex};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::DropReason;
use kith_pipeline::table::snapshot::Reader;
use kith_wire::icmp;
use kith_wire::ipv4;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

/// Reads from the adapter before commands and the clock are looked at again.
const BURST: usize = 32;
/// What may wait for one member's keys.
const WAITING: Room = Room {
    packets: 64,
    octets: 1 << 20,
};
/// The control thread is told no more often than this that keys are missing.
const TELL: u64 = 100;
/// What an ICMP error quotes (RFC 792): the header and 64 bits of data; more helps nobody here.
const QUOTED: usize = ipv4::HEADER_LEN + 8;

/// What the thread works on.
pub struct OutboundThread {
    /// The adapter.
    pub tun: Arc<Tun>,
    /// The socket.
    pub udp: Arc<Udp>,
    /// Counters and clock.
    pub shared: Arc<Shared>,
    /// Members.
    pub tables: Reader<HostTables>,
    /// Keys and dummies.
    pub commands: Receiver<ToOutbound>,
    /// To the control thread.
    pub notes: SyncSender<Note>,
    /// Wakes this thread.
    pub waker: Arc<Waker>,
}

struct Path {
    tun: Arc<Tun>,
    udp: Arc<Udp>,
    shared: Arc<Shared>,
    notes: SyncSender<Note>,
    encap: Encap,
    train: Train,
    peers: Vec<Peer>,
    unknown: Unknown,
}

#[derive(Default)]
struct Peer {
    waiting: Held,
    told: Option<Millis>,
    rekey_told: bool,
}

impl OutboundThread {
    /// Runs until asked to stop.
    pub fn run(mut self) -> io::Result<()> {
        let mut path = Path {
            peers: self
                .shared
                .outbound
                .members
                .iter()
                .map(|_| Peer::default())
                .collect(),
            tun: self.tun.clone(),
            udp: self.udp,
            shared: self.shared.clone(),
            notes: self.notes,
            encap: Encap::new(),
            train: Train::new(),
            unknown: Unknown::default(),
        };
        let mut read = vec![0; READ_LEN].into_boxed_slice();
        while !self.shared.stopping() {
            let now = self.shared.now();
            while let Ok(command) = self.commands.try_recv() {
                // Tables are published before what they bring about is ordered.
                path.obey(&self.tables.load().clone(), now, command);
            }
            let mut busy = BURST;
            while busy > 0 {
                let Some(len) = self.tun.read(&mut read)? else {
                    break;
                };
                path.shared.outbound.tun_calls.add(1);
                // After the commands: no place that was vacated is found. Now: members who came before the packet are known.
                path.take(self.tables.load(), now, &mut read[..len]);
                busy -= 1;
            }
            let lost = path.unknown.expire(now);
            if lost > 0 {
                path.lose(lost, DropReason::MemberUnknown);
            }
            if busy > 0 {
                path.depart();
                wait(&*self.tun, &self.waker, path.unknown.patience(now))?;
            }
        }
        Ok(())
    }
}

impl Path {
    fn obey(&mut self, tables: &HostTables, now: Millis, command: ToOutbound) {
        match command {
            ToOutbound::Install(member, sa) => {
                self.encap.install(member, *sa);
                let Some(peer) = self.peers.get_mut(member.0 as usize) else {
                    return;
                };
                peer.rekey_told = false;
                let waited = peer.waiting.take();
                self.send_on(tables, now, waited);
            }
            ToOutbound::Dummy(member) => {
                if let Some(peer) = tables.member(member) {
                    let packet = envelope::dummy(tables.own(), peer.address);
                    self.shared.outbound.dummies.add(1);
                    self.single(tables, now, &packet, false);
                }
            }
            ToOutbound::GaveUp(member) => self.lose_waiting(member),
            ToOutbound::Found(address) => {
                let waited = self.unknown.found(address);
                self.send_on(tables, now, waited);
            }
            ToOutbound::Refuse(address, refusal) => {
                let waited = self.unknown.refuse(address, refusal);
                self.shared
                    .outbound
                    .waiting
                    .add((waited.len() as u64).wrapping_neg());
                for packet in waited {
                    self.refuse(tables, refusal, &packet);
                }
            }
            ToOutbound::Forget(member, receipt) => {
                self.encap.remove(member);
                self.lose_waiting(member);
                if let Some(peer) = self.peers.get_mut(member.0 as usize) {
                    *peer = Peer::default();
                }
                drop(receipt);
            }
        }
        self.depart();
    }

    /// What they waited for is there.
    fn send_on(&mut self, tables: &HostTables, now: Millis, waited: VecDeque<Box<[u8]>>) {
        for packet in waited {
            self.shared.outbound.waiting.add(u64::MAX);
            self.single(tables, now, &packet, true);
        }
    }

    fn lose_waiting(&mut self, member: MemberIndex) {
        if let Some(peer) = self.peers.get_mut(member.0 as usize) {
            let lost = peer.waiting.take().len() as u64;
            self.lose(lost, DropReason::KeysMissing);
        }
    }

    /// These waited in vain.
    fn lose(&self, count: u64, reason: DropReason) {
        self.shared.outbound.waiting.add(count.wrapping_neg());
        self.drop_packets(count, reason);
    }

    /// One read from the adapter.
    #[inline]
    fn take(&mut self, tables: &HostTables, now: Millis, read: &mut [u8]) {
        match segment::parse(read) {
            Ok(Read::Single(packet)) => {
                self.count_received(packet.len());
                self.single(tables, now, packet, true);
            }
            Ok(Read::Large(segments)) => self.large(tables, now, segments),
            Err(reason) => {
                self.count_received(read.len().saturating_sub(segment::VNET_LEN));
                self.drop_packets(1, reason);
            }
        }
    }

    #[inline]
    fn large(&mut self, tables: &HostTables, now: Millis, mut segments: Segments<'_>) {
        let mut told_too_big = false;
        while let Some(len) = segments.next_len() {
            self.count_received(len);
            told_too_big |= self.one(tables, now, len, false, !told_too_big, |out| {
                segments.write_next(out)
            });
        }
    }

    #[inline]
    fn single(&mut self, tables: &HostTables, now: Millis, packet: &[u8], data: bool) {
        // A fragment needs more room in front: more fragments to come, or an offset.
        let fragment = packet.len() > 7 && (packet[6] & 0x3f, packet[7]) != (0, 0);
        let copy = |out: &mut [u8]| {
            out.copy_from_slice(packet);
            Ok(())
        };
        if data {
            self.one(tables, now, packet.len(), fragment, true, copy);
        } else {
            self.dummy(tables, now, packet.len(), copy);
        }
    }

    /// Seals and couples one packet. True if the application was told that it is too large.
    #[inline]
    fn one(
        &mut self,
        tables: &HostTables,
        now: Millis,
        len: usize,
        fragment: bool,
        tell: bool,
        fill: impl FnOnce(&mut [u8]) -> Result<(), DropReason>,
    ) -> bool {
        if self.train.is_full_for(len) {
            self.depart();
        }
        let counters = &self.shared.outbound.counters;
        let mut slot = match self.train.place(len, fragment, fill) {
            Ok(slot) => slot,
            Err(reason) => {
                counters.dropped(reason).add(1);
                return false;
            }
        };
        match self.encap.encapsulate(tables, counters, now, &mut slot) {
            Encapsulated::Send { member, to, rekey } => {
                let range = slot.range();
                let traffic = &self.shared.outbound.members[member.0 as usize];
                traffic.packets.add(1);
                traffic.bytes.add(range.len() as u64);
                let sent = self.train.couple(range, to, &self.udp);
                self.count_sent(sent);
                if rekey {
                    self.rekey_due(member);
                }
            }
            Encapsulated::NeedKeys { member } => {
                let peer = &mut self.peers[member.0 as usize];
                if peer.waiting.push(WAITING, slot.bytes()) {
                    self.shared.outbound.waiting.add(1);
                } else {
                    counters.dropped(DropReason::KeysMissing).add(1);
                }
                if peer.told.is_none_or(|at| now.0 >= at.0 + TELL)
                    && self.notes.try_send(Note::Keys(member, Event::KeysNeeded)).is_ok()
                {
                    peer.told = Some(now);
                }
            }
            Encapsulated::TooBig { mtu } if tell => {
                // Pushed behind a header of its own or not, what the application sent comes last.
                let own = slot.bytes().len() - len.min(slot.bytes().len());
                // RFC 1191: how large packets may be.
                let why = (icmp::FRAGMENTATION_NEEDED, mtu);
                let answered = unreachable(&self.tun, tables.own(), why, &slot.bytes()[own..]);
                self.shared.outbound.tun_calls.add(u64::from(answered));
                return true;
            }
            Encapsulated::NeedMember { to } => match self.unknown.take(now, to, slot.bytes()) {
                Outcome::Refused(refusal) => {
                    // As much as the answer quotes; the slot is needed for the next packet.
                    let mut quote = [0; QUOTED];
                    let len = slot.bytes().len().min(QUOTED);
                    quote[..len].copy_from_slice(&slot.bytes()[..len]);
                    self.refuse(tables, refusal, &quote[..len]);
                }
                outcome => {
                    match outcome {
                        Outcome::Waits => self.shared.outbound.waiting.add(1),
                        _ => counters.dropped(DropReason::MemberUnknown).add(1),
                    }
                    self.need_peer(now, to);
                }
            },
            Encapsulated::TooBig { .. } | Encapsulated::Drop(_) => {}
        }
        false
    }

    /// Tells that packets go to somebody unknown.
    fn need_peer(&mut self, now: Millis, to: Ipv4Addr) {
        // The channel being full, another packet asks again.
        if self.unknown.is_due(now, to) && self.notes.try_send(Note::NeedPeer(to)).is_ok() {
            self.unknown.told(now, to);
        }
    }

    /// Nobody is to be reached where this packet goes.
    fn refuse(&self, tables: &HostTables, refusal: Refusal, packet: &[u8]) {
        let (code, reason) = match refusal {
            Refusal::Unreachable => (icmp::HOST_UNREACHABLE, DropReason::MemberUnknown),
            Refusal::Prohibited => (icmp::PROHIBITED, DropReason::PolicyDenied),
        };
        self.drop_packets(1, reason);
        let answered =
            icmp::may_be_answered(packet) && unreachable(&self.tun, tables.own(), (code, 0), packet);
        self.shared.outbound.tun_calls.add(u64::from(answered));
    }

    /// A dummy goes out under the keys there are, or not at all.
    fn dummy(
        &mut self,
        tables: &HostTables,
        now: Millis,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), DropReason>,
    ) {
        self.depart();
        let counters = &self.shared.outbound.counters;
        let Ok(mut slot) = self.train.place(len, false, fill) else {
            return;
        };
        match self.encap.encapsulate(tables, counters, now, &mut slot) {
            Encapsulated::Send { member, to, .. } => {
                let range = slot.range();
                self.shared.outbound.members[member.0 as usize].dummies.add(1);
                let sent = self.train.couple(range, to, &self.udp);
                self.count_sent(sent);
            }
            Encapsulated::NeedKeys { .. } => counters.dropped(DropReason::KeysMissing).add(1),
            Encapsulated::NeedMember { .. } => counters.dropped(DropReason::MemberUnknown).add(1),
            Encapsulated::TooBig { .. } | Encapsulated::Drop(_) => {}
        }
    }

    fn rekey_due(&mut self, member: MemberIndex) {
        let peer = &mut self.peers[member.0 as usize];
        if !peer.rekey_told {
            peer.rekey_told = self.notes.try_send(Note::Keys(member, Event::RekeyDue)).is_ok();
        }
    }

    #[inline]
    fn depart(&mut self) {
        let sent = self.train.depart(&self.udp);
        self.count_sent(sent);
    }

    #[inline]
    fn count_received(&self, len: usize) {
        let counters = &self.shared.outbound.counters;
        counters.received.add(1);
        counters.received_bytes.add(len as u64);
    }

    #[inline]
    fn count_sent(&self, sent: Sent) {
        let way = &self.shared.outbound;
        way.counters.transmitted.add(sent.packets);
        way.counters.transmitted_bytes.add(sent.bytes);
        way.udp_calls.add(sent.calls);
        if let Some((count, reason)) = sent.refused {
            self.drop_packets(count, reason);
        }
    }

    fn drop_packets(&self, count: u64, reason: DropReason) {
        self.shared.outbound.counters.dropped(reason).add(count);
    }
}

/// Tells the application, from the address it sent to, why its packet does not arrive.
fn unreachable(tun: &Tun, own: Ipv4Addr, why: (u8, u16), offending: &[u8]) -> bool {
    let Some(destination) = offending.get(16..20) else {
        return false;
    };
    let from = Ipv4Addr::new(destination[0], destination[1], destination[2], destination[3]);
    let mut answer = [0; icmp::MAX_ERROR_LEN];
    let quote = &offending[..offending.len().min(QUOTED)];
    let Ok(len) = icmp::write_unreachable(&mut answer, from, own, why, quote) else {
        return false;
    };
    let vnet = [0; segment::VNET_LEN];
    tun.write(&[IoSlice::new(&vnet), IoSlice::new(&answer[..len])])
        .is_ok()
}
