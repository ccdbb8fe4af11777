//! What a dataplane has when a connection to it begins, and what it should have.
//!
//! ```text
//!  associations there ─┬─ ours, of this process ──► stay
//!                      ├─ of a pair of ours ──────► stay until there are keys of our own: packets go on
//!                      └─ nobody's ───────────────► go
//!  entries there ─────────► made what they should be, by the difference
//!  ours that are not there ► gone for good: other keys are agreed on
//! ```

use super::core::{Core, Found, by_key, inbound, outbound};
use super::pairs::{Left, Pool};
use super::{core::Output, tables};
use crate::keying::{Event, KeyAgreement, Moment};
use kith_esp::Spi;
use kith_p4runtime::association::{AssociationKey, AssociationState, Direction};
use kith_p4runtime::entry::{Entry, Key, MemberAction};
use kith_p4runtime::update::Update;
use kith_pipeline::host::tables::MemberIndex;
use kith_pipeline::units::SaIndex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;

impl Core {
    /// We are its controller now, and this is what it has.
    pub(super) fn connected(&mut self, now: Moment, found: Found) {
        self.own = Some(found.address);
        let states = by_key(found.associations);
        let mut lost = Vec::new();
        let sealing = sealed_with(&found.entries);
        for (d, device) in self.devices.iter_mut().enumerate() {
            for (p, pair) in device.pairs.iter_mut().enumerate() {
                let member = self.config.members[pair.member].address;
                let is_there = |direction, index, spi: Spi| {
                    let state = states.get(&AssociationKey { direction, index });
                    state.is_some_and(|state| state.spi == spi)
                };
                let had = pair.sealing.is_some() || !pair.opening.is_empty();
                pair.sealing = pair
                    .sealing
                    .take()
                    .filter(|sealing| is_there(Direction::Outbound, sealing.index, sealing.spi));
                pair.opening
                    .retain(|opening| is_there(Direction::Inbound, opening.index, opening.spi));
                pair.left = Left::default();
                if pair.sealing.is_none() {
                    let left = sealing.get(&(device.address, member)).copied();
                    pair.left.sealing = left.filter(|index| states.contains_key(&outbound(*index)));
                }
                if had && (pair.sealing.is_none() || pair.opening.is_empty()) || !self.begun {
                    lost.push((d, MemberIndex(p as u32)));
                }
            }
        }
        self.adopt(&found.entries, &states);
        self.put_right(&found.entries, &states);
        self.begun = true;
        for device in &mut self.devices {
            device.agreement.way_open(now);
        }
        for (device, pair) in lost {
            // What was agreed on is gone there, or was another process's: numbers never begin anew, so there must be others.
            self.devices[device].agreement.event(now, pair, Event::KeysNeeded);
        }
        self.settle(now);
    }

    /// Associations that an earlier process left stay as long as entries of ours name them; indices are free if nobody has them.
    fn adopt(&mut self, entries: &[Entry], states: &HashMap<AssociationKey, AssociationState>) {
        for entry in entries {
            let Entry::Association(key, open) = entry else {
                continue;
            };
            let there = states.get(&inbound(SaIndex(open.sa)));
            if there.is_none_or(|state| state.spi.get() != key.spi) {
                continue;
            }
            let device = self
                .devices
                .iter_mut()
                .find(|device| device.address == open.destination);
            let Some(device) = device else { continue };
            let members = &self.config.members;
            let pair = device
                .pairs
                .iter_mut()
                .find(|pair| members[pair.member].address == open.source);
            if let Some(pair) = pair
                && !pair.opening.iter().any(|opening| opening.spi.get() == key.spi)
            {
                pair.left.opening.push((key.spi, SaIndex(open.sa)));
            }
        }
        let taken = self.taken();
        let count = self.config.associations;
        self.outbound = Pool::new(count, |index| taken.contains(&outbound(index)));
        self.inbound = Pool::new(count, |index| taken.contains(&inbound(index)));
    }

    /// Associations that are ours, or were.
    fn taken(&self) -> HashSet<AssociationKey> {
        let pairs = self.devices.iter().flat_map(|device| &device.pairs);
        let each = pairs.flat_map(|pair| {
            let sealing = pair
                .sealing
                .as_ref()
                .map(|sealing| sealing.index)
                .or(pair.left.sealing);
            let opening = pair.opening.iter().map(|opening| opening.index);
            let left = pair.left.opening.iter().map(|(_, index)| *index);
            sealing
                .map(outbound)
                .into_iter()
                .chain(opening.chain(left).map(inbound))
        });
        each.collect()
    }

    /// Makes the tables what they should be, and takes away what nobody knows.
    fn put_right(&mut self, found: &[Entry], states: &HashMap<AssociationKey, AssociationState>) {
        let mut wanted = tables::fixed(&self.config, &self.devices);
        for device in &self.devices {
            for pair in &device.pairs {
                let sa = pair
                    .sealing
                    .as_ref()
                    .map(|sealing| sealing.index)
                    .or(pair.left.sealing);
                wanted.push(tables::tunnel(&self.config, device, pair, sa));
                let opening = pair
                    .opening
                    .iter()
                    .map(|opening| (opening.spi.get(), opening.index));
                for (spi, index) in opening.chain(pair.left.opening.iter().copied()) {
                    wanted.push(tables::opening(&self.config, device, pair, spi, index));
                }
            }
        }
        let found: BTreeMap<Key, Entry> = found.iter().map(|entry| (entry.key(), *entry)).collect();
        let wanted: BTreeMap<Key, Entry> = wanted.into_iter().map(|entry| (entry.key(), entry)).collect();
        let mut updates = vec![Update::Modify(tables::endpoint(&self.config).into())];
        let gone = found.keys().filter(|key| !wanted.contains_key(key));
        updates.extend(gone.map(|key| Update::Delete(*key)));
        for (key, entry) in wanted {
            match found.get(&key) {
                None => updates.push(Update::Insert(entry.into())),
                Some(there) if *there != entry => updates.push(Update::Modify(entry.into())),
                Some(_) => {}
            }
        }
        let taken = self.taken();
        let unknown = states.keys().filter(|key| !taken.contains(key));
        updates.extend(unknown.map(|key| Update::RemoveAssociation(*key)));
        self.outputs.push_back(Output::Write(updates));
    }
}

/// Which association each tunnel is sealed with: by device and member.
fn sealed_with(entries: &[Entry]) -> HashMap<(Ipv4Addr, Ipv4Addr), SaIndex> {
    let sealed = entries.iter().filter_map(|entry| match entry {
        Entry::Member(key, MemberAction::SealTo { sa, .. }) => {
            Some(((key.source, key.destination), SaIndex(*sa)))
        }
        _ => None,
    });
    sealed.collect()
}
