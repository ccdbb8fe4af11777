//! A member's side, as far as these tests need it: it keeps what it is given and makes requests.

use super::world::{PUBLIC, World, entropy};
use crate::core::*;
use kith_protocol::authenticator::{Argon2Cost, AuthKey, Kind, PasswordKey, seal_envelope, verify_signature};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::*;
use kith_protocol::registration::{Code, FileKey};
use kith_protocol::secret::Secret32;
use kith_protocol::share::KeyShare;
use prost::Message;
use std::net::{Ipv4Addr, SocketAddrV4};

pub(super) struct Agent {
    pub(super) id: MemberId,
    pub(super) fqdn: String,
    pub(super) password: [u8; 16],
    pub(super) identity: DeviceIdentity,
    pub(super) share: KeyShare,
    pub(super) file: Option<RegistrationFile>,
    pub(super) run_id: [u8; 16],
    /// Its own address, and as what the manager sees it.
    pub(super) local: Ipv4Addr,
    pub(super) from: Ipv4Addr,
    pub(super) lans: Vec<Prefix>,
    pub(super) site: String,
    pub(super) udp_blocked: bool,
    pub(super) joined: Option<JoinAck>,
    pub(super) stream: Option<StreamId>,
}

impl Agent {
    pub(super) fn new(fqdn: &str, id: MemberId) -> Self {
        let mut rng = entropy(id.0);
        let password = id.0.to_be_bytes().repeat(2).try_into().unwrap();
        let mut run_id = [0; 16];
        rng(&mut run_id);
        // Every member has a public address of its own.
        let address = Ipv4Addr::from(u32::from(PUBLIC) ^ id.0 as u32 & 0xff_ff00);
        Self {
            id,
            fqdn: fqdn.into(),
            password,
            identity: DeviceIdentity::generate(&mut rng),
            share: KeyShare::generate(&mut rng),
            file: None,
            run_id,
            local: address,
            from: address,
            lans: Vec::new(),
            site: String::new(),
            udp_blocked: false,
            joined: None,
            stream: None,
        }
    }

    /// Another device that knows the same password.
    pub(super) fn other_device(&self, number: u64) -> Self {
        let mut other = Self::new(&self.fqdn, MemberId(number));
        (other.id, other.password) = (self.id, self.password);
        other
    }

    /// Another run on the same device.
    pub(super) fn new_run(&mut self) {
        self.run_id = self.run_id.map(|octet| octet.wrapping_add(1));
    }

    pub(super) fn behind_nat(&mut self, local: &str) {
        self.local = local.parse().unwrap();
    }

    pub(super) fn lan(&mut self, network: &str) {
        let network: state::Prefix = network.parse().unwrap();
        self.lans.push(Prefix {
            address: network.network().into(),
            length: network.length().into(),
        });
    }

    pub(super) fn password_key(&self) -> PasswordKey {
        PasswordKey::derive(&self.password, &[9; 16], Argon2Cost::SIMULATION).unwrap()
    }

    pub(super) fn register(&self) -> Envelope {
        let request = RegisterRequest {
            key_share: self.share.public().to_vec(),
            identity: self.identity.public().to_vec(),
            platform: "linux".into(),
            program: "kith-agent test".into(),
        };
        self.by_password(Kind::Register, &request, None)
    }

    pub(super) fn confirm(&self, code: &str) -> Envelope {
        let request = ConfirmRequest {
            key_share: self.share.public().to_vec(),
            identity: self.identity.public().to_vec(),
        };
        self.by_password(Kind::Confirm, &request, Some(code))
    }

    fn by_password(&self, kind: Kind, request: &impl Message, code: Option<&str>) -> Envelope {
        let hash = code.map(|code| Code::parse(code).unwrap().hash(&self.fqdn));
        let (key, payload) = (self.password_key(), request.encode_to_vec());
        let envelope = seal_envelope(
            kind,
            &self.fqdn,
            0,
            payload,
            &key,
            hash.as_ref(),
            Some(&self.identity),
        );
        assert!(verify_signature(kind, &envelope, &self.identity.public()));
        envelope
    }

    pub(super) fn envelope(&self, kind: Kind, request: &impl Message) -> Envelope {
        let file = self.file.as_ref().expect("registered");
        let key = AuthKey::of(&Secret32::from_slice(&file.token_key).unwrap());
        let identity = kind.signed().then_some(&self.identity);
        seal_envelope(
            kind,
            &self.fqdn,
            file.token_timestamp,
            request.encode_to_vec(),
            &key,
            None,
            identity,
        )
    }

    pub(super) fn init_request(&self, seed: u8) -> InitRequest {
        InitRequest {
            variants: 0,
            seed: vec![seed; 32],
            local_address: self.local.into(),
            local_networks: self.lans.clone(),
            site: self.site.clone(),
            udp_blocked: self.udp_blocked,
            run_id: self.run_id.to_vec(),
        }
    }

    pub(super) fn init(&self, seed: u8) -> Envelope {
        self.envelope(Kind::Init, &self.init_request(seed))
    }

