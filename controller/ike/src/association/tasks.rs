//! Exchanges under way and exchanges to come.

use super::child::Offer;
use super::rekey::IkeOffer;
use crate::codec::IkeSpi;
use crate::event::Down;
use crate::suite::Ephemeral;
use crate::units::{ChildId, Path};
use kith_esp::Spi;

/// What an outstanding request of ours is about.
pub(crate) enum Pending {
    /// The additional key exchange of the handshake.
    Intermediate(Ephemeral),
    /// IKE_AUTH, with the first pair of ESP SAs.
    Auth(Box<Offer>),
    /// Whether the peer is alive, or something it is told.
    Inform,
    /// It is to find us on another path.
    Move(Path),
    /// A pair of ESP SAs, new or instead of another.
    Child(Box<Offer>),
    /// An IKE SA instead of this one.
    Rekey(Box<IkeOffer>),
    /// These pairs are closed.
    DeleteChildren(Vec<ChildId>),
    /// A pair that the peer made and that we did not take: it was to be received under this SPI.
    Reject(Spi),
    /// This IKE SA is closed, and another goes on.
    DeleteSa,
    /// All is over, for this reason.
    Close(Down),
}

/// Something to be begun when nothing else of ours is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    Probe,
    Announce,
    Move(Path),
    Create,
    RekeyChild(ChildId),
    RekeyIke,
    DeleteChild(ChildId),
    Reject(Spi),
    DeleteSa(IkeSpi),
    Close(Down),
    /// This IKE SA is about to be too old: all is over, unless another has taken its place.
    Expire(IkeSpi),
}

/// Tasks with the moments from which on they may begin, in the order in which they came.
#[derive(Default)]
pub(crate) struct Tasks(Vec<(u64, Task)>);

impl Tasks {
    /// Once is enough: a task that waits already keeps its earlier moment.
    pub(crate) fn add(&mut self, at: u64, task: Task) {
        match self.0.iter_mut().find(|(_, known)| *known == task) {
            Some((known, _)) => *known = (*known).min(at),
            None => self.0.push((at, task)),
        }
    }

    /// Before all others.
    pub(crate) fn put_first(&mut self, at: u64, task: Task) {
        self.drop(&task);
        self.0.insert(0, (at, task));
    }

    pub(crate) fn drop(&mut self, unwanted: &Task) {
        self.0.retain(|(_, task)| task != unwanted);
    }

    /// The first that may begin and for which there is room.
    pub(crate) fn take(&mut self, now: u64, room: impl Fn(&Task) -> bool) -> Option<Task> {
        let place = self.0.iter().position(|(at, task)| *at <= now && room(task))?;
        Some(self.0.remove(place).1)
    }

    pub(crate) fn deadline(&self, room: impl Fn(&Task) -> bool) -> Option<u64> {
        self.0
            .iter()
            .filter(|(_, task)| room(task))
            .map(|(at, _)| *at)
            .min()
    }

    pub(crate) fn has(&self, wanted: &Task) -> bool {
        self.0.iter().any(|(_, task)| task == wanted)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
