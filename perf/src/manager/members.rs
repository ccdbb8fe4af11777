//! Members: written into the store as registered, then joined over TLS.

use super::failed;
use super::process::{ADDRESS, World};
use crate::BenchError;
use kith_protocol::admin::Community;
use kith_protocol::authenticator::{AuthKey, Kind, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::{
    Envelope, InitRequest, JoinAck, JoinRequest, LocateRequest, Location, MoveRequest, Refusal, Update,
    WatchRequest, init_answer, join_answer, locate_answer, move_answer,
};
use kith_protocol::records::{Member as Record, MemberState};
use kith_protocol::secret::Secret32;
use kith_protocol::share::KeyShare;
use kith_protocol::tls::{Dial, Fingerprint};
use kith_store::sqlite::Sqlite;
use kith_store::{Operation, Options, Store, Transaction};
use prost::Message;
use ring::rand::{SecureRandom, SystemRandom};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

pub const DOMAIN: &str = "acme.example";
/// Members of one tag.
pub const GROUP: u32 = 100;
/// Records in a transaction.
const BATCH: u32 = 1_000;
const PORT: u16 = 443;
/// Until a connection stands; how often that is tried, and the pause between.
const HANDSHAKE: Duration = Duration::from_secs(10);
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);
const TOKEN_MS: u64 = 1_760_000_000_000;

pub fn fill(out: &mut [u8]) {
    // Where there are no random numbers nothing would have started.
    let _has = SystemRandom::new().fill(out);
}

pub fn name(index: u32) -> String {
    format!("m{index:05}.{DOMAIN}")
}

pub fn tag(index: u32) -> String {
    format!("g{}", index / GROUP)
}

/// A community, and members who have registered in it. The manager is started, and answers.
pub fn found(world: &mut World, members: u32) -> Result<(), BenchError> {
    world.start()?;
    let community = Community {
        domain: DOMAIN.into(),
        pools: vec!["10.64.0.0/10".into()],
        // What is allowed changes nothing where everything is.
        deny_by_default: true,
        ..Community::default()
    };
    world.runtime.block_on(async {
        let made = World::admin(world.sockets.path())
            .await?
            .create_community(community)
            .await;
        made.map_err(|status| failed(status.message()))
    })?;
    world.stop()?;
    let broken = |error: kith_store::StoreError| failed(error.to_string());
    let store = Sqlite::open(world.store(), Options::default()).map_err(broken)?;
    for first in (0..members).step_by(BATCH as usize) {
        let operations = (first..members.min(first + BATCH)).map(|index| {
            let key = format!("member/{DOMAIN}/m{index:05}");
            Operation::put(key, record(index).encode_to_vec())
        });
        let transaction = Transaction {
            operations: operations.collect(),
            ..Transaction::default()
        };
        world
            .runtime
            .block_on(store.transact(transaction))
            .map_err(broken)?;
    }
    drop(store);
    world.start()
}

fn seed(kind: u8, index: u32) -> Secret32 {
    let mut octets = [kind; 32];
    octets[..4].copy_from_slice(&index.to_be_bytes());
    Secret32::new(octets)
}

fn record(index: u32) -> Record {
    Record {
        fqdn: name(index),
        community: DOMAIN.into(),
        id: 1_000_000 + u64::from(index),
        email: format!("m{index:05}@{DOMAIN}"),
        platform: "linux".into(),
        state: MemberState::Registered.into(),
        created_ms: TOKEN_MS,
        registered_ms: TOKEN_MS,
        identity: DeviceIdentity::from_seed(seed(1, index)).public().to_vec(),
        token_key: seed(2, index).expose().to_vec(),
        token_timestamp: TOKEN_MS,
        program: "kith-agent 0.1.0".into(),
        tags: vec![tag(index)],
        ..Record::default()
    }
}