    pub(super) fn join_request(&self, init: &InitAck) -> JoinRequest {
        let director = init.director.as_ref().filter(|director| !director.sender_only);
        let location = match director {
            None => Location {
                address: self.from.into(),
                port: 20202,
                ..Location::default()
            },
            Some(director) => Location {
                director: director.address,
                director_port: director.port,
                address: if director.private {
                    self.local.into()
                } else {
                    0x0a00_0001 + (self.id.0 as u32 & 0xffff)
                },
                port: 0,
            },
        };
        JoinRequest {
            manager_seed: init.manager_seed.clone(),
            init_time_ms: init.init_time_ms,
            local_address: self.local.into(),
            location: Some(location),
            spi: 0x1000_0001,
            key_share: self.share.public().to_vec(),
            run_id: self.run_id.to_vec(),
            platform: "linux".into(),
            program: "kith-agent test".into(),
            ..JoinRequest::default()
        }
    }

    pub(super) fn join(&self, init: &InitAck) -> Envelope {
        self.envelope(Kind::Join, &self.join_request(init))
    }

    pub(super) fn moved(&self, location: Location) -> Envelope {
        let request = MoveRequest {
            run_id: self.run_id.to_vec(),
            location: Some(location),
            local_address: self.local.into(),
        };
        self.envelope(Kind::Move, &request)
    }

    pub(super) fn leave(&self) -> Envelope {
        let run_id = self.run_id.to_vec();
        self.envelope(Kind::Leave, &LeaveRequest { run_id })
    }

    pub(super) fn locate(&self, fqdn: &str) -> Envelope {
        let request = LocateRequest {
            run_id: self.run_id.to_vec(),
            fqdn: fqdn.into(),
            virtual_address: 0,
        };
        self.envelope(Kind::Locate, &request)
    }

    pub(super) fn query(&self, pattern: &str, status_mask: u32, limit: u32) -> Envelope {
        let request = QueryRequest {
            run_id: self.run_id.to_vec(),
            limit,
            status_mask,
            platforms: Vec::new(),
            pattern: pattern.into(),
        };
        self.envelope(Kind::Query, &request)
    }

    /// Registers with the code from the mail and keeps the file.
    pub(super) fn enroll(&mut self, world: &mut World) {
        let Answer::Register(ack) = world.call(self.from, Call::Register, self.register()) else {
            panic!("refused")
        };
        let code = world.code();
        let Answer::Confirm(sealed) = world.call(self.from, Call::Confirm, self.confirm(&code)) else {
            panic!("refused")
        };
        self.take(&ack, &sealed);
    }

    /// Opens the registration file.
    pub(super) fn take(&mut self, ack: &RegisterAck, sealed: &ConfirmAck) {
        assert!(kith_protocol::registration::verify_ack(
            &self.password_key(),
            &self.share.public(),
            ack
        ));
        let key = FileKey::at_member(&self.share, &ack.key_share, &self.fqdn).unwrap();
        self.file = Some(key.open(&self.fqdn, sealed).unwrap());
    }

    /// Both phases of a join.
    pub(super) fn try_up(&mut self, world: &mut World) -> Result<JoinAck, Refusal> {
        let seed = (world.now.0 % 251) as u8;
        let init = match world.call(self.from, Call::Init, self.init(seed)) {
            Answer::Init(init) => init,
            Answer::Refused(refusal) => return Err(refusal),
            _ => panic!("dropped"),
        };
        match world.call(self.from, Call::Join, self.join(&init)) {
            Answer::Join(ack) => {
                self.joined = Some(*ack.clone());
                Ok(*ack)
            }
            Answer::Refused(refusal) => Err(refusal),
            _ => panic!("dropped"),
        }
    }

    /// Joins and watches.
    pub(super) fn up(&mut self, world: &mut World) {
        let revision = self.try_up(world).expect("joins").revision;
        self.watch(world, revision);
        assert_eq!(world.heard(self).len(), 1, "synced");
    }

    pub(super) fn watch(&mut self, world: &mut World, from_revision: u64) {
        let stream = world.stream();
        self.stream = Some(stream);
        let request = WatchRequest {
            run_id: self.run_id.to_vec(),
            from_revision,
        };
        let envelope = self.envelope(Kind::Watch, &request);
        let from = SocketAddrV4::new(self.from, 40_000);
        world.input(Input::Watch {
            stream,
            from,
            envelope,
        });
    }

    pub(super) fn heartbeat(&self, world: &mut World, sent: u64, received: u64) {
        world.input(Input::Heartbeat {
            member: self.id,
            run_id: RunId(self.run_id),
            sent,
            received,
            from: SocketAddrV4::new(self.from, 20202),
        });
    }

    /// Asks where another is; both deal with each other from then on.
    pub(super) fn meet(&self, world: &mut World, other: &Agent) -> Peer {
        match world.call(self.from, Call::Locate, self.locate(&other.fqdn)) {
            Answer::Locate(peer) => peer,
            Answer::Refused(refusal) => panic!("{}", refusal.reason),
            _ => panic!("dropped"),
        }
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.joined.as_ref().unwrap().virtual_address.into()
    }

    pub(super) fn ticket_key(&self) -> kith_protocol::authenticator::TicketKey {
        let file = self.file.as_ref().unwrap();
        kith_protocol::authenticator::TicketKey::of(&Secret32::from_slice(&file.token_key).unwrap())
    }
}
