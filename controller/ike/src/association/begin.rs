//! Exchanges of ours: what is to be done begins when it is due and nothing else of ours is under way on its IKE SA.

use super::child::{Fate, Offer};
use super::context::Context;
use super::established::{Established, IkeSa};
use super::hello::note;
use super::nat;
use super::rekey::IkeOffer;
use super::tasks::{Pending, Task};
use crate::codec::{Delete, Exchange, NotifyKind, Payload};
use crate::event::Down;
use crate::units::{ChildId, Path};

impl Established {
    pub(crate) fn add_task(&mut self, context: &mut Context<'_>, task: Task) {
        let asking = |sa: &IkeSa| {
            let outstanding = sa.window.outstanding();
            outstanding.is_some_and(
                |outstanding| matches!(&outstanding.what, Pending::Child(offer) if offer.replaces.is_none()),
            )
        };
        if task == Task::Create && self.sas.iter().any(asking) {
            return;
        }
        self.tasks.add(context.now.millis, task);
        self.work(context);
    }

    /// Where a task would run, if it can now.
    pub(super) fn room(&self, task: &Task) -> bool {
        let spi = match task {
            Task::DeleteSa(spi) => *spi,
            _ => self.current,
        };
        self.sas
            .iter()
            .filter(|sa| sa.local_spi() == spi && sa.ended.is_none() && sa.window.is_idle())
            .any(|sa| sa.half.as_ref().is_none_or(|half| half.lets(task)))
    }

    /// Begins what is due and has room.
    pub(super) fn work(&mut self, context: &mut Context<'_>) {
        loop {
            let mut tasks = std::mem::take(&mut self.tasks);
            let task = tasks.take(context.now.millis, |task| self.room(task));
            self.tasks = tasks;
            let Some(task) = task else { return };
            self.begin(context, task);
        }
    }

    fn begin(&mut self, context: &mut Context<'_>, task: Task) {
        let spi = match task {
            Task::DeleteSa(spi) => spi,
            _ => self.current,
        };
        let Some(at) = self.place(spi) else { return };
        let informational = Exchange::Informational;
        let begun = match task {
            Task::Probe => self.ask(context, at, (informational, &[]), Pending::Inform),
            Task::Announce => {
                let said = [note(
                    NotifyKind::KITH_WHEREABOUTS,
                    context.desk.announcement.clone(),
                )];
                self.ask(context, at, (informational, &said), Pending::Inform)
            }
            Task::Move(path) => self.begin_move(context, at, path),
            Task::Create if self.children.iter().any(|child| child.fate == Fate::Live) => Ok(()),
            Task::Create => self.begin_child(context, at, None),
            Task::RekeyChild(id) => match self.children.iter().find(|child| child.id == id) {
                Some(child) if child.fate == Fate::Live => self.begin_child(context, at, Some(id)),
                _ => Ok(()),
            },
            Task::RekeyIke => match IkeOffer::new(context, self.id) {
                Some(offer) => {
                    let said = offer.payloads();
                    self.ask(
                        context,
                        at,
                        (Exchange::CreateChildSa, &said),
                        Pending::Rekey(Box::new(offer)),
                    )
                }
                None => Ok(()),
            },
            Task::DeleteChild(id) => self.begin_delete(context, at, id),
            Task::Reject(spi) => {
                let said = [Payload::Delete(Delete::Esp(vec![spi.get()]))];
                self.ask(context, at, (informational, &said), Pending::Reject(spi))
            }
            Task::DeleteSa(_) => {
                let said = [Payload::Delete(Delete::Ike)];
                self.ask(context, at, (informational, &said), Pending::DeleteSa)
            }
            Task::Close(why) => self.begin_close(context, at, why),
            Task::Expire(old) if old == self.current => self.begin_close(context, at, Down::Expired),
            Task::Expire(_) => Ok(()),
        };
        if let Err(pending) = begun {
            self.undo(context, pending);
        }
    }

    fn begin_child(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        replaces: Option<ChildId>,
    ) -> Result<(), Pending> {
        let Some(spi) = context.host.take_spi() else {
            let task = replaces.map_or(Task::Create, Task::RekeyChild);
            self.tasks
                .add(context.now.after(context.config.timing.retry), task);
            return Ok(());
        };
        match Offer::later(context, spi, &self.terms.child, replaces) {
            Some(offer) => self.ask_for_child(context, at, offer),
            None => {
                context.host.give_back_spi(spi);
                Ok(())
            }
        }
    }

    pub(super) fn ask_for_child(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        offer: Offer,
    ) -> Result<(), Pending> {
        let old = offer
            .replaces
            .and_then(|id| self.children.iter().find(|child| child.id == id));
        let mut said = Vec::new();
        if let Some(old) = old {
            said.push(Offer::replacing(old.inbound));
        }
        said.extend(offer.payloads());
        self.ask(
            context,
            at,
            (Exchange::CreateChildSa, &said),
            Pending::Child(Box::new(offer)),
        )
    }

    fn begin_delete(&mut self, context: &mut Context<'_>, at: usize, id: ChildId) -> Result<(), Pending> {
        let Some(child) = self.children.iter_mut().find(|child| child.id == id) else {
            return Ok(());
        };
        let next = match child.fate {
            Fate::Live | Fate::Redundant => None,
            Fate::Replaced(next) => Some(next),
            Fate::Deleting(_) | Fate::Lingering(..) => return Ok(()),
        };
        child.fate = Fate::Deleting(next);
        let said = [Payload::Delete(Delete::Esp(vec![child.inbound.get()]))];
        self.ask(
            context,
            at,
            (Exchange::Informational, &said),
            Pending::DeleteChildren(vec![id]),
        )
    }

    fn begin_close(&mut self, context: &mut Context<'_>, at: usize, why: Down) -> Result<(), Pending> {
        let said = [Payload::Delete(Delete::Ike)];
        let to = (Exchange::Informational, &said[..]);
        self.ask(context, at, to, Pending::Close(why))
    }

    fn begin_move(&mut self, context: &mut Context<'_>, at: usize, path: Path) -> Result<(), Pending> {
        let sa = &self.sas[at];
        let spis = (sa.protection.initiator, sa.protection.responder);
        let mut said = vec![note(NotifyKind::UPDATE_SA_ADDRESSES, Vec::new())];
        said.extend(nat::notifications(context.config.nat, spis, path));
        self.ask(context, at, (Exchange::Informational, &said), Pending::Move(path))
    }
}
