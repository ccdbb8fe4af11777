//! What IKE asks its host: who may come, with which secret, and under which names.

use crate::config::Cipher;
use crate::keying::door::Door;
use crate::keying::{Entropy, Moment, PairSecret, Spis, Whereabouts};
use kith_esp::Spi;
use kith_ike::auth::{OwnProof, PeerProof};
use kith_ike::codec::{Identity, Selector, Ticket};
use kith_ike::suite::{self, EspPreferences};
use kith_ike::{ChildTerms, Claim, Host, Mode, Path, Refused, Terms};
use kith_pipeline::host::decap::IKE_PORT;
use kith_pipeline::host::tables::MemberIndex;
use kith_protocol::ticket::TicketBody;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Strangers at most that have shown a good ticket and not proved yet that it is theirs.
const KNOCKING: usize = 512;

/// The answers.
pub(super) struct Doorkeeper {
    pub(super) own: Ipv4Addr,
    pub(super) name: String,
    pub(super) cipher: Cipher,
    pub(super) entropy: Entropy,
    pub(super) spis: Spis,
    pub(super) door: Door,
    pub(super) now: Moment,
    /// By virtual address.
    pub(super) members: HashMap<Ipv4Addr, Member>,
    /// Where strangers with a good ticket are answered, and until when.
    pub(super) knocking: HashMap<Ipv4Addr, (Whereabouts, u64)>,
    /// The ticket of who is proving itself right now.
    pub(super) admitted: Option<Box<TicketBody>>,
    pub(super) refusals: Vec<&'static str>,
}

/// Somebody we know.
pub(super) struct Member {
    pub(super) index: MemberIndex,
    pub(super) name: String,
    pub(super) secret: Arc<PairSecret>,
}

impl Doorkeeper {
    /// Who we are: our full name, or our virtual address while we have none.
    pub(super) fn identity(&self) -> Identity {
        identity(&self.name, self.own)
    }

    /// What we are to a member with which we share this secret.
    pub(super) fn terms(&self, peer: Ipv4Addr, secret: &[u8; 32]) -> Arc<Terms> {
        let ciphers = match self.cipher {
            Cipher::Aes256Gcm => [suite::Cipher::Aes256Gcm16, suite::Cipher::Aes128Gcm16],
            Cipher::Aes128Gcm => [suite::Cipher::Aes128Gcm16, suite::Cipher::Aes256Gcm16],
        };
        let secret = || secret.to_vec().into();
        Arc::new(Terms {
            own: self.identity(),
            proof: OwnProof::Psk(secret()),
            peer_proof: PeerProof::Psk(secret()),
            child: ChildTerms {
                suites: EspPreferences {
                    ciphers: ciphers.to_vec(),
                    esn: vec![true],
                    // The IKE SA is fresh enough: it is replaced every half hour.
                    groups: Vec::new(),
                    ..EspPreferences::default()
                },
                mode: Mode::Transport,
                local: vec![Selector::v4(self.own, self.own)],
                remote: vec![Selector::v4(peer, peer)],
            },
        })
    }

    pub(super) fn path(&self, peer: Ipv4Addr) -> Path {
        let at = |address: Ipv4Addr| SocketAddr::new(address.into(), IKE_PORT);
        Path {
            local: at(self.own),
            remote: at(peer),
        }
    }

    /// A stranger begins with this ticket: is it worth an answer, and where to? What is kept is bounded, and gone with the handshake.
    pub(super) fn knock(
        &mut self,
        source: Ipv4Addr,
        ticket: Option<&Ticket>,
        until: u64,
    ) -> Result<(), &'static str> {
        let ticket = ticket.ok_or("ticket_missing")?;
        let body = self.door.open(self.now, source, &ticket.sealed)?;
        let there = crate::keying::door::whereabouts(&body.initiator_location).ok_or("ticket_malformed")?;
        let now = self.now.millis().0;
        self.knocking.retain(|_, (_, until)| *until > now);
        if self.knocking.len() >= KNOCKING && !self.knocking.contains_key(&source) {
            return Err("introductions_full");
        }
        self.knocking.insert(source, (there, until));
        Ok(())
    }

    fn refuse(&mut self, name: &'static str) -> Refused {
        self.refusals.push(name);
        Refused::Ticket(name.into())
    }

    /// A ticket that is good and the claimant's own.
    fn theirs(
        &self,
        source: Ipv4Addr,
        claim: &Claim<'_>,
        ticket: &Ticket,
    ) -> Result<TicketBody, &'static str> {
        let body = self.door.open(self.now, source, &ticket.sealed)?;
        if !claim.peer.same(&Identity::Fqdn(body.initiator.clone())) {
            return Err("ticket_not_theirs");
        }
        Ok(body)
    }
}

impl Host for Doorkeeper {
    fn entropy(&mut self, out: &mut [u8]) {
        (self.entropy)(out);
    }

    fn take_spi(&mut self) -> Option<Spi> {
        self.spis.take(&mut self.entropy)
    }

    fn give_back_spi(&mut self, spi: Spi) {
        self.spis.give_back(spi);
    }

    /// Members may begin; of strangers [`Doorkeeper::knock`] has seen the ticket, because even a cookie needs to know where to.
    fn screen(&mut self, _: kith_ike::Moment, path: Path, ticket: Option<&Ticket>) -> Result<(), Refused> {
        let source = virtual_address(path).ok_or(Refused::Unknown)?;
        let knocks = ticket.is_some() && self.knocking.contains_key(&source);
        if knocks || self.members.contains_key(&source) {
            Ok(())
        } else {
            Err(Refused::Unknown)
        }
    }

    fn admit(&mut self, _: kith_ike::Moment, claim: &Claim<'_>) -> Result<Arc<Terms>, Refused> {
        let source = virtual_address(claim.path).ok_or(Refused::Unknown)?;
        if claim.wanted.is_some_and(|wanted| !wanted.same(&self.identity())) {
            return Err(Refused::NotUs);
        }
        // Who is written in a configuration needs no ticket, and gets nothing by one.
        let ticket = claim.ticket.filter(|_| self.door.is_managed());
        let opened = ticket.map(|ticket| self.theirs(source, claim, ticket));
        if let Some(member) = self.members.get(&source) {
            if !claim.peer.same(&identity(&member.name, source)) {
                return Err(Refused::Unknown);
            }
            let secret = member.secret.clone();
            return Ok(match opened {
                // Which secret it proves itself with, its ticket says.
                Some(Ok(body)) => {
                    let terms = self.terms(source, body.shared_key.expose());
                    self.admitted = Some(Box::new(body));
                    terms
                }
                // The secret that we have may be good all the same.
                Some(Err(name)) => {
                    self.refuse(name);
                    self.terms(source, secret.expose())
                }
                None => self.terms(source, secret.expose()),
            });
        }
        match opened.unwrap_or(Err("ticket_missing")) {
            Ok(body) => {
                let terms = self.terms(source, body.shared_key.expose());
                self.admitted = Some(Box::new(body));
                Ok(terms)
            }
            Err(name) => Err(self.refuse(name)),
        }
    }
}

/// Who a member is to IKE.
pub(super) fn identity(name: &str, address: Ipv4Addr) -> Identity {
    let is_name = !name.is_empty() && name.len() <= 255 && name.bytes().all(|octet| octet.is_ascii_graphic());
    if is_name {
        Identity::Fqdn(name.to_owned())
    } else {
        Identity::Ipv4(address)
    }
}

/// The other end of a path inside the tunnel.
pub(super) fn virtual_address(path: Path) -> Option<Ipv4Addr> {
    match path.remote.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
