//! The pairs of ESP SAs of an association: from agreed to forgotten.
//!
//! ```text
//!  Live ── replaced ──► Replaced ── closed by one of the ends ──► Lingering ──► forgotten
//!    └───── closed without another ───────────────────────────────────────────► forgotten
//! ```

use super::child::{Child, Fate};
use super::context::Context;
use super::established::Established;
use super::tasks::Task;
use crate::event::{Event, Forgotten, NewChild};
use crate::units::ChildId;
use kith_esp::Spi;

impl Established {
    /// The new pair opens packets from now on; if `send`, it seals them too.
    pub(super) fn add_child(&mut self, context: &mut Context<'_>, new: NewChild, child: Child, send: bool) {
        let id = child.id;
        self.children.push(child);
        context.tell(self.id, Event::Child(Box::new(new)));
        if send {
            self.use_child(context, id);
        }
    }

    /// Packets are sealed with it from now on.
    pub(super) fn use_child(&mut self, context: &mut Context<'_>, id: ChildId) {
        if let Some(child) = self.children.iter_mut().find(|child| child.id == id)
            && !child.sending
        {
            child.sending = true;
            context.tell(self.id, Event::Send(id));
        }
    }

    /// Its SPI names nothing any more.
    pub(super) fn forget_child(&mut self, context: &mut Context<'_>, id: ChildId, why: Forgotten) {
        let Some(place) = self.children.iter().position(|child| child.id == id) else {
            return;
        };
        let child = self.children.remove(place);
        // What was to take a pair's place is gone, and nothing is there instead: the old one is the one that there is.
        let without = matches!(child.fate, Fate::Live | Fate::Redundant | Fate::Deleting(None));
        for old in &mut self.children {
            if without && old.fate == Fate::Replaced(id) {
                old.fate = Fate::Live;
            }
        }
        if let Fate::Replaced(next) | Fate::Deleting(Some(next)) | Fate::Lingering(_, Some(next)) = child.fate
        {
            self.use_child(context, next);
        }
        self.tasks.drop(&Task::DeleteChild(id));
        self.tasks.drop(&Task::RekeyChild(id));
        context.host.give_back_spi(child.inbound);
        context.tell(self.id, Event::Forget(id, why));
    }

    /// It was closed by one of the ends: what is there instead is used, and late packets are still opened for a moment.
    pub(super) fn retire_child(&mut self, context: &mut Context<'_>, id: ChildId) {
        let until = context.now.after(context.config.timing.linger);
        let Some(child) = self.children.iter_mut().find(|child| child.id == id) else {
            return;
        };
        match child.fate {
            Fate::Replaced(next) | Fate::Deleting(Some(next)) => {
                child.fate = Fate::Lingering(until, Some(next));
                self.tasks.drop(&Task::DeleteChild(id));
                self.use_child(context, next);
            }
            Fate::Lingering(..) => {}
            Fate::Live | Fate::Redundant | Fate::Deleting(None) => {
                self.forget_child(context, id, Forgotten::Closed)
            }
        }
    }

    /// The peer has made a pair that we do not take. RFC 7296 section 1.3.1: it is told so by a Delete payload; until it knows, the SPI
    /// names that pair and no other.
    pub(super) fn reject(&mut self, context: &mut Context<'_>, spi: Spi) {
        self.rejected.push(spi);
        self.tasks.add(context.now.millis, Task::Reject(spi));
    }

    /// The peer knows.
    pub(super) fn release(&mut self, context: &mut Context<'_>, spi: Spi) {
        if let Some(place) = self.rejected.iter().position(|one| *one == spi) {
            self.rejected.swap_remove(place);
            context.host.give_back_spi(spi);
        }
    }

    /// The host heard something on the pair: the peer has it.
    pub(crate) fn heard_child(&mut self, context: &mut Context<'_>, id: ChildId) {
        self.heard = context.now.millis;
        self.use_child(context, id);
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = ChildId> + '_ {
        self.children.iter().map(|child| child.id)
    }
}
