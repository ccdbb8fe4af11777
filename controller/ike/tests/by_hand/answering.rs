//! The other way round: an endpoint begins, and what it hears is written by the test.
//!
//! ```text
//!  Endpoint (initiator) ──► requests, opened ──────► Answering (responder, keys of its own)
//!                       ◄── any payloads, sealed ──
//! ```
//!
//! It chooses and derives with the crate's `suite`, which has known answers of its own; what is written by hand is who says what, and when.
#![allow(dead_code, reason = "each test file uses its part of this")]

use super::SECRET;
use crate::world::{TestHost, World, identity, path, psk};
use kith_ike::auth::{IntAuth, OwnProof, signed_octets};
use kith_ike::codec::{
    Body, Exchange, Header, IkeSpi, KeyExchange, MessageId, Payload, Proposal, Selector, encode_chain,
    encode_clear, parse,
};
use kith_ike::suite::{
    self, Additional, ChosenEsp, EspPreferences, Group, IkeKeys, IkePreferences, Nonces, Opener, Plain,
    Sealer, Spis, choose_esp, choose_ike,
};
use kith_ike::*;
use std::collections::VecDeque;

pub const OUR_SPI: IkeSpi = IkeSpi(0x2222);

pub struct Answering {
    pub world: World,
    pub id: AssociationId,
    pub path: Path,
    /// What the endpoint sent and nobody looked at yet.
    pub inbox: VecDeque<Vec<u8>>,
    /// The last request of the endpoint.
    pub asked: Header,
    /// Of the next request of ours.
    pub next: u32,
    pub keys: Option<Keys>,
    pub int_auth: IntAuth,
}

/// Everything after IKE_SA_INIT.
pub struct Keys {
    pub spis: Spis,
    pub keys: IkeKeys,
    pub sealer: Sealer,
    pub opener: Opener,
    pub nonces: [Vec<u8>; 2],
    pub transcript: [Vec<u8>; 2],
    pub additional: Option<Group>,
}

pub fn nonce_of(payloads: &[Payload]) -> &[u8] {
    let nonce = payloads.iter().find_map(|payload| match payload {
        Payload::Nonce(nonce) => Some(nonce.as_slice()),
        _ => None,
    });
    nonce.expect("a nonce")
}

pub fn proposals_of(payloads: &[Payload]) -> &[Proposal] {
    let proposals = payloads.iter().find_map(|payload| match payload {
        Payload::Sa(proposals) => Some(proposals.as_slice()),
        _ => None,
    });
    proposals.expect("proposals")
}

pub fn share_of(payloads: &[Payload]) -> Option<&KeyExchange> {
    payloads.iter().find_map(|payload| match payload {
        Payload::KeyExchange(share) => Some(share),
        _ => None,
    })
}

pub fn selectors_of(payloads: &[Payload]) -> [Vec<Selector>; 2] {
    let mut found = [Vec::new(), Vec::new()];
    for payload in payloads {
        match payload {
            Payload::SelectorsInitiator(selectors) => found[0].clone_from(selectors),
            Payload::SelectorsResponder(selectors) => found[1].clone_from(selectors),
            _ => {}
        }
    }
    found
}

impl Answering {
    /// The endpoint has sent its first message.
    pub fn begin(config: Config, terms: Terms) -> Self {
        let world = World::with(3, [config.clone(), config], [terms, psk(1, SECRET)]);
        let connection = world.connection(0);
        let mut this = Self {
            world,
            id: AssociationId(0),
            path: path(0),
            inbox: VecDeque::new(),
            asked: super::first_header(),
            next: 0,
            keys: None,
            int_auth: IntAuth::default(),
        };
        let mut id = None;
        this.act(|endpoint, now| id = Some(endpoint.connect(now, connection)));
        this.id = id.unwrap();
        this
    }

    /// Something done to the endpoint.
    pub fn act(&mut self, act: impl FnOnce(&mut Endpoint<TestHost>, Moment)) {
        let now = self.world.moment();
        let end = &mut self.world.ends[0];
        act(&mut end.endpoint, now);
        while let Some(output) = end.endpoint.next_output() {
            match output {
                Output::Send { octets, path } => {
                    self.path = path;
                    self.inbox.push_back(octets);
                }
                Output::Event(id, event) => end.tell(now.millis, id, event),
            }
        }
    }

    pub fn wait(&mut self, millis: u64) {
        self.world.now += millis;
        self.act(|endpoint, now| endpoint.poll(now));
    }

    /// Octets for the endpoint, on its way back.
    pub fn hear(&mut self, octets: &[u8]) {
        let path = self.path;
        self.act(|endpoint, now| endpoint.datagram(now, path, octets));
    }

    pub fn take(&mut self) -> Vec<u8> {
        self.inbox.pop_front().expect("the endpoint has sent something")
    }

