//! Packets nobody thought of, from a seed: valid ones bent, cut, joined, and noise.
//!
//! A seed gives the same packets everywhere, so a failure is its seed and its number. Entries are bent too: their numbers are taken from those
//! that packets carry, so that they meet.

use crate::entry::{Entry, Part, Program};
use crate::layout::{IPV4, TCP, UDP};
use crate::world::{Association, Direction, Input, World};
use crate::{dissect, seal};
use kith_p4::info::{Field, Table};

/// Random numbers: SplitMix64, which is as good as bending needs, and has no dependency.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.any() % n.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// Makes packets and worlds from those of cases.
pub struct Generator {
    random: Random,
    seeds: Vec<Input>,
}

/// Numbers that stand at the edges of what fields mean.
const EDGES: [u64; 22] = [
    0, 1, 2, 4, 5, 6, 7, 8, 19, 20, 27, 28, 47, 48, 67, 68, 0x45, 0x7f, 0x80, 0xff, 0x7fff, 0xffff,
];

impl Generator {
    /// From these packets.
    #[must_use]
    pub fn new(seed: u64, seeds: Vec<Input>) -> Self {
        Self {
            random: Random::new(seed),
            seeds,
        }
    }

    /// The next packet. `world` says which numbers its tables know, and has the keys for what is sealed.
    pub fn packet(&mut self, world: &World) -> Input {
        let mut input = match self.random.pick(&self.seeds).cloned() {
            Some(input) if !self.random.once_in(50) => input,
            _ => self.noise(),
        };
        if self.random.once_in(8) {
            self.reseal(world, &mut input.frame);
        }
        for _ in 0..self.random.below(4) {
            self.bend(world, &mut input.frame);
        }
        if !self.random.once_in(4) {
            repair(&mut input.frame);
        }
        match self.random.below(24) {
            0 => {
                let len = self.random.below(input.frame.len() + 1);
                input.frame.truncate(len);
            }
            1 => input
                .frame
                .extend((0..self.random.clone().below(64)).map(|n| n as u8)),
            2 => input.port = self.random.below(4) as u8,
            _ => {}
        }
        input
    }

    /// Octets without meaning.
    fn noise(&mut self) -> Input {
        let len = self.random.below(200);
        Input {
            port: self.random.below(3) as u8,
            frame: (0..len).map(|_| self.random.any() as u8).collect(),
        }
    }

    /// Changes something.
    fn bend(&mut self, world: &World, frame: &mut Vec<u8>) {
        let headers = dissect::headers(frame, crate::compare::PORT);
        match (self.random.below(8), self.random.pick(&headers).copied()) {
            (0, _) if !frame.is_empty() => {
                let at = self.random.below(frame.len());
                frame[at] ^= 1 << self.random.below(8);
            }
            (1, Some(header)) => {
                // The rest of another packet behind this header.
                let end = header.at + header.header.len();
                let other = self
                    .random
                    .pick(&self.seeds)
                    .map(|input| input.frame.clone())
                    .unwrap_or_default();
                let from = self.random.below(other.len() + 1);
                frame.truncate(end);
                frame.extend(&other[from..]);
            }
            (2, Some(header)) if header.name == "ipv4" || header.name == "inner" => {
                let len = frame.len().saturating_sub(header.at) as u64;
                let near = len.saturating_add(self.random.below(5) as u64).saturating_sub(2);
                IPV4.set(frame, header.at, "total_len", near);
            }
            (_, Some(header)) => {
                if let Some(field) = self.random.pick(header.header.fields) {
                    let value = self.value(world, 8 * field.len as u32);
                    header.header.set(frame, header.at, field.name, value);
                }
            }
            _ => {}
        }
    }

    /// A number of so many bits: one that tables know, one at an edge, or any.
    fn value(&mut self, world: &World, bits: u32) -> u64 {
        let ones = u64::MAX >> (64 - bits.clamp(1, 64));
        let known = self.random.pick(&world.entries).map(|entry| {
            let numbers: Vec<u64> = entry
                .key
                .iter()
                .map(|part| part.value)
                .chain(entry.parameters.iter().map(|(_, value)| *value))
                .collect();
            numbers[self
                .random
                .below(numbers.len().max(1))
                .min(numbers.len().saturating_sub(1))..]
                .first()
                .copied()
                .unwrap_or(0)
        });
        let value = match (self.random.below(4), known) {
            (0 | 1, Some(known)) => known,
            (2, _) => EDGES[self.random.below(EDGES.len())],
            _ => self.random.any(),
        };
        value & ones
    }

