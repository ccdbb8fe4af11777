//! Packets on their way out that one system call can carry: to one endpoint, of one length, the last perhaps shorter.

use super::slot::Slot;
use super::udp::{MOST_BYTES, MOST_PACKETS, Udp, refuses_segments};
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
    ) -> Result<Slot<'_>, DropReason> {
        let front = if fragment { FRONT_FRAGMENT } else { FRONT };
        let room = self.buffer.get_mut(self.used..).ok_or(DropReason::BufferRoom)?;
        fill(room.get_mut(front..front + len).ok_or(DropReason::BufferRoom)?)?;
        Ok(Slot::new(room, front, front + len))
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
