//! P4: what it costs to put shim and outer headers on and to take them off, without ESP.
//!
//! ```text
//!  floor out: receive ► write the virtual packet                                            ► send
//!  wrap:      receive ► write ► virtual IPv4 checked ► member ► shim ► outer headers        ► send
//!  framed out:receive ► write ► Encap::encapsulate with a cipher that does nothing ► outer  ► send
//!  floor in:  receive ► write the frame                                                     ► send
//!  unwrap:    receive ► write ► outer headers ► shim ► virtual IPv4 ► own, member ► strip   ► send
//!  floor esp: receive ► write the frame with ESP                                            ► send
//!  framed in: receive ► write ► outer headers ► Decap::decapsulate, the same cipher         ► send
//! ```
//!
//! The pipeline never sends a virtual packet in clear, so "wrap" and "unwrap" are put together here, from the functions
//! and the order of `host::encap` and `host::decap`. "framed" runs those themselves: it has ESP's header, trailer,
//! lifetimes and replay window, only no cipher; it is printed beside the goal. Flows are to (from) 4096 members at random.

use crate::BenchError;
use crate::around::{NullAead, strip_outer};
use crate::flows::{HERE, OURS, ROUTER, Random};
use crate::measure::{Arena, Plan, interleave};
use crate::port::{Bench, NullPort};
use crate::report::{Goal, Row};
use kith_dpdk::{Burst, Mbuf};
use kith_esp::{Inbound, Limits, Millis, Outbound, Spi};
use kith_pipeline::BURST;
use kith_pipeline::counters::Counters;
use kith_pipeline::host::decap::{Decap, Decapsulated};
use kith_pipeline::host::encap::{Encap, Encapsulated};
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_pipeline::outer::{self, Outer};
use kith_wire::ethernet::MacAddr;
use kith_wire::ipv4::{Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{self, DataType, Shim};
use kith_wire::udp::Udp;
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::IntoBytes;
use zerocopy::network_endian::U32;

const LOOPS: &[&str] = &[
    "floor out",
    "wrap",
    "framed out",
    "floor in",
    "unwrap",
    "floor esp",
    "framed in",
];
const MEMBERS: u32 = 4096;
const FLOWS: usize = 1 << 14;
/// Octets of the virtual packet in clear.
const VIRTUAL: usize = 64;
/// Octets of the frame around it.
const WRAPPED: usize = outer::LEN + shim::LEN + VIRTUAL;
/// Octets of the frame around it when framed as ESP.
const FRAMED: usize = WRAPPED + kith_esp::sealed_overhead(VIRTUAL - 20);
const NOW: Millis = Millis(0);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PLACE: SocketAddrV4 = SocketAddrV4::new(HERE, 20202);
const FIRST_MEMBER: u32 = 0x0a4e_0000;
const FIRST_SPI: u32 = 0x1000;

/// Measures P4.
pub fn run(bench: &mut Bench, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let [mut port] = bench.null_ports(VIRTUAL)?;
    let mut arena = WrapArena::new(&mut port);
    let slices = interleave(plan, &mut arena)?;
    let goal = Goal::AtMost {
        reach: 55.0,
        then: Some(40.0),
    };
    let row = |what: &str, floor: usize, ours: usize| {
        let delta = move |of: &[f64]| of[ours] - of[floor];
        let what = format!("{what}, {MEMBERS} members, {VIRTUAL} B virtual packets");
        Row::measured("P4", what, "cycles", slices.figure(delta)).note(format!(
            "floor {:.0} cycles a packet; Δ by CPU time {:.0}",
            slices.figure(|of| of[floor]).median,
            slices.figure_by_cpu(delta)
        ))
    };
    Ok(vec![
        row("encapsulate Δ: shim and outer headers, no ESP", 0, 1).goal(goal),
        row("decapsulate Δ: outer headers and shim, no ESP", 3, 4).goal(goal),
        row("encapsulate Δ with ESP framing, null cipher", 0, 2),
        row("decapsulate Δ with ESP framing, null cipher", 5, 6),
    ])
}

struct WrapArena<'a> {
    port: &'a mut NullPort,
    tables: HostTables,
    counters: Counters,
    encap: Encap<NullAead>,
    decap: Decap<NullAead>,
    /// Which member each flow is with.
    flows: Vec<u32>,
    virtual_out: Vec<[u8; VIRTUAL]>,
    wrapped_in: Vec<[u8; WRAPPED]>,
    framed_in: Vec<[u8; FRAMED]>,
    /// The next sequence number of each member.
    sequence: Vec<u32>,
    next: usize,
}

