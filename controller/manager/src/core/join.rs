//! Join, phase two (source document 001, figure 13): a virtual address, keys for the channel inside the tunnel, the policy, a session.
//!
//! A member that joins again keeps its virtual address, unless that lies in a network which it is attached to now. The same request gets the
//! same answer until the run is heard inside the tunnel; a new run of the agent replaces the one before.

use super::Manager;
use super::authentic::{Denial, exactly, payload, word};
use super::directors::Offer;
use super::ids::{MemberId, RunId, Time};
use super::output::{Answer, ChannelOp, DropCause, Install, Output};
use super::state::{Community, Live, Location, Prefix, Session};
use kith_protocol::authenticator::{Kind, request_hash};
use kith_protocol::facts::{MAX_NETBIOS, MAX_PROGRAM};
use kith_protocol::join::{ChannelKeys, Exchange, join_secret};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{self, Envelope, JoinAck, JoinRequest};
use kith_protocol::share::KeyShare;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Between the two phases of a join.
pub(crate) struct Pending {
    pub(super) request_hash: [u8; 32],
    pub(super) member_seed: [u8; 32],
    pub(super) manager_seed: [u8; 32],
    pub(super) init_ms: u64,
    pub(super) until_ms: u64,
    pub(super) local: Ipv4Addr,
    pub(super) observed: Ipv4Addr,
    pub(super) run_id: RunId,
    pub(super) offer: Option<Offer>,
    pub(super) lans: Box<[Prefix]>,
}

/// A join as it was answered.
pub(crate) struct Answered {
    request_hash: [u8; 32],
    key_share: [u8; 32],
    /// Given again until then.
    pub(super) until_ms: u64,
    /// Of the answer; 0 before it was given.
    pub(super) revision: u64,
}

impl Pending {
    pub(super) fn behind_nat(&self) -> bool {
        self.local != self.observed
    }
}

impl Manager {
    pub(super) fn join(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        self.admit(now, from, envelope)?;
        let id = self.by_token(Kind::Join, envelope)?.id;
        let request: JoinRequest = payload(envelope)?;
        let hash = request_hash(Kind::Join, envelope);
        if let Some(again) = self.joined_before(now, id, hash) {
            return Ok(again);
        }
        let pending = self.state.member(id).and_then(|member| member.init.as_deref());
        let pending = pending.filter(|pending| is_of(&request, pending) && now.0 < pending.until_ms);
        let pending = pending.ok_or_else(|| {
            let reason = "the first phase of this join is too long ago, or was another; begin again";
            Denial::refused(Code::TooLate, reason)
        })?;
        let location = self.location(pending, &request)?;
        let facts = Facts::of(&request)?;

        let share = KeyShare::generate(&mut *self.entropy.0);
        let exchange = Exchange {
            member_seed: &pending.member_seed,
            manager_seed: &pending.manager_seed,
            fqdn: &envelope.fqdn,
            run_id: &pending.run_id.0,
        };
        let secret = join_secret(&share, &request.key_share, exchange).map_err(|_| DropCause::Abnormal)?;
        let lans = pending.lans.clone();
        let address = self.virtual_address(id, &lans)?;

        // From here on nothing can be refused any more.
        let pending = self.state.fleeting_mut(id).and_then(|member| member.init.take());
        let pending = pending.ok_or(DropCause::Abnormal)?;
        self.new_session(now, id, *pending, facts, location, address);
        self.install(id, secret.keys());
        let until_ms = now.plus(self.settings.times.join).0;
        self.look(id, Time(until_ms));
        if let Some(live) = self.state.live_mut(id) {
            live.answered = Some(Box::new(Answered {
                request_hash: hash,
                key_share: share.public(),
                until_ms,
                revision: 0,
            }));
        }
        self.join_ack(id, share.public(), 0)
            .ok_or_else(|| DropCause::Abnormal.into())
    }

