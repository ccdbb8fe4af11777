//! Numbered datagrams between two members, there and back, all the time.

use super::net::{Net, in_namespace};
use std::collections::HashSet;
use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

const PORT: u16 = 7777;
/// Between two datagrams.
const EVERY: Duration = Duration::from_millis(10);
/// What is under way when sending ends may take so long.
const LATE: Duration = Duration::from_secs(2);

/// It goes on until it is stopped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    sends: JoinHandle<u64>,
    hears: JoinHandle<(HashSet<u64>, Duration)>,
    echoes: JoinHandle<HashSet<u64>>,
}

/// What became of it.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    pub sent: u64,
    pub lost_there: u64,
    pub lost_back: u64,
    /// The longest that no answer came.
    pub gap: Duration,
}

impl Traffic {
    /// From the first agent to the second, at this address.
    pub fn start(net: &Net, to: Ipv4Addr) -> Self {
        let (stop, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let ends = over.clone();
        let echoes = in_namespace(&net.namespace(2), move || echo(&ends));
        let (sender, receiver) = std::sync::mpsc::channel();
        let ends = over.clone();
        let hears = in_namespace(&net.namespace(1), move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            socket.connect((to, PORT)).unwrap();
            sender.send(socket.try_clone().unwrap()).unwrap();
            hear(&socket, &ends)
        });
        let (socket, ends) = (receiver.recv().unwrap(), stop.clone());
        let sends = std::thread::spawn(move || send(&socket, &ends));
        Self {
            stop,
            over,
            sends,
            hears,
            echoes,
        }
    }

    /// Ends it, once all that was sent had time to arrive.
    pub fn stop(self) -> Counted {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sends.join().unwrap();
        sleep(LATE);
        self.over.store(true, Ordering::Relaxed);
        let (back, gap) = self.hears.join().unwrap();
        let there = self.echoes.join().unwrap();
        let arrived = there.len() as u64;
        Counted {
            sent,
            lost_there: sent - arrived,
            lost_back: arrived - back.len() as u64,
            gap,
        }
    }
}

fn send(socket: &UdpSocket, stop: &AtomicBool) -> u64 {
    let began = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        // What the system does not take is lost like anything else.
        let _lost = socket.send(&u64::to_be_bytes(sent));
        sent += 1;
        sleep((EVERY * sent as u32).saturating_sub(began.elapsed()));
    }
    sent
}

fn hear(socket: &UdpSocket, over: &AtomicBool) -> (HashSet<u64>, Duration) {
    let (mut heard, mut gap, mut last) = (HashSet::new(), Duration::ZERO, Instant::now());
    receive(socket, over, |octets, _| {
        heard.insert(u64::from_be_bytes(octets));
        gap = gap.max(last.elapsed());
        last = Instant::now();
    });
    (heard, gap)
}

fn echo(over: &AtomicBool) -> HashSet<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    let mut heard = HashSet::new();
    receive(&socket, over, |octets, from| {
        heard.insert(u64::from_be_bytes(octets));
        let _lost = socket.send_to(&octets, from);
    });
    heard
}

fn receive(socket: &UdpSocket, over: &AtomicBool, mut take: impl FnMut([u8; 8], std::net::SocketAddr)) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut octets = [0; 8];
    while !over.load(Ordering::Relaxed) {
        if let Ok((8, from)) = socket.recv_from(&mut octets) {
            take(octets, from);
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            lost_there,
            lost_back,
            gap,
        } = self;
        write!(
            f,
            "{sent} datagrams sent, {lost_there} lost there, {lost_back} lost back, at most {gap:.0?} without an answer"
        )
    }
}
