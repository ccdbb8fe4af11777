//! In-memory ports: what goes in waits in a queue, what comes out is in one list, and between the two a packet is a slot.

use core::ffi::{c_int, c_void};
use core::ptr::NonNull;
use dpdk_sys::{
    rte_swx_pkt, rte_swx_port_in_ops, rte_swx_port_in_stats, rte_swx_port_out_ops, rte_swx_port_out_stats,
};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::VecDeque;

/// How a packet left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By this port.
    Port(u32),
    /// By the instruction `drop`.
    Dropped,
    /// It was sent to a port that does not exist.
    OutOfRange,
    /// The program took more headers from it than it had octets and did not put them back: nothing sensible is left.
    Garbled,
}

/// Where packets are while they are inside.
pub(super) struct Slots {
    memory: NonNull<u8>,
    layout: Layout,
    stride: usize,
    /// Octets before a frame that comes in, for headers that are added.
    headroom: usize,
    /// Octets of the largest frame.
    room: usize,
    /// Octets after it that `extract` may reach.
    tail: usize,
    free: Vec<u32>,
    tags: Vec<u64>,
}

impl Slots {
    pub(super) fn new(count: usize, headroom: usize, room: usize, tail: usize) -> Option<Self> {
        let stride = headroom
            .checked_add(room)?
            .checked_add(tail)?
            .checked_next_multiple_of(64)?;
        let layout = Layout::from_size_align(stride.checked_mul(count)?, 64).ok()?;
        if layout.size() == 0 || u32::try_from(count).is_err() || u32::try_from(stride).is_err() {
            return None;
        }
        // SAFETY: the layout has a size.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        let free = (0..count as u32).rev().collect();
        Some(Self {
            memory,
            layout,
            stride,
            headroom,
            room,
            tail,
            free,
            tags: vec![0; count],
        })
    }

