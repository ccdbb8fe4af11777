//! The thread from the network to the adapter: receive, open, join, write. It owns the inbound keys.

use super::coalesce::Group;
use super::segment::VNET_LEN;
use super::shared::{Note, Shared, ToInbound, Waker, wait};
use super::tun::Tun;
use super::udp::{Control, Received, Udp};
use crate::keying::{Event, Method, message};
use kith_esp::{Millis, Spi};
use kith_pipeline::host::decap::{Decap, Decapsulated};
use kith_pipeline::host::tables::{HostTables, MemberIndex};
use kith_pipeline::packet::{Packet, Slot};
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::table::snapshot::Reader;
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::Shim;
use std::io;
use std::net::SocketAddrV4;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use zerocopy::FromBytes;

/// Octets of one receive.
const RECEIVE_LEN: usize = 1 << 16;
/// The control thread is told no more often than this about packets under unknown keys.
const TELL: u64 = 100;
/// So many introductions of strangers are handed up in [`SPAN`] milliseconds.
const INTRODUCTIONS: u32 = 64;
const SPAN: u64 = 250;
/// No message of IKE is shorter (RFC 7296 section 3.1).
const IKE_HEADER_LEN: usize = 28;
/// Octets of a reported packet that matter: shim and virtual header.
const QUOTE_LEN: usize = 128;

/// What the thread works on.
pub struct InboundThread {
    /// The adapter.
    pub tun: Arc<Tun>,
    /// The socket.
    pub udp: Arc<Udp>,
    /// Counters and clock.
    pub shared: Arc<Shared>,
    /// Members.
    pub tables: Reader<HostTables>,
    /// Keys.
    pub commands: Receiver<ToInbound>,
    /// To the control thread.
    pub notes: SyncSender<Note>,
    /// Wakes this thread.
    pub waker: Arc<Waker>,
    /// Room for keys: a power of two.
    pub capacity: u32,
}

struct Path {
    tun: Arc<Tun>,
    shared: Arc<Shared>,
    notes: SyncSender<Note>,
    decap: Decap,
    group: Group,
    peers: Vec<Peer>,
    introductions: Introductions,
    /// What the kernel said last.
    overflow: u32,
}

/// Introductions handed up since the present span of time began.
#[derive(Default)]
struct Introductions {
    since: Millis,
    count: u32,
}

impl Introductions {
    /// May another one be handed up? It costs the control thread the opening of a ticket.
    fn has_room(&mut self, now: Millis) -> bool {
        if now.0 >= self.since.0 + SPAN {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        self.count <= INTRODUCTIONS
    }
}

#[derive(Default)]
struct Peer {
    heard: Option<Spi>,
    told_stale: Option<Millis>,
}

impl InboundThread {
    /// Runs until asked to stop.
    pub fn run(mut self) -> io::Result<()> {
        let mut path = Path {
            peers: self
                .shared
                .inbound
                .members
                .iter()
                .map(|_| Peer::default())
                .collect(),
            tun: self.tun.clone(),
            shared: self.shared.clone(),
            notes: self.notes.clone(),
            decap: Decap::new(self.capacity),
            group: Group::new(self.tun.joins_udp()),
            introductions: Introductions::default(),
            overflow: 0,
        };
        let mut buffer = vec![0; RECEIVE_LEN].into_boxed_slice();
        let mut control = Control::default();
        while !self.shared.stopping() {
            let received = self.udp.receive(&mut buffer, &mut control);
            // Keys that were installed before their first packet could be sent are here by now.
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    ToInbound::Install(member, sa) => path.decap.install(member, *sa),
                    ToInbound::InstallBeside(member, sa) => path.decap.install_beside(member, *sa),
                    ToInbound::Remove(spi) => path.decap.remove(spi),
                    ToInbound::Forget(member, receipt) => {
                        if let Some(peer) = path.peers.get_mut(member.0 as usize) {
                            *peer = Peer::default();
                        }
                        drop(receipt);
                    }
                }
            }
            match received {
                Ok(Some(received)) => {
                    path.shared.inbound.udp_calls.add(1);
                    path.count_overflow(received.overflow);
                    let tables = self.tables.load().clone();
                    path.take(&tables, &mut buffer, received);
                }
                Ok(None) => wait(&*self.udp, &self.waker, None)?,
                Err(error) if error.raw_os_error() == Some(nix::libc::EBADF) => return Err(error),
                // Reports of routers come as errors of whatever call is next; the queue says what they are.
                Err(_) => {}
            }
            if !matches!(received, Ok(Some(_))) {
                self.read_errors(&mut control)?;
            }
        }
        Ok(())
    }

    fn read_errors(&mut self, control: &mut Control) -> io::Result<()> {
        let mut quote = [0; QUOTE_LEN];
        while let Some(report) = self.udp.error(&mut quote, control)? {
            let Some(report) = report else { continue };
            let member = reported(self.tables.load(), &quote[..report.quoted.min(QUOTE_LEN)]);
            // The channel being full, the next packet that is too large brings the next report.
            let _told = self.notes.try_send(Note::TooBig {
                to: report.to,
                member,
                mtu: report.mtu,
            });
        }
        Ok(())
    }
}

/// Of which method a message is, by its port and shape, and whether it may make a stranger known: only the first message of IKE has a ticket, and
/// later ones belong to a handshake that began with it.
fn keying(port: u16, data: &[u8]) -> Option<(Method, bool)> {
    let method = Method::of(port)?;
    match method {
        Method::Ike => (data.len() >= IKE_HEADER_LEN).then_some((method, true)),
        Method::Ticket => message::split(data).map(|(_, ticket)| (method, !ticket.is_empty())),
    }
}

