//! P6: the cipher alone against the whole way out (virtual packet to frame) and the whole way in.
//!
//! ```text
//!  floor out:  restore the virtual packet
//!  crypto out: restore the virtual packet ► AEAD over payload, padding, trailer
//!  full out:   restore the virtual packet ► Encap::encapsulate ► Outer::push
//!  floor in:   copy a sealed frame
//!  crypto in:  copy a sealed frame ► AEAD opens
//!  full in:    copy a sealed frame ► outer headers checked and stripped ► Decap::decapsulate
//! ```
//!
//! Ratio: (crypto − floor) ÷ (full − floor). "Octets" are those of the ESP payload, so the cipher works on these and
//! four of padding and trailer. Packets lie in buffers of our own: no port is in the loops. The way out restores the
//! virtual header only, for what is sealed is of no interest to the cipher's speed; the way in copies whole frames, made
//! with increasing sequence numbers. When all were opened once a new SA takes their place, once in [`SEALED`] packets,
//! within the measured time.

use crate::BenchError;
use crate::around::strip_outer;
use crate::flows::{HERE, OURS, ROUTER, Random};
use crate::measure::{Arena, Plan, Slices, interleave};
use crate::report::{Goal, Row};
use kith_esp::aead::{Aead, DefaultAead};
use kith_esp::{
    HEADER_LEN as ESP_FRONT, ICV_LEN, Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi,
    sealed_overhead,
};
use kith_pipeline::counters::Counters;
use kith_pipeline::host::decap::{Decap, Decapsulated};
use kith_pipeline::host::encap::{Encap, Encapsulated};
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_pipeline::outer::{self, Outer};
use kith_pipeline::packet::{HostPacket, Packet};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{self, DataType, Shim};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::IntoBytes;

const LOOPS: &[&str] = &[
    "floor out",
    "crypto out",
    "full out",
    "floor in",
    "crypto in",
    "full in",
];
const BURST: usize = 32;
const BATCH: usize = 16;
/// Sealed frames for the way in: few enough to stay in the second-level cache.
const SEALED: usize = 512;
/// Room before the virtual packet for all that goes in front.
const HEADROOM: usize = 192;
/// Where the ESP payload begins in a frame, and where the ESP packet does.
const ESP_AT: usize = outer::LEN + shim::LEN + ipv4::HEADER_LEN;
const NOW: Millis = Millis(0);
const ALICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const BOBS_PLACE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 20202);
const ALICES_PLACE: SocketAddrV4 = SocketAddrV4::new(HERE, 20202);
/// As a link with room for the whole frame of 1408 octets of payload has.
const PATH_MTU: u16 = 1600;

/// Measures P6.
pub fn run(plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for (size, reach, then) in [(64, 0.5, 0.7), (1408, 0.8, 0.92)] {
        let slices = interleave(plan, &mut EspArena::new(size))?;
        rows.push(row(
            &slices,
            size,
            "out",
            0,
            Goal::AtLeast {
                reach,
                then: Some(then),
            },
        ));
        rows.push(row(
            &slices,
            size,
            "in",
            3,
            Goal::AtLeast {
                reach,
                then: Some(then),
            },
        ));
    }
    Ok(rows)
}

fn row(slices: &Slices, size: usize, way: &str, first: usize, goal: Goal) -> Row {
    let crypto = |of: &[f64]| of[first + 1] - of[first];
    let full = |of: &[f64]| of[first + 2] - of[first];
    let what = format!(
        "AES-128-GCM ({}) alone ÷ full path {way}, {size} B",
        DefaultAead::NAME
    );
    Row::measured("P6", what, "", slices.figure(|of| crypto(of) / full(of)))
        .goal(goal)
        .note(format!(
            "cipher {:.0}, full path {:.0} cycles a packet",
            slices.figure(crypto).median,
            slices.figure(full).median
        ))
}

/// Keys that both ends have.
pub(crate) fn keys() -> SaKeys {
    SaKeys::new(Key::aes128(&[0x42; 16]), Salt::new(b"salt"))
}

fn spi() -> Spi {
    Spi::new(4096).unwrap_or_else(|_| unreachable!("not reserved"))
}

