//! A thread that gives the hub a UDP socket, a clock and its orders.
//!
//! ```text
//!  Handle ── Command, bounded ──► │ thread: orders, then datagrams, then time │ ◄──► UDP socket
//!          └─ one octet wakes it ►│                                            │ ───► Office
//! ```
//!
//! Orders are taken before datagrams: who is told of its keys after [`Handle::send`] came back finds them in place.

use super::{Command, Counters, Hub, Now, Office, Settings};
use kith_esp::Millis;
use kith_pipeline::packet::HostPacket;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// Orders that wait at most.
const ORDERS: usize = 8192;
/// Datagrams taken before orders and time have their turn.
const BURST: usize = 64;
/// The longest datagram that anyone of ours sends, and room for more, so that a longer one is seen to be too long.
const LONGEST: usize = 2048;
/// It looks at its orders this often, whatever happens.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Gives orders to the thread, and ends it when dropped.
pub struct Handle {
    orders: flume::Sender<Command>,
    wake: UnixStream,
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
    clock: Clock,
    thread: Option<JoinHandle<()>>,
}

/// An order that was not taken: the thread is behind, or gone. Give it again later, never while holding what [`Office`] needs.
#[derive(thiserror::Error)]
#[error("the thread inside the tunnels has {ORDERS} orders waiting, or has ended")]
pub struct NotTaken(pub Command);

impl std::fmt::Debug for NotTaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NotTaken")
    }
}

impl Handle {
    /// Gives an order. Does not wait.
    pub fn send(&self, command: Command) -> Result<(), NotTaken> {
        self.orders
            .try_send(command)
            .map_err(|refused| NotTaken(refused.into_inner()))?;
        self.wake();
        Ok(())
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The thread's time: by it associations are made.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    fn wake(&self) {
        // A full pipe wakes it as well.
        let _full = (&self.wake).write(&[1]);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Starts the thread on a bound socket. `seed` is random.
pub fn start(
    socket: UdpSocket,
    settings: Settings,
    seed: u64,
    office: Box<dyn Office + Send>,
) -> io::Result<Handle> {
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    socket.set_nonblocking(true)?;
    let (orders, taken) = flume::bounded(ORDERS);
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Clock::start();
    let hub = Hub::new(settings, seed, clock.now());
    let counters = Arc::clone(hub.counters());
    let mut driver = Driver {
        socket,
        woken,
        orders: taken,
        hub,
        office,
        clock,
        packet: HostPacket::new(LONGEST, 0),
    };
    let ends = Arc::clone(&stop);
    let thread = thread::Builder::new()
        .name("inband".into())
        .spawn(move || driver.run(&ends))?;
    Ok(Handle {
        orders,
        wake,
        stop,
        counters,
        clock,
        thread: Some(thread),
    })
}

/// Two clocks in one: both go on from where they stood at the start, and never step.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    unix: Duration,
}

impl Clock {
    fn start() -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            began: Instant::now(),
            unix: unix.unwrap_or_default(),
        }
    }

    fn now(self) -> Now {
        let passed = self.began.elapsed();
        let millis = |of: Duration| u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
        Now {
            clock: Millis(millis(passed)),
            unix_ms: millis(self.unix + passed),
        }
    }
}

struct Driver {
    socket: UdpSocket,
    woken: UnixStream,
    orders: flume::Receiver<Command>,
    hub: Hub,
    office: Box<dyn Office + Send>,
    clock: Clock,
    packet: HostPacket,
}

impl Driver {
    fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            if let Err(why) = self.sleep() {
                tracing::error!(%why, "inside the tunnels: cannot wait for packets");
                return;
            }
            self.obey();
            self.receive();
            self.hub.tick(self.clock.now(), &mut *self.office);
            self.give();
        }
    }

    /// Until a packet or an order comes, or time is up.
    fn sleep(&mut self) -> Result<(), Errno> {
        let now = self.clock.now();
        let due = self
            .hub
            .deadline(now)
            .map_or(u64::MAX, |due| due.0.saturating_sub(now.clock.0));
        let sleep = LONGEST_SLEEP.min(Duration::from_millis(due));
        let timeout = PollTimeout::try_from(sleep).unwrap_or(PollTimeout::ZERO);
        let mut waits =
            [self.socket.as_fd(), self.woken.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut waits, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(why) => Err(why),
        }
    }

    fn obey(&mut self) {
        let mut octets = [0; 64];
        while matches!(self.woken.read(&mut octets), Ok(len) if len == octets.len()) {}
        let now = self.clock.now();
        for command in self.orders.try_iter().take(ORDERS) {
            match command {
                Command::Install(install) => {
                    let member = install.member;
                    if let Err(why) = self.hub.install(*install, now) {
                        tracing::warn!(member = member.0, %why, "inside the tunnels: a member has no channel");
                    }
                }
                Command::Remove(member) => self.hub.remove(member),
                Command::Heartbeat(every) => self.hub.heartbeat(every, now),
            }
        }
    }

    fn receive(&mut self) {
        for _ in 0..BURST {
            let room = self.packet.refill(0);
            let (len, from) = match self.socket.recv_from(room) {
                Ok((len, SocketAddr::V4(from))) => (len, from),
                Ok(_) => continue,
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            self.packet.set_len(len);
            self.hub
                .datagram(self.clock.now(), from, &mut self.packet, &mut *self.office);
            self.give();
        }
    }

    fn give(&mut self) {
        while let Some(datagram) = self.hub.poll() {
            let sent = self.socket.send_to(datagram.bytes(), datagram.to);
            self.hub.sent(datagram, sent.is_ok());
        }
    }
}
