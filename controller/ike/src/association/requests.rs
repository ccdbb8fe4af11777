//! What the peer asks for while the association is up (RFC 7296 sections 1.3, 1.4 and 2.25).

use super::child::{self, Agreement, Fate};
use super::context::Context;
use super::established::Established;
use super::followup::Unfinished;
use super::hello::{critical, error, note, noted};
use super::nat;
use super::tasks::{Pending, Task};
use crate::codec::{Delete, Exchange, IkeSpi, Notify, NotifyKind, Payload, Protocol};
use crate::event::{Down, Event};
use crate::suite::Plain;
use crate::units::{ChildId, Path};
use kith_esp::Spi;

impl Established {
    pub(super) fn request(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        (path, exchange): (Path, Exchange),
        plain: &Plain,
    ) -> Option<Down> {
        let Ok(payloads) = plain.payloads() else {
            // Section 2.21.3: authentic and yet nonsense.
            self.refuse(context, at, (path, exchange), NotifyKind::INVALID_SYNTAX);
            return None;
        };
        if let Some(kind) = critical(&payloads) {
            // Section 2.5.
            let said = [note(NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD, vec![kind])];
            self.reply(context, at, (path, exchange), &said);
            return None;
        }
        match exchange {
            Exchange::Informational => self.inform(context, at, path, &payloads),
            Exchange::CreateChildSa => {
                self.create(context, at, path, &payloads);
                None
            }
            Exchange::IkeFollowupKe => {
                self.followed_up(context, at, path, &payloads);
                None
            }
            _ => {
                self.refuse(context, at, (path, exchange), NotifyKind::INVALID_SYNTAX);
                None
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        to: (Path, Exchange),
        kind: NotifyKind,
    ) {
        self.reply(context, at, to, &[note(kind, Vec::new())]);
    }

    fn inform(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        path: Path,
        payloads: &[Payload],
    ) -> Option<Down> {
        let to = (path, Exchange::Informational);
        // RFC 4555 section 3.9: the peer allows no translator and there is one, so its addresses are not used.
        if self.mobike && nat::translated(payloads, path) {
            self.refuse(context, at, to, NotifyKind::UNEXPECTED_NAT_DETECTED);
            return None;
        }
        if payloads
            .iter()
            .any(|payload| matches!(payload, Payload::Delete(Delete::Ike)))
        {
            // Section 1.4.1: an empty answer, and the IKE SA is gone with it.
            self.reply(context, at, to, &[]);
            return self.sa_closed(context, at);
        }
        let (mut said, mut closed) = (Vec::new(), Vec::new());
        for payload in payloads {
            match payload {
                Payload::Delete(Delete::Esp(spis)) => {
                    closed.extend(spis.iter().filter_map(|spi| self.close_for_peer(*spi)));
                    self.note_closed(at, spis);
                }
                Payload::Notify(notify) => said.extend(self.notified(context, at, path, notify)),
                _ => {}
            }
        }
        let ours: Vec<u32> = closed.iter().filter_map(|(_, spi)| *spi).map(Spi::get).collect();
        if !ours.is_empty() {
            said.push(Payload::Delete(Delete::Esp(ours)));
        }
        self.reply(context, at, to, &said);
        for (id, _) in closed {
            self.retire_child(context, id);
        }
        // RFC 7296 section 2.21.2: the initiator says that our proof was not good; or, at once, that it could not read it.
        let early = [
            NotifyKind::INVALID_SYNTAX,
            NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD,
        ];
        let fatal = error(payloads).filter(|error| {
            error.kind == NotifyKind::AUTHENTICATION_FAILED || !self.confirmed && early.contains(&error.kind)
        });
        fatal.map(|error| Down::RefusedByPeer(error.kind))
    }

    /// The peer closes the pair that it receives on under this SPI: which of ours it is, and the SPI to answer with, unless we are closing it
    /// ourselves and have said so (section 2.25.1).
    fn close_for_peer(&self, spi: u32) -> Option<(ChildId, Option<Spi>)> {
        let child = self.children.iter().find(|child| child.outbound.get() == spi)?;
        match child.fate {
            Fate::Lingering(..) => None,
            Fate::Deleting(_) => Some((child.id, None)),
            Fate::Live | Fate::Redundant | Fate::Replaced(_) => Some((child.id, Some(child.inbound))),
        }
    }

    /// The peer may close a pair that it has already and that we do not know yet, because its answer is late.
    fn note_closed(&mut self, at: usize, spis: &[u32]) {
        let known = |spi: &&u32| self.children.iter().any(|child| child.outbound.get() == **spi);
        let unknown: Vec<u32> = spis.iter().filter(|spi| !known(spi)).copied().collect();
        if let Some(outstanding) = self.sas[at].window.outstanding_mut()
            && let Pending::Child(offer) = &mut outstanding.what
        {
            offer.closed.extend(unknown);
        }
    }

    fn notified(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        path: Path,
        notify: &Notify,
    ) -> Vec<Payload> {
        match notify.kind {
            NotifyKind::UPDATE_SA_ADDRESSES if self.mobike => {
                if path != self.path {
                    self.path = path;
                    context.tell(self.id, Event::Moved(path));
                }
                Vec::new()
            }
            // RFC 4555 section 3.8: whoever looks for translators is answered in kind.
            NotifyKind::NAT_DETECTION_SOURCE_IP if self.mobike => {
                let protection = &self.sas[at].protection;
                let spis = (protection.initiator, protection.responder);
                nat::notifications(context.config.nat, spis, path)
            }
            // RFC 4555 section 3.7: an echo shows that we are there. RFC 7296 section 3.10: without an SPI it names no protocol, whatever came.
            NotifyKind::COOKIE2 => vec![note(notify.kind, notify.data.clone())],
            NotifyKind::KITH_WHEREABOUTS if self.kith => {
                context.tell(self.id, Event::Whereabouts(notify.data.clone()));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The peer closed the IKE SA at this place.
    fn sa_closed(&mut self, context: &mut Context<'_>, at: usize) -> Option<Down> {
        let spi = self.sas[at].local_spi();
        if spi == self.current {
            let outstanding = self.sas[at].window.outstanding();
            let theirs = match outstanding.map(|outstanding| &outstanding.what) {
                Some(Pending::Rekey(offer)) => {
                    offer.collision.as_ref().and_then(|collision| collision.theirs)
                }
                // Section 2.25.2: both close it.
                Some(Pending::Close(why)) => return Some(why.clone()),
                _ => None,
            };
            // Section 2.8.2: the peer has rekeyed it and did not see that we were about to.
            let goes_on = |spi: &IkeSpi| {
                self.sas
                    .iter()
                    .any(|sa| sa.local_spi() == *spi && sa.ended.is_none())
            };
            let Some(theirs) = theirs.filter(goes_on) else {
                return Some(Down::ClosedByPeer);
            };
            self.current = theirs;
        }
        self.end_sa(context, at);
        None
    }

    fn create(&mut self, context: &mut Context<'_>, at: usize, path: Path, payloads: &[Payload]) {
        let to = (path, Exchange::CreateChildSa);
        let of_ike = payloads.iter().any(|payload| {
            matches!(payload, Payload::Sa(proposals) if proposals.iter().any(|one| one.protocol == Protocol::Ike))
        });
        if of_ike {
            return self.rekey_for_peer(context, at, to, payloads);
        }
        let here = self.sas[at].local_spi() == self.current && self.sas[at].ended.is_none();
        let busy = self.sas[at].window.outstanding().is_some_and(|outstanding| {
            matches!(
                outstanding.what,
                Pending::Rekey(_) | Pending::DeleteSa | Pending::Close(_)
            )
        });
        // Section 2.25.2: not while the IKE SA is being replaced or closed.
        if !here || busy {
            return self.refuse(context, at, to, NotifyKind::TEMPORARY_FAILURE);
        }
        let replaces = match noted(payloads, NotifyKind::REKEY_SA).map(|notify| self.rekeyed(at, notify)) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(error)) => return self.reply(context, at, to, &[Payload::Notify(error)]),
        };
        let terms = self.terms.clone();
        match child::respond(context, &terms.child, None, (payloads, replaces)) {
            Err(error) => self.reply(context, at, to, &[Payload::Notify(error)]),
            Ok((mut said, agreement)) if agreement.lacks().is_some() => {
                if let Some(old) = replaces {
                    self.meet_child(at, old, (None, agreement.lowest()));
                }
                said.push(self.keep_half(context, at, Unfinished::Child(Box::new(agreement))));
                self.reply(context, at, to, &said);
            }
            Ok((said, agreement)) => self.child_agreed(context, at, to, (said, agreement)),
        }
    }

    /// The peer has a pair by this answer.
    pub(super) fn child_agreed(
        &mut self,
        context: &mut Context<'_>,
        at: usize,
        to: (Path, Exchange),
        (said, agreement): (Vec<Payload>, Agreement),
    ) {
        let (replaces, lowest) = (agreement.replaces, agreement.lowest().to_vec());
        let (new, child) = agreement.make(context, &self.sas[at].keys);
        let id = child.id;
        // RFC 7296 section 2.8: open packets with it before the answer is sent; seal once the peer is known to have it.
        self.add_child(context, new, child, false);
        self.reply(context, at, to, &said);
        match replaces {
            Some(old) => self.replace(at, (old, id), &lowest),
            None => self.use_child(context, id),
        }
    }

    /// The pair that the peer wants replaced; it names it by the SPI that it receives on.
    fn rekeyed(&self, at: usize, notify: &Notify) -> Result<ChildId, Notify> {
        let temporary = || Err(Notify::new(NotifyKind::TEMPORARY_FAILURE, Vec::new()));
        let outstanding = self.sas[at].window.outstanding();
        let asked = match outstanding.map(|outstanding| &outstanding.what) {
            Some(Pending::Child(offer)) => Some(offer),
            _ => None,
        };
        let asking = asked.is_some();
        let spi = <[u8; 4]>::try_from(notify.spi.as_slice()).map(u32::from_be_bytes);
        let found = self
            .children
            .iter()
            .find(|child| spi.is_ok_and(|spi| child.outbound.get() == spi));
        match found.map(|child| (child.id, child.fate)) {
            // Ours has come so far that the peer saw it before it asked, or will soon.
            Some((id, Fate::Live))
                if asked.is_some_and(|offer| offer.followup.is_some() && offer.replaces == Some(id)) =>
            {
                temporary()
            }
            Some((id, Fate::Live)) => Ok(id),
            // Section 2.25.1: we are closing it; the peer will see why.
            Some((_, Fate::Redundant | Fate::Replaced(_) | Fate::Deleting(_))) => temporary(),
            // It may be the one that we asked for: the peer has it, and its answer is late.
            None if asking => temporary(),
            // Section 2.25: the SPI is given back as it came.
            Some((_, Fate::Lingering(..))) | None => Err(Notify {
                protocol: notify.protocol,
                spi: notify.spi.clone(),
                kind: NotifyKind::CHILD_SA_NOT_FOUND,
                data: Vec::new(),
            }),
        }
    }

    /// The peer replaced a pair. If we are about to do the same, nonces decide when our answer comes (section 2.8.1).
    fn replace(&mut self, at: usize, (old, new): (ChildId, ChildId), lowest: &[u8]) {
        if let Some(child) = self.children.iter_mut().find(|child| child.id == old) {
            child.fate = Fate::Replaced(new);
        }
        self.tasks.drop(&Task::RekeyChild(old));
        self.meet_child(at, old, (Some(new), lowest));
    }
}