    /// The endpoint says nothing.
    pub fn silent(&self) -> bool {
        self.inbox.is_empty()
    }

    pub fn events(&self) -> Vec<&str> {
        self.world.ends[0].events.iter().map(String::as_str).collect()
    }

    pub fn down(&self) -> Option<&Down> {
        self.world.ends[0].downs.first().map(|(_, down)| down)
    }

    /// SPIs that the host has given out.
    pub fn taken(&self) -> usize {
        self.world.ends[0].endpoint.host().taken
    }

    /// The first request, in the clear: its octets and payloads.
    pub fn take_first(&mut self) -> (Vec<u8>, Vec<Payload>) {
        let octets = self.take();
        let datagram = parse(&octets).unwrap();
        assert_eq!(datagram.header.exchange, Exchange::IkeSaInit);
        self.asked = datagram.header;
        let Body::Clear(payloads) = datagram.body else {
            panic!("in the clear")
        };
        (octets, payloads)
    }

    /// An answer in the clear.
    pub fn clear(&self, responder: IkeSpi, said: &[Payload]) -> Vec<u8> {
        let header = Header {
            responder_spi: responder,
            from_initiator: false,
            response: true,
            ..self.asked
        };
        encode_clear(&header, said)
    }

    /// The answer to IKE_SA_INIT that an honest responder gives, changed; from here on both have keys if the endpoint takes it.
    pub fn answer_first(&mut self, more: &[Payload], change: impl Fn(&mut Vec<Payload>)) {
        let (asked, payloads) = self.take_first();
        let both = IkePreferences {
            additional: Additional::Offer,
            ..IkePreferences::default()
        };
        let share = share_of(&payloads).unwrap();
        let chosen = choose_ike(&both, proposals_of(&payloads), Some(share.group), None).unwrap();
        let group = Group::from_id(share.group).unwrap();
        let (public, shared) = suite::answer(group, &share.data, &mut |out| out.fill(9)).unwrap();
        let nonces = [nonce_of(&payloads).to_vec(), vec![6; 32]];
        let mut said = vec![
            Payload::Sa(vec![chosen.answer]),
            Payload::KeyExchange(KeyExchange {
                group: share.group,
                data: public,
            }),
            Payload::Nonce(nonces[1].clone()),
        ];
        said.extend_from_slice(more);
        change(&mut said);
        let answered = self.clear(OUR_SPI, &said);
        let spis = Spis {
            initiator: self.asked.initiator_spi,
            responder: OUR_SPI,
        };
        let both = Nonces {
            initiator: &nonces[0],
            responder: &nonces[1],
        };
        let keys = IkeKeys::first(chosen.suite.prf, chosen.suite.cipher, both, &shared, spis);
        self.keys = Some(Keys {
            spis,
            sealer: keys.sealer(false).unwrap(),
            opener: keys.opener(true).unwrap(),
            keys,
            nonces,
            transcript: [asked, answered.clone()],
            additional: chosen.suite.additional,
        });
        self.hear(&answered);
    }

    /// A spoiled answer to IKE_SA_INIT: nothing follows from it, and the request waits for the honest one.
    pub fn spoiled(&mut self, more: &[Payload], change: impl Fn(&mut Vec<Payload>)) {
        let first = self.inbox[0].clone();
        self.answer_first(more, change);
        assert!(self.silent() && self.down().is_none());
        self.keys = None;
        self.inbox.push_back(first);
    }

    /// A message of the endpoint, opened.
    pub fn opened(&mut self) -> (Header, Vec<Payload>) {
        let (header, plain) = self.opened_plain();
        (header, plain.payloads().unwrap())
    }

    fn opened_plain(&mut self) -> (Header, Plain) {
        let octets = self.take();
        let datagram = parse(&octets).unwrap();
        let Body::Sealed(sealed) = datagram.body else {
            panic!("sealed and whole")
        };
        let plain = self.keys.as_ref().unwrap().opener.open_plain(&sealed).unwrap();
        (datagram.header, plain)
    }

    /// The next request of the endpoint.
    pub fn request(&mut self, exchange: Exchange) -> Vec<Payload> {
        let (header, payloads) = self.opened();
        assert_eq!((header.exchange, header.response), (exchange, false));
        self.asked = header;
        payloads
    }

    pub fn seal(&mut self, header: &Header, said: &[Payload]) -> Vec<u8> {
        self.keys.as_mut().unwrap().sealer.seal(header, said).unwrap()
    }

    /// Answers the request that was looked at last.
    pub fn reply(&mut self, said: &[Payload]) {
        let header = Header {
            from_initiator: !self.asked.from_initiator,
            response: true,
            ..self.asked
        };
        let octets = self.seal(&header, said);
        self.hear(&octets);
    }