impl<'a> WrapArena<'a> {
    fn new(port: &'a mut NullPort) -> Self {
        let mut random = Random::new(4);
        let members: Vec<_> = (0..MEMBERS)
            .map(|number| {
                let mut shim = Shim::new(DataType::Virtual);
                shim.destination_director = U32::new(random.below(u32::MAX));
                shim.destination_member = U32::new(0xf000_0000 + number);
                Member {
                    address: Ipv4Addr::from_bits(FIRST_MEMBER + number),
                    endpoint: random.nat(),
                    shim,
                    path_mtu: 1500,
                }
            })
            .collect();
        let flows: Vec<_> = (0..FLOWS).map(|_| random.below(MEMBERS)).collect();
        let (mut encap, mut decap) = (Encap::with_aead(), Decap::with_aead(MEMBERS));
        for number in 0..MEMBERS {
            let at = MemberIndex(number);
            encap.install(
                at,
                Outbound::with_aead(spi(number), crate::esp::keys(), Limits::default(), NOW),
            );
            decap.install(
                at,
                Inbound::with_aead(spi(number), crate::esp::keys(), Limits::default(), NOW),
            );
        }
        let into = |number: &u32| clear(member_address(*number), OWN);
        Self {
            virtual_out: flows
                .iter()
                .map(|number| clear(OWN, member_address(*number)))
                .collect(),
            wrapped_in: flows
                .iter()
                .map(|number| wrapped(&members[*number as usize], &into(number)))
                .collect(),
            framed_in: flows
                .iter()
                .map(|number| framed(&members[*number as usize], *number, &into(number)))
                .collect(),
            tables: HostTables::new(OWN, members),
            counters: Counters::default(),
            sequence: vec![0; MEMBERS as usize],
            port,
            encap,
            decap,
            flows,
            next: 0,
        }
    }

    /// What the loop should make of the flow at `at`.
    fn expected(&self, which: usize, at: usize) -> Vec<u8> {
        let number = self.flows[at];
        let member = &self.tables.members()[number as usize];
        match which {
            0 => self.virtual_out[at].to_vec(),
            1 => with_outer(member, &[member.shim.as_bytes(), &self.virtual_out[at]].concat()),
            2 => {
                let sealed = esp_of(number, &self.virtual_out[at]);
                with_outer(member, &[member.shim.as_bytes(), &sealed].concat())
            }
            3 => self.wrapped_in[at].to_vec(),
            5 => self.framed_in[at].to_vec(),
            _ => clear(member.address, OWN).to_vec(),
        }
    }
}

/// A virtual packet of [`VIRTUAL`] octets.
fn clear(from: Ipv4Addr, to: Ipv4Addr) -> [u8; VIRTUAL] {
    let mut bytes = [0x33; VIRTUAL];
    bytes[..20].copy_from_slice(Ipv4::new(from, to, PROTOCOL_UDP, VIRTUAL as u16).as_bytes());
    bytes
}

fn with_outer(member: &Member, data: &[u8]) -> Vec<u8> {
    headers((OURS, PLACE), (ROUTER, member.endpoint), data)
}

fn wrapped(member: &Member, inner: &[u8]) -> [u8; WRAPPED] {
    let data = [Shim::new(DataType::Virtual).as_bytes(), inner].concat();
    let frame = headers((ROUTER, member.endpoint), (OURS, PLACE), &data);
    frame
        .try_into()
        .unwrap_or_else(|_| unreachable!("the parts add up"))
}

fn framed(member: &Member, number: u32, inner: &[u8]) -> [u8; FRAMED] {
    let data = [Shim::new(DataType::Virtual).as_bytes(), &esp_of(number, inner)].concat();
    let frame = headers((ROUTER, member.endpoint), (OURS, PLACE), &data);
    frame
        .try_into()
        .unwrap_or_else(|_| unreachable!("the parts add up"))
}

