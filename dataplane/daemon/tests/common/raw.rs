//! Frames as they are: a DPDK port on the members' end of the link.

use crate::common::{DIRECTOR, Lab};
use kith_dpdk::{Burst, Eal, EalConfig, HugePages, Mempool, MempoolConfig, Port, PortConfig, TxQueue};
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_wire::checksum::Sum;
use kith_wire::ethernet::MacAddr;
use std::net::SocketAddrV4;
use std::thread;
use std::time::Duration;

/// Sends frames into a lab's link.
pub struct Raw {
    queue: TxQueue,
    pool: Mempool,
    _port: Port,
}

impl Raw {
    /// Once a process: DPDK's environment cannot be made twice.
    pub fn new(lab: &Lab) -> Self {
        lab.inside(|| {
            let config = EalConfig {
                program: "kith-test".into(),
                huge_pages: HugePages::Off,
                memory_mib: 64,
                ..EalConfig::default()
            };
            let eal = Eal::init(config).unwrap();
            let settings = MempoolConfig {
                mbufs: 2047,
                cache: 0,
                ..MempoolConfig::default()
            };
            let pool = Mempool::new(&eal, "raw", &settings).unwrap();
            let port = PortConfig::new("net_af_packet9,iface=cl0");
            let mut port = Port::open(&eal, &port, std::slice::from_ref(&pool)).unwrap();
            let queue = port.take_queues().unwrap().tx.remove(0);
            Self {
                queue,
                pool,
                _port: port,
            }
        })
    }

    /// Sends these frames at a pace that the receiver's ring can bear.
    pub fn send<'a>(&mut self, frames: impl IntoIterator<Item = &'a Vec<u8>>) -> u64 {
        let mut sent = 0;
        let mut burst = Burst::new();
        for frame in frames {
            let mut packet = self.pool.alloc().unwrap();
            assert!(packet.grow_back(frame.len()));
            packet.bytes_mut().copy_from_slice(frame);
            assert!(burst.push(packet).is_ok());
            if burst.is_full() {
                sent += self.flush(&mut burst);
            }
        }
        sent + self.flush(&mut burst)
    }

    fn flush(&mut self, burst: &mut Burst) -> u64 {
        let mut sent = 0;
        while !burst.is_empty() {
            sent += self.queue.tx_burst(burst) as u64;
        }
        thread::sleep(Duration::from_millis(2));
        sent
    }
}

/// A whole frame from here to the director with this UDP data.
pub fn frame(from: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut packet = HostPacket::from_bytes(data);
    let outer = Outer {
        source: (MacAddr([2, 0, 0, 0, 0, 0x15]), from),
        destination: (MacAddr([2, 0, 0, 0, 0, 0x0a]), DIRECTOR),
        checksum: true,
    };
    outer.push(&mut packet).unwrap();
    packet.bytes().to_vec()
}

/// Makes the IPv4 header checksum right again.
pub fn fix_ipv4(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = Sum::ZERO.add_bytes(&frame[14..34]).finish();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// No UDP checksum, so that what is changed behind it is judged for itself.
pub fn no_udp_checksum(frame: &mut [u8]) {
    frame[40..42].fill(0);
}
