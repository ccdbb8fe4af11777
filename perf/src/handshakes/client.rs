//! The initiator: so many handshakes under way, each closed as soon as it is up, and the next begun.

use super::server::{BenchHost, moment};
use super::{SERVER, SLOTS, config, terms};
use crate::BenchError;
use kith_ike::codec::{Header, Identity, IkeSpi};
use kith_ike::{Connection, Endpoint, Event, Moment, Output, Path};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Nothing finished for so long: the server does not do what it should.
const PATIENCE: Duration = Duration::from_secs(10);

/// Handshakes with one server.
pub struct Client {
    what: &'static str,
    socket: UdpSocket,
    path: Path,
    slots: Vec<Endpoint<BenchHost>>,
    /// Which slot an SPI is of.
    spis: HashMap<IkeSpi, usize>,
    begun: Instant,
    done: u64,
    failed: u64,
}

impl Client {
    pub fn new(what: &'static str, socket: UdpSocket, server: SocketAddr) -> Result<Self, BenchError> {
        let local = socket.local_addr().map_err(BenchError::io("its address"))?;
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .map_err(BenchError::io("a time-out"))?;
        let net = Ipv4Addr::new(10, 99, 0, 2);
        let slot = |number| {
            let own = format!("client{number}.kith.example");
            Endpoint::new(config(), BenchHost::new(terms(&own, net)))
        };
        Ok(Self {
            what,
            socket,
            path: Path {
                local,
                remote: server,
            },
            slots: (0..SLOTS).map(slot).collect(),
            spis: HashMap::new(),
            begun: Instant::now(),
            done: 0,
            failed: 0,
        })
    }

    /// For so long: handshakes that came up, and that did not.
    pub fn run(&mut self, length: Duration) -> Result<(u64, u64), BenchError> {
        (self.done, self.failed) = (0, 0);
        let until = Instant::now() + length;
        let now = self.now();
        for slot in 0..SLOTS {
            self.connect(now, slot);
        }
        let mut buffer = [0; 4096];
        let (mut last, mut moved) = (0, Instant::now());
        while Instant::now() < until {
            let came = self.socket.recv(&mut buffer);
            let now = self.now();
            if let Ok(len) = came
                && let Some(header) = Header::peek(&buffer[..len])
                && let Some(slot) = self.spis.get(&header.initiator_spi).copied()
            {
                self.slots[slot].datagram(now, self.path, &buffer[..len]);
                self.settle(now, slot);
            } else {
                for slot in 0..SLOTS {
                    self.slots[slot].poll(now);
                    self.settle(now, slot);
                }
            }
            if self.done != last {
                (last, moved) = (self.done, Instant::now());
            } else if moved.elapsed() > PATIENCE {
                return Err(BenchError::Program {
                    program: self.what.to_owned(),
                    what: "finishes no handshake".to_owned(),
                });
            }
        }
        Ok((self.done, self.failed))
    }

    fn now(&self) -> Moment {
        moment(self.begun)
    }

    fn connect(&mut self, now: Moment, slot: usize) {
        let endpoint = &mut self.slots[slot];
        let connection = Connection {
            path: self.path,
            peer: Identity::Fqdn(SERVER.to_owned()),
            terms: endpoint.host().terms.clone(),
            ticket: None,
        };
        endpoint.connect(now, connection);
        self.settle(now, slot);
    }

    fn settle(&mut self, now: Moment, slot: usize) {
        while let Some(output) = self.slots[slot].next_output() {
            match output {
                Output::Send { octets, .. } => {
                    if let Some(header) = Header::peek(&octets) {
                        self.spis.insert(header.initiator_spi, slot);
                    }
                    // Lost, as the network may lose it: it is repeated.
                    let _sent = self.socket.send_to(&octets, self.path.remote);
                }
                Output::Event(id, Event::Up(_)) => {
                    self.done += 1;
                    self.slots[slot].close(now, id);
                }
                Output::Event(_, Event::Down(down)) => {
                    self.failed += u64::from(down != kith_ike::Down::Closed);
                    self.connect(now, slot);
                }
                Output::Event(..) => {}
            }
        }
    }
}
