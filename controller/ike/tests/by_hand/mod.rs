//! A peer whose every message is written by the test: what an honest endpoint never sends can be sent, and each answer is looked at.
//!
//! ```text
//!  Hand (initiator, keys of its own) ──► any payloads, sealed ──► Endpoint (responder)
//!                                    ◄── answers, opened ──────
//! ```
#![allow(dead_code, reason = "each test file uses its part of this")]

pub mod answering;

use crate::world::{TestHost, World, config, identity, one, path, psk};
use kith_ike::auth::{OwnProof, signed_octets};
use kith_ike::codec::{
    Body, Datagram, Exchange, Header, IkeSpi, KeyExchange, MessageId, Notify, NotifyKind, Payload,
    encode_clear, parse,
};
use kith_ike::suite::{
    Ephemeral, EspPreferences, Group, IkeKeys, IkePreferences, Nonces, Opener, Sealer, Spis, accept_ike,
};
use kith_ike::*;

pub const SECRET: &[u8] = b"secret";

pub struct Hand {
    pub world: World,
    pub spis: Spis,
    pub path: Path,
    pub next: u32,
    pub sent: Vec<u8>,
    /// First request, first answer, nonce of the endpoint.
    pub transcript: [Vec<u8>; 2],
    keys: IkeKeys,
    sealer: Sealer,
    opener: Opener,
    nonces: [Vec<u8>; 2],
}

/// What the endpoint does with a datagram: the datagrams that it sends, and where to.
pub fn tell(world: &mut World, path: Path, octets: &[u8]) -> Vec<(Path, Vec<u8>)> {
    let now = world.moment();
    world.ends[1].endpoint.datagram(now, path, octets);
    let mut sent = Vec::new();
    while let Some(output) = world.ends[1].endpoint.next_output() {
        match output {
            Output::Send { path, octets } => sent.push((path, octets)),
            Output::Event(id, event) => world.ends[1].tell(now.millis, id, event),
        }
    }
    sent
}

pub fn payloads_of(octets: &[u8]) -> Vec<Payload> {
    match parse(octets).unwrap().body {
        Body::Clear(payloads) => payloads,
        _ => panic!("in the clear"),
    }
}

pub fn note(kind: NotifyKind, data: &[u8]) -> Payload {
    Payload::Notify(Notify::new(kind, data.to_vec()))
}

/// The first notification of this kind.
pub fn noted(payloads: &[Payload], kind: NotifyKind) -> Option<&Notify> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Notify(notify) if notify.kind == kind => Some(notify),
        _ => None,
    })
}

pub fn errors(payloads: &[Payload]) -> Vec<(NotifyKind, Vec<u8>)> {
    payloads
        .iter()
        .filter_map(|payload| match payload {
            Payload::Notify(notify) if notify.kind.is_error() => Some((notify.kind, notify.data.clone())),
            _ => None,
        })
        .collect()
}

/// A first request; padded with a vendor's identification, so that no cookie is asked for because it is short.
pub fn hello(nonce: &[u8], share: &Ephemeral) -> Vec<Payload> {
    vec![
        Payload::Sa(IkePreferences::default().proposals(None)),
        Payload::KeyExchange(KeyExchange {
            group: share.group().id(),
            data: share.public().to_vec(),
        }),
        Payload::Nonce(nonce.to_vec()),
        Payload::VendorId(vec![b'x'; 300]),
    ]
}

pub fn first_header() -> Header {
    Header {
        initiator_spi: IkeSpi(0x1111),
        responder_spi: IkeSpi::ZERO,
        exchange: Exchange::IkeSaInit,
        from_initiator: true,
        response: false,
        message_id: MessageId(0),
    }
}

pub fn share() -> Ephemeral {
    Ephemeral::offer(Group::X25519, &mut |out| out.fill(7)).unwrap()
}

/// The path of datagrams as the endpoint sees them.
pub fn arriving() -> Path {
    path(1)
}

/// A world of which only the second end is used.
pub fn alone(config: Config) -> World {
    World::with(3, [config.clone(), config], [psk(0, SECRET), psk(1, SECRET)])
}

