//! The manager's end of the channel inside the tunnel: the packet path of the pipeline over a plain UDP socket.

use super::member::{Identity, MANAGER, inside};
use kith_agent::clock;
use kith_agent::config::Secret;
use kith_agent::orders::{Channel, Order};
use kith_esp::{Inbound, Key, Limits, Outbound, SaKeys, Salt, Spi};
use kith_pipeline::counters::Counters;
use kith_pipeline::host::decap::{Decap, Decapsulated};
use kith_pipeline::host::encap::{Encap, Encapsulated};
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_pipeline::packet::{HostPacket, Packet};
use kith_wire::checksum::Sum;
use kith_wire::ipv4::Ipv4;
use kith_wire::shim::{DataType, Shim};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;
use zerocopy::IntoBytes;

const MEMBER: MemberIndex = MemberIndex(0);

pub struct Manager {
    socket: UdpSocket,
    member: Identity,
    number: u32,
    encap: Encap,
    decap: Decap,
    counters: Counters,
    heard: Option<SocketAddrV4>,
}

fn keys(octet: u8) -> SaKeys {
    SaKeys::new(Key::aes256(&[octet; 32]), Salt::new(&[octet; 4]))
}

impl Manager {
    /// In this namespace, at this address.
    pub fn start(namespace: &str, address: SocketAddrV4, member: Identity) -> Self {
        let socket = inside(namespace, move || UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        Self {
            socket,
            member,
            number: 0,
            encap: Encap::new(),
            decap: Decap::new(1),
            counters: Counters::default(),
            heard: None,
        }
    }

    /// New keys, here and for the member.
    pub fn channel(&mut self) -> Order {
        self.number += 1;
        let octet = self.number as u8 * 2;
        // Chosen by either side as it likes: both in the same place of the receiver's array, if they had any.
        let spi = Spi::new(0x8000_0000 + self.number * 0x10000).unwrap();
        let (now, limits) = (clock::now(), Limits::default());
        self.decap
            .install_beside(MEMBER, Inbound::new(spi, keys(octet), limits, now));
        self.encap
            .install(MEMBER, Outbound::new(spi, keys(octet + 1), limits, now));
        let SocketAddr::V4(endpoint) = self.socket.local_addr().unwrap() else {
            unreachable!("an IPv4 socket")
        };
        Order::Channel(Box::new(Channel {
            address: MANAGER,
            endpoint,
            inbound: Inbound::new(spi, keys(octet + 1), limits, now),
            outbound: Outbound::new(spi, keys(octet), limits, now),
            ticket_key: Secret::new(self.member.ticket_key),
        }))
    }

    fn tables(&self) -> HostTables {
        let endpoint = self.heard.unwrap_or(self.member.public);
        let member = Member {
            address: self.member.address,
            endpoint,
            shim: Shim::new(DataType::Virtual),
            path_mtu: 1500,
        };
        HostTables::new(MANAGER, vec![member])
    }

    /// The next packet of the member's, opened; a dummy is empty. `None`: nothing came.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        let (len, SocketAddr::V4(from)) = self.socket.recv_from(&mut buffer).ok()? else {
            unreachable!("an IPv4 socket")
        };
        let mut packet = HostPacket::from_bytes(&buffer[..len]);
        let (tables, now) = (self.tables(), clock::now());
        match self.decap.decapsulate(&tables, &self.counters, now, &mut packet) {
            Decapsulated::Deliver { .. } => {
                self.heard = Some(from);
                Some(packet.bytes().to_vec())
            }
            Decapsulated::Dummy { .. } => {
                self.heard = Some(from);
                Some(Vec::new())
            }
            other => panic!("the member sent what cannot be opened: {other:?}"),
        }
    }

    /// Pings the member through the channel; the source may be another than the manager's own.
    pub fn ping(&mut self, source: Ipv4Addr) {
        let mut icmp = [8, 0, 0, 0, 0x12, 0x34, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8];
        let sum = Sum::ZERO.add_bytes(&icmp).finish();
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let ip = Ipv4::new(MANAGER, self.member.address, 1, 36);
        let mut packet = HostPacket::from_bytes(&[ip.as_bytes(), &icmp].concat());
        let (tables, now) = (self.tables(), clock::now());
        let sealed = self.encap.encapsulate(&tables, &self.counters, now, &mut packet);
        let Encapsulated::Send { to, .. } = sealed else {
            panic!("{sealed:?}")
        };
        let mut bytes = packet.bytes().to_vec();
        if source != MANAGER {
            // The header outside is not authenticated: whoever has the keys may write what he likes there.
            let at = kith_wire::shim::LEN;
            let total = (bytes.len() - at) as u16;
            let lie = Ipv4::new(source, self.member.address, 50, total);
            bytes[at..at + 20].copy_from_slice(lie.as_bytes());
        }
        self.socket.send_to(&bytes, to).unwrap();
    }
}
