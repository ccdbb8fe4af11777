//! What each message does, once it is admitted: the rules of figure 21, one function per message type.

use super::Director;
use super::admission::Proof;
use super::cookie::{self, Cookie};
use super::outcome::{Action, Ended, Event, Output, Refusal, Verdict};
use super::sessions::{Session, SlotId};
use crate::Time;
use core::net::SocketAddrV4;
use core::num::NonZeroU32;
use core::time::Duration;
use kith_wire::control::{self, Control, FLAG_RESPONSE, FLAG_SENDER_ONLY, LEN, Status};
use kith_wire::ping::{Kind, Ping};
use kith_wire::shim::{self, DataType, PseudoIp, Shim};

/// Where the cookie is in a control message.
const COOKIE: core::ops::Range<usize> = shim::LEN + 20..shim::LEN + 20 + control::COOKIE_LEN;

/// One authenticated message, with all that its handling needs.
struct Asked {
    now: Time,
    from: SocketAddrV4,
    id: SlotId,
    message: Control,
    proof: Proof,
}

/// What an answer says beyond what it repeats.
struct Answer {
    status: Status,
    pseudo: u32,
    cookie: Cookie,
    lifetime_ms: u32,
    keep_alive_ms: u32,
}

impl Answer {
    fn bare(status: Status) -> Self {
        Self {
            status,
            pseudo: 0,
            cookie: cookie::NONE,
            lifetime_ms: 0,
            keep_alive_ms: 0,
        }
    }
}

impl Director {
    pub(super) fn judge(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        data: &mut [u8],
    ) -> Result<Action, Refusal> {
        let (shim, body) = Shim::parse(data).map_err(|_| Refusal::Malformed)?;
        match shim.data_type() {
            Some(DataType::AddressRequest | DataType::KeepAlive | DataType::Leave) => {
                // Not an answer of ours, thrown back at us.
                if shim.flags.get() & FLAG_RESPONSE != 0 {
                    return Err(Refusal::UnexpectedType);
                }
            }
            Some(DataType::Ping) => {
                let (ping, _) = Ping::parse(body).map_err(|_| Refusal::Malformed)?;
                if ping.kind() != Kind::Request {
                    return Err(Refusal::UnexpectedType);
                }
                if !self.admission.admit_ping(now, from) {
                    return Err(Refusal::RateLimited);
                }
                Ping::answer_in_place(data).map_err(|_| Refusal::Malformed)?;
                return Ok(Action::Ponged);
            }
            Some(_) => return Err(Refusal::UnexpectedType),
            None => return Err(Refusal::Malformed),
        }
        let for_us = shim.destination_director.get() == self.config.address.to_bits();
        let unproven = Control::parse(data).map_err(|_| Refusal::Malformed)?;
        if !for_us {
            return Err(Refusal::NotForUs);
        }
        let id = self.slots.find(unproven.key_id()).ok_or(Refusal::UnknownKey)?;
        let slot = self.slots.get_mut(id).ok_or(Refusal::UnknownKey)?;
        let offered: Cookie = data[COOKIE].try_into().map_err(|_| Refusal::Malformed)?;
        let admitted = self.admission.admit(now, from, slot, &offered, &self.cookies);
        let mut proof = admitted.ok_or(Refusal::RateLimited)?;
        let message = slot.key.open(unproven).ok_or(Refusal::BadAuthenticator)?;
        if proof == Proof::Unchecked {
            proof = match self.cookies.is_good(now, from, message.key_id, &offered) {
                true => Proof::Good,
                false => Proof::Bad,
            };
        }
        let asked = Asked {
            now,
            from,
            id,
            message,
            proof,
        };
        let (result, answer) = match message.data_type {
            DataType::AddressRequest => self.request(&asked),
            DataType::KeepAlive => self.keep_alive(&asked),
            DataType::Leave => self.leave(&asked),
            _ => return Err(Refusal::UnexpectedType),
        };
        if Verdict(result).is_answered() {
            data.copy_from_slice(&self.seal(&asked, &answer));
        }
        result
    }