/// A TLS connection to the manager. On a busy computer a handshake may take longer than the manager waits: tried again, as agents do.
pub async fn connect(fingerprint: Fingerprint) -> Result<MembersClient<Channel>, BenchError> {
    let mut dial = Dial::new(&ADDRESS.to_string(), PORT, fingerprint);
    dial.connect_timeout = HANDSHAKE;
    for _ in 1..TRIES {
        if let Ok(channel) = dial.connect().await {
            return Ok(MembersClient::new(channel));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let channel = dial.connect().await;
    channel
        .map(MembersClient::new)
        .map_err(|error| failed(error.to_string()))
}

/// What members pin.
pub fn fingerprint(world: &World) -> Result<Fingerprint, BenchError> {
    let shown = world.status()?.fingerprint;
    let digits = shown.trim_start_matches("sha256:");
    let octets: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    octets
        .and_then(|octets| Fingerprint::from_slice(&octets))
        .ok_or_else(|| failed(format!("shows {shown:?} as its fingerprint")))
}

/// One member, as its agent would keep it.
pub struct Member {
    pub index: u32,
    fqdn: String,
    identity: DeviceIdentity,
    key: AuthKey,
    share: KeyShare,
    run_id: [u8; 16],
}

impl Member {
    pub fn new(index: u32) -> Self {
        let mut run_id = [0; 16];
        fill(&mut run_id);
        Self {
            index,
            fqdn: name(index),
            identity: DeviceIdentity::from_seed(seed(1, index)),
            key: AuthKey::of(&seed(2, index)),
            share: KeyShare::generate(&mut fill),
            run_id,
        }
    }

    /// The next run of the same device.
    pub fn again(&mut self) {
        fill(&mut self.run_id);
    }

    fn seal(&self, kind: Kind, request: &impl Message) -> Envelope {
        let signs = matches!(kind, Kind::Init | Kind::Join).then_some(&self.identity);
        seal_envelope(
            kind,
            &self.fqdn,
            TOKEN_MS,
            request.encode_to_vec(),
            &self.key,
            None,
            signs,
        )
    }

    /// Both phases.
    pub async fn join(&self, client: &mut MembersClient<Channel>) -> Result<JoinAck, BenchError> {
        let mut seed = vec![0; 32];
        fill(&mut seed);
        let request = InitRequest {
            seed,
            local_address: ADDRESS.into(),
            run_id: self.run_id.to_vec(),
            ..InitRequest::default()
        };
        let answer = client.init(self.seal(Kind::Init, &request)).await;
        let ack = match answer
            .map_err(|status| self.refused(&status))?
            .into_inner()
            .answer
        {
            Some(init_answer::Answer::Ack(ack)) => ack,
            Some(init_answer::Answer::Refusal(refusal)) => return Err(self.denied("init", &refusal)),
            None => return Err(self.denied("init", &Refusal::default())),
        };
        let request = JoinRequest {
            manager_seed: ack.manager_seed,
            init_time_ms: ack.init_time_ms,
            local_address: ADDRESS.into(),
            location: Some(here(self.index)),
            spi: 0x8000_0001,
            key_share: self.share.public().to_vec(),
            run_id: self.run_id.to_vec(),
            platform: "linux".into(),
            program: "kith-agent 0.1.0".into(),
            ..JoinRequest::default()
        };
        let answer = client.join(self.seal(Kind::Join, &request)).await;
        match answer
            .map_err(|status| self.refused(&status))?
            .into_inner()
            .answer
        {
            Some(join_answer::Answer::Ack(ack)) => Ok(ack),
            Some(join_answer::Answer::Refusal(refusal)) => Err(self.denied("join", &refusal)),
            None => Err(self.denied("join", &Refusal::default())),
        }
    }

    pub async fn watch(
        &self,
        client: &mut MembersClient<Channel>,
        from_revision: u64,
    ) -> Result<Streaming<Update>, BenchError> {
        let request = WatchRequest {
            run_id: self.run_id.to_vec(),
            from_revision,
        };
        let answer = client.watch(self.seal(Kind::Watch, &request)).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.refused(&status))
    }

    /// Says where it is, as before: a sign of life, in place of a heartbeat through the tunnel.
    pub async fn sign(&self, client: &mut MembersClient<Channel>) -> Result<(), BenchError> {
        let request = MoveRequest {
            run_id: self.run_id.to_vec(),
            location: Some(here(self.index)),
            local_address: ADDRESS.into(),
        };
        let answer = client.r#move(self.seal(Kind::Move, &request)).await;
        match answer
            .map_err(|status| self.refused(&status))?
            .into_inner()
            .answer
        {
            Some(move_answer::Answer::Ack(_)) => Ok(()),
            Some(move_answer::Answer::Refusal(refusal)) => Err(self.denied("move", &refusal)),
            None => Err(self.denied("move", &Refusal::default())),
        }
    }

    /// Asks for another member: from now on it is told of its changes.
    pub async fn locate(&self, client: &mut MembersClient<Channel>, other: u32) -> Result<(), BenchError> {
        let request = LocateRequest {
            run_id: self.run_id.to_vec(),
            fqdn: name(other),
            ..LocateRequest::default()
        };
        let answer = client.locate(self.seal(Kind::Locate, &request)).await;
        match answer
            .map_err(|status| self.refused(&status))?
            .into_inner()
            .answer
        {
            Some(locate_answer::Answer::Peer(_)) => Ok(()),
            Some(locate_answer::Answer::Refusal(refusal)) => Err(self.denied("locate", &refusal)),
            None => Err(self.denied("locate", &Refusal::default())),
        }
    }

    fn denied(&self, what: &str, refusal: &Refusal) -> BenchError {
        failed(format!(
            "{what} of {}: {:?} {}",
            self.fqdn,
            refusal.code(),
            refusal.reason
        ))
    }

    fn refused(&self, status: &Status) -> BenchError {
        failed(format!("{}: {:?} {}", self.fqdn, status.code(), status.message()))
    }
}

fn here(index: u32) -> Location {
    Location {
        address: ADDRESS.into(),
        port: 1024 + index % 60_000,
        ..Location::default()
    }
}
