//! Packets on their way out that one system call can carry: to one endpoint, of one length, the last perhaps shorter.

use super::udp::{MOST_BYTES, MOST_PACKETS, Udp, refuses_segments};
use kith_pipeline::packet::Slot;
use kith_pipeline::reason::DropReason;
use kith_wire::{ipv4, shim};
use nix::libc;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Room before a virtual packet: shim, and the 16 octets that ESP puts before the payload.
const FRONT: usize = shim::LEN + kith_esp::HEADER_LEN;
/// Room before a fragment, which gets a virtual header of its own.
const FRONT_FRAGMENT: usize = FRONT + ipv4::HEADER_LEN;
/// Room behind: padding, trailer, ICV.
const BACK: usize = 64;

/// A run of packets in one buffer, end to end.
pub struct Train {
    buffer: Box<[u8]>,
    used: usize,
    segment: usize,
    count: usize,
    closed: bool,
    to: SocketAddrV4,
    /// Off once the kernel has said that it cannot.
    offload: bool,
}

/// What became of packets given to the socket.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Taken by the kernel.
    pub packets: u64,
    /// Their octets.
    pub bytes: u64,
    /// System calls.
    pub calls: u64,
    /// Not taken, and why.
    pub refused: Option<(u64, DropReason)>,
}

impl Train {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: vec![0; MOST_BYTES + FRONT_FRAGMENT + 65_535 + BACK].into_boxed_slice(),
            used: 0,
            segment: 0,
            count: 0,
            closed: false,
            to: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            offload: true,
        }
    }

    /// Is there nothing in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Must it leave before a virtual packet of `len` octets is put behind it?
    #[inline]
    #[must_use]
    pub fn is_full_for(&self, len: usize) -> bool {
        self.count >= MOST_PACKETS || self.used + FRONT_FRAGMENT + len + BACK > MOST_BYTES
    }

    /// The place behind the last packet, with a virtual packet of `len` octets that `fill` writes.
    #[inline]
    pub fn place(
        &mut self,
        len: usize,
        fragment: bool,
        fill: impl FnOnce(&mut [u8]) -> Result<(), DropReason>,
    ) -> Result<Slot<&mut [u8]>, DropReason> {
        let front = if fragment { FRONT_FRAGMENT } else { FRONT };
        let room = self.buffer.get_mut(self.used..).ok_or(DropReason::BufferRoom)?;
        fill(room.get_mut(front..front + len).ok_or(DropReason::BufferRoom)?)?;
        Ok(Slot::within(room, front, front + len))
    }

    /// Couples the packet that was sealed at `range` of its place. If it does not fit the run, the run leaves first.
    #[inline]
    pub fn couple(&mut self, range: std::ops::Range<usize>, to: SocketAddrV4, udp: &Udp) -> Sent {
        let (from, len) = (self.used + range.start, range.len());
        let fits = self.count == 0
            || (!self.closed && self.to == to && len <= self.segment && self.used + len <= MOST_BYTES);
        let sent = if fits { Sent::default() } else { self.depart(udp) };
        if self.count == 0 {
            (self.segment, self.to, self.closed) = (len, to, false);
        }
        if from != self.used {
            self.buffer.copy_within(from..from + len, self.used);
        }
        self.used += len;
        self.count += 1;
        self.closed = len < self.segment;
        sent
    }

    /// Sends what is in it.
    pub fn depart(&mut self, udp: &Udp) -> Sent {
        let (count, data) = (self.count as u64, &self.buffer[..self.used]);
        (self.used, self.count) = (0, 0);
        if count == 0 {
            return Sent::default();
        }
        if self.offload || count == 1 {
            match udp.send_segments(data, self.segment, self.to) {
                Ok(()) => {
                    return Sent {
                        packets: count,
                        bytes: data.len() as u64,
                        calls: 1,
                        refused: None,
                    };
                }
                Err(error) if count > 1 && refuses_segments(&error) => {
                    // For good if the device cannot; once if only these packets were too large.
                    self.offload = error.raw_os_error() != Some(libc::EIO);
                }
                Err(error) => return Sent::refused(count, &error),
            }
        }
        let mut sent = Sent::default();
        for packet in data.chunks(self.segment) {
            sent.calls += 1;
            match udp.send(packet, self.to) {
                Ok(()) => {
                    sent.packets += 1;
                    sent.bytes += packet.len() as u64;
                }
                Err(error) => {
                    let before = sent.refused.map_or(0, |(count, _)| count);
                    sent.refused = Some((before + 1, reason(&error)));
                }
            }
        }
        sent
    }
}

