//! From one association to the next: what is installed, and when what was there before goes.
//!
//! ```text
//!  opening: install, then the entry that names it ........... later: the entry goes, then the association
//!  sealing: install, then the entry changes over, then the association before it goes, then what waited is submitted again
//! ```

use super::core::{Core, Output, inbound, outbound};
use super::pairs::{Opening, Sealing};
use super::tables;
use crate::keying::{Moment, NewKeys};
use kith_esp::{Millis, Spi};
use kith_p4runtime::association::Association;
use kith_p4runtime::entry::{self, Key};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_p4runtime::update::Update;
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::units::SaIndex;

/// Associations of an earlier process go so long after there are others: packets may be under way.
const LINGER: u64 = 5_000;

impl Core {
    /// Packets under these keys can be opened before anybody seals with them.
    pub(super) fn open_with(&mut self, d: usize, of: MemberIndex, keys: NewKeys) {
        let Some(index) = self.inbound.take() else {
            return tracing::error!(
                device = self.devices[d].name,
                "no place for another association: raise associations"
            );
        };
        let spi = keys.spi;
        let Some(pair) = self.devices[d].pairs.get_mut(of.0 as usize) else {
            return self.inbound.give_back(index);
        };
        pair.opening.push(Opening::new(index, spi));
        let (device, pair) = self.at(d, of);
        let entry = tables::opening(&self.config, device, pair, spi.get(), index);
        let association = Association::new(inbound(index), spi, keys.keys, keys.limits);
        self.write([
            Update::InstallAssociation(association),
            Update::Insert(entry.into()),
        ]);
    }

    /// From the next burst on packets are sealed with this. The association before it goes when no entry names it any more.
    pub(super) fn seal_with(&mut self, now: Moment, d: usize, of: MemberIndex, keys: NewKeys) {
        let Some(index) = self.outbound.take() else {
            return tracing::error!(
                device = self.devices[d].name,
                "no place for another association: raise associations"
            );
        };
        let spi = keys.spi;
        let Some(pair) = self.devices[d].pairs.get_mut(of.0 as usize) else {
            return self.outbound.give_back(index);
        };
        let before = pair.sealing.replace(Sealing::new(index, spi));
        let before = before.map(|sealing| sealing.index).or(pair.left.sealing.take());
        if !pair.left.opening.is_empty() {
            pair.left.until = Some(Millis(now.millis().0 + LINGER));
        }
        let waiting = std::mem::take(&mut pair.waiting);
        let (device, pair) = self.at(d, of);
        let member = &self.config.members[pair.member].name;
        tracing::info!(device = device.name, member, %spi, "new keys");
        let entry = tables::tunnel(&self.config, device, pair, Some(index));
        let association = Association::new(outbound(index), spi, keys.keys, keys.limits);
        self.write([
            Update::InstallAssociation(association),
            Update::Modify(entry.into()),
        ]);
        if let Some(before) = before {
            self.write([Update::RemoveAssociation(outbound(before))]);
            self.outbound.give_back(before);
        }
        if self.own.is_some() {
            let again = waiting.into_iter().map(|(port, frame)| {
                Output::Packet(PacketOut {
                    egress_port: port,
                    mode: PacketOutMode::Submit,
                    frame,
                })
            });
            self.outputs.extend(again);
        }
    }

    pub(super) fn forget(&mut self, d: usize, spi: Spi) {
        for p in 0..self.devices[d].pairs.len() {
            let opening = &mut self.devices[d].pairs[p].opening;
            if let Some(at) = opening.iter().position(|opening| opening.spi == spi) {
                let opening = opening.remove(at);
                self.close(spi.get(), opening.index);
            }
        }
    }

    pub(super) fn close(&mut self, spi: u32, index: SaIndex) {
        self.write([
            Update::Delete(Key::Association(entry::AssociationKey { spi })),
            Update::RemoveAssociation(inbound(index)),
        ]);
        self.inbound.give_back(index);
    }

    /// Its numbers are used up, and there is no successor: packets come up and wait.
    pub(super) fn stop_sealing(&mut self, d: usize, p: usize) {
        let Some(sealing) = self.devices[d].pairs[p].sealing.take() else {
            return;
        };
        let (device, pair) = self.at(d, MemberIndex(p as u32));
        let entry = tables::tunnel(&self.config, device, pair, None);
        self.write([
            Update::Modify(entry.into()),
            Update::RemoveAssociation(outbound(sealing.index)),
        ]);
        self.outbound.give_back(sealing.index);
    }

    pub(super) fn clear_left(&mut self, d: usize, p: usize) {
        let left = std::mem::take(&mut self.devices[d].pairs[p].left);
        for (spi, index) in left.opening {
            self.close(spi, index);
        }
        // What is sealed with is taken away by its successor.
        self.devices[d].pairs[p].left.sealing = left.sealing;
    }
}