    fn request(&mut self, asked: &Asked) -> (Result<Action, Refusal>, Answer) {
        let last = self.slots.get(asked.id).map_or(0, |slot| slot.counter);
        if let Some(refusal) = asked.unproven() {
            let mut answer = self.challenge(asked, Status::Challenge);
            // A member whose counter is behind (its clock was set back) learns from where to go on.
            answer.lifetime_ms = (last >> 32) as u32;
            answer.keep_alive_ms = last as u32;
            return (Err(refusal), answer);
        }
        if asked.message.counter <= last {
            return (Err(Refusal::StaleCounter), Answer::bare(Status::Ok));
        }
        let sender_only = asked.message.flags & FLAG_SENDER_ONLY != 0;
        let Some(slot) = self.slots.get_mut(asked.id) else {
            return (Err(Refusal::UnknownKey), Answer::bare(Status::Ok));
        };
        slot.counter = asked.message.counter;
        if let Some(session) = &mut slot.session {
            session.sender_only = sender_only;
            let moved = session.bound() != asked.from;
            self.rebind(asked);
            let action = if moved { Action::Moved } else { Action::Renewed };
            return (Ok(action), self.granted(asked.id));
        }
        let (community, reserved) = (slot.community, slot.reserved);
        let count = self.communities.entry(community).or_default();
        if *count >= self.config.max_sessions_per_community {
            return (Err(Refusal::CommunityFull), Answer::bare(Status::Full));
        }
        let index = match reserved {
            Some(pseudo) => self.config.pool.index(pseudo),
            None => self.pool.take(asked.now),
        };
        let Some((index, pseudo)) = index.and_then(|index| Some((index, self.config.pool.address(index)?)))
        else {
            if !self.exhausted {
                self.exhausted = true;
                self.outputs.push_back(Output::Event(Event::PoolExhausted));
            }
            return (Err(Refusal::Full), Answer::bare(Status::Full));
        };
        self.exhausted = false;
        *count += 1;
        let session = Session::new(pseudo, asked.from, sender_only, self.config.mtu, asked.now);
        self.slots.open(asked.id, index, session);
        self.publish(asked.id, true);
        self.outputs.push_back(Output::Event(Event::Opened {
            pseudo,
            key_id: asked.message.key_id,
            bound: asked.from,
        }));
        (Ok(Action::Opened), self.granted(asked.id))
    }

    fn keep_alive(&mut self, asked: &Asked) -> (Result<Action, Refusal>, Answer) {
        let bound = match self.named_session(asked) {
            Ok(bound) => bound,
            Err(refused) => return refused,
        };
        if bound != asked.from
            && let Some(refusal) = asked.unproven()
        {
            return (Err(refusal), self.challenge(asked, Status::Challenge));
        }
        if let Some(slot) = self.slots.get_mut(asked.id) {
            slot.counter = asked.message.counter;
        }
        if bound != asked.from {
            self.rebind(asked);
            return (Ok(Action::Moved), self.granted(asked.id));
        }
        self.slots.touch(asked.id, asked.now);
        (Ok(Action::Extended), self.granted(asked.id))
    }

    fn leave(&mut self, asked: &Asked) -> (Result<Action, Refusal>, Answer) {
        let bound = match self.named_session(asked) {
            Ok(bound) => bound,
            Err(refused) => return refused,
        };
        // Column 27: the address it came from must be the table's before the member's address is deleted.
        if bound != asked.from {
            return (Err(Refusal::WrongSource), Answer::bare(Status::WrongSource));
        }
        if let Some(slot) = self.slots.get_mut(asked.id) {
            slot.counter = asked.message.counter;
        }
        self.end(asked.now, asked.id, Ended::Left);
        (Ok(Action::Left), Answer::bare(Status::Ok))
    }

    /// Where the session that a keep-alive or leave is about is bound; or why there is no answer to that.
    fn named_session(&self, asked: &Asked) -> Result<SocketAddrV4, (Result<Action, Refusal>, Answer)> {
        let stale = || (Err(Refusal::StaleCounter), Answer::bare(Status::Ok));
        let slot = self.slots.get(asked.id).ok_or_else(stale)?;
        if asked.message.counter <= slot.counter {
            return Err(stale());
        }
        // A member that leaves before it heard of its pseudo address names none.
        let unnamed = asked.message.data_type == DataType::Leave && asked.message.pseudo == 0;
        match &slot.session {
            Some(session) if unnamed || session.pseudo.to_bits() == asked.message.pseudo => {
                Ok(session.bound())
            }
            _ => Err((Err(Refusal::NoSession), self.challenge(asked, Status::NoSession))),
        }
    }

