//! What the control thread says about everything, for the status socket.

use super::Control;
use crate::keying::{KeyAgreement, Moment, Whereabouts};
use crate::members::One;
use crate::status::{KeyState, Packets, PeerStatus, Status};
use kith_esp::Millis;
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::reason::{DropReason, PuntReason};
use std::collections::BTreeMap;

/// Where the counters of a place stood when its member came: packets and octets out, packets and octets in.
pub(super) type Base = [u64; 4];

impl Control {
    /// The counters of this place as they are.
    pub(super) fn counted(&self, member: MemberIndex) -> Base {
        let shared = &self.thread.shared;
        let ways = [&shared.outbound, &shared.inbound].map(|way| way.members.get(member.0 as usize));
        let [Some(out), Some(inward)] = ways else {
            return Base::default();
        };
        [
            out.packets.get(),
            out.bytes.get(),
            inward.packets.get(),
            inward.bytes.get(),
        ]
    }

    pub(super) fn status(&self, now: Moment) -> Status {
        let thread = &self.thread.parts;
        let peers = thread.members.iter().filter(|(_, one)| !one.is_manager());
        Status {
            name: thread.name.clone(),
            address: thread.members.own(),
            tun: thread.adapter.0.clone(),
            mtu: thread.adapter.1,
            uptime_ms: now.millis().0.saturating_sub(self.started.0),
            director: self.session.as_ref().map(|session| session.status(now)),
            peers: peers.map(|(index, one)| self.peer(now, index, one)).collect(),
            drops: self.drops(),
            packets: self.packets(),
            refusals: self.refusals(),
        }
    }

    fn peer(&self, now: Moment, index: MemberIndex, one: &One) -> PeerStatus {
        let view = self.agreement.view(index);
        let since = |at: Millis| now.millis().0.saturating_sub(at.0);
        let base = self.bases.get(index.0 as usize).copied().unwrap_or_default();
        let counted = self.counted(index);
        let [tx_packets, tx_bytes, rx_packets, rx_bytes] =
            std::array::from_fn(|at| counted[at].saturating_sub(base[at]));
        PeerStatus {
            name: one.name.clone(),
            address: one.address,
            endpoint: one.endpoint(),
            pseudo: match one.location() {
                Whereabouts::Director { pseudo, .. } => Some(pseudo),
                Whereabouts::Public(_) => None,
            },
            keys: match (view.outbound, view.agreeing) {
                (None, false) => KeyState::None,
                (None, true) => KeyState::Agreeing,
                (Some(_), false) => KeyState::Up,
                (Some(_), true) => KeyState::Rekeying,
            },
            keys_age_ms: view.outbound.map(|(_, at)| since(at)),
            method: view.method,
            suite: view.suite.map(|suite| suite.to_string()),
            spi_out: view.outbound.map(|(spi, _)| spi.get()),
            spi_in: view.inbound.map(kith_esp::Spi::get),
            agreements: view.agreements,
            rtt_ms: view.rtt_micros.map(|micros| micros as f64 / 1000.0),
            heard_ms: view.heard.map(since),
            path_mtu: one.path_mtu(),
            tx_packets,
            tx_bytes,
            rx_packets,
            rx_bytes,
        }
    }

    fn drops(&self) -> BTreeMap<String, u64> {
        let shared = &self.thread.shared;
        let both = |reason| {
            shared.outbound.counters.dropped(reason).get() + shared.inbound.counters.dropped(reason).get()
        };
        DropReason::ALL
            .iter()
            .map(|reason| (reason.name().to_string(), both(*reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn packets(&self) -> Packets {
        let (out, inward) = (&self.thread.shared.outbound, &self.thread.shared.inbound);
        Packets {
            tun_rx: out.counters.received.get(),
            tun_tx: inward.counters.transmitted.get(),
            udp_tx: out.counters.transmitted.get(),
            udp_rx: inward.counters.received.get(),
            dummies_tx: out.dummies.get(),
            dummies_rx: inward.dummies.get(),
            keying_rx: inward.keying.get(),
            keying_tx: self.keying_tx,
            control_rx: inward.counters.punted(PuntReason::Control).get(),
            control_tx: self.control_tx,
            waiting: out.waiting.get(),
            drops_out: out.counters.all_drops(),
            drops_in: inward.counters.all_drops(),
            tun_reads: out.tun_calls.get(),
            tun_writes: inward.tun_calls.get(),
            udp_sends: out.udp_calls.get(),
            udp_receives: inward.udp_calls.get(),
            udp_overflow: inward.overflow.get(),
        }
    }
}
