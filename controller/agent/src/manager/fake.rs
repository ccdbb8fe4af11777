//! A manager of one member, for tests: checks what a real one checks, answers what a real one answers, and counts.

use super::request::{Answer, Call, Failure};
use kith_esp::{Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi};
use kith_protocol::authenticator::{
    Argon2Cost, AuthKey, Kind, PasswordKey, TicketKey, verify, verify_signature,
};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::join::{ChannelSecret, DirectionKeys, Exchange, join_secret, refresh_secret};
use kith_protocol::member::refusal::Code as Refused;
use kith_protocol::member::*;
use kith_protocol::registration::{Code, FileKey, seal_ack};
use kith_protocol::secret::Secret32;
use kith_protocol::share::KeyShare;
use kith_protocol::ticket::{KeyBody, seal_key};
use prost::Message;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub const FQDN: &str = "alice.acme.example";
pub const CODE: &str = "1234-5678";
pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const MANAGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const OBSERVED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const INIT_TIMEOUT_MS: u32 = 10_000;
pub const BEAT_MS: u32 = 5_000;

/// Deterministic, and not random at all.
pub fn entropy(seed: u64) -> super::Entropy {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Box::new(move |out: &mut [u8]| {
        for octet in out {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *octet = (state >> 32) as u8;
        }
    })
}

pub fn password() -> PasswordKey {
    PasswordKey::derive(b"initial password", b"salt of sixteen!", Argon2Cost::SIMULATION).unwrap()
}

pub fn identity() -> DeviceIdentity {
    DeviceIdentity::from_seed(Secret32::new([3; 32]))
}

pub fn token_key() -> Secret32 {
    Secret32::new([5; 32])
}

pub fn registration(managers: &[&str]) -> RegistrationFile {
    let address = |host: &&str| ManagerAddress {
        host: host.to_string(),
        port: 443,
        fingerprint: vec![1; 32],
    };
    RegistrationFile {
        version: 1,
        fqdn: FQDN.into(),
        community: "acme.example".into(),
        token_key: token_key().expose().to_vec(),
        token_timestamp: 77,
        member_id: 1,
        managers: managers.iter().map(address).collect(),
        managers_version: 1,
    }
}

pub fn refusal(code: Refused) -> Refusal {
    Refusal {
        code: code.into(),
        ..Refusal::default()
    }
}

/// Both ends of a channel, as the manager has them.
pub struct ManagerEnd {
    pub inbound: Inbound,
    pub outbound: Outbound,
}

/// The manager.
pub struct Fake {
    entropy: super::Entropy,
    /// Refusals that calls meet, until taken away.
    pub refuse: BTreeMap<Call, Refusal>,
    /// Calls that are dropped without a word.
    pub drop_all: bool,
    /// What Init offers.
    pub director: Option<Director>,
    /// And what to those that cannot use UDP.
    pub tcp_director: Option<Director>,
    /// What each Init said of UDP.
    pub udp_blocked: Vec<bool>,
    pub behind_nat: bool,
    pub codes_left: u32,
    /// What came, in order.
    pub calls: Vec<Call>,
    pub inits: BTreeMap<Vec<u8>, Vec<u8>>,
    pub joins: Vec<JoinRequest>,
    pub moves: Vec<MoveRequest>,
    pub channel: Option<ManagerEnd>,
    pub managers: (Vec<ManagerAddress>, u64),
    pub revision: u64,
    identity: Vec<u8>,
    registering: Option<(KeyShare, Vec<u8>)>,
    join_answer: Option<(Vec<u8>, Box<JoinAnswer>)>,
}

impl Fake {
    pub fn new() -> Self {
        Self {
            entropy: entropy(99),
            refuse: BTreeMap::new(),
            drop_all: false,
            udp_blocked: Vec::new(),
            tcp_director: None,
            director: None,
            behind_nat: false,
            codes_left: 5,
            calls: Vec::new(),
            inits: BTreeMap::new(),
            joins: Vec::new(),
            moves: Vec::new(),
            channel: None,
            managers: (Vec::new(), 1),
            revision: 10,
            identity: identity().public().to_vec(),
            registering: None,
            join_answer: None,
        }
    }

    pub fn count(&self, call: Call) -> usize {
        self.calls.iter().filter(|made| **made == call).count()
    }

