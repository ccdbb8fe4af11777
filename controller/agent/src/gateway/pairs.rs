//! What is kept of a device and a remote member: their associations, and packets that wait for one.

use crate::keying::{Activity, Whereabouts};
use kith_esp::{Millis, Spi};
use kith_p4runtime::association::{AssociationKey, AssociationState, Direction};
use kith_pipeline::units::{PortIndex, SaIndex};
use std::collections::{HashMap, VecDeque};

/// Packets that wait for keys with one member at most; the oldest go first.
const WAITING: usize = 32;

/// A device and a remote member.
pub(super) struct Pair {
    /// Which of the members.
    pub(super) member: usize,
    /// Where it is.
    pub(super) there: Whereabouts,
    pub(super) sealing: Option<Sealing>,
    /// The newest last.
    pub(super) opening: Vec<Opening>,
    /// What an earlier process left, in use until there is better.
    pub(super) left: Left,
    pub(super) waiting: VecDeque<(PortIndex, Vec<u8>)>,
    /// Which association was heard on last.
    heard: Option<Spi>,
    /// Packets and octets of all associations so far: sealed, and opened.
    pub(super) sealed: (u64, u64),
    pub(super) opened: (u64, u64),
}

/// What packets are sealed with.
pub(super) struct Sealing {
    pub(super) index: SaIndex,
    pub(super) spi: Spi,
    packets: u64,
    octets: u64,
    blocks: u64,
    /// When its successor was asked for.
    asked: Option<Millis>,
}

/// What packets are opened with.
pub(super) struct Opening {
    pub(super) index: SaIndex,
    pub(super) spi: Spi,
    packets: u64,
    octets: u64,
    dummies: u64,
}

/// Associations of which we have no keys any more.
#[derive(Default)]
pub(super) struct Left {
    pub(super) sealing: Option<SaIndex>,
    pub(super) opening: Vec<(u32, SaIndex)>,
    /// When to take them away; not before there are others.
    pub(super) until: Option<Millis>,
}

/// What the dataplane's counters say has happened.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) activity: Activity,
    /// The first packet on this association, or the first after others.
    pub(super) heard: Vec<Spi>,
    /// A soft limit is reached.
    pub(super) due: bool,
    /// A hard limit is reached: nothing is sealed any more.
    pub(super) over: bool,
}

/// A successor that did not come is asked for again after so long.
const AGAIN: u64 = 5_000;

impl Pair {
    pub(super) fn new(member: usize, there: Whereabouts) -> Self {
        Self {
            member,
            there,
            sealing: None,
            opening: Vec::new(),
            left: Left::default(),
            waiting: VecDeque::new(),
            heard: None,
            sealed: (0, 0),
            opened: (0, 0),
        }
    }

    /// A packet waits for keys. False: another one had to go for it.
    pub(super) fn wait(&mut self, port: PortIndex, frame: Vec<u8>) -> bool {
        let full = self.waiting.len() >= WAITING;
        if full {
            self.waiting.pop_front();
        }
        self.waiting.push_back((port, frame));
        !full
    }

    /// How far things are, compared with the last time.
    pub(super) fn compare(
        &mut self,
        now: Millis,
        states: &HashMap<AssociationKey, AssociationState>,
    ) -> Progress {
        let mut progress = Progress::default();
        let activity = &mut progress.activity;
        let state = |direction, index, spi| {
            let state = states.get(&AssociationKey { direction, index });
            state.filter(|state| state.spi == spi)
        };
        if let Some(sealing) = &mut self.sealing
            && let Some(state) = state(Direction::Outbound, sealing.index, sealing.spi)
        {
            activity.sent = state.packets > sealing.packets;
            activity.data_sent = activity.sent;
            self.sealed.0 += state.packets.saturating_sub(sealing.packets);
            self.sealed.1 += state.octets.saturating_sub(sealing.octets);
            (sealing.packets, sealing.octets, sealing.blocks) = (state.packets, state.octets, state.blocks);
            progress.over = state.hard;
            progress.due = state.soft && sealing.asked.is_none_or(|asked| now.0 >= asked.0 + AGAIN);
            if progress.due {
                sealing.asked = Some(now);
            }
        }
        for opening in &mut self.opening {
            let Some(state) = state(Direction::Inbound, opening.index, opening.spi) else {
                continue;
            };
            let packets = state.packets.saturating_sub(opening.packets);
            let dummies = state.dummies.saturating_sub(opening.dummies);
            self.opened.0 += packets;
            self.opened.1 += state.octets.saturating_sub(opening.octets);
            (opening.packets, opening.octets, opening.dummies) = (state.packets, state.octets, state.dummies);
            activity.heard |= packets > 0;
            activity.data_heard |= packets > dummies;
            if packets > 0 && self.heard != Some(opening.spi) {
                self.heard = Some(opening.spi);
                progress.heard.push(opening.spi);
            }
        }
        progress
    }
}

impl Sealing {
    /// Packets and blocks that it has sealed.
    pub(super) fn used(&self) -> (u64, u64) {
        (self.packets, self.blocks)
    }

    pub(super) fn new(index: SaIndex, spi: Spi) -> Self {
        Self {
            index,
            spi,
            packets: 0,
            octets: 0,
            blocks: 0,
            asked: None,
        }
    }
}

impl Opening {
    pub(super) fn new(index: SaIndex, spi: Spi) -> Self {
        Self {
            index,
            spi,
            packets: 0,
            octets: 0,
            dummies: 0,
        }
    }
}

/// Places for associations of one direction; reused as late as possible.
pub(super) struct Pool(VecDeque<u32>);

impl Pool {
    /// All below `count` that nobody has.
    pub(super) fn new(count: u32, taken: impl Fn(SaIndex) -> bool) -> Self {
        Self((0..count).filter(|index| !taken(SaIndex(*index))).collect())
    }

    pub(super) fn take(&mut self) -> Option<SaIndex> {
        self.0.pop_front().map(SaIndex)
    }

    pub(super) fn give_back(&mut self, index: SaIndex) {
        self.0.push_back(index.0);
    }
}
