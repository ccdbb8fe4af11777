//! The loop: adapter, two sockets, requests and time in; the endpoint's wishes out.

use super::config::StandardConfig;
use super::control::{self, Asked};
use super::drops::{Drop, Drops};
use super::host::StandardHost;
use super::inner::Flow;
use super::peers::{PeerState, esp_address};
use super::sockets::{IKE_PORT, MARKER, NAT_PORT, Sockets, is_keep_alive};
use super::tunnels::{Came, Pair, Tunnels};
use crate::clock;
use crate::datapath::route;
use caps::CapSet;
use kith_esp::{HEADER_LEN, Millis};
use kith_ike::{AssociationId, Endpoint, Event, Mode, Moment, Output, Path};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use tun_rs::{DeviceBuilder, SyncDevice};

/// The largest datagram, and room for what sealing adds.
const BUFFER: usize = 65_535 + 256;
/// Packets of one source before the others have their turn.
const BURST: usize = 64;
/// Housekeeping at least so often, milliseconds.
const TICK: u64 = 250;
/// A translator forgets after 30 s or more (RFC 3948 4).
const KEEP_ALIVE: u64 = 20_000;
/// With traffic and no pair, one is asked for so often.
const ASK_EVERY: u64 = 1_000;
/// When stopping, peers have so long to hear of it.
const FAREWELL: u64 = 1_000;

/// Everything that runs.
pub(super) struct Engine {
    listen: Ipv4Addr,
    socket: Option<PathBuf>,
    tun: SyncDevice,
    sockets: Sockets,
    pub(super) endpoint: Endpoint<StandardHost>,
    pub(super) tunnels: Tunnels,
    pub(super) peers: Vec<PeerState>,
    pub(super) drops: Drops,
    asked: Option<Receiver<Asked>>,
    wake: Arc<Wake>,
    buffer: Vec<u8>,
    tick: u64,
    asked_pair: u64,
}

/// Wakes the loop, and stops it.
pub(super) struct Wake {
    event: OwnedFd,
    stop: AtomicBool,
}

impl Wake {
    /// Ends the loop.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        // It can fail only if it is pending already.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }
}

impl Engine {
    /// Makes the adapter, its routes and the sockets; then gives up the rights that this took.
    pub(super) fn open(config: StandardConfig) -> io::Result<Self> {
        let tun = adapter(&config)?;
        let sockets = Sockets::open(config.listen)?;
        let wake = Arc::new(Wake {
            event: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            stop: AtomicBool::new(false),
        });
        let listener = config.socket.as_deref().map(control::bind).transpose()?;
        // Rights are those of a thread: those that begin later have none either.
        for set in [CapSet::Effective, CapSet::Permitted] {
            if let Err(error) = caps::clear(None, set) {
                tracing::warn!(%error, ?set, "cannot give up capabilities");
            }
        }
        let waker = wake.clone();
        let asked = listener
            .map(|listener| control::serve(listener, move || waker.wake()))
            .transpose()?;
        let known = config
            .peers
            .iter()
            .map(|peer| (peer.id.clone(), peer.terms.clone()))
            .collect();
        Ok(Self {
            listen: config.listen,
            socket: config.socket,
            tun,
            sockets,
            endpoint: Endpoint::new(config.ike, StandardHost::new(known)),
            tunnels: Tunnels::new(config.limits),
            peers: config.peers.into_iter().map(PeerState::new).collect(),
            drops: Drops::default(),
            asked,
            wake,
            buffer: vec![0; BUFFER],
            tick: 0,
            asked_pair: 0,
        })
    }

    /// What ends [`Self::run`].
    pub(super) fn stopper(&self) -> Arc<Wake> {
        self.wake.clone()
    }

    /// Runs until stopped.
    pub(super) fn run(&mut self) -> io::Result<()> {
        tracing::info!(address = %self.listen, peers = self.peers.len(), "ready for standard peers");
        while !self.wake.stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        if let Some(socket) = &self.socket {
            // Gone already is as good.
            let _ = std::fs::remove_file(socket);
        }
        self.farewell()
    }

