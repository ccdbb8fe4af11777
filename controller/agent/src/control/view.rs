//! What the control thread says about everything, for the status socket.

use super::Control;
use crate::keying::{self, Fresh, KeyAgreement, Moment, Whereabouts};
use crate::members::One;
use crate::status::{KeyState, Packets, PeerStatus, Rekey, Status, Tunnel};
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
            keys: KeyState::of(&view),
            keys_age_ms: view.outbound.map(|(_, at)| since(at)),
            method: view.method,
            tunnel: view.tunnel.as_ref().map(|tunnel| self.tunnel(now, index, tunnel)),
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

    fn tunnel(&self, now: Moment, index: MemberIndex, tunnel: &keying::Tunnel) -> Tunnel {
        let sealed = self.sealed.get(index.0 as usize).copied().unwrap_or_default();
        let [packets, octets, ..] = self.counted(index);
        let (packets, octets) = (
            packets.saturating_sub(sealed[0]),
            octets.saturating_sub(sealed[1]),
        );
        // What is counted has shim and headers too; and each packet has two blocks more, and a begun one.
        Tunnel::of(now.millis(), tunnel, (packets, octets / 16 + 3 * packets))
    }

    /// Replaces keys because an operator wants that.
    pub(super) fn rekey(&mut self, now: Moment, what: &Rekey) -> Result<(), String> {
        let own = &self.thread.parts.name;
        if what.own.as_ref().is_some_and(|wanted| wanted != own) {
            return Err(format!("this is {own}"));
        }
        let members = self.thread.parts.members.iter();
        let mut named =
            members.filter(|(_, one)| one.name == what.peer || one.address.to_string() == what.peer);
        let index = named.next().map(|(index, _)| index);
        let index = index.ok_or_else(|| format!("{} is no member that we deal with", what.peer))?;
        let fresh = if what.ike { Fresh::Ike } else { Fresh::Pair };
        let begun = self.agreement.refresh(now, index, fresh);
        begun.map_err(|why| why.to_string())
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