impl Default for Train {
    fn default() -> Self {
        Self::new()
    }
}

impl Sent {
    fn refused(count: u64, error: &io::Error) -> Self {
        Self {
            calls: 1,
            refused: Some((count, reason(error))),
            ..Self::default()
        }
    }
}

fn reason(error: &io::Error) -> DropReason {
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => DropReason::MtuExceeded,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EACCES | libc::EPERM) => {
            DropReason::RouteUnknown
        }
        _ => DropReason::TransmitQueueFull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::datapath::udp::Control;
    use kith_pipeline::packet::Packet;
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    fn socket(last: u8) -> (Udp, SocketAddrV4) {
        let address = Ipv4Addr::new(127, 0, 77, last);
        let udp = Udp::open(config::Udp { address, port: 0 }).unwrap();
        match udp.local().unwrap() {
            SocketAddr::V4(at) => (udp, at),
            SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        }
    }

    /// Puts a packet that ends up `len` octets long into the train.
    fn add(train: &mut Train, len: usize, fill: u8, to: SocketAddrV4, udp: &Udp) -> Sent {
        let range = {
            let mut slot = train
                .place(len - FRONT, false, |out| {
                    out.fill(fill);
                    Ok(())
                })
                .unwrap();
            assert!(slot.grow_front(FRONT));
            slot.bytes_mut().fill(fill);
            slot.range()
        };
        train.couple(range, to, udp)
    }

    /// The datagrams that come, as (length, first octet).
    fn received(udp: &Udp, count: usize) -> Vec<(usize, u8)> {
        let (mut buffer, mut control) = (vec![0; 65_536], Control::default());
        let (mut all, start) = (Vec::new(), Instant::now());
        while all.len() < count && start.elapsed() < Duration::from_secs(2) {
            let Some(got) = udp.receive(&mut buffer, &mut control).unwrap() else {
                continue;
            };
            all.extend(
                buffer[..got.len]
                    .chunks(got.segment)
                    .map(|datagram| (datagram.len(), datagram[0])),
            );
        }
        all
    }

    #[test]
    fn equal_packets_leave_in_one_call_and_arrive_one_by_one() {
        let ((from, _), (into, to)) = (socket(1), socket(2));
        let mut train = Train::new();
        let lens = [900, 900, 900, 500];
        for (at, len) in (0u8..).zip(lens) {
            assert_eq!(add(&mut train, len, at, to, &from), Sent::default());
        }
        let sent = train.depart(&from);
        assert_eq!((sent.packets, sent.bytes, sent.refused), (4, 3_200, None));
        assert!(train.is_empty());
        assert_eq!(received(&into, 4), [(900, 0), (900, 1), (900, 2), (500, 3)]);
    }

    #[test]
    fn a_packet_that_does_not_fit_the_run_sends_it_off_and_begins_another() {
        let ((from, _), (one, to_one), (other, to_other)) = (socket(3), socket(4), socket(5));
        let mut train = Train::new();
        add(&mut train, 500, 1, to_one, &from);
        assert_eq!(add(&mut train, 600, 2, to_one, &from).packets, 1, "longer");
        add(&mut train, 100, 3, to_one, &from);
        assert_eq!(
            add(&mut train, 600, 4, to_one, &from).packets,
            2,
            "behind a shorter one"
        );
        assert_eq!(
            add(&mut train, 600, 5, to_other, &from).packets,
            1,
            "to somebody else"
        );
        train.depart(&from);
        assert_eq!(received(&one, 4), [(500, 1), (600, 2), (100, 3), (600, 4)]);
        assert_eq!(received(&other, 1), [(600, 5)]);
    }

    #[test]
    fn what_the_kernel_refuses_has_a_named_drop() {
        let (from, _) = socket(6);
        let mut train = Train::new();
        // Nothing goes from a loopback address to the outside.
        for _ in 0..3 {
            add(&mut train, 100, 1, "203.0.113.1:9".parse().unwrap(), &from);
        }
        let sent = train.depart(&from);
        let refused = sent.refused.map_or(0, |(count, _)| count);
        assert_eq!((sent.packets, refused), (0, 3), "{sent:?}");
    }
}