    pub(super) fn count(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn largest(&self) -> usize {
        self.room
    }

    /// Puts the parts, together at most [`largest`](Self::largest) octets, into a free slot.
    pub(super) fn fill(&mut self, tag: u64, parts: &[&[u8]]) -> Option<Waiting> {
        let slot = self.free.pop()?;
        self.tags[slot as usize] = tag;
        let mut at = self.start(slot) + self.headroom;
        let first = at;
        for part in parts {
            // SAFETY: the caller keeps to the largest frame, so that all parts lie in this slot; nobody else has a reference to it.
            unsafe {
                self.memory
                    .add(at)
                    .copy_from_nonoverlapping(NonNull::from(*part).cast(), part.len())
            };
            at += part.len();
        }
        // SAFETY: behind the largest frame there are tail octets more.
        unsafe { self.memory.add(at).write_bytes(0, self.tail) };
        Some(Waiting {
            packet: self.memory.as_ptr().wrapping_add(self.start(slot)),
            offset: self.headroom as u32,
            length: (at - first) as u32,
            slot,
        })
    }

    /// The packet's tag and octets, if they lie in the slot; the slot is free afterwards.
    pub(super) fn leave<R>(&mut self, gone: &Departure, with: impl FnOnce(u64, Option<&[u8]>) -> R) -> R {
        let (offset, length) = (gone.offset as usize, gone.length as usize);
        let inside = offset.checked_add(length).is_some_and(|end| end <= self.stride);
        let octets = inside.then(|| {
            // SAFETY: all of the slot is initialised memory of ours, and no code but ours runs while it is borrowed.
            unsafe {
                core::slice::from_raw_parts(self.memory.as_ptr().add(self.start(gone.slot) + offset), length)
            }
        });
        let result = with(self.tags[gone.slot as usize], octets);
        self.free.push(gone.slot);
        result
    }

    fn start(&self, slot: u32) -> usize {
        slot as usize * self.stride
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and the pipeline that wrote here is gone (see pipeline::Handle).
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// A packet that has not been received yet.
pub(super) struct Waiting {
    packet: *mut u8,
    offset: u32,
    length: u32,
    slot: u32,
}

/// A packet that was sent.
pub(super) struct Departure {
    pub(super) port: u32,
    slot: u32,
    offset: u32,
    length: u32,
}

/// An input port.
#[derive(Default)]
pub(super) struct Input {
    pub(super) queue: VecDeque<Waiting>,
    received: u64,
    octets: u64,
    empty: u64,
}

/// An output port; all share one list.
pub(super) struct Output {
    pub(super) port: u32,
    pub(super) list: *mut Vec<Departure>,
    sent: u64,
    octets: u64,
}

impl Output {
    pub(super) fn new(port: u32, list: *mut Vec<Departure>) -> Self {
        let (sent, octets) = (0, 0);
        Self {
            port,
            list,
            sent,
            octets,
        }
    }
}

pub(super) fn input_ops() -> rte_swx_port_in_ops {
    rte_swx_port_in_ops {
        create: Some(create),
        free: Some(free),
        pkt_rx: Some(receive),
        stats_read: Some(input_stats),
    }
}

pub(super) fn output_ops() -> rte_swx_port_out_ops {
    rte_swx_port_out_ops {
        create: Some(create),
        free: Some(free),
        pkt_tx: Some(send),
        pkt_fast_clone_tx: Some(clone_nothing),
        pkt_clone_tx: Some(clone_nothing_either),
        flush: None,
        stats_read: Some(output_stats),
    }
}

/// The argument is the port.
unsafe extern "C" fn create(port: *mut c_void) -> *mut c_void {
    port
}

/// The port is freed by whoever made it.
unsafe extern "C" fn free(_port: *mut c_void) {}

unsafe extern "C" fn receive(port: *mut c_void, packet: *mut rte_swx_pkt) -> c_int {
    // SAFETY: port is an Input (see Builder::build) that nobody else touches while the pipeline runs.
    let port = unsafe { &mut *port.cast::<Input>() };
    let Some(waiting) = port.queue.pop_front() else {
        port.empty = port.empty.wrapping_add(1);
        return 0;
    };
    port.received = port.received.wrapping_add(1);
    port.octets = port.octets.wrapping_add(waiting.length.into());
    let filled = rte_swx_pkt {
        handle: waiting.slot as usize as *mut c_void,
        pkt: waiting.packet,
        offset: waiting.offset,
        length: waiting.length,
    };
    // SAFETY: packet is the thread's packet, to be written.
    unsafe { packet.write(filled) };
    1
}

unsafe extern "C" fn send(port: *mut c_void, packet: *mut rte_swx_pkt) {
    // SAFETY: port is an Output (see Builder::build) that nobody else touches while the pipeline runs; so is its list.
    let (port, packet) = unsafe { (&mut *port.cast::<Output>(), &*packet) };
    port.sent = port.sent.wrapping_add(1);
    port.octets = port.octets.wrapping_add(packet.length.into());
    // SAFETY: as above. A packet leaves once, so the list never grows beyond its capacity: one place for each slot.
    let list = unsafe { &mut *port.list };
    list.push(Departure {
        port: port.port,
        slot: packet.handle as usize as u32,
        offset: packet.offset,
        length: packet.length,
    });
}

/// Mirroring is refused by `instructions`: nobody calls this.
unsafe extern "C" fn clone_nothing(_port: *mut c_void, _packet: *mut rte_swx_pkt) {}

/// As above.
unsafe extern "C" fn clone_nothing_either(_port: *mut c_void, _packet: *mut rte_swx_pkt, _truncate: u32) {}

unsafe extern "C" fn input_stats(port: *mut c_void, stats: *mut rte_swx_port_in_stats) {
    // SAFETY: port is an Input, stats is to be written.
    unsafe {
        let port = &*port.cast::<Input>();
        stats.write(rte_swx_port_in_stats {
            n_pkts: port.received,
            n_bytes: port.octets,
            n_empty: port.empty,
        });
    }
}

unsafe extern "C" fn output_stats(port: *mut c_void, stats: *mut rte_swx_port_out_stats) {
    // SAFETY: port is an Output, stats is to be written.
    unsafe {
        let port = &*port.cast::<Output>();
        stats.write(rte_swx_port_out_stats {
            n_pkts: port.sent,
            n_bytes: port.octets,
            ..Default::default()
        });
    }
}