    /// Answers a call that arrived at this time (monotonic and wall clock alike).
    pub fn call(&mut self, now_ms: u64, call: Call, envelope: &Envelope) -> Result<Answer, Failure> {
        self.calls.push(call);
        if self.drop_all || !self.is_authentic(call, envelope) {
            return Err(Failure::Dropped);
        }
        let refused = self.refuse.get(&call).cloned();
        let payload = envelope.payload.as_slice();
        Ok(match call {
            Call::Register => Answer::Register(RegisterAnswer {
                answer: Some(match refused {
                    Some(refusal) => register_answer::Answer::Refusal(refusal),
                    None => register_answer::Answer::Ack(self.register(payload)),
                }),
            }),
            Call::Confirm => Answer::Confirm(ConfirmAnswer {
                answer: Some(match refused {
                    Some(refusal) => confirm_answer::Answer::Refusal(refusal),
                    None => self.confirm(envelope),
                }),
            }),
            Call::Init => Answer::Init(Box::new(InitAnswer {
                answer: Some(match refused {
                    Some(refusal) => init_answer::Answer::Refusal(refusal),
                    None => init_answer::Answer::Ack(self.init(now_ms, payload)),
                }),
            })),
            Call::Join => Answer::Join(match refused {
                Some(refusal) => Box::new(JoinAnswer {
                    answer: Some(join_answer::Answer::Refusal(refusal)),
                }),
                None => self.join(now_ms, payload),
            }),
            Call::Move => {
                self.moves.push(MoveRequest::decode(payload).unwrap());
                let ack = MoveAck {
                    revision: self.revision,
                };
                Answer::Move(MoveAnswer {
                    answer: Some(match refused {
                        Some(refusal) => move_answer::Answer::Refusal(refusal),
                        None => move_answer::Answer::Ack(ack),
                    }),
                })
            }
            Call::Refresh => Answer::Refresh(RefreshAnswer {
                answer: Some(match refused {
                    Some(refusal) => refresh_answer::Answer::Refusal(refusal),
                    None => refresh_answer::Answer::Ack(self.refresh(now_ms, payload)),
                }),
            }),
            Call::Locate => {
                let asked = LocateRequest::decode(payload).unwrap();
                let peer = self.peer(now_ms, Ipv4Addr::from_bits(asked.virtual_address), 1);
                Answer::Locate(Box::new(LocateAnswer {
                    answer: Some(match refused {
                        Some(refusal) => locate_answer::Answer::Refusal(refusal),
                        None => locate_answer::Answer::Peer(peer),
                    }),
                }))
            }
            Call::Query => Answer::Query(QueryAnswer::default()),
            Call::Leave => Answer::Leave(LeaveAnswer {
                answer: Some(leave_answer::Answer::Ack(LeaveAck {})),
            }),
        })
    }

    /// A member at this address, sealed for ours.
    pub fn peer(&mut self, now_ms: u64, address: Ipv4Addr, sequence: u64) -> Peer {
        let fqdn = format!("m{}.acme.example", address.octets()[3]);
        let body = KeyBody {
            sequence,
            issued_ms: now_ms,
            expires_ms: now_ms + 3_600_000,
            shared_key: Secret32::new([address.octets()[3]; 32]),
            peer_virtual: address,
            own_virtual: OWN,
        };
        let key = TicketKey::of(&token_key());
        Peer {
            sealed_key: seal_key(&key, FQDN, &fqdn, &body, &mut *self.entropy),
            fqdn,
            virtual_address: address.to_bits(),
            location: Some(Location {
                address: OBSERVED.to_bits(),
                port: 20_202,
                ..Location::default()
            }),
            ticket: vec![9; 64],
            ..Peer::default()
        }
    }

    fn is_authentic(&mut self, call: Call, envelope: &Envelope) -> bool {
        let kind = Kind::from(call);
        if call == Call::Register
            && let Ok(request) = RegisterRequest::decode(envelope.payload.as_slice())
        {
            self.identity = request.identity;
        }
        if kind.signed() && !verify_signature(kind, envelope, &self.identity) {
            return false;
        }
        match call {
            Call::Register => verify(kind, envelope, &password(), None),
            // A wrong code is answered, not dropped: the signature is right.
            Call::Confirm => true,
            _ => envelope.token_timestamp == 77 && verify(kind, envelope, &AuthKey::of(&token_key()), None),
        }
    }

    fn register(&mut self, payload: &[u8]) -> RegisterAck {
        let request = RegisterRequest::decode(payload).unwrap();
        let share = KeyShare::generate(&mut *self.entropy);
        let public = share.public();
        self.registering = Some((share, request.key_share.clone()));
        seal_ack(
            &password(),
            &request.key_share,
            600,
            public,
            "a…@acme.example".into(),
        )
    }

    fn confirm(&mut self, envelope: &Envelope) -> confirm_answer::Answer {
        let Some((share, member_share)) = &self.registering else {
            return confirm_answer::Answer::Refusal(refusal(Refused::NotRegistering));
        };
        let hash = Code::parse(CODE).unwrap().hash(FQDN);
        if !verify(Kind::Confirm, envelope, &password(), Some(&hash)) {
            self.codes_left -= 1;
            let attempts_left = self.codes_left;
            return confirm_answer::Answer::Refusal(Refusal {
                attempts_left,
                ..refusal(Refused::WrongCode)
            });
        }
        let key = FileKey::at_manager(share, member_share, FQDN).unwrap();
        let file = registration(&["manager.example"]);
        confirm_answer::Answer::Ack(key.seal(FQDN, &file, &mut *self.entropy))
    }