    /// The hub has these keys for the member from now on.
    pub(super) fn install(&mut self, id: MemberId, keys: ChannelKeys) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let (Some(session), Some(community)) = (member.session(), self.state.community(member.community))
        else {
            return;
        };
        let install = Install {
            member: id,
            community: member.community,
            virtual_address: session.virtual_address,
            manager_address: community.manager_address,
            manager_spi: session.manager_spi,
            member_spi: session.member_spi,
            keys,
            run_id: session.run_id,
        };
        self.emit(Output::Channel(ChannelOp::Install(Box::new(install))));
    }

    /// An SPI that no member sends under.
    pub(super) fn new_spi(&mut self) -> u32 {
        loop {
            let spi = u32::from_be_bytes(self.random());
            // 0 to 255 are reserved (RFC 4303, section 2.1).
            if spi > 255 && !self.state.spi_taken(spi) {
                return spi;
            }
        }
    }

    fn joined_before(&self, now: Time, id: MemberId, hash: [u8; 32]) -> Option<Answer> {
        let member = self.state.member(id)?;
        let (session, community) = (member.session()?, self.state.community(member.community)?);
        let live = &session.live;
        let answered = live.answered.as_deref()?;
        // Who is to begin anew by now gets no answer of before. Nor does who has been told so, if its address is of a pool that is gone.
        let good = live.told != u64::MAX && is_given(community, session.virtual_address);
        let same = answered.request_hash == hash && now.0 < answered.until_ms && good;
        // What it should have been told since the first answer, it must still hear of.
        let revision = if live.told == answered.revision {
            answered.revision
        } else {
            live.told.saturating_sub(1)
        };
        same.then(|| self.join_ack(id, answered.key_share, revision))
            .flatten()
    }

    /// Keeps the address that the member has if it can, else finds one.
    fn virtual_address(&mut self, id: MemberId, lans: &[Prefix]) -> Result<Ipv4Addr, Denial> {
        let member = self.state.member(id).ok_or(DropCause::Unknown)?;
        let (index, reserved) = (member.community, member.address_reserved);
        let community = self.state.community(index).ok_or(DropCause::Unknown)?;
        if let Some(own) = member.virtual_address {
            let clash = lans.iter().find(|lan| lan.contains(own));
            match clash {
                None if is_given(community, own) => return Ok(own),
                Some(lan) if reserved => {
                    let reason = format!(
                        "its reserved address {own} lies in {lan}, a network of this device; ask the operator"
                    );
                    return Err(Denial::refused(Code::AddressesExhausted, reason));
                }
                _ => {}
            }
        }
        let pools = community.pools.len();
        self.state.free_address(index, lans).ok_or_else(|| {
            let reason = match lans.len() {
                0 => format!("none of the community's {pools} pools has a free address; ask the operator for another pool"),
                _ => "no virtual address is free outside the networks of this device; ask the operator for another pool".to_owned(),
            };
            Denial::refused(Code::AddressesExhausted, reason)
        })
    }

    fn new_session(
        &mut self,
        now: Time,
        id: MemberId,
        pending: Pending,
        facts: Facts,
        location: Location,
        address: Ipv4Addr,
    ) {
        let Some(member) = self.state.member(id) else {
            return;
        };
        let (community, fqdn, owned) = (member.community, member.fqdn.clone(), member.virtual_address);
        let confirmed = member.confirmed.is_some();
        let old = member.session().map(|old| {
            (
                old.run_id,
                old.joined_ms,
                old.location,
                old.virtual_address,
                old.director.clone(),
            )
        });
        let again = old.as_ref().filter(|(run_id, ..)| *run_id == pending.run_id);
        let joined_ms = again.map_or(now.0, |(_, joined_ms, ..)| *joined_ms);
        let changed = old.as_ref().is_some_and(|(run_id, _, was, had, _)| {
            (*run_id, *was, *had) != (pending.run_id, location, address)
        });
        if old.is_some() && again.is_none() {
            self.superseded(now, id);
        }
        let director = pending.offer.as_ref().map(|offer| offer.name.clone());
        if let Some(before) = old
            .as_ref()
            .and_then(|(.., before)| before.clone())
            .filter(|before| Some(before) != director.as_ref())
        {
            self.ungrant(id, &before);
        }
        if let Some(had) = old
            .as_ref()
            .map(|(.., had, _)| *had)
            .filter(|had| *had != address)
        {
            self.push_gone(now, id, had, member::peer_gone::Why::Left);
        }
        if owned != Some(address) {
            self.state.own_address(id, address);
        }
        if confirmed {
            // Who joins has its registration file.
            self.state
                .member_mut(id)
                .into_iter()
                .for_each(|member| member.confirmed = None);
        }
        let manager_spi = self.new_spi();
        let mut live = Live::new(now.0);
        if let Some(before) = self.state.live_mut(id) {
            live = std::mem::replace(before, live);
            live.heard_ms = now.0;
        }
        live.told = 0;
        let before = self.state.session(id).map(|session| session.virtual_address);
        if before != Some(address) {
            live.addressed = self.outbox.next();
        }
        self.state.put_session(
            id,
            Session {
                run_id: pending.run_id,
                joined_ms,
                virtual_address: address,
                local_address: facts.local,
                observed_address: pending.observed,
                location,
                director,
                behind_nat: pending.behind_nat(),
                group: facts.group,
                platform: facts.platform,
                program: facts.program,
                netbios_name: facts.netbios_name,
                member_spi: facts.spi,
                manager_spi,
                live,
            },
        );
        if again.is_none() {
            self.begin_accounting(now, id);
            self.event(now, "member.joined", community, &fqdn, address.to_string());
        }
        self.look(id, now.plus(self.settings.times.silence));
        self.own_policy(id);
        if owned != Some(address) {
            self.policies_changed(community);
        }
        if changed {
            self.push_peer(now, id);
        }
    }

    /// A revision of 0 stands for that of the change under way.
    fn join_ack(&self, id: MemberId, key_share: [u8; 32], revision: u64) -> Option<Answer> {
        let member = self.state.member(id)?;
        let (session, community) = (member.session()?, self.state.community(member.community)?);
        let mut networks = community.pools.clone();
        networks.sort_by_key(|pool| !pool.contains(session.virtual_address));
        let interval = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        Some(Answer::Join(Box::new(JoinAck {
            member_id: id.0,
            virtual_address: session.virtual_address.into(),
            networks: networks.into_iter().map(prefix).collect(),
            manager_virtual_address: community.manager_address.into(),
            manager_address: (*self.settings.tunnel.ip()).into(),
            manager_port: self.settings.tunnel.port().into(),
            manager_spi: session.manager_spi,
            key_share: key_share.to_vec(),
            joined_at_ms: session.joined_ms,
            manager_heartbeat_ms: interval(self.settings.times.manager_heartbeat),
            member_heartbeat_ms: interval(self.settings.times.member_heartbeat),
            policy: Some(self.policy_of(id)),
            managers: self.settings.managers.clone(),
            managers_version: self.settings.managers_version,
            revision,
        })))
    }
}