struct EspArena {
    size: usize,
    aead: DefaultAead,
    alice: HostTables,
    bob: HostTables,
    encap: Encap,
    decap: Decap,
    counters: Counters,
    plain: Vec<u8>,
    packets: Vec<HostPacket>,
    /// Frames that the pipeline sealed, and frames whose payload only the cipher sealed.
    sealed: Vec<Vec<u8>>,
    crypted: Vec<Vec<u8>>,
    next: usize,
}

impl EspArena {
    fn new(size: usize) -> Self {
        let mut random = Random::new(6);
        let mut plain = Ipv4::new(ALICE, BOB, PROTOCOL_UDP, (ipv4::HEADER_LEN + size) as u16)
            .as_bytes()
            .to_vec();
        plain.extend((0..size).map(|_| random.draw() as u8));
        let member = |address, endpoint| Member {
            address,
            endpoint,
            shim: Shim::new(DataType::Virtual),
            path_mtu: PATH_MTU,
        };
        let mut arena = Self {
            size,
            aead: DefaultAead::new(&Key::aes128(&[0x42; 16])),
            alice: HostTables::new(ALICE, vec![member(BOB, BOBS_PLACE)]),
            bob: HostTables::new(BOB, vec![member(ALICE, ALICES_PLACE)]),
            encap: Encap::new(),
            decap: Decap::new(1),
            counters: Counters::default(),
            plain,
            packets: vec![HostPacket::new(2048 + HEADROOM, HEADROOM); BURST],
            sealed: Vec::new(),
            crypted: Vec::new(),
            next: 0,
        };
        arena.fresh_outbound();
        arena.sealed = (0..SEALED).map(|_| arena.seal_one()).collect();
        arena.crypted = arena.sealed.iter().map(|frame| arena.crypt_one(frame)).collect();
        arena.fresh_inbound();
        arena.fresh_outbound();
        arena
    }

    fn fresh_outbound(&mut self) {
        self.encap.install(
            MemberIndex(0),
            Outbound::new(spi(), keys(), Limits::default(), NOW),
        );
    }

    fn fresh_inbound(&mut self) {
        self.decap.install(
            MemberIndex(0),
            Inbound::new(spi(), keys(), Limits::default(), NOW),
        );
    }

    fn seal_one(&mut self) -> Vec<u8> {
        let mut packet = HostPacket::new(2048 + HEADROOM, HEADROOM);
        packet.refill(HEADROOM)[..self.plain.len()].copy_from_slice(&self.plain);
        packet.set_len(self.plain.len());
        assert!(self.out(&mut packet), "the pair can seal");
        packet.bytes().to_vec()
    }

    /// The frame with the same payload, sealed by the cipher alone under [`NONCE`].
    fn crypt_one(&self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        let body = ESP_AT + ESP_FRONT..frame.len() - ICV_LEN;
        frame[body.clone()].fill(0x11);
        let tag = self.aead.seal(&NONCE, &AAD, &mut frame[body]);
        let at = frame.len() - ICV_LEN;
        frame[at..].copy_from_slice(&tag.unwrap_or_else(|_| unreachable!("a packet is not too long")));
        frame
    }

    /// The whole way out.
    #[inline(always)]
    fn out(&mut self, packet: &mut HostPacket) -> bool {
        let Encapsulated::Send { to, .. } = self.encap.encapsulate(&self.alice, &self.counters, NOW, packet)
        else {
            return false;
        };
        let outer = Outer {
            source: (OURS, ALICES_PLACE),
            destination: (ROUTER, to),
            checksum: false,
        };
        outer.push(packet).is_ok()
    }

    /// The whole way in.
    #[inline(always)]
    fn into(&mut self, packet: &mut HostPacket) -> bool {
        strip_outer(packet, OURS, BOBS_PLACE)
            && matches!(
                self.decap.decapsulate(&self.bob, &self.counters, NOW, packet),
                Decapsulated::Deliver { .. }
            )
    }
}

/// The cipher's time does not depend on them; that they repeat spares the baseline their making.
const NONCE: [u8; 12] = [0x24; 12];
const AAD: [u8; 12] = [7; 12];

/// Makes the buffer the virtual packet again: its length and header. The payload is whatever was there.
#[inline(always)]
fn restore_plain(packet: &mut HostPacket, plain: &[u8]) {
    packet.refill(HEADROOM)[..ipv4::HEADER_LEN].copy_from_slice(&plain[..ipv4::HEADER_LEN]);
    packet.set_len(plain.len());
}