    /// Too late, as far as the manager remembers.
    pub fn forget_registration(&mut self) {
        self.registering = None;
    }

    fn init(&mut self, now_ms: u64, payload: &[u8]) -> InitAck {
        let request = InitRequest::decode(payload).unwrap();
        self.udp_blocked.push(request.udp_blocked);
        let director = match request.udp_blocked {
            true => self.tcp_director.clone(),
            false => self.director.clone(),
        };
        let mut manager_seed = vec![0; 32];
        (self.entropy)(&mut manager_seed);
        self.inits.insert(manager_seed.clone(), request.seed.clone());
        InitAck {
            member_seed: request.seed,
            manager_seed,
            init_time_ms: now_ms,
            timeout_ms: INIT_TIMEOUT_MS,
            observed_address: OBSERVED.to_bits(),
            behind_nat: self.behind_nat,
            director,
            tunnel_port: 20_202,
            variants: 0,
        }
    }

    fn join(&mut self, now_ms: u64, payload: &[u8]) -> Box<JoinAnswer> {
        if let Some((same, answer)) = &self.join_answer
            && same == payload
        {
            return answer.clone();
        }
        let request = JoinRequest::decode(payload).unwrap();
        let answer = if now_ms > request.init_time_ms + u64::from(INIT_TIMEOUT_MS) {
            join_answer::Answer::Refusal(refusal(Refused::TooLate))
        } else {
            join_answer::Answer::Ack(self.joined(now_ms, &request))
        };
        self.joins.push(request);
        let answer = Box::new(JoinAnswer { answer: Some(answer) });
        self.join_answer = Some((payload.to_vec(), answer.clone()));
        answer
    }

    fn joined(&mut self, now_ms: u64, request: &JoinRequest) -> JoinAck {
        let member_seed = self.inits[&request.manager_seed].clone();
        let share = KeyShare::generate(&mut *self.entropy);
        let exchange = Exchange {
            member_seed: &member_seed,
            manager_seed: &request.manager_seed,
            fqdn: FQDN,
            run_id: &request.run_id,
        };
        let secret = join_secret(&share, &request.key_share, exchange).unwrap();
        let manager_spi = self.install(now_ms, &secret, request.spi);
        JoinAck {
            member_id: 1,
            virtual_address: OWN.to_bits(),
            networks: vec![Prefix {
                address: 0x0a4d_0000,
                length: 24,
            }],
            manager_virtual_address: MANAGER.to_bits(),
            manager_address: OBSERVED.to_bits(),
            manager_port: 20_202,
            manager_spi,
            key_share: share.public().to_vec(),
            joined_at_ms: now_ms,
            manager_heartbeat_ms: BEAT_MS,
            member_heartbeat_ms: BEAT_MS,
            policy: Some(Policy {
                version: 1,
                rules: vec![Rule {
                    allow: true,
                    ..Rule::default()
                }],
            }),
            managers: self.managers.0.clone(),
            managers_version: self.managers.1,
            revision: self.revision,
        }
    }

    fn refresh(&mut self, now_ms: u64, payload: &[u8]) -> RefreshAck {
        let request = RefreshRequest::decode(payload).unwrap();
        let share = KeyShare::generate(&mut *self.entropy);
        let mut seed = vec![0; 32];
        (self.entropy)(&mut seed);
        let exchange = Exchange {
            member_seed: &request.seed,
            manager_seed: &seed,
            fqdn: FQDN,
            run_id: &request.run_id,
        };
        let secret = refresh_secret(&share, &request.key_share, exchange).unwrap();
        let manager_spi = self.install(now_ms, &secret, request.spi);
        RefreshAck {
            key_share: share.public().to_vec(),
            manager_spi,
            seed,
        }
    }

    fn install(&mut self, now_ms: u64, secret: &ChannelSecret, member_spi: u32) -> u32 {
        let keys = secret.keys();
        let sa = |direction: &DirectionKeys| {
            SaKeys::new(Key::aes256(direction.key.expose()), Salt::new(&direction.salt))
        };
        let spi = 1_000 + self.calls.len() as u32;
        let (limits, now) = (Limits::default(), Millis(now_ms));
        self.channel = Some(ManagerEnd {
            inbound: Inbound::new(Spi::new(spi).unwrap(), sa(&keys.to_manager), limits, now),
            outbound: Outbound::new(Spi::new(member_spi).unwrap(), sa(&keys.to_member), limits, now),
        });
        spi
    }
}