    /// Seals another payload into a packet to a gateway: what comes out is bent before it goes in.
    fn reseal(&mut self, world: &World, frame: &mut Vec<u8>) {
        let inner = dissect::headers(frame, crate::compare::PORT)
            .into_iter()
            .find(|found| found.name == "inner");
        let open: Vec<&Association> = world
            .associations
            .iter()
            .filter(|is| is.direction == Direction::Open)
            .collect();
        let (Some(inner), Some(association)) = (inner, self.random.pick(&open)) else {
            return;
        };
        let next = [6u64, 17, 1, 47, 4, 59, 50][self.random.below(7)];
        let mut payload: Vec<u8> = (0..self.random.below(60)).map(|n| n as u8).collect();
        match next {
            // A SYN with options of all kinds.
            6 => {
                TCP.set(
                    &mut payload,
                    0,
                    "destination",
                    [80, 23, 2000][self.random.below(3)],
                );
                TCP.set(
                    &mut payload,
                    0,
                    "data_offset",
                    [0x50, 0x60, 0x70, 0xf0][self.random.below(4)],
                );
                TCP.set(&mut payload, 0, "flags", [2, 0x12, 0x10][self.random.below(3)]);
                if let Some(option) = payload.get_mut(20..24) {
                    option.copy_from_slice(&[2, 4, 5, 0xb4]);
                }
            }
            17 => UDP.set(&mut payload, 0, "checksum", [0, 0x1234][self.random.below(2)]),
            4 => {
                let header = frame.get(inner.at..inner.at + IPV4.len()).unwrap_or(&[]).to_vec();
                payload.splice(..0, header);
                let len = payload.len() as u64;
                IPV4.set(&mut payload, 0, "total_len", len);
                IPV4.set(
                    &mut payload,
                    0,
                    "flags_fragment",
                    [0, 0x2000, 0x4000, 1][self.random.below(4)],
                );
                fill_checksum(&mut payload, 0);
            }
            _ => {}
        }
        let sequence = 1 + self.random.below(40);
        let line = format!("sealed sa={} next={next} sequence={sequence}", association.sa);
        if let Ok(esp) = seal::sealed(world, &line, &payload) {
            frame.truncate(inner.at + IPV4.len());
            frame.extend(esp);
            IPV4.set(frame, inner.at, "protocol", 50);
            let len = (frame.len() - inner.at) as u64;
            IPV4.set(frame, inner.at, "total_len", len);
            repair(frame);
        }
    }

    /// A world like this one, with entries changed, taken away and added.
    pub fn world(&mut self, program: &Program, like: &World) -> World {
        let mut world = like.clone();
        for _ in 0..self.random.below(6) {
            let at = self.random.below(world.entries.len());
            match self.random.below(3) {
                0 if world.entries.len() > 1 => {
                    world.entries.remove(at);
                }
                1 => {
                    // Another action, or the same with other parameters.
                    let like_it = world
                        .entries
                        .get(at)
                        .and_then(|entry| program.tables().iter().find(|table| table.name == entry.table));
                    let other = like_it.cloned().and_then(|table| self.entry(like, &table));
                    if let (Some(entry), Some(other)) = (world.entries.get_mut(at), other) {
                        (entry.action, entry.parameters) = (other.action, other.parameters);
                    }
                }
                _ => {
                    if let Some(entry) = self
                        .random
                        .pick(program.tables())
                        .cloned()
                        .and_then(|table| self.entry(like, &table))
                    {
                        let same = |is: &Entry| is.table == entry.table && is.key == entry.key;
                        world.entries.retain(|is| !same(is));
                        world.entries.push(entry);
                    }
                }
            }
        }
        // An entry of egress_port names its own port.
        for entry in world
            .entries
            .iter_mut()
            .filter(|entry| entry.table == "egress_port")
        {
            let port = entry.field("port");
            if let Some((_, is)) = entry.parameters.iter_mut().find(|(name, _)| name == "port") {
                *is = port;
            }
        }
        world
    }

