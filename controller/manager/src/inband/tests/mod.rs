//! The hub with members made by hand: each has its end of the keys, an address outside and one inside.

mod driver;
mod limits;
mod services;
mod stream;
mod tunnel;

use super::*;
use crate::dns::{Target, Unlocated};
use kith_esp::{Inbound, Key, Limits, Outbound, SaKeys, Salt, Spi};
use kith_pipeline::host::transport;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::DropReason;
use kith_protocol::join::{ChannelKeys, ChannelSecret, DirectionKeys};
use kith_protocol::member::{Location, Peer};
use kith_protocol::secret::Secret32;
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ICMP, PROTOCOL_UDP};
use kith_wire::shim::{self, DataType, Shim};
use kith_wire::udp::{self, Udp};
use std::net::Ipv4Addr;
use zerocopy::{FromBytes, IntoBytes};

const MANAGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PRINTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

/// The manager behind the hub.
#[derive(Default)]
struct Desk {
    heard: Vec<(MemberId, u64, SocketAddrV4)>,
    asked: Vec<MemberId>,
}

impl Names for Desk {
    fn ours(&self, _: MemberId, _: Target<'_>) -> bool {
        true
    }

    fn locate(&mut self, _: u64, asker: MemberId, target: Target<'_>) -> Result<Peer, Unlocated> {
        self.asked.push(asker);
        match target {
            Target::Name("printer.acme.example") => Ok(Peer {
                fqdn: "printer.acme.example".into(),
                virtual_address: PRINTER.to_bits(),
                location: Some(Location::default()),
                ..Peer::default()
            }),
            _ => Err(Unlocated::NotJoined),
        }
    }
}

impl Office for Desk {
    fn heard(&mut self, member: MemberId, heartbeat: &Heartbeat, from: SocketAddrV4) {
        self.heard.push((member, heartbeat.sequence, from));
    }
}

struct World {
    hub: Hub,
    desk: Desk,
    now: Now,
}

impl World {
    fn new(settings: Settings) -> Self {
        let now = Now {
            clock: Millis(1_000),
            unix_ms: 1_760_000_000_000,
        };
        Self {
            hub: Hub::new(settings, 42, now),
            desk: Desk::default(),
            now,
        }
    }

    /// A member that has joined.
    fn join(&mut self, number: u8) -> Member {
        let mut member = Member::new(number, self.now);
        self.hub.install(member.install(self.now), self.now).unwrap();
        member.keys = Some(member.made(self.now));
        member
    }

    /// Gives the hub a datagram, and all that it sends.
    fn give(&mut self, from: SocketAddrV4, datagram: &[u8]) -> Vec<(SocketAddrV4, Vec<u8>)> {
        let mut packet = HostPacket::from_bytes(datagram);
        self.hub.datagram(self.now, from, &mut packet, &mut self.desk);
        self.sent()
    }

    /// The same for a virtual packet of a member; what comes back is opened.
    fn inside(&mut self, member: &mut Member, packet: &[u8]) -> Vec<Vec<u8>> {
        let datagram = member.seal(packet, self.now);
        let sent = self.give(member.at, &datagram);
        sent.into_iter()
            .map(|(to, datagram)| member.take(to, &datagram, self.now))
            .collect()
    }

    fn ping(&mut self, member: &mut Member) -> Vec<Vec<u8>> {
        let packet = member.echo();
        self.inside(member, &packet)
    }

    fn later(&mut self, milliseconds: u64) -> Vec<(SocketAddrV4, Vec<u8>)> {
        self.now.clock.0 += milliseconds;
        self.now.unix_ms += milliseconds;
        self.hub.tick(self.now, &mut self.desk);
        self.sent()
    }

    fn sent(&mut self) -> Vec<(SocketAddrV4, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(datagram) = self.hub.poll() {
            sent.push((datagram.to, datagram.bytes().to_vec()));
            self.hub.sent(datagram, true);
        }
        sent
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.hub.counters().tunnel(reason)
    }

    fn refused(&self, why: Refused) -> u64 {
        self.hub.counters().refused(why)
    }
}

/// A member's end.
struct Member {
    id: MemberId,
    virtual_address: Ipv4Addr,
    run_id: [u8; 16],
    at: SocketAddrV4,
    shim: Shim,
    /// Which keys: each refresh makes others.
    epoch: u8,
    keys: Option<(Outbound, Inbound)>,
}