    /// Moves a session to where the message came from, or notes that it is there.
    fn rebind(&mut self, asked: &Asked) {
        self.slots.touch(asked.id, asked.now);
        let Some(session) = self
            .slots
            .get_mut(asked.id)
            .and_then(|slot| slot.session.as_mut())
        else {
            return;
        };
        let (pseudo, from, to) = (session.pseudo, session.bound(), asked.from);
        if from != to {
            session.bind(to);
            // Another way there may have another MTU.
            session.mtu = self.config.mtu;
            self.forget_mtu(asked.id);
            self.outputs
                .push_back(Output::Event(Event::Moved { pseudo, from, to }));
        }
        self.publish(asked.id, true);
    }

    pub(super) fn hint(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        pseudo: PseudoIp,
        len: usize,
    ) -> Result<[u8; LEN], Refusal> {
        if len < LEN {
            return Err(Refusal::TooShort);
        }
        let index = self.config.pool.index(pseudo).ok_or(Refusal::NoSession)?;
        let id = self.slots.owner(index).ok_or(Refusal::NoSession)?;
        let slot = self.slots.get_mut(id).ok_or(Refusal::NoSession)?;
        let session = slot.session.as_mut().ok_or(Refusal::NoSession)?;
        if session.bound() == from {
            return Err(Refusal::AlreadyBound);
        }
        let millis = now.as_millis() as u32;
        let rested = session.hinted.is_none_or(|hinted| {
            let since = millis.wrapping_sub(hinted.get());
            Duration::from_millis(since.into()) >= self.config.limits.hint_interval
        });
        if !rested || !self.admission.admit_hint(now, from) {
            return Err(Refusal::RateLimited);
        }
        session.hinted = NonZeroU32::new(millis.max(1));
        let message = Control {
            data_type: DataType::KeepAlive,
            flags: 0,
            director: self.config.address.to_bits(),
            pseudo: pseudo.to_bits(),
            status: Status::Ok,
            key_id: slot.key_id,
            counter: slot.counter,
            cookie: cookie::NONE,
            lifetime_ms: 0,
            keep_alive_ms: 0,
            observed: (0, 0),
        };
        let asked = Asked {
            now,
            from,
            id,
            message,
            proof: Proof::Absent,
        };
        Ok(self.seal(&asked, &self.challenge(&asked, Status::Challenge)))
    }

    fn challenge(&self, asked: &Asked, status: Status) -> Answer {
        Answer {
            cookie: self.cookies.make(asked.now, asked.from, asked.message.key_id),
            ..Answer::bare(status)
        }
    }

    fn granted(&self, id: SlotId) -> Answer {
        let session = self.slots.get(id).and_then(|slot| slot.session.as_ref());
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Answer {
            pseudo: session.map_or(0, |session| session.pseudo.to_bits()),
            lifetime_ms: millis(self.config.lifetime),
            keep_alive_ms: millis(self.config.keep_alive),
            ..Answer::bare(Status::Ok)
        }
    }

    /// The answer's octets: as many as the request's.
    fn seal(&self, asked: &Asked, answer: &Answer) -> [u8; LEN] {
        let data_type = match asked.message.data_type {
            DataType::AddressRequest => DataType::AddressResponse,
            other => other,
        };
        let named = |pseudo| if pseudo == 0 { asked.message.pseudo } else { pseudo };
        let message = Control {
            data_type,
            flags: if data_type == DataType::AddressResponse {
                0
            } else {
                FLAG_RESPONSE
            },
            director: self.config.address.to_bits(),
            pseudo: named(answer.pseudo),
            status: answer.status,
            key_id: asked.message.key_id,
            counter: asked.message.counter,
            cookie: answer.cookie,
            lifetime_ms: answer.lifetime_ms,
            keep_alive_ms: answer.keep_alive_ms,
            observed: (asked.from.ip().to_bits(), asked.from.port()),
        };
        self.slots
            .get(asked.id)
            .map_or([0; LEN], |slot| slot.key.seal(&message))
    }
}

impl Asked {
    /// Why this source must be challenged; `None` if its cookie is good.
    fn unproven(&self) -> Option<Refusal> {
        match self.proof {
            Proof::Good => None,
            Proof::Absent => Some(Refusal::NoCookie),
            Proof::Bad | Proof::Unchecked => Some(Refusal::BadCookie),
        }
    }
}
