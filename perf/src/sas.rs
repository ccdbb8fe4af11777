//! P8: many security associations against one. A table of them is larger than any cache, and the next packet's is random.
//!
//! Loops differ only in how many members the packets go to; every one has an SA of its own. The figure is
//! (loop − floor) ÷ (loop with one SA − floor), whole way out: `Encap::encapsulate` and `Outer::push`.

use crate::BenchError;
use crate::flows::{HERE, OURS, ROUTER, Random};
use crate::measure::{Arena, Plan, interleave};
use crate::report::{Goal, Row};
use kith_esp::{Limits, Millis, Outbound, Spi};
use kith_pipeline::counters::Counters;
use kith_pipeline::host::encap::{Encap, Encapsulated};
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_pipeline::outer::Outer;
use kith_pipeline::packet::{HostPacket, Packet};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_ESP, PROTOCOL_UDP};
use kith_wire::shim::{DataType, Shim};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::{FromBytes, IntoBytes};

const LOOPS: &[&str] = &["floor", "one", "60 k", "1 M"];
const BURST: usize = 32;
const BATCH: usize = 16;
const FLOWS: usize = 1 << 20;
const HEADROOM: usize = 192;
const NOW: Millis = Millis(0);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FIRST_MEMBER: u32 = 0x0b00_0000;

/// Measures P8. `most` members in the largest table: a million takes about a gigabyte.
pub fn run(plan: &Plan, most: u32) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    let mut arena = SasArena::new([1, 60_000, most]);
    for size in [64, 1408] {
        arena.size = size;
        let slices = interleave(plan, &mut arena)?;
        for (which, reach) in [(2, 1.25), (3, 1.5)] {
            let members = arena.worlds[which - 1].members;
            let figure = slices.figure(|of| (of[which] - of[0]) / (of[1] - of[0]));
            rows.push(
                Row::measured(
                    "P8",
                    format!("{members} outbound SAs ÷ one SA, random, {size} B"),
                    "",
                    figure,
                )
                .goal(Goal::AtMost { reach, then: None })
                .note(format!(
                    "one {:.0}, {members} {:.0} cycles a packet",
                    slices.figure(|of| of[1] - of[0]).median,
                    slices.figure(|of| of[which] - of[0]).median
                )),
            );
        }
    }
    Ok(rows)
}

struct World {
    members: u32,
    tables: HostTables,
    encap: Encap,
}

struct SasArena {
    worlds: [World; 3],
    counters: Counters,
    /// A random number for each packet, scaled to the number of members.
    flows: Vec<u32>,
    packets: Vec<HostPacket>,
    /// Octets of ESP payload.
    size: usize,
    next: usize,
}

impl World {
    fn new(members: u32) -> Self {
        let mut random = Random::new(u64::from(members));
        let mut encap = Encap::new();
        let of = |number| Member {
            address: address(number),
            endpoint: random.nat(),
            shim: Shim::new(DataType::Virtual),
            path_mtu: 1600,
        };
        let tables = HostTables::new(OWN, (0..members).map(of).collect());
        // From the last on, so that the table grows once.
        for number in (0..members).rev() {
            let spi = Spi::new(0x1000 + number).unwrap_or_else(|_| unreachable!("not reserved"));
            encap.install(
                MemberIndex(number),
                Outbound::new(spi, crate::esp::keys(), Limits::default(), NOW),
            );
        }
        Self {
            members,
            tables,
            encap,
        }
    }
}

impl SasArena {
    fn new(members: [u32; 3]) -> Self {
        let mut random = Random::new(8);
        Self {
            worlds: members.map(World::new),
            counters: Counters::default(),
            flows: (0..FLOWS).map(|_| random.draw() as u32).collect(),
            packets: vec![HostPacket::new(2048 + HEADROOM, HEADROOM); BURST],
            size: 64,
            next: 0,
        }
    }

    /// Writes the virtual header of the next flow, and says to which member.
    #[inline(always)]
    fn restore(&mut self, which: usize, packet: &mut HostPacket) -> u32 {
        let members = self.worlds[which.max(1) - 1].members;
        let number = ((u64::from(self.flows[self.next]) * u64::from(members)) >> 32) as u32;
        self.next = (self.next + 1) % FLOWS;
        let total = ipv4::HEADER_LEN + self.size;
        let header = Ipv4::new(OWN, address(number), PROTOCOL_UDP, total as u16);
        packet.refill(HEADROOM)[..ipv4::HEADER_LEN].copy_from_slice(header.as_bytes());
        packet.set_len(total);
        number
    }

    #[inline(always)]
    fn send(&mut self, which: usize, packet: &mut HostPacket) -> Option<SocketAddrV4> {
        let world = &mut self.worlds[which - 1];
        let sent = world
            .encap
            .encapsulate(&world.tables, &self.counters, NOW, packet);
        let Encapsulated::Send { to, .. } = sent else {
            return None;
        };
        let outer = Outer {
            source: (OURS, SocketAddrV4::new(HERE, 20202)),
            destination: (ROUTER, to),
            checksum: false,
        };
        outer.push(packet).ok().map(|()| to)
    }
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_MEMBER + number)
}

impl Arena for SasArena {
    fn loops(&self) -> &'static [&'static str] {
        LOOPS
    }

    fn batch(&mut self, which: usize) -> u64 {
        let mut packets = std::mem::take(&mut self.packets);
        for _ in 0..BATCH {
            for packet in &mut packets {
                self.restore(which, packet);
                if which > 0 {
                    assert!(self.send(which, packet).is_some(), "every member has keys");
                }
                black_box(packet);
            }
        }
        self.packets = packets;
        (BATCH * BURST) as u64
    }

    fn verify(&mut self, which: usize) -> Result<(), BenchError> {
        if which == 0 {
            return Ok(());
        }
        for _ in 0..256 {
            let mut packet = HostPacket::new(2048 + HEADROOM, HEADROOM);
            let number = self.restore(which, &mut packet);
            let to = self.send(which, &mut packet);
            let frame = packet.bytes();
            // Whose the frame is shows in three places: outer destination, virtual destination, SPI.
            let world = &self.worlds[which - 1];
            let member = &world.tables.members()[number as usize];
            let spi = (0x1000 + number).to_be_bytes();
            let expected = [&member.endpoint.ip().octets()[..], &member.address.octets(), &spi].concat();
            let got = [&frame[30..34], &frame[78..82], &frame[82..86]].concat();
            let virtual_header = Ipv4::ref_from_prefix(&frame[62..]).map(|(ip, _)| ip.protocol());
            if to != Some(member.endpoint) || got != expected || virtual_header != Ok(PROTOCOL_ESP) {
                return Err(BenchError::wrong(
                    LOOPS[which],
                    "not to whom it should be",
                    &expected,
                    &got,
                ));
            }
        }
        Ok(())
    }
}
