//! Join, phase one (source document 001, figures 13 and 21): is there a NAT, which director, and a seed of ours that phase two must know.
//!
//! Nothing is written: a manager that restarts between the phases answers phase two with "too late", and the member begins again.

use super::Manager;
use super::authentic::{Denial, exactly, payload, word};
use super::directors::Ask;
use super::ids::{MemberId, RunId, Time};
use super::join::Pending;
use super::output::{Answer, DropCause};
use super::state::Prefix;
use kith_protocol::authenticator::{Kind, request_hash};
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{Envelope, InitAck, InitRequest};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

impl Manager {
    pub(super) fn init(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        envelope: &Envelope,
    ) -> Result<Answer, Denial> {
        self.admit(now, from, envelope)?;
        let id = self.by_token(Kind::Init, envelope)?.id;
        // Nothing of other members is looked at below; what directors report of them is on no disk.
        self.outbox.own_alone();
        let request: InitRequest = payload(envelope)?;
        let (seed, run_id) = (exactly(&request.seed)?, RunId(exactly(&request.run_id)?));
        let hash = request_hash(Kind::Init, envelope);
        let lans = self.local_networks(&request)?;
        let site = word(&request.site)?;
        if let Some(again) = self.again_if_same(now, id, hash) {
            return Ok(again);
        }
        self.spend(now, id)?;

        let ask = Ask {
            local: Ipv4Addr::from(request.local_address),
            observed: *from.ip(),
            site,
            udp_blocked: request.udp_blocked,
        };
        let member = self.state.member(id).ok_or(DropCause::Unknown)?;
        let community = self.state.community(member.community).ok_or(DropCause::Unknown)?;
        let offer = self.choose_director(community, &ask);
        let offer = offer.map_err(|why| Denial::refused(Code::NoDirector, why))?;

        self.drop_init(id, offer.as_ref().map(|offer| &offer.name));
        if let Some(offer) = &offer {
            self.grant(id, &offer.name);
        }
        let pending = Pending {
            request_hash: hash,
            member_seed: seed,
            manager_seed: self.random(),
            init_ms: now.0,
            until_ms: now.plus(self.settings.times.join).0,
            local: ask.local,
            observed: ask.observed,
            run_id,
            offer,
            lans: lans.into(),
        };
        self.look(id, Time(pending.until_ms));
        let answer = self.init_ack(id, &pending);
        if let Some(member) = self.state.fleeting_mut(id) {
            member.init = Some(Box::new(pending));
        }
        Ok(answer)
    }

    /// Ends a join that is under way.
    pub(super) fn forget_init(&mut self, id: MemberId) {
        self.drop_init(id, None);
    }

    /// Ends a join that is under way; its grant at this director stays.
    fn drop_init(&mut self, id: MemberId, keep: Option<&Arc<str>>) {
        let Some(pending) = self.state.fleeting_mut(id).and_then(|member| member.init.take()) else {
            return;
        };
        let Some(offer) = pending.offer else { return };
        let in_use = self
            .state
            .session(id)
            .and_then(|session| session.director.as_ref());
        if in_use != Some(&offer.name) && keep != Some(&offer.name) {
            self.ungrant(id, &offer.name);
        }
    }

    /// The answer may have been lost: the same request gets the same again, as long as it is of worth.
    fn again_if_same(&self, now: Time, id: MemberId, hash: [u8; 32]) -> Option<Answer> {
        let pending = self.state.member(id)?.init.as_deref()?;
        let same = pending.request_hash == hash && now.0 < pending.until_ms;
        same.then(|| self.init_ack(id, pending))
    }

    fn init_ack(&self, id: MemberId, pending: &Pending) -> Answer {
        let director = pending
            .offer
            .as_ref()
            .and_then(|offer| self.director_message(id, offer));
        let timeout = Time(pending.until_ms).since(Time(pending.init_ms));
        Answer::Init(Box::new(InitAck {
            variants: 0,
            member_seed: pending.member_seed.to_vec(),
            manager_seed: pending.manager_seed.to_vec(),
            init_time_ms: pending.init_ms,
            timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX),
            observed_address: pending.observed.into(),
            behind_nat: pending.behind_nat(),
            director,
            tunnel_port: self.settings.member_port.into(),
        }))
    }

    fn local_networks(&self, request: &InitRequest) -> Result<Vec<Prefix>, Denial> {
        if request.local_networks.len() > self.settings.limits.local_networks {
            return Err(DropCause::Abnormal.into());
        }
        let networks = request.local_networks.iter();
        let networks = networks.map(|network| Prefix::around(network.address.into(), network.length));
        networks
            .collect::<Result<_, _>>()
            .map_err(|_| DropCause::Abnormal.into())
    }
}
