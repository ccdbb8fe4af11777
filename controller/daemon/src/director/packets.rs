//! What comes up: members' messages, pings, data from elsewhere, routers' words.

use super::envelope::{self, Envelope};
use super::{Core, MAX_HELD};
use crate::southbound::Request;
use kith_director::Time;
use kith_director::server::{Action, Verdict};
use kith_pipeline::packet::Packet;
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::Nanos;
use kith_wire::shim::{PseudoIp, Shim};

impl Core {
    pub(super) fn packet_in(&mut self, now: Time, port: u16, reason: u16, frame: Vec<u8>) {
        self.counts.packets_in += 1;
        if !self.decides() {
            self.counts.ignored += 1;
            return;
        }
        // Work whose result nobody could be told is not begun.
        if self.held.len() >= MAX_HELD {
            self.counts.overloaded += 1;
            return;
        }
        match PuntReason::ALL.get(usize::from(reason)) {
            Some(PuntReason::Control | PuntReason::Ping) => self.control(now, port, frame),
            Some(PuntReason::SourceMismatch) => self.source_mismatch(now, port, frame),
            Some(PuntReason::IcmpLocal) => self.icmp(now, &frame),
            _ => self.counts.ignored += 1,
        }
    }

    fn control(&mut self, now: Time, port: u16, frame: Vec<u8>) {
        let Some((envelope, mut packet)) = envelope::open(port, frame) else {
            self.counts.refused += 1;
            return;
        };
        let verdict = self.director.datagram(now, envelope.from, packet.bytes_mut());
        let touched = self.obey();
        if !verdict.is_answered() {
            self.counts.refused += 1;
            return;
        }
        let Verdict(result) = verdict;
        let named = match result {
            // A pong speaks of no session.
            Ok(Action::Ponged) => None,
            _ => Shim::parse(packet.bytes())
                .ok()
                .map(|(shim, _)| shim.destination_member.get())
                .filter(|&member| member != 0),
        };
        let proven = matches!(
            result,
            Ok(Action::Opened | Action::Renewed | Action::Moved | Action::Extended)
        );
        if let (true, Some(member)) = (proven, named) {
            self.paths.shown(member, &envelope);
        }
        // A member may leave without naming its session.
        let left = touched.filter(|_| result == Ok(Action::Left));
        match envelope::close(&envelope, packet) {
            Some(frame) => self.answer(now, named.or(left), port, frame),
            None => self.counts.refused += 1,
        }
    }

    /// A data packet whose sender is bound elsewhere: forged, or its NAT changed. It is gone; if a member sent it, it learns
    /// from the challenge that it must show itself.
    fn source_mismatch(&mut self, now: Time, port: u16, frame: Vec<u8>) {
        match self.challenge(now, port, frame) {
            Some(frame) => self.answer(now, None, port, frame),
            None => self.counts.refused += 1,
        }
    }

    fn challenge(&mut self, now: Time, port: u16, frame: Vec<u8>) -> Option<Vec<u8>> {
        let (envelope, mut packet): (Envelope, _) = envelope::open(port, frame)?;
        let (shim, _) = Shim::parse(packet.bytes()).ok()?;
        let pseudo = PseudoIp::new(shim.source_member.get())?;
        let len = packet.bytes().len();
        let challenge = self.director.rebound(now, envelope.from, pseudo, len);
        self.obey();
        let challenge = challenge.ok()?;
        // Never longer than what it answers.
        let excess = len.checked_sub(challenge.len())?;
        if !packet.shrink_back(excess) {
            return None;
        }
        packet.bytes_mut().copy_from_slice(&challenge);
        envelope::close(&envelope, packet)
    }

    fn icmp(&mut self, now: Time, frame: &[u8]) {
        let Some(told) = self.paths.told(frame) else {
            self.counts.refused += 1;
            return;
        };
        let believed = self.director.path_mtu(now, told.session, told.mtu);
        self.obey();
        if !believed {
            self.counts.refused += 1;
            return;
        }
        let at = Nanos(now.as_millis().saturating_mul(1_000_000));
        if let Some((port, frame)) = self.paths.report(at, &told, &self.mirror) {
            self.counts.reports += 1;
            self.requests.push_back(Request::PacketOut { port, frame });
        }
    }
}
