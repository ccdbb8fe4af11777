//! The name service over TCP, for one member: a TCP/IP stack of its own with a few places.
//!
//! **Problem.** A slow or silent client must not keep others waiting, nor hold memory for ever. **Idea.** Places are a member's own: who opens
//! connections without end uses up its own [`PLACES`] and nobody else's. A connection lives by whole questions: however it drips,
//! one that has asked none for [`PATIENCE_MS`] ends.
//!
//! ```text
//!  segments ► smoltcp ► inbox: | length, 2 | question | ► dns ► outbox: | length, 2 | answer | ► smoltcp ► segments
//!                                  no next question while an answer waits to leave
//! ```
//!
//! **Cost.** 22 KiB a member that has used TCP lately; nothing for the others.

use super::counters::{Counters, Did, Refused};
use kith_esp::Millis;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// Connections a member may have.
pub(super) const PLACES: usize = 4;
/// How long a connection may go without a whole question, whatever state it is in.
pub(super) const PATIENCE_MS: u64 = 10_000;
/// The longest question: a name, EDNS and its options.
pub(super) const MAX_QUERY: usize = 1024;
/// Virtual packets of ours are no longer: they pass every path of ours.
const MTU: usize = 1280;
const RECEIVE: usize = 1024;
const SEND: usize = 4096;
/// How often one segment makes the stack turn at most.
const TURNS: usize = 2 * PLACES;
const PORT: u16 = 53;

/// Answers a question into the buffer. False: this is none, or no more may be asked now; the connection ends.
pub(super) type Answer<'a> = dyn FnMut(&[u8], &mut Vec<u8>) -> bool + 'a;

/// A member's stack.
pub(super) struct Stack {
    interface: Interface,
    pipe: Pipe,
    sockets: SocketSet<'static>,
    places: Vec<Place>,
    /// When the last segment came.
    pub(super) touched: Millis,
}

struct Place {
    handle: SocketHandle,
    /// Since when a question is awaited; none while nobody is connected.
    since: Option<Millis>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl Stack {
    /// A stack that listens. `seed` is random: sequence numbers come from it.
    pub(super) fn new(manager: Ipv4Addr, member: Ipv4Addr, seed: u64, now: Millis) -> Self {
        let mut pipe = Pipe::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut pipe, instant(now));
        // One address and one route: neither finds its table full.
        interface.update_ip_addrs(|addresses| {
            let _empty_before = addresses.push(IpCidr::new(IpAddress::Ipv4(manager), 32));
        });
        let _first = interface.routes_mut().add_default_ipv4_route(member);
        let mut sockets = SocketSet::new(Vec::with_capacity(PLACES));
        let places = (0..PLACES).map(|_| Place::new(&mut sockets)).collect();
        Self {
            interface,
            pipe,
            sockets,
            places,
            touched: now,
        }
    }

    /// Takes an IPv4 packet with a segment for the name service.
    pub(super) fn take(&mut self, packet: &[u8], now: Millis, counters: &Counters, answer: &mut Answer<'_>) {
        self.touched = now;
        self.pipe.inward.push_back(packet.to_vec());
        self.run(now, counters, answer);
    }

    /// Lets time pass, and answers what can be answered.
    pub(super) fn run(&mut self, now: Millis, counters: &Counters, answer: &mut Answer<'_>) {
        for _ in 0..TURNS {
            self.interface
                .poll(instant(now), &mut self.pipe, &mut self.sockets);
            let mut worked = false;
            for place in &mut self.places {
                worked |= place.serve(self.sockets.get_mut(place.handle), now, counters, answer);
            }
            if !worked {
                break;
            }
        }
    }

    /// A packet for the member.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.pipe.outward.pop_front()
    }

    /// When it wants to run again.
    pub(super) fn deadline(&mut self, now: Millis) -> Option<Millis> {
        let own = self.interface.poll_at(instant(now), &self.sockets);
        let own = own.map(|at| Millis(u64::try_from(at.total_millis()).unwrap_or(now.0)));
        let patience = self.places.iter().filter_map(|place| place.since);
        patience
            .map(|since| Millis(since.0 + PATIENCE_MS))
            .chain(own)
            .min()
    }

    /// Is nobody connected, and has nobody been for a while?
    pub(super) fn is_idle(&self, now: Millis) -> bool {
        self.places.iter().all(|place| place.since.is_none()) && now.0 >= self.touched.0 + PATIENCE_MS
    }
}