/// A frame, put together by hand.
fn headers(from: (MacAddr, SocketAddrV4), to: (MacAddr, SocketAddrV4), data: &[u8]) -> Vec<u8> {
    let total = (28 + data.len()) as u16;
    let ip = Ipv4::new(*from.1.ip(), *to.1.ip(), PROTOCOL_UDP, total);
    let udp =
        Udp::new(from.1.port(), to.1.port(), data.len()).unwrap_or_else(|| unreachable!("data is short"));
    [
        &to.0.0,
        &from.0.0,
        &[8, 0][..],
        ip.as_bytes(),
        udp.as_bytes(),
        data,
    ]
    .concat()
}

/// The virtual packet in ESP by the null cipher: SPI, sequence number and IV 0, payload, padding 1 2, its length, next
/// header, tag 0 (RFC 4303 section 2).
fn esp_of(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut ip = Ipv4::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, 0, 20);
    ip.clone_from(
        zerocopy::FromBytes::ref_from_prefix(inner).map_or_else(|_| unreachable!("a header"), |(ip, _)| ip),
    );
    ip.set_protocol_and_len(50, (FRAMED - outer::LEN - shim::LEN) as u16);
    ip.refill_checksum();
    let spi = spi(number).get().to_be_bytes();
    [
        ip.as_bytes(),
        &spi,
        &[0; 12],
        &inner[20..],
        &[1, 2, 2, PROTOCOL_UDP],
        &[0; 16],
    ]
    .concat()
}

fn member_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_MEMBER + number)
}

fn spi(number: u32) -> Spi {
    Spi::new(FIRST_SPI + number).unwrap_or_else(|_| unreachable!("not reserved"))
}

/// Makes a received buffer the packet `content`.
#[inline(always)]
fn restore<const N: usize>(packet: &mut Mbuf, content: &[u8; N]) -> bool {
    let fits = packet.grow_back(N - VIRTUAL);
    if let Some(there) = packet.bytes_mut().first_chunk_mut::<N>() {
        *there = *content;
    }
    fits
}

impl WrapArena<'_> {
    /// Everything up to the work, for all loops.
    #[inline(always)]
    fn restore(which: usize, this: &mut Templates<'_>, packets: &mut [Mbuf]) {
        if *this.next + BURST > FLOWS {
            *this.next = 0;
        }
        for (packet, at) in packets.iter_mut().zip(*this.next..) {
            let fits = match which {
                0..=2 => restore(packet, &this.virtual_out[at]),
                3 | 4 => restore(packet, &this.wrapped_in[at]),
                _ => {
                    let fits = restore(packet, &this.framed_in[at]);
                    let number = &mut this.sequence[this.flows[at] as usize];
                    *number += 1;
                    packet.bytes_mut()[86..90].copy_from_slice(&number.to_be_bytes());
                    fits
                }
            };
            assert!(fits, "a buffer has room for the frame");
        }
        *this.next += BURST;
    }

    fn parts(&mut self) -> (&mut NullPort, Templates<'_>, Paths<'_>) {
        (
            self.port,
            Templates {
                flows: &self.flows,
                virtual_out: &self.virtual_out,
                wrapped_in: &self.wrapped_in,
                framed_in: &self.framed_in,
                sequence: &mut self.sequence,
                next: &mut self.next,
            },
            Paths {
                tables: &self.tables,
                counters: &self.counters,
                encap: &mut self.encap,
                decap: &mut self.decap,
            },
        )
    }
}

struct Templates<'a> {
    flows: &'a [u32],
    virtual_out: &'a [[u8; VIRTUAL]],
    wrapped_in: &'a [[u8; WRAPPED]],
    framed_in: &'a [[u8; FRAMED]],
    sequence: &'a mut [u32],
    next: &'a mut usize,
}

struct Paths<'a> {
    tables: &'a HostTables,
    counters: &'a Counters,
    encap: &'a mut Encap<NullAead>,
    decap: &'a mut Decap<NullAead>,
}

