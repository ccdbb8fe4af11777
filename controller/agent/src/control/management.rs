//! What the control thread keeps and does for a manager beside orders: reports, and members whose time is over.

use super::Control;
use crate::clock;
use crate::keying::{KeyAgreement, Moment};
use crate::members::One;
use crate::orders::{Joined, Report};
use kith_esp::{Millis, Spi};
use kith_pipeline::host::tables::MemberIndex;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc::SyncSender;

/// So long before a member's secret expires it is reported, milliseconds; and again after [`EXPIRING_AGAIN`].
const EXPIRING: u64 = 600_000;
const EXPIRING_AGAIN: u64 = 60_000;
/// The manager is reported as heard no more often.
const HEARD_EVERY: u64 = 1_000;
/// Members are looked through this often.
const SWEEP_EVERY: u64 = 1_000;
/// Members without keys may be forgotten after so long, if places are scarce.
const IDLE: u64 = 60_000;
/// Keys of the manager's last channel are kept for so long.
const CHANNEL_OVERLAP: u64 = 30_000;

/// What there is with a manager only.
pub struct Management {
    reports: SyncSender<Report>,
    pub(super) joined: Option<Joined>,
    /// SPIs of the manager's packets, oldest first, and since when there is a newer one.
    pub(super) channel: VecDeque<(Spi, Option<Millis>)>,
    refusals: BTreeMap<&'static str, u64>,
    session_told: Option<Seen>,
    /// The manager was heard since that was last reported.
    heard: bool,
    heard_told: Option<Millis>,
    swept: Millis,
}

/// A session as last reported.
type Seen = (SocketAddrV4, Option<Ipv4Addr>, Option<SocketAddrV4>);

impl Management {
    /// With a client that takes reports.
    #[must_use]
    pub fn new(reports: SyncSender<Report>) -> Self {
        Self {
            reports,
            joined: None,
            channel: VecDeque::new(),
            refusals: BTreeMap::new(),
            session_told: None,
            heard: false,
            heard_told: None,
            swept: Millis(0),
        }
    }

    /// Milliseconds since 1970 by the manager's clock.
    pub(super) fn manager_ms(&self) -> u64 {
        let offset = self.joined.as_ref().map_or(0, |joined| joined.clock_offset_ms);
        (clock::wall_nanos() / 1_000_000).saturating_add_signed(offset)
    }

    /// False: there is no room, and nobody waits for any.
    pub(super) fn report(&self, report: Report) -> bool {
        self.reports.try_send(report).is_ok()
    }

    pub(super) fn refuse(&mut self, name: &'static str) {
        *self.refusals.entry(name).or_default() += 1;
    }

    /// Something authentic came from the manager.
    pub(super) fn manager_heard(&mut self) {
        self.heard = true;
    }

    fn report_heard(&mut self, now: Millis) {
        let due = self.heard && self.heard_told.is_none_or(|at| now.0 >= at.0 + HEARD_EVERY);
        if due && self.report(Report::ManagerHeard) {
            (self.heard, self.heard_told) = (false, Some(now));
        }
    }

    /// The next change of the session is reported, whatever was before.
    pub(super) fn forget_session(&mut self) {
        self.session_told = None;
    }
}

impl Control {
    pub(super) fn refusals(&self) -> BTreeMap<String, u64> {
        let refusals = self
            .thread
            .parts
            .management
            .iter()
            .flat_map(|management| &management.refusals);
        let refusals = refusals.map(|(name, count)| (*name, *count));
        refusals
            .chain(self.agreement.counters())
            .map(|(name, count)| (name.to_string(), count))
            .collect()
    }

    /// What is due from time to time.
    pub(super) fn manage(&mut self, now: Moment) {
        let Some(management) = &mut self.thread.parts.management else {
            return;
        };
        let seen = self
            .session
            .as_ref()
            .map(|session| (session.director(), session.pseudo(), session.observed()));
        if let Some((director, pseudo, observed)) = seen
            && management.session_told != seen
            && management.report(Report::Session {
                director,
                pseudo,
                observed,
            })
        {
            management.session_told = seen;
        }
        let millis = now.millis();
        management.report_heard(millis);
        if millis.0 >= management.swept.0 + SWEEP_EVERY {
            management.swept = millis;
            self.end_old_channels(millis);
            self.sweep(now);
        }
    }

    /// Packets go to an address of nobody we know.
    pub(super) fn need_peer(&mut self, address: Ipv4Addr) {
        let Some(management) = &self.thread.parts.management else {
            return;
        };
        let ours = |joined: &Joined| joined.networks.iter().any(|network| network.has_host(address));
        if management.joined.as_ref().is_some_and(ours) && self.thread.parts.members.find(address).is_none() {
            management.report(Report::NeedPeer(address));
        }
    }

    /// Somebody does not answer: the manager may know better where it is, and give a ticket.
    pub(super) fn doubt(&mut self, member: MemberIndex) {
        let one = self
            .thread
            .parts
            .members
            .get(member)
            .filter(|one| one.grant().is_some());
        if let (Some(one), Some(management)) = (one, &self.thread.parts.management) {
            management.report(Report::NeedPeer(one.address));
        }
    }

    fn end_old_channels(&mut self, now: Millis) {
        let Some(management) = &mut self.thread.parts.management else {
            return;
        };
        let channel = &mut management.channel;
        let over = |since: Option<Millis>| since.is_some_and(|at| now.0 >= at.0 + CHANNEL_OVERLAP);
        let ended = channel.iter().take_while(|(_, since)| over(*since)).count();
        let ended: Vec<Spi> = channel.drain(..ended).map(|(spi, _)| spi).collect();
        for spi in ended {
            self.tell_inbound(crate::datapath::shared::ToInbound::Remove(spi));
        }
    }

    /// Members whose secret is worth nothing any more go, and some that nobody needs if places are scarce.
    fn sweep(&mut self, moment: Moment) {
        let now = moment.millis();
        let Some(management) = &self.thread.parts.management else {
            return;
        };
        let manager_ms = management.manager_ms();
        let members = &self.thread.parts.members;
        let crowded = members.taken() > self.last.len() / 4 * 3;
        let (mut over, mut expiring) = (Vec::new(), Vec::new());
        for (index, one) in members.iter() {
            let Some(grant) = one.grant() else { continue };
            let view = self.agreement.view(index);
            let in_use = view.outbound.is_some() || view.inbound.is_some() || view.agreeing;
            let told = grant.told.is_some_and(|at| now.0 < at.0 + EXPIRING_AGAIN);
            if manager_ms >= grant.expires_ms {
                tracing::info!(peer = one.name, "its secret has expired");
                over.push(index);
            } else if crowded && !in_use && now.0 >= grant.since.0 + IDLE {
                over.push(index);
            } else if manager_ms + EXPIRING >= grant.expires_ms && in_use && !told {
                expiring.push((index, one.address));
            }
        }
        for (index, address) in expiring {
            let told = management.report(Report::Expiring(address)).then_some(now);
            if let Some(grant) = self.thread.parts.members.get_mut(index).and_then(One::grant_mut) {
                grant.told = told;
            }
        }
        self.forget(moment, &over);
    }
}
