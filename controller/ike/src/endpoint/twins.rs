//! Two associations with one peer: which of them stays.
//!
//! ```text
//!  both ends began at once        the one that the end with the lower identity began stays; each end closes what it began
//!  the peer began anew and says   what there was is forgotten (INITIAL_CONTACT, RFC 7296 section 2.4)
//!  that it has no other
//! ```

use super::Endpoint;
use crate::association::{Association, Effect, Stage};
use crate::codec::Identity;
use crate::event::Down;
use crate::host::Host;
use crate::units::{AssociationId, Moment, Role};

impl<H: Host> Endpoint<H> {
    pub(super) fn with_peer(&self, peer: &Identity) -> Vec<AssociationId> {
        let same =
            |association: &Association| association.peer.as_ref().is_some_and(|theirs| theirs.same(peer));
        let all = self.associations.iter();
        all.filter(|(_, association)| same(association))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn start(&mut self, now: Moment, id: AssociationId) {
        self.with(now, id, |context, association| {
            if let Some(up) = association.up_mut() {
                up.start(context);
            }
            Effect::default()
        });
    }

    /// A peer came up with which there may be another association. Does this one stay?
    pub(super) fn one_of_two(&mut self, now: Moment, id: AssociationId, initial_contact: bool) -> bool {
        let Some(up) = self.associations.get(&id).and_then(Association::up) else {
            return false;
        };
        let mut stays = true;
        let (peer, own, role) = (up.peer.clone(), up.own().clone(), up.role);
        for other in self.with_peer(&peer) {
            let Some(association) = self.associations.get(&other).filter(|_| other != id) else {
                continue;
            };
            let (other_role, since) = (association.role(), association.up().map(|up| up.since));
            // A handshake takes no longer than that: who began one before the other was up could not know of it.
            let handshake = self.config.timing.handshake;
            let crossing = since.is_none_or(|since| now.millis < since + handshake);
            let restarted = role == Role::Responder && initial_contact && !crossing;
            if other_role != role && !restarted {
                // Both began at once: the one that the end with the lower identity began stays. Each end closes what it began.
                let lower = if own.body() < peer.body() {
                    Role::Initiator
                } else {
                    Role::Responder
                };
                let (goes, begun_by) = if role == lower {
                    (other, other_role)
                } else {
                    (id, role)
                };
                stays &= goes != id;
                if begun_by == Role::Initiator {
                    self.yield_to_other(now, goes);
                }
            } else if role == Role::Responder && initial_contact {
                // RFC 7296 section 2.4: the peer has forgotten the others.
                self.remove(now, other, Down::Replaced);
            }
        }
        if stays {
            self.desk.peers.insert(id, peer);
        }
        stays
    }

    /// Of two that began at once, ours goes. What the peer may be about to believe in is closed when it is up, and not before.
    pub(super) fn yield_to_other(&mut self, now: Moment, id: AssociationId) {
        self.with(now, id, |context, association| match &mut association.stage {
            Stage::Up(up) => {
                up.close(context);
                Effect::default()
            }
            Stage::Initiating(_) => association.down(context, Down::Closed),
            _ => Effect::default(),
        });
    }
}