impl Paths<'_> {
    #[inline(always)]
    fn work(&mut self, which: usize, packets: &mut [Mbuf]) {
        for packet in packets {
            let done = match which {
                1 => self.wrap(packet),
                2 => self.encapsulate(packet),
                4 => self.unwrap(packet),
                6 => {
                    strip_outer(packet, OURS, PLACE)
                        && matches!(
                            self.decap.decapsulate(self.tables, self.counters, NOW, packet),
                            Decapsulated::Deliver { .. }
                        )
                }
                _ => true,
            };
            assert!(done, "the world has only good packets");
        }
    }

    /// `host::encap` without ESP: header, own source, member, length, shim; then the outer headers.
    #[inline(always)]
    fn wrap(&self, packet: &mut Mbuf) -> bool {
        let Ok((ip, _)) = Ipv4::parse_any(packet.bytes()) else {
            return false;
        };
        if ip.source() != self.tables.own() {
            return false;
        }
        let Some((_, member)) = self.tables.find(ip.destination()) else {
            return false;
        };
        let padding = packet.bytes().len() - usize::from(ip.total_len());
        if shim::OUTER_OVERHEAD + usize::from(ip.total_len()) > usize::from(member.path_mtu)
            || !packet.shrink_back(padding)
            || !packet.grow_front(shim::LEN)
        {
            return false;
        }
        packet.bytes_mut()[..shim::LEN].copy_from_slice(member.shim.as_bytes());
        push(packet, member.endpoint)
    }

    /// `host::decap` without ESP: outer headers, shim, header, own destination, member.
    #[inline(always)]
    fn unwrap(&self, packet: &mut Mbuf) -> bool {
        if !strip_outer(packet, OURS, PLACE) {
            return false;
        }
        let Ok((shim, inner)) = Shim::parse(packet.bytes()) else {
            return false;
        };
        let Ok((ip, _)) = Ipv4::parse(inner) else {
            return false;
        };
        shim.data_type() == Some(DataType::Virtual)
            && ip.destination() == self.tables.own()
            && usize::from(ip.total_len()) == inner.len()
            && self.tables.find(ip.source()).is_some()
            && packet.shrink_front(shim::LEN)
    }

    #[inline(always)]
    fn encapsulate(&mut self, packet: &mut Mbuf) -> bool {
        match self.encap.encapsulate(self.tables, self.counters, NOW, packet) {
            Encapsulated::Send { to, .. } => push(packet, to),
            _ => false,
        }
    }
}

#[inline(always)]
fn push(packet: &mut Mbuf, to: SocketAddrV4) -> bool {
    let outer = Outer {
        source: (OURS, PLACE),
        destination: (ROUTER, to),
        checksum: false,
    };
    outer.push(packet).is_ok()
}

impl Arena for WrapArena<'_> {
    fn loops(&self) -> &'static [&'static str] {
        LOOPS
    }

    fn batch(&mut self, which: usize) -> u64 {
        let (port, mut templates, mut paths) = self.parts();
        // A loop each, so that the compiler sees which it is; the floors differ in what they write.
        macro_rules! batch {
            ($which:literal) => {
                port.batch(|packets| {
                    Self::restore($which, &mut templates, packets);
                    paths.work($which, packets);
                })
            };
        }
        match which {
            0 => batch!(0),
            1 => batch!(1),
            2 => batch!(2),
            3 => batch!(3),
            4 => batch!(4),
            5 => batch!(5),
            _ => batch!(6),
        }
    }

    fn verify(&mut self, which: usize) -> Result<(), BenchError> {
        let mut burst = Burst::new();
        for _ in 0..64 {
            let (port, mut templates, mut paths) = self.parts();
            port.rx.rx_burst(&mut burst);
            Self::restore(which, &mut templates, &mut burst);
            paths.work(which, &mut burst);
            let first = self.next - BURST;
            for (packet, at) in burst.iter().zip(first..) {
                let mut got = packet.bytes().to_vec();
                if which == 2 || which == 5 {
                    // Sequence number and IV are what was counted, whatever that is: not compared.
                    got[86..98].fill(0);
                }
                let expected = self.expected(which, at);
                if got != expected {
                    return Err(BenchError::wrong(
                        LOOPS[which],
                        "not the packet to send",
                        &expected,
                        &got,
                    ));
                }
            }
            burst.clear();
        }
        Ok(())
    }
}