impl Hand {
    /// With keys, and not yet authenticated.
    pub fn begin(config: Config, more: &[Payload], change: impl Fn(&mut Vec<Payload>)) -> Self {
        let mut world = alone(config);
        let (share, nonce) = (share(), vec![5; 32]);
        let mut said = hello(&nonce, &share);
        said.extend_from_slice(more);
        change(&mut said);
        let asked = encode_clear(&first_header(), &said);
        let answers = tell(&mut world, arriving(), &asked);
        let [(_, answered)] = answers.as_slice() else {
            panic!("one answer")
        };
        let responder = parse(answered).unwrap().header.responder_spi;
        let (mut theirs, mut public, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
        for payload in payloads_of(answered) {
            match payload {
                Payload::Nonce(one) => theirs = one,
                Payload::KeyExchange(one) => public = one.data,
                Payload::Sa(one) => chosen = one,
                _ => {}
            }
        }
        let offered = said.iter().find_map(|payload| match payload {
            Payload::Sa(offered) => Some(offered),
            _ => None,
        });
        let (suite, _) = accept_ike(offered.unwrap(), &chosen).unwrap();
        let spis = Spis {
            initiator: first_header().initiator_spi,
            responder,
        };
        let shared = share.finish(&public).unwrap();
        let nonces = Nonces {
            initiator: &nonce,
            responder: &theirs,
        };
        let keys = IkeKeys::first(suite.prf, suite.cipher, nonces, &shared, spis);
        Self {
            world,
            spis,
            path: arriving(),
            next: 1,
            sent: Vec::new(),
            transcript: [asked, answered.clone()],
            sealer: keys.sealer(true).unwrap(),
            opener: keys.opener(false).unwrap(),
            keys,
            nonces: [nonce, theirs],
        }
    }

    /// The payloads of an IKE_AUTH request.
    pub fn proof(&self) -> Vec<Payload> {
        let own = identity(0);
        let octets = signed_octets(
            &self.transcript[0],
            &self.nonces[1],
            self.keys.prf(),
            self.keys.prove(true),
            &own.body(),
            None,
        );
        let proof = OwnProof::Psk(SECRET.to_vec().into());
        let (method, data) = proof.prove(&octets, self.keys.prf(), &[]).unwrap();
        let suites = EspPreferences::default().without_exchange();
        vec![
            Payload::IdInitiator(own),
            Payload::Auth { method, data },
            note(NotifyKind::USE_TRANSPORT_MODE, &[]),
            Payload::Sa(suites.proposals(kith_esp::Spi::new(0x0abc_0001).unwrap())),
            Payload::SelectorsInitiator(one(0)),
            Payload::SelectorsResponder(one(1)),
        ]
    }

    /// Authenticated, with a pair.
    pub fn up(config: Config, more: &[Payload]) -> Self {
        let mut hand = Self::begin(config, &[], |_| ());
        let mut said = hand.proof();
        said.extend_from_slice(more);
        let answer = hand.ask(Exchange::IkeAuth, &said);
        assert_eq!(errors(&answer), []);
        assert_eq!(hand.world.ends[1].up.len(), 1);
        hand
    }

    pub fn plain() -> Self {
        Self::up(config(), &[])
    }

    /// A request of ours, and the payloads of its answer.
    pub fn ask(&mut self, exchange: Exchange, said: &[Payload]) -> Vec<Payload> {
        let answers = self.send(exchange, said);
        let [(_, octets)] = answers.as_slice() else {
            panic!("one answer, not {}", answers.len())
        };
        self.open(octets)
    }

    pub fn send(&mut self, exchange: Exchange, said: &[Payload]) -> Vec<(Path, Vec<u8>)> {
        let header = self.header(exchange);
        self.next += 1;
        self.sent = self.sealer.seal(&header, said).unwrap();
        tell(&mut self.world, self.path, &self.sent.clone())
    }

    pub fn header(&self, exchange: Exchange) -> Header {
        Header {
            initiator_spi: self.spis.initiator,
            responder_spi: self.spis.responder,
            exchange,
            response: false,
            message_id: MessageId(self.next),
            ..first_header()
        }
    }

    pub fn seal(&mut self, header: &Header, said: &[Payload]) -> Vec<u8> {
        self.sealer.seal(header, said).unwrap()
    }

    pub fn fragments(&mut self, header: &Header, said: &[Payload], most: usize) -> Vec<Vec<u8>> {
        self.sealer.seal_fragments(header, said, most).unwrap()
    }

    pub fn open(&self, octets: &[u8]) -> Vec<Payload> {
        let Datagram { header, body, .. } = parse(octets).unwrap();
        assert!(header.response && !header.from_initiator);
        assert_eq!(header.message_id.0, self.next - 1);
        match body {
            Body::Sealed(sealed) => self.opener.open(&sealed).unwrap(),
            _ => panic!("sealed"),
        }
    }

    pub fn host(&self) -> &TestHost {
        self.world.ends[1].endpoint.host()
    }
}
