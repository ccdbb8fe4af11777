//! Security associations on their way to the worker that has them, and back.
//!
//! Problem: a worker neither makes room nor frees, yet associations come and go while it works; and whoever installs one must know
//! when packets can go under it. Idea: an order in a box, with the association in it. The worker exchanges what the order brings for
//! what is in its place, between two bursts, and sends the box back.
//!
//! ```text
//!  Keeper ──order { place, association }──► post ──► worker: exchange
//!         ◄─order { place, what was there }── post ◄──┘            dropped, and wiped, here
//! ```
//!
//! A worker that does not obey within a second is taken the order away from: either both know that it was obeyed, or both that it was not.

use crate::clock::Clock;
use kith_dpdk::{Receiver, Sender};
use kith_esp::{Inbound, Millis, Outbound};
use kith_p4runtime::association::{Association, AssociationKey, AssociationState, Direction};
use kith_p4runtime::target::{Associations, Installed, Ledger, UpdateError, Used};
use kith_pipeline::counters::AssociationCounters;
use kith_pipeline::gateway::{Gateway, owner};
use kith_pipeline::units::SaIndex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Orders to one worker, with their answers, that may be under way.
pub const ORDERS: u32 = 64;
/// Orders that a worker obeys between two bursts.
const AT_ONCE: usize = 8;
/// How long a worker may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at the answers.
const LOOK: Duration = Duration::from_micros(20);

const GIVEN: u8 = 0;
const OBEYED: u8 = 1;
const TAKEN_BACK: u8 = 2;

/// What is to be in a place from now on; once obeyed, what was there before.
pub struct Order {
    at: SaIndex,
    content: Content,
    state: Arc<AtomicU8>,
}

enum Content {
    Outbound(Option<Box<Outbound>>),
    Inbound(Option<Box<Inbound>>),
}

/// A worker's ends.
pub struct Desk {
    orders: Receiver<Order>,
    answers: Sender<Order>,
}

impl Desk {
    /// Orders come from here, answers go there; both have room for [`ORDERS`].
    #[must_use]
    pub fn new(orders: Receiver<Order>, answers: Sender<Order>) -> Self {
        Self { orders, answers }
    }

    /// Obeys some orders. To be called between bursts, before tables are looked at: an entry that names an association is published
    /// after the association was installed, and taken back before it is removed.
    #[inline]
    pub fn obey(&mut self, gateway: &mut Gateway) {
        for _ in 0..AT_ONCE {
            let Some(mut order) = self.orders.receive() else {
                return;
            };
            let state = &order.state;
            if state
                .compare_exchange(GIVEN, OBEYED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                order.exchange(gateway);
            }
            // There is room: the keeper lets no more be under way than fit. Were there none, the order would be dropped here.
            drop(self.answers.send(order));
        }
    }
}

impl Order {
    #[inline]
    fn exchange(&mut self, gateway: &mut Gateway) {
        let at = self.at;
        // Every place exists: the ledger knows how many there are.
        match &mut self.content {
            Content::Outbound(sa) => {
                *sa = match sa.take() {
                    Some(new) => gateway.install_outbound(at, new).ok().flatten(),
                    None => gateway.remove_outbound(at),
                }
            }
            Content::Inbound(sa) => {
                *sa = match sa.take() {
                    Some(new) => gateway.install_inbound(at, new).ok().flatten(),
                    None => gateway.remove_inbound(at),
                }
            }
        }
    }

    /// Did nothing go under what it brought back?
    fn is_unused(&self) -> bool {
        let packets = match &self.content {
            Content::Outbound(sa) => sa.as_ref().map(|sa| sa.usage().packets),
            Content::Inbound(sa) => sa.as_ref().map(|sa| sa.usage().packets),
        };
        packets == Some(0)
    }
}

/// The keeper's ends to one worker.
pub struct Line {
    orders: Sender<Order>,
    answers: Receiver<Order>,
    under_way: u32,
}

impl Line {
    /// Orders go there, answers come from here; both have room for [`ORDERS`].
    #[must_use]
    pub fn new(orders: Sender<Order>, answers: Receiver<Order>) -> Self {
        Self {
            orders,
            answers,
            under_way: 0,
        }
    }

    fn answer(&mut self) -> Option<Box<Order>> {
        let answer = self.answers.receive()?;
        self.under_way = self.under_way.saturating_sub(1);
        Some(answer)
    }