/// What a member says about itself when it joins.
struct Facts {
    local: Ipv4Addr,
    group: bool,
    spi: u32,
    platform: Box<str>,
    program: Box<str>,
    netbios_name: Option<Box<str>>,
}

impl Facts {
    fn of(request: &JoinRequest) -> Result<Self, Denial> {
        let printable =
            |text: &str, most| text.len() <= most && text.bytes().all(|octet| (32..127).contains(&octet));
        let named = printable(&request.program, MAX_PROGRAM) && printable(&request.netbios_name, MAX_NETBIOS);
        // 0 to 255 are reserved (RFC 4303, section 2.1).
        if !named || request.spi < 256 {
            return Err(DropCause::Abnormal.into());
        }
        Ok(Self {
            local: request.local_address.into(),
            group: request.group,
            spi: request.spi,
            platform: word(&request.platform)?.into(),
            program: request.program.as_str().into(),
            netbios_name: (!request.netbios_name.is_empty()).then(|| request.netbios_name.as_str().into()),
        })
    }
}

/// Is it an address that members have?
fn is_given(community: &Community, address: Ipv4Addr) -> bool {
    community.pools.iter().any(|pool| pool.contains(address)) && address != community.manager_address
}

fn is_of(request: &JoinRequest, pending: &Pending) -> bool {
    let Ok(seed) = exactly::<32>(&request.manager_seed) else {
        return false;
    };
    seed == pending.manager_seed
        && request.init_time_ms == pending.init_ms
        && request.run_id == pending.run_id.0
}

pub(super) fn prefix(pool: Prefix) -> member::Prefix {
    member::Prefix {
        address: pool.network().into(),
        length: pool.length().into(),
    }
}