    /// A request of ours, and the payloads of its answer.
    pub fn ask(&mut self, exchange: Exchange, said: &[Payload]) -> Vec<Payload> {
        let header = Header {
            exchange,
            from_initiator: false,
            response: false,
            message_id: MessageId(self.next),
            ..self.asked
        };
        self.next += 1;
        let octets = self.seal(&header, said);
        self.hear(&octets);
        let (answer, payloads) = self.opened();
        assert!(answer.response && answer.message_id == header.message_id);
        payloads
    }

    /// IKE_INTERMEDIATE, answered as it should be.
    pub fn intermediate(&mut self) {
        let (header, plain) = self.opened_plain();
        assert_eq!(header.exchange, Exchange::IkeIntermediate);
        self.asked = header;
        let payloads = plain.payloads().unwrap();
        let share = share_of(&payloads).unwrap();
        let group = Group::from_id(share.group).unwrap();
        let (data, shared) = suite::answer(group, &share.data, &mut |out| out.fill(9)).unwrap();
        let said = [Payload::KeyExchange(KeyExchange {
            group: share.group,
            data,
        })];
        let (first, chain) = encode_chain(&said);
        let answer = Header {
            from_initiator: false,
            response: true,
            ..header
        };
        let keys = self.keys.as_mut().unwrap();
        let prf = keys.keys.prf();
        self.int_auth.absorb_received(&plain, prf, keys.keys.prove(true));
        self.int_auth
            .absorb(&answer, first, &chain, prf, keys.keys.prove(false));
        let octets = keys.sealer.seal(&answer, &said).unwrap();
        let nonces = Nonces {
            initiator: &keys.nonces[0],
            responder: &keys.nonces[1],
        };
        keys.keys = keys.keys.additional(&shared, nonces, keys.spis);
        keys.sealer = keys.keys.sealer(false).unwrap();
        keys.opener = keys.keys.opener(true).unwrap();
        self.hear(&octets);
    }

    /// ID and AUTH of an honest responder, for the request that was looked at last.
    pub fn proof(&self) -> Vec<Payload> {
        let keys = self.keys.as_ref().unwrap();
        let own = identity(1);
        let between = self.int_auth.finish(self.asked.message_id);
        let prf = keys.keys.prf();
        let octets = signed_octets(
            &keys.transcript[1],
            &keys.nonces[0],
            prf,
            keys.keys.prove(false),
            &own.body(),
            between.as_deref(),
        );
        let proof = OwnProof::Psk(SECRET.to_vec().into());
        let (method, data) = proof.prove(&octets, prf, &[]).unwrap();
        vec![Payload::IdResponder(own), Payload::Auth { method, data }]
    }

    /// What an honest responder chooses for a child, under this SPI.
    pub fn chosen(&self, asked: &[Payload], preferences: &EspPreferences, spi: u32) -> ChosenEsp {
        let sent = share_of(asked).map(|share| share.group);
        let spi = kith_esp::Spi::new(spi).unwrap();
        choose_esp(preferences, proposals_of(asked), sent, spi).unwrap()
    }

    /// SA and traffic selectors of an honest answer, in transport mode.
    pub fn child(&self, asked: &[Payload], spi: u32) -> Vec<Payload> {
        let chosen = self.chosen(asked, &EspPreferences::default().without_exchange(), spi);
        let [initiator, responder] = selectors_of(asked);
        vec![
            super::note(kith_ike::codec::NotifyKind::USE_TRANSPORT_MODE, &[]),
            Payload::Sa(vec![chosen.answer]),
            Payload::SelectorsInitiator(initiator),
            Payload::SelectorsResponder(responder),
        ]
    }

    /// Up, with a pair that the endpoint receives on under the first SPI and sends under the other.
    pub fn up(config: Config, terms: Terms) -> Self {
        let mut this = Self::begin(config, terms);
        this.answer_first(&[], |_| ());
        let asked = this.request(Exchange::IkeAuth);
        let mut said = this.proof();
        said.extend(this.child(&asked, 0x0abc_0001));
        this.reply(&said);
        assert_eq!(this.world.ends[0].up.len(), 1, "{:?}", this.events());
        assert_eq!(this.world.ends[0].spis.len(), 1, "{:?}", this.events());
        this
    }

    /// With what the world's ends agree on elsewhere.
    pub fn plain() -> Self {
        Self::up(crate::world::config(), psk(0, SECRET))
    }

    /// The SPI that the endpoint receives on in its newest pair.
    pub fn their_spi(&self) -> u32 {
        self.world.ends[0].spis.values().next_back().unwrap().0
    }

    pub fn rekey_child(&mut self) {
        let child = self.world.ends[0].newest().unwrap();
        let id = self.id;
        self.act(|endpoint, now| endpoint.rekey_child(now, id, child));
    }
}
