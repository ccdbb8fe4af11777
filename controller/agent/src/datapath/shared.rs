//! What the threads of a datapath share: counters, channels, a way to wake each other.

use super::hold::Refusal;
use crate::clock;
use crate::keying::{Activity, Event, Method};
use crate::orders::Order;
use kith_esp::{Inbound, Millis, Outbound, Spi};
use kith_pipeline::counters::{Counter, Counters};
use kith_pipeline::host::tables::MemberIndex;
use kith_wire::control;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Notes that may wait for the control thread.
pub const NOTES: usize = 1024;
/// Commands that may wait for a datapath thread.
pub const COMMANDS: usize = 1024;

/// To the thread that seals.
pub enum ToOutbound {
    /// Seal with this from now on.
    Install(MemberIndex, Box<Outbound>),
    /// Seal and send a dummy.
    Dummy(MemberIndex),
    /// Drop what waits for keys.
    GaveUp(MemberIndex),
    /// Somebody is at this address now: send what waits for that.
    Found(Ipv4Addr),
    /// Nobody is to be reached at this address: answer what waits.
    Refuse(Ipv4Addr, Refusal),
    /// Forget keys and packets; drop the receipt then.
    Forget(MemberIndex, Receipt),
}

/// To the thread that opens.
pub enum ToInbound {
    /// Open with this from now on.
    Install(MemberIndex, Box<Inbound>),
    /// The same for keys whose SPI was not chosen by key agreement.
    InstallBeside(MemberIndex, Box<Inbound>),
    /// Forget these keys.
    Remove(Spi),
    /// Its keys are removed: forget what else is known of it; drop the receipt then.
    Forget(MemberIndex, Receipt),
}

/// To the control thread.
pub enum Note {
    /// For key agreement.
    Keys(MemberIndex, Event),
    /// A key agreement message, not authenticated.
    Keying(Method, MemberIndex, Box<[u8]>),
    /// The same from a virtual address that is no member's.
    Stranger(Method, Ipv4Addr, Box<[u8]>),
    /// Packets go to an address that is no member's.
    NeedPeer(Ipv4Addr),
    /// A director's message, not authenticated.
    Director(SocketAddrV4, Box<[u8; control::LEN]>),
    /// Packets to this endpoint were too large; the member, if the report says enough.
    TooBig {
        /// Where they went.
        to: SocketAddrV4,
        /// To whom.
        member: Option<MemberIndex>,
        /// What fits; 0 if unknown.
        mtu: u16,
    },
    /// Somebody asks for the status.
    Status(SyncSender<crate::status::Status>),
    /// Somebody wants keys replaced.
    Rekey(crate::status::Rekey, SyncSender<Result<(), String>>),
    /// The manager's client wants something; the adapter is set up for it.
    Order(Box<Order>),
    /// Leave and end.
    Stop,
}

/// Shared by the control thread and whoever has yet to wipe something of a member: its place is vacant once all others have dropped theirs.
pub type Receipt = Arc<()>;

/// One way's counters, written by its thread alone.
#[derive(Debug, Default)]
pub struct Way {
    /// Drops, packets in and out.
    pub counters: Counters,
    /// Dummies sent or received.
    pub dummies: Counter,
    /// Key agreement messages that came.
    pub keying: Counter,
    /// System calls on the adapter.
    pub tun_calls: Counter,
    /// System calls on the socket.
    pub udp_calls: Counter,
    /// Datagrams that the kernel threw away because the socket's buffer was full: never received, so no drop of ours.
    pub overflow: Counter,
    /// Packets that wait for keys or for a member: entered minus left.
    pub waiting: Counter,
    /// By member.
    pub members: Vec<Traffic>,
}

/// Traffic with one member in one direction.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Data packets.
    pub packets: Counter,
    /// Their octets.
    pub bytes: Counter,
    /// Dummies.
    pub dummies: Counter,
}

/// Everything that is shared.
pub struct Shared {
    /// Adapter to network.
    pub outbound: Way,
    /// Network to adapter.
    pub inbound: Way,
    stop: AtomicBool,
}

/// Wakes a thread that sleeps in [`wait`].
pub struct Waker(OwnedFd);

impl Shared {
    /// For so many members.
    #[must_use]
    pub fn new(members: usize) -> Arc<Self> {
        let way = || Way {
            members: (0..members).map(|_| Traffic::default()).collect(),
            ..Way::default()
        };
        Arc::new(Self {
            outbound: way(),
            inbound: way(),
            stop: AtomicBool::new(false),
        })
    }

    /// The clock of all lifetimes.
    #[inline]
    #[must_use]
    pub fn micros(&self) -> u64 {
        clock::micros()
    }

    /// The same in milliseconds.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(self.micros() / 1000)
    }

    /// Asks all threads to end; wake them then.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Should the caller end?
    #[inline]
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

impl Traffic {
    /// Packets and dummies so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.packets.get(), self.dummies.get())
    }
}

/// What happened with a member between two readings of its counters, each (packets, dummies).
#[must_use]
pub fn activity(sent: [(u64, u64); 2], heard: [(u64, u64); 2]) -> Activity {
    Activity {
        data_sent: sent[0].0 != sent[1].0,
        sent: sent[0] != sent[1],
        data_heard: heard[0].0 != heard[1].0,
        heard: heard[0] != heard[1],
    }
}

/// A bounded channel of commands to a thread, and the means to wake it.
pub fn commands<T>() -> io::Result<(SyncSender<T>, Receiver<T>, Arc<Waker>)> {
    let (sender, receiver) = sync_channel(COMMANDS);
    let waker = Waker(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
    Ok((sender, receiver, Arc::new(waker)))
}

impl Waker {
    /// Wakes the thread, now or when it next sleeps.
    pub fn wake(&self) {
        // Fails only when the counter is full: then it is awake already.
        let _awake = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// Sleeps until `fd` can be read, reports an error, somebody wakes us, or so much time has passed.
pub fn wait(fd: &impl AsFd, waker: &Waker, at_most: Option<Duration>) -> io::Result<()> {
    // A millisecond more than asked for, rather than many rounds of less than one.
    let at_most = at_most.and_then(|time| Timespec::try_from(time + Duration::from_millis(1)).ok());
    let mut fds = [
        PollFd::new(fd, PollFlags::IN),
        PollFd::new(&waker.0, PollFlags::IN),
    ];
    match poll(&mut fds, at_most.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if fds[1].revents().contains(PollFlags::IN) {
        let mut count = [0; 8];
        let _emptied = rustix::io::read(&waker.0, &mut count);
    }
    Ok(())
}
