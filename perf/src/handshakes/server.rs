//! Our endpoint behind a plain socket, one datagram a system call, as charon does it.

use super::{SERVER, config, terms};
use crate::BenchError;
use kith_esp::Spi;
use kith_ike::codec::Ticket;
use kith_ike::{Claim, Endpoint, Host, Moment, Output, Path, Refused, Terms};
use nix::time::{ClockId, clock_gettime};
use ring::rand::{SecureRandom, SystemRandom};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A datagram at most.
const MOST: usize = 4096;

/// It runs, until dropped.
pub struct Server {
    address: SocketAddr,
    /// Nanoseconds of its thread.
    used: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Answers for either side of the measurement.
pub struct BenchHost {
    pub terms: Arc<Terms>,
    random: SystemRandom,
    last: u32,
}

impl BenchHost {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms: Arc::new(terms),
            random: SystemRandom::new(),
            last: 255,
        }
    }
}

impl Host for BenchHost {
    fn entropy(&mut self, out: &mut [u8]) {
        // Without randomness there is nothing to measure.
        if self.random.fill(out).is_err() {
            std::process::abort();
        }
    }

    fn take_spi(&mut self) -> Option<Spi> {
        self.last = self.last.checked_add(1).unwrap_or(256);
        Spi::new(self.last).ok()
    }

    fn give_back_spi(&mut self, _spi: Spi) {}

    fn screen(&mut self, _: Moment, _: Path, _: Option<&Ticket>) -> Result<(), Refused> {
        Ok(())
    }

    fn admit(&mut self, _: Moment, _: &Claim<'_>) -> Result<Arc<Terms>, Refused> {
        Ok(self.terms.clone())
    }
}

/// A socket on the loopback of this namespace.
pub fn loopback() -> Result<UdpSocket, BenchError> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BenchError::io("a socket"))
}

impl Server {
    pub fn start() -> Result<Self, BenchError> {
        let socket = loopback()?;
        let address = socket.local_addr().map_err(BenchError::io("its address"))?;
        let patience = Some(Duration::from_millis(50));
        socket
            .set_read_timeout(patience)
            .map_err(BenchError::io("a time-out"))?;
        let (used, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (used.clone(), stop.clone());
        let thread = std::thread::spawn(move || serve(&socket, address, &counted, &stopped));
        Ok(Self {
            address,
            used,
            stop,
            thread: Some(thread),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time of its thread.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Acquire))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It ends within its time-out; a panic of it was told already.
            let _ended = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, local: SocketAddr, used: &AtomicU64, stop: &AtomicBool) {
    let mut endpoint = Endpoint::new(
        config(),
        BenchHost::new(terms(SERVER, Ipv4Addr::new(10, 99, 0, 1))),
    );
    let begun = Instant::now();
    let mut buffer = [0; MOST];
    while !stop.load(Ordering::Acquire) {
        let came = socket.recv_from(&mut buffer);
        let now = moment(begun);
        if let Ok((len, remote)) = came {
            endpoint.datagram(now, Path { local, remote }, &buffer[..len]);
        }
        endpoint.poll(now);
        while let Some(output) = endpoint.next_output() {
            if let Output::Send { path, octets } = output {
                // Lost, as the network may lose it: the client repeats.
                let _sent = socket.send_to(&octets, path.remote);
            }
        }
        used.store(thread_time(), Ordering::Release);
    }
}

fn thread_time() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// Time since then.
pub fn moment(begun: Instant) -> Moment {
    Moment {
        millis: begun.elapsed().as_millis() as u64,
        unix_secs: 1_800_000_000,
    }
}