    fn entry(&mut self, world: &World, table: &Table) -> Option<Entry> {
        let ternary = |field: &Field| field.kind == "TERNARY";
        let action = self.random.pick(&table.actions)?.clone();
        let key = table.key.iter().map(|field| {
            let ones = u64::MAX >> (64 - field.width);
            let mask = match field.kind.as_str() {
                "EXACT" => ones,
                "LPM" => ones & !(ones >> self.random.below(33)),
                _ => [0, 0, ones, ones & self.random.any()][self.random.below(4)],
            };
            Part {
                name: field.name.clone(),
                value: sensible(&table.name, &field.name, self.value(world, field.width)) & mask,
                mask,
                width: field.width,
            }
        });
        let key: Vec<Part> = key.collect();
        let priority = if table.key.iter().any(ternary) {
            1 + self.random.below(60) as u32
        } else {
            0
        };
        let parameters = action.parameters.iter().map(|(name, width)| {
            (
                name.clone(),
                sensible(&table.name, name, self.value(world, *width)) & (u64::MAX >> (64 - width)),
            )
        });
        Some(Entry {
            table: table.name.clone(),
            key,
            priority,
            action: action.name.clone(),
            parameters: parameters.collect(),
        })
    }
}

/// Numbers that entries may have: what is refused before anything changes never reaches a table.
fn sensible(table: &str, name: &str, value: u64) -> u64 {
    match (table, name) {
        ("sender" | "session" | "member", "port") => value,
        (_, "port") => value % 4,
        (_, "community") => value % 4 + 1,
        (_, "source_member" | "destination_member") => 0xf000_0001 + value % 16,
        (_, "sa") => value % 6,
        (_, "mtu") => 100 + value % 1500,
        _ => value,
    }
}

/// Makes what says how long a packet is right, and then the checksums of IPv4 headers and of the outer UDP header, if it has one.
fn repair(frame: &mut [u8]) {
    let headers = dissect::headers(frame, crate::compare::PORT);
    for found in headers.iter().filter(|found| found.header.name == "ipv4") {
        fill_checksum(frame, found.at);
    }
    let whole = |frame: &[u8], at: usize| (at + IPV4.get(frame, at, "total_len") as usize).min(frame.len());
    if let [_, ip, udp, ..] = headers.as_slice()
        && udp.name == "udp"
        && UDP.get(frame, udp.at, "checksum") != 0
        && whole(frame, ip.at) >= udp.at + UDP.len()
    {
        let end = whole(frame, ip.at);
        UDP.set(frame, udp.at, "checksum", 0);
        let mut sum =
            sum(&frame[udp.at..end]) + sum(&frame[ip.at + 12..ip.at + 20]) + 17 + (end - udp.at) as u64;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let checksum = if sum == 0xffff { 0xffff } else { !sum & 0xffff };
        UDP.set(frame, udp.at, "checksum", checksum);
    }
}

fn fill_checksum(frame: &mut [u8], at: usize) {
    IPV4.set(frame, at, "checksum", 0);
    let mut sum = frame.get(at..at + IPV4.len()).map_or(0, sum);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    IPV4.set(frame, at, "checksum", !sum & 0xffff);
}

fn sum(octets: &[u8]) -> u64 {
    octets
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_packets() {
        let seeds = vec![Input {
            port: 0,
            frame: vec![0; 60],
        }];
        let world = World::default();
        let of = |seed| {
            let mut generator = Generator::new(seed, seeds.clone());
            (0..100).map(|_| generator.packet(&world)).collect::<Vec<_>>()
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn a_repaired_packet_is_right_again() {
        let mut frame = crate::frame::build([
            "ethernet",
            "ipv4 source=10.0.0.1 destination=10.0.0.2 checksum=1",
            "udp source=1 destination=2 checksum=1",
            "octets 9",
        ])
        .unwrap();
        let right = crate::frame::build([
            "ethernet",
            "ipv4 source=10.0.0.1 destination=10.0.0.2",
            "udp source=1 destination=2 checksum=right",
            "octets 9",
        ])
        .unwrap();
        repair(&mut frame);
        assert_eq!(frame, right);
    }
}