    fn turn(&mut self) -> io::Result<()> {
        self.wait()?;
        let now = moment();
        if now.millis >= self.tick {
            self.tick = now.after(TICK);
            self.housekeeping(now);
        }
        self.endpoint.poll(now);
        self.requests(now);
        self.read_ike_port(now)?;
        self.read_nat_port(now)?;
        self.settle(now);
        self.read_adapter(now)?;
        self.settle(now);
        Ok(())
    }

    /// Tells all peers that it is over.
    fn farewell(&mut self) -> io::Result<()> {
        let all = self.peers.iter().flat_map(|peer| &peer.links);
        let ids: Vec<AssociationId> = all.map(|link| link.id).collect();
        for id in ids {
            self.endpoint.close(moment(), id);
        }
        self.settle(moment());
        for peer in &mut self.peers {
            peer.retry_at = u64::MAX;
        }
        let until = moment().after(FAREWELL);
        while self.endpoint.occupancy().0 > 0 && moment().millis < until {
            self.turn()?;
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let now = moment().millis;
        let next = self
            .endpoint
            .deadline()
            .map_or(self.tick, |deadline| deadline.min(self.tick));
        let timeout = next.saturating_sub(now);
        let timeout = Timespec {
            tv_sec: 0,
            // At most a tick.
            tv_nsec: i64::try_from(timeout.min(TICK) * 1_000_000).unwrap_or(0),
        };
        let mut sources = [
            PollFd::new(&self.tun, PollFlags::IN),
            PollFd::new(&self.sockets.ike, PollFlags::IN),
            PollFd::new(&self.sockets.nat, PollFlags::IN),
            PollFd::new(&self.wake.event, PollFlags::IN),
        ];
        match poll(&mut sources, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if sources[3].revents().contains(PollFlags::IN) {
            let _ = rustix::io::read(&self.wake.event, &mut [0; 8]);
        }
        Ok(())
    }

    fn read_ike_port(&mut self, now: Moment) -> io::Result<()> {
        for _ in 0..BURST {
            let Some((len, from)) = receive(&self.sockets.ike, &mut self.buffer)? else {
                break;
            };
            let path = Path {
                local: self.sockets.local(IKE_PORT),
                remote: from,
            };
            self.endpoint.datagram(now, path, &self.buffer[..len]);
            self.settle(now);
        }
        Ok(())
    }

    fn read_nat_port(&mut self, now: Moment) -> io::Result<()> {
        for _ in 0..BURST {
            let Some((len, from)) = receive(&self.sockets.nat, &mut self.buffer)? else {
                break;
            };
            let datagram = &mut self.buffer[..len];
            if is_keep_alive(datagram) {
                continue;
            }
            if let Some(message) = datagram.strip_prefix(&MARKER) {
                let path = Path {
                    local: self.sockets.local(NAT_PORT),
                    remote: from,
                };
                self.endpoint.datagram(now, path, message);
                self.settle(now);
                continue;
            }
            match self.tunnels.open(Millis(now.millis), datagram) {
                Ok(came) => self.deliver(now, from, came),
                Err(why) => self.drops.count(why),
            }
        }
        Ok(())
    }

    fn deliver(&mut self, now: Moment, from: SocketAddr, came: Came) {
        let packet = &self.buffer[came.packet];
        if self.tun.send(packet).is_err() {
            self.drops.count(Drop::NotDelivered);
        }
        let Pair { association, child } = came.pair;
        if came.tell {
            self.endpoint.heard(now, association, child);
        }
        let Some(peer) = owner(&mut self.peers, association) else {
            return;
        };
        peer.counts.packets_in += 1;
        // RFC 7296 2.23: a peer behind a translator is where its last authentic packet came from.
        let link = peer.links.iter_mut().find(|link| link.id == association);
        if let Some((path, nat)) = link.and_then(|link| link.up.as_mut())
            && nat.theirs
            && esp_address(*path) != from
        {
            path.remote = from;
            self.tunnels.moved(association, from);
        }
    }

    fn read_adapter(&mut self, now: Moment) -> io::Result<()> {
        for _ in 0..BURST {
            let len = match self.tun.recv(&mut self.buffer[HEADER_LEN..]) {
                Ok(len) => len,
                Err(error) if is_nothing(&error) => break,
                Err(error) => return Err(error),
            };
            match Flow::read(&self.buffer[HEADER_LEN..HEADER_LEN + len]) {
                Some((flow, len)) => self.send(now, &flow, len),
                None => self.drops.count(Drop::NotIpv4),
            }
        }
        Ok(())
    }

    fn send(&mut self, now: Moment, flow: &Flow, len: usize) {
        let sealed = self.tunnels.seal(Millis(now.millis), flow, &mut self.buffer, len);
        match sealed {
            Ok(leaves) => {
                let sent = self
                    .sockets
                    .send_esp(&self.buffer[leaves.packet], leaves.to)
                    .is_ok();
                if !sent {
                    self.drops.count(Drop::NotSent);
                }
                if let Some(peer) = owner(&mut self.peers, leaves.pair.association) {
                    peer.counts.packets_out += 1;
                }
                if leaves.rekey {
                    self.endpoint
                        .rekey_child(now, leaves.pair.association, leaves.pair.child);
                }
            }
            Err(why) => {
                self.drops.count(why);
                self.want_pair(now, flow);
            }
        }
    }

    /// There is traffic and nothing to send it with.
    fn want_pair(&mut self, now: Moment, flow: &Flow) {
        if now.millis < self.asked_pair {
            return;
        }
        self.asked_pair = now.after(ASK_EVERY);
        let wanted = self.peers.iter().position(|peer| {
            let child = &peer.config.terms.child;
            peer.may_begin() && flow.is_between(&child.local, &child.remote)
        });
        let Some(index) = wanted else { return };
        match self.peers[index].newest().map(|link| link.id) {
            Some(id) => self.endpoint.ensure_child(now, id),
            None if self.peers[index].links.is_empty() && now.millis >= self.peers[index].retry_at => {
                self.connect(now, index);
            }
            None => {}
        }
    }

    /// Begins with a peer. False: it is not known where it is.
    pub(super) fn connect(&mut self, now: Moment, index: usize) -> bool {
        let peer = &mut self.peers[index];
        let Some(connection) = peer.connection(self.listen) else {
            return false;
        };
        let id = self.endpoint.connect(now, connection);
        peer.begun(now.millis, id);
        self.settle(now);
        true
    }

    fn housekeeping(&mut self, now: Moment) {
        for Pair { association, child } in self.tunnels.due(Millis(now.millis)) {
            self.endpoint.rekey_child(now, association, child);
        }
        for index in 0..self.peers.len() {
            if self.peers[index].wants(now.millis) {
                self.connect(now, index);
            }
            for link in &mut self.peers[index].links {
                let Some((path, _)) = link.up.filter(|(_, nat)| nat.ours) else {
                    continue;
                };
                if now.millis >= link.kept.saturating_add(KEEP_ALIVE) {
                    link.kept = now.millis;
                    if self.sockets.keep_alive(esp_address(path)).is_err() {
                        self.drops.count(Drop::NotSent);
                    }
                }
            }
        }
    }

    fn requests(&mut self, now: Moment) {
        while let Some((request, answer)) = self.asked.as_ref().and_then(|asked| asked.try_recv().ok()) {
            let said = self.answer(now, request);
            // Who asked may be gone.
            let _ = answer.try_send(said);
        }
    }

    /// Does what the endpoint wants.
    fn settle(&mut self, now: Moment) {
        while let Some(output) = self.endpoint.next_output() {
            match output {
                Output::Send { path, octets } => {
                    if self.sockets.send_ike(path, &octets).is_err() {
                        self.drops.count(Drop::NotSent);
                    }
                }
                Output::Event(id, event) => self.event(now, id, event),
            }
        }
    }

    fn event(&mut self, now: Moment, id: AssociationId, event: Event) {
        let known = |peer: &PeerState| peer.links.iter().any(|link| link.id == id);
        let index = match &event {
            Event::Up(up) => self.peers.iter().position(|peer| peer.config.id.same(&up.peer)),
            _ => self.peers.iter().position(known),
        };
        let Some(index) = index else {
            // A stranger's handshake that failed.
            if let Event::Down(down) = event {
                tracing::info!(%down, "a handshake of somebody failed");
            }
            return;
        };
        let peer = &mut self.peers[index];
        let name = &peer.config.name;
        match event {
            Event::Up(up) => {
                tracing::info!(peer = name, suite = %up.suite, remote = %up.path.remote, role = ?up.role, nat = ?up.nat, "up");
                peer.up(now.millis, id, &up);
            }
            Event::Child(new) => {
                let (replaced, role, esn) = (new.replaces.is_some(), new.role, new.suite.esn);
                let (spi_in, spi_out) = (new.inbound.0, new.outbound.0);
                tracing::info!(peer = name, %spi_in, %spi_out, replaced, ?role, esn, "pair agreed");
                let link = peer.links.iter().find(|link| link.id == id);
                let Some((path, _)) = link.and_then(|link| link.up) else {
                    return;
                };
                if new.mode == Mode::Tunnel {
                    self.tunnels.add(Millis(now.millis), id, *new, esp_address(path));
                    peer.child(replaced, role);
                }
            }
            Event::Send(child) => self.tunnels.ready(child),
            Event::Forget(child, why) => {
                tracing::info!(peer = name, child = child.0, ?why, "pair forgotten");
                self.tunnels.forget(child);
            }
            Event::ChildRefused { why, .. } => {
                tracing::warn!(peer = name, %why, "the peer refused a pair");
                peer.counts.refused += 1;
            }
            Event::Rekeyed { by, suite } => {
                tracing::info!(peer = name, ?by, %suite, "IKE SA replaced");
                peer.rekeyed(id, suite.to_string(), by);
            }
            Event::Moved(path) => {
                tracing::info!(peer = name, remote = %path.remote, "moved");
                if let Some((old, _)) = peer
                    .links
                    .iter_mut()
                    .find(|link| link.id == id)
                    .and_then(|link| link.up.as_mut())
                {
                    *old = path;
                }
                self.tunnels.moved(id, esp_address(path));
            }
            Event::Whereabouts(_) => {}
            Event::Down(down) => {
                tracing::warn!(peer = name, %down, "down");
                peer.down(now.millis, id, down.to_string());
            }
        }
    }
}

/// Whose association it is.
fn owner(peers: &mut [PeerState], id: AssociationId) -> Option<&mut PeerState> {
    peers
        .iter_mut()
        .find(|peer| peer.links.iter().any(|link| link.id == id))
}

fn adapter(config: &StandardConfig) -> io::Result<SyncDevice> {
    let mut device = DeviceBuilder::new().name(&config.adapter).mtu(config.mtu);
    if let Some(address) = config.address {
        device = device.ipv4(address, 32, None);
    }
    let device = device.build_sync()?;
    device.set_nonblocking(true)?;
    let index = device.if_index()?;
    for network in config.peers.iter().flat_map(|peer| &peer.remote_nets) {
        route::replace(index, *network)?;
    }
    Ok(device)
}

fn receive(socket: &UdpSocket, into: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(into) {
        Ok(received) => Ok(Some(received)),
        // What a router reported of an earlier packet: the packet is lost, nothing else.
        Err(error) if is_nothing(&error) || error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn moment() -> Moment {
    Moment {
        millis: clock::now().0,
        unix_secs: clock::wall_nanos() / 1_000_000_000,
    }
}
