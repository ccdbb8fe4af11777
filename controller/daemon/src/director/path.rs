//! Path MTU: what a router says of a packet that the dataplane relayed, and what the member that sent it is told (RFC 1191).
//!
//! The outer header of a relayed packet is the director's, so routers behind it complain to the director. Their word lowers
//! the MTU of the session they quote; and if they quote the shim, it names the member that sent the packet, which is told
//! at once: it learns by its first loss, not by its second.
//!
//! The report takes the way that the member's last message to the director came by. A member that has said nothing yet
//! since the controller started is not told; it learns when its next packet is too big for the session's new MTU.

use super::envelope::Envelope;
use super::mirror::Mirror;
use kith_pipeline::meter::{Bucket, Rate};
use kith_pipeline::units::Nanos;
use kith_wire::ethernet::{self, ETHERTYPE_IPV4, Ethernet, MacAddr};
use kith_wire::icmp::{self, Icmp, TooBig};
use kith_wire::ipv4::{self, Ipv4, PROTOCOL_UDP};
use kith_wire::shim::{PseudoIp, Shim};
use kith_wire::udp::{self, Udp};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

/// Octets quoted of a packet that is too big: outer header, UDP, shim, virtual header, SPI and sequence number, and some more. What
/// follows is ciphertext, which tells the sender nothing.
const QUOTE: usize = 128;
/// Octets of an ICMP error that quotes so much.
const ERROR_LEN: usize = ipv4::HEADER_LEN + icmp::HEADER_LEN + QUOTE;
/// ICMP errors sent at most (RFC 1812 section 4.3.2.8).
const ERRORS: Rate = Rate {
    per_second: 500,
    burst: 100,
};

/// The way to a member: port, the dataplane's station there, and the next one.
#[derive(Debug, Clone, Copy)]
struct Way {
    port: u16,
    stations: (MacAddr, MacAddr),
}

/// What is kept to understand routers and to reach members.
#[derive(Debug)]
pub struct Paths {
    director: SocketAddrV4,
    /// Which session is bound to an address: routers quote no more of a packet than that.
    bound: HashMap<SocketAddrV4, PseudoIp>,
    ways: HashMap<u32, Way>,
    errors: Bucket,
}

/// A router's word about a packet that the dataplane sent.
#[derive(Debug)]
pub struct Told<'a> {
    /// The session that the packet went to.
    pub session: PseudoIp,
    /// The largest packet that fits, octets.
    pub mtu: u16,
    too_big: TooBig<'a>,
}

impl Paths {
    /// Nothing known yet, for the director at this address.
    #[must_use]
    pub fn new(director: SocketAddrV4) -> Self {
        Self {
            director,
            bound: HashMap::new(),
            ways: HashMap::new(),
            errors: Bucket::default(),
        }
    }

    /// A session is bound to `new`, and no more to `old`.
    pub fn moved(&mut self, pseudo: PseudoIp, old: Option<SocketAddrV4>, new: Option<SocketAddrV4>) {
        if let Some(old) = old
            && self.bound.get(&old) == Some(&pseudo)
        {
            self.bound.remove(&old);
        }
        match new {
            Some(new) => drop(self.bound.insert(new, pseudo)),
            None => drop(self.ways.remove(&pseudo.to_bits())),
        }
    }

    /// A member has shown itself at the end of this way.
    pub fn shown(&mut self, member: u32, envelope: &Envelope) {
        let (port, stations) = (envelope.port, envelope.stations);
        self.ways.insert(member, Way { port, stations });
    }

    /// The word of a router about a packet that this director's dataplane sent: `None` if it is forged or of no use.
    #[must_use]
    pub fn told<'a>(&self, frame: &'a [u8]) -> Option<Told<'a>> {
        let (_, payload) = Ipv4::parse(frame.get(ethernet::HEADER_LEN..)?).ok()?;
        let (header, data) = Icmp::parse(payload).ok()?;
        let too_big = header.too_big(data)?.ok()?;
        let port = |at: usize| {
            let octets = too_big.quoted_payload.get(at..at + 2)?;
            Some(u16::from_be_bytes([octets[0], octets[1]]))
        };
        let quoted = too_big.quoted;
        let from_us = quoted.source() == *self.director.ip()
            && quoted.protocol() == PROTOCOL_UDP
            && port(0)? == self.director.port();
        // RFC 5927 section 7.2: a packet that was too big was bigger than what would have fit.
        if !from_us || quoted.total_len() <= too_big.mtu {
            return None;
        }
        let to = SocketAddrV4::new(quoted.destination(), port(2)?);
        Some(Told {
            session: *self.bound.get(&to)?,
            mtu: too_big.mtu,
            too_big,
        })
    }

    /// The frame that tells the member whose packet was too big, and its port; if the router quotes enough and the way is known.
    #[must_use]
    pub fn report(&self, now: Nanos, told: &Told<'_>, mirror: &Mirror) -> Option<(u16, Vec<u8>)> {
        let too_big = &told.too_big;
        let quoted = too_big
            .quoted_payload
            .get(..too_big.quoted_payload.len().min(QUOTE - ipv4::HEADER_LEN))?;
        let (shim, _) = Shim::parse(quoted.get(udp::HEADER_LEN..)?).ok()?;
        let member = shim.source_member.get();
        let sender = mirror.wanted(member)?.sender.bound;
        let mtu = mirror.wanted(shim.destination_member.get())?.session?.mtu;
        let way = self.ways.get(&member)?;
        if !too_big.quoted.dont_fragment() || !self.errors.admit(ERRORS, now, 1) {
            return None;
        }
        // The packet as its sender knows it: from its own address to ours.
        let mut quote = [0u8; QUOTE];
        let len = ipv4::HEADER_LEN + quoted.len();
        let (head, rest) = quote.split_at_mut(ipv4::HEADER_LEN);
        let mut ip = *too_big.quoted;
        ip.readdress(*sender.ip(), *self.director.ip());
        head.copy_from_slice(ip.as_bytes());
        rest[..quoted.len()].copy_from_slice(quoted);
        let (udp, _) = Udp::mut_from_prefix(rest).ok()?;
        let addresses = |ip: &Ipv4| (ip.source().to_bits(), ip.destination().to_bits());
        let ports = (sender.port(), self.director.port());
        udp.readdress(addresses(too_big.quoted), addresses(&ip), ports.0, ports.1);
        let mut error = [0u8; ERROR_LEN];
        let (from, to): (Ipv4Addr, Ipv4Addr) = (*self.director.ip(), *sender.ip());
        let len = icmp::write_too_big(&mut error, from, to, mtu, &quote[..len]).ok()?;
        let header = Ethernet {
            destination: way.stations.1,
            source: way.stations.0,
            ethertype: U16::new(ETHERTYPE_IPV4),
        };
        Some((way.port, [header.as_bytes(), &error[..len]].concat()))
    }
}