/// Whom a reported packet was for, if enough of it is quoted.
fn reported(tables: &HostTables, quote: &[u8]) -> Option<MemberIndex> {
    let (_, rest) = Shim::parse(quote).ok()?;
    // The packet is cut short: its lengths cannot be held against these octets.
    let (ip, _) = Ipv4::ref_from_prefix(rest).ok()?;
    tables.find(ip.destination()).map(|(index, _)| index)
}

impl Path {
    #[inline]
    fn take(&mut self, tables: &HostTables, buffer: &mut [u8], received: Received) {
        let shared = self.shared.clone();
        let now = shared.now();
        let segment = received.segment.max(1);
        let mut at = 0;
        let mut packets = 0;
        while at < received.len {
            let end = received.len.min(at + segment);
            packets += 1;
            self.one(&shared, tables, now, buffer, at..end, received.from);
            at = end;
        }
        if received.len == 0 {
            packets = 1;
            self.one(&shared, tables, now, buffer, 0..0, received.from);
        }
        shared.inbound.counters.received.add(packets);
        shared.inbound.counters.received_bytes.add(received.len as u64);
        self.write_group(buffer);
    }

    #[inline]
    fn one(
        &mut self,
        shared: &Shared,
        tables: &HostTables,
        now: Millis,
        buffer: &mut [u8],
        range: Range<usize>,
        from: SocketAddrV4,
    ) {
        let way = &shared.inbound;
        let mut slot = Slot::within(&mut *buffer, range.start, range.end);
        match self.decap.decapsulate(tables, &way.counters, now, &mut slot) {
            Decapsulated::Deliver { member, spi } => {
                let range = slot.range();
                let traffic = &way.members[member.0 as usize];
                traffic.packets.add(1);
                traffic.bytes.add(range.len() as u64);
                self.heard(member, spi);
                if !self.group.join(buffer, range.clone()) {
                    self.write_group(buffer);
                    self.group.begin(buffer, range);
                }
            }
            Decapsulated::Dummy { member, spi } => {
                way.dummies.add(1);
                way.members[member.0 as usize].dummies.add(1);
                self.heard(member, spi);
            }
            Decapsulated::Keying { member, port } => match keying(port, slot.bytes()) {
                Some((method, _)) => {
                    way.keying
                        .add(self.punt(Note::Keying(method, member, slot.bytes().into())))
                }
                None => way.counters.dropped(DropReason::UdpLength).add(1),
            },
            Decapsulated::Stranger { source, port } => {
                let data = slot.bytes();
                let dropped = match keying(port, data) {
                    // Who has nothing to show is nobody.
                    None | Some((_, false)) => DropReason::MemberUnknown,
                    Some(_) if !self.introductions.has_room(now) => DropReason::PuntLimited,
                    Some((method, true)) => {
                        let note = Note::Stranger(method, source, data.into());
                        return way.keying.add(self.punt(note));
                    }
                };
                way.counters.dropped(dropped).add(1);
            }
            Decapsulated::Control => match slot.bytes().try_into() {
                Ok(message) => way
                    .counters
                    .punted(PuntReason::Control)
                    .add(self.punt(Note::Director(from, Box::new(message)))),
                Err(_) => way.counters.dropped(DropReason::UdpLength).add(1),
            },
            Decapsulated::Drop { stale, .. } => {
                if let Some(member) = stale {
                    self.stale(now, member);
                }
            }
        }
    }

    /// The first packet under other keys than the last one's.
    #[inline]
    fn heard(&mut self, member: MemberIndex, spi: Spi) {
        let peer = &mut self.peers[member.0 as usize];
        if peer.heard != Some(spi) && self.notes.try_send(Note::Keys(member, Event::Heard(spi))).is_ok() {
            peer.heard = Some(spi);
        }
    }

    /// Datagrams that the kernel threw away before we could count them as received.
    #[inline]
    fn count_overflow(&mut self, said: Option<u32>) {
        if let Some(said) = said {
            self.shared
                .inbound
                .overflow
                .add(u64::from(said.wrapping_sub(self.overflow)));
            self.overflow = said;
        }
    }

    fn stale(&mut self, now: Millis, member: MemberIndex) {
        let peer = &mut self.peers[member.0 as usize];
        let due = peer.told_stale.is_none_or(|at| now.0 >= at.0 + TELL);
        if due && self.notes.try_send(Note::Keys(member, Event::Stale)).is_ok() {
            peer.told_stale = Some(now);
        }
    }

    /// How many went up: one, or none and a drop.
    fn punt(&mut self, note: Note) -> u64 {
        let full = self.notes.try_send(note).is_err();
        self.shared
            .inbound
            .counters
            .dropped(DropReason::PuntQueueFull)
            .add(u64::from(full));
        u64::from(!full)
    }

    #[inline]
    fn write_group(&mut self, buffer: &mut [u8]) {
        let packets = self.group.packets() as u64;
        let mut bytes = 0;
        let written = self.group.finish(buffer, |pieces| {
            bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>() - VNET_LEN;
            self.tun.write(pieces)
        });
        let way = &self.shared.inbound;
        match written {
            None => {}
            Some(Ok(())) => {
                way.tun_calls.add(1);
                way.counters.transmitted.add(packets);
                way.counters.transmitted_bytes.add(bytes as u64);
            }
            Some(Err(_)) => way.counters.dropped(DropReason::TransmitQueueFull).add(packets),
        }
    }
}
