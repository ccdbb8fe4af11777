//! One member asks where another is, and gets what lets both talk: the facts, a ticket for the other and the same key for itself
//! (source document 001, figures 15 and 18).
//!
//! Both directions of a pair get the same shared key within an epoch, so it does not matter who asks or who begins.

use super::Manager;
use super::authentic::Denial;
use super::ids::{MemberId, Time};
use super::output::Answer;
use super::state::{Community, Member, Session, State};
use kith_protocol::authenticator::{Kind, TicketKey};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{Envelope, LocateRequest, Peer, Rule};
use kith_protocol::ticket::{KeyBody, PairEnd, TicketBody, pair_key, seal, seal_key};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Whom somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// By full name.
    Name(&'a str),
    /// By virtual address.
    Address(Ipv4Addr),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocateRefusal {
    /// The asker is not joined.
    #[error("who asks is not joined")]
    AskerNotJoined,
    /// There is no such name or address in the asker's community.
    #[error("there is no such member in this community")]
    Unknown,
    /// It is a member, but not joined.
    #[error("that member is not joined now")]
    NotJoined,
    /// No packet may pass between the two.
    #[error("a policy forbids any traffic between the two")]
    Denied,
}

impl Manager {
    /// Where a member is, for one that is joined, to be told at once: so who has joined just now and is not on disk yet has not joined.
    pub fn locate(&mut self, now: Time, asker: MemberId, target: Target<'_>) -> Result<Peer, LocateRefusal> {
        let found = self.find(asker, target);
        let found = found.and_then(|id| {
            let session = self.state.session(id).ok_or(LocateRefusal::NotJoined)?;
            let on_disk = self.outbox.is_on_disk(session.live.addressed);
            on_disk.then_some(id).ok_or(LocateRefusal::NotJoined)
        });
        self.answer_with(now, asker, found)
    }

    /// From now on each is told of the other's changes, until the ticket expires.
    fn answer_with(
        &mut self,
        now: Time,
        asker: MemberId,
        found: Result<MemberId, LocateRefusal>,
    ) -> Result<Peer, LocateRefusal> {
        let peer = match found {
            Ok(target) if target == asker => self.facts(asker).ok_or(LocateRefusal::AskerNotJoined),
            Ok(target) => self.introduce(now, asker, target).ok_or(LocateRefusal::NotJoined),
            Err(why) => Err(why),
        };
        let outcome = match &peer {
            Ok(_) => "found",
            Err(LocateRefusal::AskerNotJoined) => "asker_not_joined",
            Err(LocateRefusal::Unknown) => "unknown",
            Err(LocateRefusal::NotJoined) => "not_joined",
            Err(LocateRefusal::Denied) => "denied",
        };
        self.counts.add("lookup", outcome);
        peer
    }

    pub(super) fn located(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        let (id, request) = self.by_session::<LocateRequest>(now, from, Kind::Locate, envelope)?;
        let target = match request.fqdn.as_str() {
            "" => Target::Address(request.virtual_address.into()),
            name => Target::Name(name),
        };
        // The answer waits for the disk.
        let found = self.find(id, target);
        let peer = self.answer_with(now, id, found);
        peer.map(Answer::Locate).map_err(|why| {
            let code = match why {
                // Who asks must be able to tell whether it is itself that is not joined.
                LocateRefusal::AskerNotJoined => Code::NotJoined,
                LocateRefusal::Unknown | LocateRefusal::NotJoined => Code::UnknownName,
                LocateRefusal::Denied => Code::Denied,
            };
            Denial::refused(code, why.to_string())
        })
    }

    /// What the asker needs to talk to the target: none if one of them is not joined.
    pub(super) fn introduce(&mut self, now: Time, asker: MemberId, target: MemberId) -> Option<Peer> {
        let mut peer = self.facts(target)?;
        let (a, a_session) = joined(&self.state, asker)?;
        let (t, t_session) = joined(&self.state, target)?;
        let community = self
            .state
            .community(t.community)
            .filter(|_| a.community == t.community)?;
        let (a_token, t_token) = (a.token.as_ref()?, t.token.as_ref()?);
        let end = |id: MemberId, token_timestamp| PairEnd {
            id: id.0,
            token_timestamp,
        };
        let lifetime = ticket_lifetime(community, self.settings.times.ticket);
        let (issued_ms, expires_ms) = (now.0, now.plus(lifetime).0);
        let epoch = now.0 / lifetime;
        let ends = (end(asker, a_token.timestamp), end(target, t_token.timestamp));
        let shared_key = pair_key(&community.pair_secret, ends.0, ends.1, epoch);
        // Strictly growing, whatever the clock does.
        let sequence = (self.last_ticket + 1).max(now.0.saturating_mul(1000));
        let body = TicketBody {
            sequence,
            issued_ms,
            expires_ms,
            shared_key: shared_key.clone(),
            target_virtual: t_session.virtual_address,
            initiator_virtual: a_session.virtual_address,
            initiator_location: a_session.location.message(),
            initiator_private: a_session.local_address,
            initiator_subnet: 32,
            initiator: a.fqdn.to_string(),
            target: t.fqdn.to_string(),
        };
        let key = KeyBody {
            sequence,
            issued_ms,
            expires_ms,
            shared_key,
            peer_virtual: t_session.virtual_address,
            own_virtual: a_session.virtual_address,
        };
        let (for_target, for_asker) = (TicketKey::of(&t_token.key), TicketKey::of(&a_token.key));
        let rng = &mut *self.entropy.0;
        peer.ticket = seal(&for_target, &body, &mut *rng).ok()?;
        peer.sealed_key = seal_key(&for_asker, &a.fqdn, &t.fqdn, &key, rng);
        self.last_ticket = sequence;
        self.relate(now, asker, target, Time(expires_ms));
        Some(peer)
    }

    fn find(&self, asker: MemberId, target: Target<'_>) -> Result<MemberId, LocateRefusal> {
        let (member, session) = joined(&self.state, asker).ok_or(LocateRefusal::AskerNotJoined)?;
        let community = self
            .state
            .community(member.community)
            .ok_or(LocateRefusal::Unknown)?;
        let found = match target {
            Target::Name(name) => self.state.id_named(name),
            Target::Address(address) => community.owner_of(address),
        };
        let other = found.and_then(|id| self.state.member(id));
        let other = other
            .filter(|other| other.community == member.community)
            .ok_or(LocateRefusal::Unknown)?;
        let address = other.session().ok_or(LocateRefusal::NotJoined)?.virtual_address;
        let own = session.virtual_address;
        let rules = self.policy_of(asker).rules;
        if other.id == asker || may_pass(&rules, own, address) || may_pass(&rules, address, own) {
            Ok(other.id)
        } else {
            Err(LocateRefusal::Denied)
        }
    }

    /// Figure 15's facts, without a ticket.
    fn facts(&self, id: MemberId) -> Option<Peer> {
        let (member, session) = joined(&self.state, id)?;
        Some(Peer {
            fqdn: member.fqdn.to_string(),
            virtual_address: session.virtual_address.into(),
            location: Some(session.location.message()),
            joined_at_ms: session.joined_ms,
            program: session.program.to_string(),
            netbios_name: session.netbios_name.as_deref().unwrap_or_default().to_owned(),
            ticket: Vec::new(),
            sealed_key: Vec::new(),
        })
    }

    fn relate(&mut self, now: Time, a: MemberId, b: MemberId, until: Time) {
        for (one, other) in [(a, b), (b, a)] {
            self.state
                .live_mut(one)
                .into_iter()
                .for_each(|live| live.relations.note(other, now, until));
        }
    }
}

fn joined(state: &State, id: MemberId) -> Option<(&Member, &Session)> {
    let member = state.member(id)?;
    Some((member, member.session()?))
}

/// In milliseconds.
fn ticket_lifetime(community: &Community, usual: u64) -> u64 {
    match community.ticket_lifetime_s {
        0 => usual.max(1),
        seconds => u64::from(seconds) * 1000,
    }
}

/// Do the rules let any packet from one address to the other pass?
fn may_pass(rules: &[Rule], from: Ipv4Addr, to: Ipv4Addr) -> bool {
    let about = |rule: &&Rule| {
        let source = (u32::from(from) ^ rule.source) & rule.source_mask == 0;
        source && (u32::from(to) ^ rule.destination) & rule.destination_mask == 0
    };
    let all = |rule: &Rule| (rule.protocol, rule.source_port, rule.destination_port) == (0, 0, 0);
    let mut rules = rules.iter().filter(about);
    // A rule that allows some, or one that denies all, whichever comes first.
    rules
        .find(|rule| rule.allow || all(rule))
        .is_some_and(|rule| rule.allow)
}
