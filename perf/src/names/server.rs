//! The manager's name service behind a plain UDP socket, a thread of its own.

use super::{DOMAIN, MEMBERS, address, name};
use crate::BenchError;
use crate::measure::clock;
use kith_manager::dns::{self, MemberId, Names, Query, Target, Transport, Unlocated};
use kith_protocol::authenticator::TicketKey;
use kith_protocol::member::{Location, Peer};
use kith_protocol::secret::Secret32;
use kith_protocol::ticket::{self, KeyBody, TicketBody};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt};
use nix::time::ClockId;
use nix::unistd::gettid;
use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Questions a system call; NSD takes up to 100.
const BATCH: usize = 64;
const HOUR_MS: u64 = 3_600_000;

/// Where tickets come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tickets {
    /// They were made before.
    Kept,
    /// Each answer gets its own.
    Sealed,
}

/// It runs, until dropped.
pub struct Server {
    pub port: u16,
    clock: ClockId,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it on the CPU of who asks for it.
    pub fn start(tickets: Tickets) -> Result<Self, BenchError> {
        let io = BenchError::io("the name service's socket");
        let opened = UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            let port = socket.local_addr()?.port();
            Ok((socket, port))
        });
        let (socket, port) = opened.map_err(io)?;
        let _as_it_is = setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20));
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _waits = tell.send(gettid().as_raw());
            let mut members = Members::new(tickets);
            while !ends.load(Ordering::Acquire) {
                serve(&socket, &mut members);
            }
        });
        let thread_id = told.recv().map_err(|_| BenchError::Idle("name service"))?;
        Ok(Self {
            port,
            // The CPU clock of one thread, as clock_gettime(2) takes it: its number inverted, and which clock.
            clock: ClockId::from_raw((!thread_id << 3) | 6),
            stop,
            thread: Some(thread),
        })
    }

    /// CPU time of its thread.
    pub fn cpu(&self) -> Duration {
        clock(self.clock)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Takes what is there, or waits for a moment, and answers it.
fn serve(socket: &UdpSocket, members: &mut Members) {
    let fd = socket.as_raw_fd();
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut buffers = vec![[0_u8; 1024]; BATCH];
    let mut answers = vec![Vec::new(); BATCH];
    loop {
        let mut batch: Vec<[IoSliceMut<'_>; 1]> = buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let heard: Vec<(usize, Option<SockaddrIn>)> =
            match recvmmsg(fd, &mut headers, batch.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
                Ok(heard) => heard.map(|message| (message.bytes, message.address)).collect(),
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
        for ((buffer, (len, _)), out) in buffers.iter().zip(&heard).zip(&mut answers) {
            let query = Query {
                bytes: &buffer[..*len],
                asker: Some(MemberId(1)),
                transport: Transport::Udp,
                now_ms: 1_760_000_000_000,
            };
            dns::answer(&query, members, out);
        }
        let to: Vec<Option<SockaddrIn>> = heard.iter().map(|(_, from)| *from).collect();
        let outward: Vec<[IoSlice<'_>; 1]> = answers[..heard.len()]
            .iter()
            .map(|out| [IoSlice::new(out)])
            .collect();
        let mut replies = MultiHeaders::<SockaddrIn>::preallocate(outward.len(), None);
        // What the system does not take is lost, as on any network.
        let _sent = sendmmsg(fd, &mut replies, &outward, &to, [], MsgFlags::empty()).map(Iterator::count);
    }
}

/// All members, as the manager knows them.
struct Members {
    tickets: Tickets,
    by_name: HashMap<String, Peer>,
    key: TicketKey,
    random: u64,
}

impl Members {
    fn new(tickets: Tickets) -> Self {
        let mut members = Self {
            tickets,
            by_name: HashMap::new(),
            key: TicketKey::of(&Secret32::new([1; 32])),
            random: 1,
        };
        for member in 0..MEMBERS {
            let mut peer = Peer {
                fqdn: name(member),
                virtual_address: address(member).to_bits(),
                location: Some(Location {
                    director: Ipv4Addr::new(203, 0, 113, 10).to_bits(),
                    director_port: 20202,
                    address: Ipv4Addr::from_bits(0xf000_0000 + member).to_bits(),
                    port: 0,
                }),
                joined_at_ms: 1_760_000_000_000,
                program: "kith-agent 0.1.0".into(),
                ..Peer::default()
            };
            members.seal(&mut peer, 1_760_000_000_000);
            members.by_name.insert(peer.fqdn.clone(), peer);
        }
        members
    }

    /// Ticket and key for the member that asks.
    fn seal(&mut self, peer: &mut Peer, now_ms: u64) {
        let asker = name(0);
        let (issued_ms, expires_ms) = (now_ms, now_ms + HOUR_MS);
        let body = TicketBody {
            sequence: now_ms * 1000,
            issued_ms,
            expires_ms,
            shared_key: Secret32::new([3; 32]),
            target_virtual: Ipv4Addr::from_bits(peer.virtual_address),
            initiator_virtual: address(0),
            initiator_location: Location::default(),
            initiator_private: Ipv4Addr::new(192, 168, 1, 10),
            initiator_subnet: 24,
            initiator: asker.clone(),
            target: peer.fqdn.clone(),
        };
        let random = &mut self.random;
        let mut fill = |out: &mut [u8]| {
            for octet in out {
                *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                *octet = (*random >> 56) as u8;
            }
        };
        peer.ticket = ticket::seal(&self.key, &body, &mut fill).unwrap_or_default();
        let key = KeyBody {
            sequence: body.sequence,
            issued_ms,
            expires_ms,
            shared_key: body.shared_key.clone(),
            peer_virtual: body.target_virtual,
            own_virtual: body.initiator_virtual,
        };
        peer.sealed_key = ticket::seal_key(&self.key, &asker, &peer.fqdn, &key, &mut fill);
    }
}

impl Names for Members {
    fn ours(&self, _: MemberId, target: Target<'_>) -> bool {
        matches!(target, Target::Name(name) if name.ends_with(DOMAIN))
    }

    fn locate(&mut self, now_ms: u64, _: MemberId, target: Target<'_>) -> Result<Peer, Unlocated> {
        let Target::Name(name) = target else {
            return Err(Unlocated::NotOurs);
        };
        let mut peer = self.by_name.get(name).ok_or(Unlocated::NotJoined)?.clone();
        if self.tickets == Tickets::Sealed {
            self.seal(&mut peer, now_ms);
        }
        Ok(peer)
    }
}