#[inline(always)]
fn restore_sealed(packet: &mut HostPacket, frame: &[u8]) {
    // As received: destination is the station under test.
    packet.refill(HEADROOM)[..frame.len()].copy_from_slice(frame);
    packet.set_len(frame.len());
    packet.bytes_mut()[..6].copy_from_slice(&OURS.0);
}

impl Arena for EspArena {
    fn loops(&self) -> &'static [&'static str] {
        LOOPS
    }

    fn batch(&mut self, which: usize) -> u64 {
        let mut packets = std::mem::take(&mut self.packets);
        let mut done = 0;
        for _ in 0..BATCH {
            match which {
                0 => {
                    for packet in &mut packets {
                        restore_plain(packet, &self.plain);
                        black_box(packet);
                    }
                }
                1 => {
                    // What ESP encrypts: payload, padding, trailer.
                    let body = ipv4::HEADER_LEN
                        ..ipv4::HEADER_LEN + self.size + sealed_overhead(self.size) - ESP_FRONT - ICV_LEN;
                    for packet in &mut packets {
                        restore_plain(packet, &self.plain);
                        assert!(packet.grow_back(body.end - self.plain.len()));
                        let tag = self.aead.seal(
                            black_box(&NONCE),
                            black_box(&AAD),
                            &mut packet.bytes_mut()[body.clone()],
                        );
                        assert!(black_box(tag).is_ok());
                    }
                }
                2 => {
                    for packet in &mut packets {
                        restore_plain(packet, &self.plain);
                        assert!(self.out(packet));
                    }
                }
                _ => {
                    for (i, packet) in packets.iter_mut().enumerate() {
                        let frames = if which == 4 { &self.crypted } else { &self.sealed };
                        restore_sealed(packet, &frames[self.next + i]);
                        match which {
                            3 => drop(black_box(packet)),
                            4 => {
                                let sealed = &mut packet.bytes_mut()[ESP_AT + ESP_FRONT..];
                                assert!(self.aead.open(black_box(&NONCE), black_box(&AAD), sealed).is_ok());
                            }
                            _ => assert!(self.into(packet)),
                        }
                    }
                    self.next = (self.next + BURST) % SEALED;
                    if self.next == 0 && which == 5 {
                        self.fresh_inbound();
                    }
                }
            }
            done += BURST as u64;
        }
        self.packets = packets;
        done
    }

    fn verify(&mut self, which: usize) -> Result<(), BenchError> {
        self.next = 0;
        self.fresh_inbound();
        // The hard lifetime in AES blocks would end a very long run.
        self.fresh_outbound();
        match which {
            2 => {
                // Sealed from its first number on, a new SA makes the very frames of the first.
                for number in 0..SEALED {
                    let got = self.seal_one();
                    if got != self.sealed[number] {
                        return Err(BenchError::wrong(
                            LOOPS[which],
                            "not the sealed frame",
                            &self.sealed[number],
                            &got,
                        ));
                    }
                }
            }
            5 => {
                for number in 0..SEALED {
                    let mut packet = HostPacket::new(2048 + HEADROOM, HEADROOM);
                    restore_sealed(&mut packet, &self.sealed[number]);
                    if !self.into(&mut packet) || packet.bytes() != self.plain {
                        return Err(BenchError::wrong(
                            LOOPS[which],
                            "not the virtual packet",
                            &self.plain,
                            packet.bytes(),
                        ));
                    }
                }
                self.fresh_inbound();
            }
            4 => {
                let mut frame = self.crypted[0].clone();
                let opened = self.aead.open(&NONCE, &AAD, &mut frame[ESP_AT + ESP_FRONT..]);
                let body = ESP_AT + ESP_FRONT..frame.len() - ICV_LEN;
                if opened.is_err() || frame[body.clone()].iter().any(|octet| *octet != 0x11) {
                    return Err(BenchError::wrong(
                        LOOPS[which],
                        "not what was encrypted",
                        &[0x11],
                        &frame[body],
                    ));
                }
            }
            // The floors make what the loops beside them are checked with; the cipher alone has its own vectors.
            _ => {}
        }
        Ok(())
    }
}