impl Place {
    fn new(sockets: &mut SocketSet<'static>) -> Self {
        let buffer = |len| SocketBuffer::new(vec![0; len]);
        let mut socket = Socket::new(buffer(RECEIVE), buffer(SEND));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        // Refused for port 0 and on a socket that is open, and this is neither.
        let _fresh = socket.listen(PORT);
        Self {
            handle: sockets.add(socket),
            since: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Moves what can be moved. True: it is worth another turn.
    fn serve(
        &mut self,
        socket: &mut Socket<'_>,
        now: Millis,
        counters: &Counters,
        answer: &mut Answer<'_>,
    ) -> bool {
        match socket.state() {
            State::Listen => {
                self.clear();
                return false;
            }
            // The reset of a connection that was ended leaves with the next turn; only then is the place free.
            State::Closed if socket.remote_endpoint().is_some() => return false,
            State::Closed | State::TimeWait => {
                self.clear();
                return socket.listen(PORT).is_ok();
            }
            _ => {}
        }
        if self.since.is_none() {
            counters.count(Did::TcpConnection);
        }
        let since = *self.since.get_or_insert(now);
        if now.0 >= since.0 + PATIENCE_MS {
            return end(socket, counters, Refused::TcpSlow);
        }
        let mut worked = self.flush(socket);
        while self.outbox.is_empty() {
            self.fill(socket);
            match frame(&self.inbox) {
                Frame::Partial => break,
                Frame::Impossible => return end(socket, counters, Refused::TcpQueryLength),
                Frame::Whole(len) => {
                    if !answer(&self.inbox[2..len], &mut self.outbox) {
                        return end(socket, counters, Refused::TcpNoQuery);
                    }
                    self.inbox.drain(..len);
                    self.since = Some(now);
                    self.prefix();
                    worked |= self.flush(socket);
                }
            }
        }
        // The client has said all, and has been told all.
        if !socket.may_recv() && self.outbox.is_empty() && socket.may_send() {
            socket.close();
            worked = true;
        }
        worked
    }

    /// Puts the length in front of an answer (RFC 1035 section 4.2.2).
    fn prefix(&mut self) {
        // `dns::MAX_TCP` is far below.
        let len = u16::try_from(self.outbox.len()).unwrap_or(u16::MAX);
        self.outbox.splice(0..0, len.to_be_bytes());
    }

    /// Takes from the socket, never more than the longest question.
    fn fill(&mut self, socket: &mut Socket<'_>) {
        let before = self.inbox.len();
        self.inbox.resize(MAX_QUERY + 2, 0);
        let taken = socket.recv_slice(&mut self.inbox[before..]).unwrap_or(0);
        self.inbox.truncate(before + taken);
    }

    /// Gives to the socket.
    fn flush(&mut self, socket: &mut Socket<'_>) -> bool {
        let given = socket.send_slice(&self.outbox).unwrap_or(0);
        self.outbox.drain(..given);
        given > 0
    }

    /// Forgets what was half done.
    fn clear(&mut self) {
        self.since = None;
        self.inbox.clear();
        self.outbox.clear();
    }
}

/// Ends a connection at once.
fn end(socket: &mut Socket<'_>, counters: &Counters, why: Refused) -> bool {
    counters.count(why);
    socket.abort();
    true
}

enum Frame {
    Partial,
    Impossible,
    Whole(usize),
}

fn frame(inbox: &[u8]) -> Frame {
    let Some((length, rest)) = inbox.split_first_chunk() else {
        return Frame::Partial;
    };
    match usize::from(u16::from_be_bytes(*length)) {
        len if len == 0 || len > MAX_QUERY => Frame::Impossible,
        len if len <= rest.len() => Frame::Whole(len + 2),
        _ => Frame::Partial,
    }
}

fn instant(now: Millis) -> Instant {
    Instant::from_millis(i64::try_from(now.0).unwrap_or(i64::MAX))
}

/// Whole IPv4 packets in and out.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) inward: VecDeque<Vec<u8>>,
    pub(super) outward: VecDeque<Vec<u8>>,
}

impl Device for Pipe {
    type RxToken<'a> = Taken;
    type TxToken<'a> = Given<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Taken, Given<'_>)> {
        let packet = self.inward.pop_front()?;
        Some((Taken(packet), Given(&mut self.outward)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Given<'_>> {
        Some(Given(&mut self.outward))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

pub(super) struct Taken(Vec<u8>);

impl phy::RxToken for Taken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub(super) struct Given<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for Given<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let written = write(&mut packet);
        self.0.push_back(packet);
        written
    }
}