impl Member {
    fn new(number: u8, _now: Now) -> Self {
        Self {
            id: MemberId(u64::from(number)),
            virtual_address: Ipv4Addr::new(10, 77, 1, number),
            run_id: [number; 16],
            at: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number), 20202),
            shim: Shim::new(DataType::Virtual),
            epoch: 0,
            keys: None,
        }
    }

    fn secret(&self) -> ChannelKeys {
        let mut octets = [self.epoch; 32];
        octets[..8].copy_from_slice(&self.id.0.to_be_bytes());
        ChannelSecret::from_secret(Secret32::new(octets)).keys()
    }

    fn spis(&self) -> (Spi, Spi) {
        let low = u32::try_from(self.id.0).unwrap() << 8 | u32::from(self.epoch);
        (
            Spi::new(0x1000_0000 | low).unwrap(),
            Spi::new(0x2000_0000 | low).unwrap(),
        )
    }

    /// What the manager is given.
    fn install(&self, now: Now) -> Install {
        let (manager_spi, member_spi) = self.spis();
        Install {
            member: self.id,
            virtual_address: self.virtual_address,
            manager_address: MANAGER,
            run_id: self.run_id,
            association: Association::new(manager_spi, member_spi, &self.secret(), now.clock),
        }
    }

    /// What the member makes of the same secret.
    fn made(&self, now: Now) -> (Outbound, Inbound) {
        let (manager_spi, member_spi) = self.spis();
        let keys = self.secret();
        let of = |keys: &DirectionKeys| SaKeys::new(Key::aes256(keys.key.expose()), Salt::new(&keys.salt));
        (
            Outbound::new(manager_spi, of(&keys.to_manager), Limits::default(), now.clock),
            Inbound::new(member_spi, of(&keys.to_member), Limits::default(), now.clock),
        )
    }

    fn seal(&mut self, packet: &[u8], now: Now) -> Vec<u8> {
        let mut packet = HostPacket::from_bytes(packet);
        let (outbound, _) = self.keys.as_mut().unwrap();
        transport::seal(&mut packet, outbound, now.clock).unwrap();
        [self.shim.as_bytes(), packet.bytes()].concat()
    }

    fn sealed_echo(&mut self, now: Now) -> Vec<u8> {
        let packet = self.echo();
        self.seal(&packet, now)
    }

    /// Opens what the manager sent.
    fn take(&mut self, to: SocketAddrV4, datagram: &[u8], now: Now) -> Vec<u8> {
        assert_eq!(to, self.at, "sent to where the member is");
        let (shim, rest) = Shim::parse(datagram).unwrap();
        assert_eq!(shim.data_type(), Some(DataType::Virtual));
        let mut packet = HostPacket::from_bytes(rest);
        let (_, inbound) = self.keys.as_mut().unwrap();
        transport::open(&mut packet, inbound, now.clock).unwrap();
        let (ip, _) = Ipv4::parse(packet.bytes()).unwrap();
        assert_eq!((ip.source(), ip.destination()), (MANAGER, self.virtual_address));
        packet.bytes().to_vec()
    }

    fn udp(&self, from: u16, to: u16, data: &[u8]) -> Vec<u8> {
        udp_packet((self.virtual_address, from), (MANAGER, to), data)
    }

    fn echo(&self) -> Vec<u8> {
        let mut icmp = vec![8, 0, 0, 0, 0, 7, 0, 1];
        icmp.extend(b"are you there");
        let sum = kith_wire::checksum::Sum::ZERO.add_bytes(&icmp).finish();
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let total = u16::try_from(ipv4::HEADER_LEN + icmp.len()).unwrap();
        let ip = Ipv4::new(self.virtual_address, MANAGER, PROTOCOL_ICMP, total);
        [ip.as_bytes(), &icmp].concat()
    }
}

fn udp_packet(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), data: &[u8]) -> Vec<u8> {
    let total = u16::try_from(ipv4::HEADER_LEN + udp::HEADER_LEN + data.len()).unwrap();
    let ip = Ipv4::new(from.0, to.0, PROTOCOL_UDP, total);
    let mut udp = Udp::new(from.1, to.1, data.len()).unwrap();
    udp.fill_checksum(&ip, data);
    [ip.as_bytes(), udp.as_bytes(), data].concat()
}

/// "Where is the printer?"
fn question() -> Vec<u8> {
    let mut query = vec![0xbe, 0xef, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["printer", "acme", "example"] {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// The octets of the one answer's address, if it is one.
fn answered(message: &[u8]) -> Ipv4Addr {
    let message = hickory_proto::op::Message::from_vec(message).unwrap();
    assert_eq!(message.id, 0xbeef);
    match message.answers[..] {
        [ref record] => match record.data {
            hickory_proto::rr::RData::A(address) => address.0,
            _ => panic!("an address"),
        },
        _ => panic!("one answer"),
    }
}
