//! Packets for the controller, and packets from it.
//!
//! ```text
//!  packet ► Slow::up ► host: queue to the P4Runtime primary ─┬─ taken:      consumed, or a copy of what was dropped already
//!                                                           ├─ full:       punt_queue_full
//!                                                           └─ nobody:     slow_path_refused, keys_missing
//! ```
//!
//! A packet goes up as it was received. Nothing here waits for a controller, and nothing is kept for one that is away: what
//! matters is sent again by whoever sent it.

use super::{Slow, Submitted};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::{DropReason, PuntReason};
use kith_pipeline::units::{Nanos, PortIndex};

/// A packet for the controller.
#[derive(Debug)]
pub struct PacketIn<P> {
    /// Where it came in.
    pub ingress: PortIndex,
    /// Why it goes up.
    pub reason: PuntReason,
    /// The whole frame.
    pub packet: P,
}

/// What became of a packet for the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// It is in the queue to the controller.
    Taken,
    /// The queue is full.
    Full,
    /// No controller is there.
    Nobody,
}

impl<P: Packet> Slow<P> {
    /// The controller is to have it.
    pub(super) fn hand_over(&mut self, ingress: PortIndex, reason: PuntReason, packet: P) {
        if is_drop(reason) {
            self.dropped(DropReason::SourceMismatch, 1);
        }
        self.up.push(PacketIn {
            ingress,
            reason,
            packet,
        });
    }

    /// What became of a packet of [`Slow::up`].
    pub fn handed_over(&self, reason: PuntReason, outcome: HandOver) {
        if outcome == HandOver::Taken {
            self.counts.packet_ins[reason as usize].add(1);
        }
        match outcome {
            _ if is_drop(reason) => {}
            HandOver::Taken => self.counts.consumed.add(1),
            HandOver::Full => self.dropped(DropReason::PuntQueueFull, 1),
            HandOver::Nobody if reason == PuntReason::KeysMissing => self.dropped(DropReason::KeysMissing, 1),
            HandOver::Nobody => self.refuse(),
        }
    }

    /// Does with a frame of the controller's, of a length that the port takes, what its mode says.
    pub fn packet_out(&mut self, now: Nanos, given: &PacketOut, make: &mut dyn FnMut() -> Option<P>) {
        let PacketOut {
            egress_port,
            mode,
            frame,
        } = given;
        self.obey(now);
        self.counts.originated.add(1);
        self.counts.packet_outs.add(1);
        let packet = make().and_then(|mut packet| packet.grow_back(frame.len()).then_some(packet));
        match packet {
            Some(mut packet) => {
                packet.bytes_mut().copy_from_slice(frame);
                match mode {
                    PacketOutMode::Send => self.send(*egress_port, packet),
                    PacketOutMode::Routed => self.route(now, packet, make),
                    PacketOutMode::Submit => self.submitted.push(Submitted {
                        ingress: *egress_port,
                        packet,
                        counted: false,
                    }),
                }
            }
            // No buffer is free: all are on their way out.
            None => self.dropped(DropReason::TransmitQueueFull, 1),
        }
    }
}

/// Is the packet itself gone, whatever the controller makes of the news? A sender whose session is bound elsewhere may be forged.
fn is_drop(reason: PuntReason) -> bool {
    reason == PuntReason::SourceMismatch
}