    /// Has an order obeyed. What comes back may be lost with a worker that dies in the middle.
    fn give(&mut self, at: SaIndex, content: Content) -> Result<Option<Box<Order>>, ()> {
        // Those that came too late for who gave them.
        while self.answer().is_some() {}
        if self.under_way >= ORDERS {
            return Err(());
        }
        let state = Arc::new(AtomicU8::new(GIVEN));
        let order = Order {
            at,
            content,
            state: state.clone(),
        };
        self.orders.send(Box::new(order)).map_err(drop)?;
        self.under_way += 1;
        let began = Instant::now();
        loop {
            while let Some(back) = self.answer() {
                if Arc::ptr_eq(&back.state, &state) {
                    return Ok(Some(back));
                }
            }
            if began.elapsed() > PATIENCE {
                let taken = state.compare_exchange(GIVEN, TAKEN_BACK, Ordering::AcqRel, Ordering::Acquire);
                if taken.is_ok() {
                    return Err(());
                }
                if began.elapsed() > 2 * PATIENCE {
                    return Ok(None);
                }
            }
            thread::sleep(LOOK);
        }
    }
}

/// Installs and removes security associations on behalf of controllers.
pub struct Keeper {
    ledger: Ledger,
    lines: Vec<Line>,
    seen: Arc<AssociationCounters>,
    clock: Clock,
}

impl Keeper {
    /// With a line to each worker, which count here.
    #[must_use]
    pub fn new(lines: Vec<Line>, seen: Arc<AssociationCounters>, clock: Clock) -> Self {
        let capacity = u32::try_from(seen.capacity()).unwrap_or(u32::MAX);
        Self {
            ledger: Ledger::new(capacity),
            lines,
            seen,
            clock,
        }
    }

    fn now(&self) -> Millis {
        Millis(self.clock.now().0 / 1_000_000)
    }

    fn owner(&self, at: SaIndex) -> u16 {
        owner(at, u16::try_from(self.lines.len()).unwrap_or(u16::MAX)).0
    }

    fn give(&mut self, key: AssociationKey, content: Content) -> Result<Option<Box<Order>>, UpdateError> {
        let worker = self.owner(key.index);
        let line = self.lines.get_mut(usize::from(worker));
        let given = line.ok_or(()).and_then(|line| line.give(key.index, content));
        given.map_err(|()| UpdateError::NotObeyed { key, worker })
    }

    fn take_out(&mut self, key: AssociationKey) -> Result<Option<Box<Order>>, UpdateError> {
        let nothing = match key.direction {
            Direction::Outbound => Content::Outbound(None),
            Direction::Inbound => Content::Inbound(None),
        };
        self.give(key, nothing)
    }

    fn state(&self, key: AssociationKey, installed: &Installed) -> AssociationState {
        let seen = match key.direction {
            Direction::Outbound => self.seen.outbound(key.index),
            Direction::Inbound => self.seen.inbound(key.index),
        };
        let used = seen.map_or(Used::default(), |seen| Used {
            packets: seen.packets.get(),
            octets: seen.octets.get(),
            blocks: seen.blocks.get(),
            dummies: seen.dummies.get(),
            worker: self.owner(key.index),
        });
        installed.state(key, used, self.now())
    }
}

impl Associations for Keeper {
    fn install(&mut self, association: &Association) -> Result<(), UpdateError> {
        self.ledger.check(association)?;
        let (spi, keys, limits, now) = (
            association.spi,
            association.keys(),
            association.limits,
            self.now(),
        );
        let content = match association.key.direction {
            Direction::Outbound => Content::Outbound(Some(Box::new(Outbound::new(spi, keys, limits, now)))),
            Direction::Inbound => Content::Inbound(Some(Box::new(Inbound::new(spi, keys, limits, now)))),
        };
        self.give(association.key, content)?;
        self.ledger.enter(association, now);
        Ok(())
    }

    fn remove(&mut self, key: AssociationKey) -> Result<(), UpdateError> {
        self.ledger.find(key)?;
        self.take_out(key)?;
        self.ledger.remove(key, false);
        Ok(())
    }

    fn take_back(&mut self, key: AssociationKey) {
        // A worker that does not obey keeps it, and the ledger says so.
        if let Ok(order) = self.take_out(key) {
            self.ledger
                .remove(key, order.is_some_and(|order| order.is_unused()));
        }
    }

    fn get(&self, key: AssociationKey) -> Option<AssociationState> {
        let found = self.ledger.find(key).ok()?;
        Some(self.state(key, found))
    }

    fn list(&self) -> Vec<AssociationState> {
        self.ledger.iter().map(|(key, it)| self.state(key, it)).collect()
    }
}
