//! What the gateway says about its devices' tunnels, in the words of a member's own agent: for `kith tunnel`.

use super::core::{Core, Device};
use super::pairs::Pair;
use crate::keying::{Fresh, KeyAgreement, Moment, Whereabouts};
use crate::status::{KeyState, PeerStatus, Rekey, Status};
use crate::tunnel::Tunnel;
use kith_esp::{Millis, Spi};
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::host::virtual_mtu;

impl Core {
    /// A status for each device; packets and drops are the dataplane's to tell.
    pub(super) fn statuses(&self, now: Moment) -> Vec<Status> {
        let each = self.devices.iter().map(|device| Status {
            name: device.name.clone(),
            address: device.address,
            tun: format!("port {}", self.config.lan.0),
            mtu: virtual_mtu(self.config.path_mtu),
            uptime_ms: now.millis().0.saturating_sub(self.started.0),
            director: device.session.as_ref().map(|session| session.status(now)),
            peers: (0..)
                .map(MemberIndex)
                .zip(&device.pairs)
                .map(|(index, pair)| self.peer(now.millis(), device, index, pair))
                .collect(),
            drops: Default::default(),
            packets: Default::default(),
            refusals: Default::default(),
        });
        each.collect()
    }

    /// Replaces keys because an operator wants that.
    pub(super) fn rekey(&mut self, now: Moment, what: &Rekey) -> Result<(), String> {
        let members = &self.config.members;
        let is_meant = |device: &&mut Device| what.own.as_ref().is_none_or(|own| *own == device.name);
        for device in self.devices.iter_mut().filter(is_meant) {
            let named = |pair: &Pair| {
                let member = &members[pair.member];
                member.name == what.peer || member.address.to_string() == what.peer
            };
            if let Some(at) = device.pairs.iter().position(named) {
                let fresh = if what.ike { Fresh::Ike } else { Fresh::Pair };
                let begun = device.agreement.refresh(now, MemberIndex(at as u32), fresh);
                begun.map_err(|why| why.to_string())?;
                self.settle(now);
                return Ok(());
            }
        }
        Err(match &what.own {
            Some(own) => format!("no device {own} that speaks with {}", what.peer),
            None => format!("no device speaks with {}", what.peer),
        })
    }

    fn peer(&self, now: Millis, device: &Device, index: MemberIndex, pair: &Pair) -> PeerStatus {
        let member = &self.config.members[pair.member];
        let view = device.agreement.view(index);
        let since = |at: Millis| now.0.saturating_sub(at.0);
        let used = pair
            .sealing
            .as_ref()
            .map(super::pairs::Sealing::used)
            .unwrap_or_default();
        let (endpoint, pseudo) = match pair.there {
            Whereabouts::Public(at) => (at, None),
            Whereabouts::Director { director, pseudo } => (director, Some(pseudo)),
        };
        PeerStatus {
            name: member.name.clone(),
            address: member.address,
            endpoint,
            pseudo,
            keys: KeyState::of(&view),
            keys_age_ms: view.outbound.map(|(_, at)| since(at)),
            method: view.method,
            tunnel: view.tunnel.as_ref().map(|tunnel| Tunnel::of(now, tunnel, used)),
            spi_out: view.outbound.map(|(spi, _)| spi.get()),
            spi_in: view.inbound.map(Spi::get),
            agreements: view.agreements,
            rtt_ms: view.rtt_micros.map(|micros| micros as f64 / 1000.0),
            heard_ms: view.heard.map(since),
            path_mtu: self.config.path_mtu,
            tx_packets: pair.sealed.0,
            tx_bytes: pair.sealed.1,
            rx_packets: pair.opened.0,
            rx_bytes: pair.opened.1,
        }
    }
}
