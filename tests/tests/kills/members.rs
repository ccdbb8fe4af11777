//! Members who come one after the other: invited, registered, confirmed with the code of the letter, joined, and some of them gone again.
//!
//! What was cut off by a kill is asked for again exactly as before: the manager must grant it, whether it had done it already or not.

use super::ledger::stage;
use super::operators::Desk;
use kith_protocol::admin::{InviteRequest, Invitee};
use kith_protocol::authenticator::{Argon2Cost, AuthKey, Kind, PasswordKey, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::invitation::Invitation;
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::refusal::Code as Refused;
use kith_protocol::member::{
    ConfirmRequest, Envelope, InitRequest, JoinRequest, LeaveRequest, Location, Refusal, RegisterRequest,
    RegistrationFile, confirm_answer, init_answer, join_answer, leave_answer, register_answer,
};
use kith_protocol::registration::{Code, FileKey};
use kith_protocol::secret::Secret32;
use kith_protocol::share::KeyShare;
use kith_protocol::tls::Dial;
use prost::Message;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::Response;
use tonic::transport::Channel;

/// After a connection is lost.
const PAUSE: Duration = Duration::from_millis(5);
/// Until a letter is seen. It was written before the registration was acknowledged.
const LETTER: Duration = Duration::from_secs(2);
/// A manager that does not answer for so long hangs.
const ANSWER: Duration = Duration::from_secs(10);

pub fn fill(out: &mut [u8]) {
    SystemRandom::new().fill(out).unwrap();
}

/// One who comes.
struct Member {
    desk: Desk,
    fqdn: String,
    invitation: Invitation,
    address: Ipv4Addr,
    identity: DeviceIdentity,
    share: KeyShare,
    client: Option<MembersClient<Channel>>,
}

/// Invites members of a domain and lets them come, until stopped. `address` is where they are.
pub async fn come(desk: Desk, domain: String, address: Ipv4Addr) {
    let mut number = 0;
    while let Some(mut admin) = desk.admin().await {
        loop {
            if desk.stopped() {
                return;
            }
            number += 1;
            // Two at once, so that it shows if only one is kept.
            let names = ["a", "b"].map(|which| format!("m{number}{which}.{domain}"));
            let invitee = |fqdn: &String| Invitee {
                fqdn: fqdn.clone(),
                email: fqdn.replacen('.', "@", 1),
                ..Invitee::default()
            };
            let request = InviteRequest {
                community: domain.clone(),
                invitees: names.iter().map(invitee).collect(),
                no_mail: true,
                ..InviteRequest::default()
            };
            names
                .iter()
                .for_each(|name| desk.ledger.try_for(&format!("member/{name}"), stage::INVITED));
            let invited = match admin.invite(request).await {
                Ok(answer) => answer.into_inner().invitations,
                Err(status) => {
                    desk.is_cut("an invitation", &status);
                    break;
                }
            };
            for (invitation, fqdn) in invited.iter().zip(names) {
                desk.ledger.kept(&format!("member/{fqdn}"), stage::INVITED);
                let member = Member {
                    desk: desk.clone(),
                    invitation: Invitation::parse(&invitation.text).unwrap(),
                    address,
                    identity: DeviceIdentity::generate(&mut fill),
                    share: KeyShare::generate(&mut fill),
                    client: None,
                    fqdn,
                };
                member.come(number).await;
            }
        }
    }
}

/// Tries until something else came than a cut connection.
macro_rules! ask {
    ($member:ident, $method:ident, $envelope:expr) => {
        loop {
            let client = $member.client().await?;
            let answer = timeout(ANSWER, client.$method($envelope.clone())).await;
            match answer.map(|answer| answer.map(Response::into_inner)) {
                Ok(Ok(answer)) => break answer.answer,
                Ok(Err(status)) => {
                    $member.client = None;
                    let what = concat!(stringify!($method), " of a member");
                    if !$member.desk.is_cut(what, &status) {
                        return None;
                    }
                }
                Err(_) => $member
                    .desk
                    .ledger
                    .wrong(format!("no answer to {}", stringify!($method))),
            }
            sleep(PAUSE).await;
        }
    };
}

impl Member {
    async fn come(mut self, number: u64) {
        let Some(file) = self.enrol().await else { return };
        let mut run_id = vec![0; 16];
        fill(&mut run_id);
        if self.join(&file, &run_id).await.is_some() && number.is_multiple_of(2) {
            self.leave(&file, run_id).await;
        }
    }

    fn tries(&self, stage: u64) {
        self.desk.ledger.try_for(&format!("member/{}", self.fqdn), stage);
    }

    fn kept(&self, stage: u64) {
        self.desk.ledger.kept(&format!("member/{}", self.fqdn), stage);
    }

    async fn client(&mut self) -> Option<&mut MembersClient<Channel>> {
        let to = &self.invitation;
        while self.client.is_none() {
            if self.desk.stopped() {
                return None;
            }
            match Dial::new(&to.host, to.port, to.fingerprint).connect().await {
                Ok(channel) => self.client = Some(MembersClient::new(channel)),
                Err(_) => sleep(PAUSE).await,
            }
        }
        self.client.as_mut()
    }

    fn refused(&self, what: &str, refusal: &Refusal) {
        let (code, reason) = (refusal.code(), &refusal.reason);
        self.desk
            .ledger
            .wrong(format!("{what} of {}: {code:?}, {reason}", self.fqdn));
    }

    async fn enrol(&mut self) -> Option<RegistrationFile> {
        let invitation = self.invitation.clone();
        let key = tokio::task::spawn_blocking(move || invitation.password_key(Argon2Cost::DEFAULT));
        let key: PasswordKey = key.await.unwrap().unwrap();
        let manager_share = self.register(&key).await?;
        let code = self.letter().await?;
        let request = ConfirmRequest {
            key_share: self.share.public().to_vec(),
            identity: self.identity.public().to_vec(),
        };
        let (payload, hash) = (request.encode_to_vec(), code.hash(&self.fqdn));
        let envelope = seal_envelope(
            Kind::Confirm,
            &self.fqdn,
            0,
            payload,
            &key,
            Some(&hash),
            Some(&self.identity),
        );
        self.tries(stage::REGISTERED);
        let sealed = loop {
            match ask!(self, confirm, envelope)? {
                confirm_answer::Answer::Ack(sealed) => break sealed,
                confirm_answer::Answer::Refusal(refusal) if passing(&refusal) => sleep(PAUSE).await,
                confirm_answer::Answer::Refusal(refusal) => {
                    self.refused("confirmation", &refusal);
                    return None;
                }
            }
        };
        self.kept(stage::REGISTERED);
        let file_key = FileKey::at_member(&self.share, &manager_share, &self.fqdn).unwrap();
        Some(
            file_key
                .open(&self.fqdn, &sealed)
                .expect("what was agreed is what it is sealed under"),
        )
    }

    async fn register(&mut self, key: &PasswordKey) -> Option<Vec<u8>> {
        let request = RegisterRequest {
            key_share: self.share.public().to_vec(),
            identity: self.identity.public().to_vec(),
            platform: "linux".into(),
            program: "test".into(),
        };
        let payload = request.encode_to_vec();
        let envelope = seal_envelope(
            Kind::Register,
            &self.fqdn,
            0,
            payload,
            key,
            None,
            Some(&self.identity),
        );
        self.tries(stage::REGISTERING);
        loop {
            match ask!(self, register, envelope)? {
                register_answer::Answer::Ack(ack) => {
                    self.kept(stage::REGISTERING);
                    return Some(ack.key_share);
                }
                register_answer::Answer::Refusal(refusal) if passing(&refusal) => sleep(PAUSE).await,
                register_answer::Answer::Refusal(refusal) => {
                    self.refused("registration", &refusal);
                    return None;
                }
            }
        }
    }

    /// The code of the newest letter: a manager that was killed may have sent another one before, and forgotten when.
    async fn letter(&self) -> Option<Code> {
        let to = format!("-{}.eml", self.fqdn.replacen('.', "@", 1));
        let began = Instant::now();
        while began.elapsed() < LETTER {
            let files = std::fs::read_dir(&self.desk.spool)
                .into_iter()
                .flatten()
                .flatten();
            let names = files.map(|file| file.path());
            // Names sort by time.
            let newest = names.filter(|path| path.to_string_lossy().ends_with(&to)).max();
            if let Some(path) = newest {
                let text = std::fs::read_to_string(path).unwrap();
                return Some(Code::parse(text.lines().map(str::trim).find(|line| is_code(line))?).unwrap());
            }
            sleep(PAUSE).await;
        }
        self.desk
            .ledger
            .wrong(format!("{} was acknowledged, and no letter came", self.fqdn));
        None
    }

    fn seal(&self, file: &RegistrationFile, kind: Kind, request: &impl Message) -> Envelope {
        let key = AuthKey::of(&Secret32::from_slice(&file.token_key).unwrap());
        let (time, payload) = (file.token_timestamp, request.encode_to_vec());
        let identity = matches!(kind, Kind::Init | Kind::Join).then_some(&self.identity);
        seal_envelope(kind, &self.fqdn, time, payload, &key, None, identity)
    }

    async fn join(&mut self, file: &RegistrationFile, run_id: &[u8]) -> Option<()> {
        let mut seed = vec![0; 32];
        fill(&mut seed);
        loop {
            let request = InitRequest {
                seed: seed.clone(),
                local_address: self.address.into(),
                run_id: run_id.to_vec(),
                ..InitRequest::default()
            };
            let envelope = self.seal(file, Kind::Init, &request);
            let ack = match ask!(self, init, envelope)? {
                init_answer::Answer::Ack(ack) => ack,
                init_answer::Answer::Refusal(refusal) if passing(&refusal) => {
                    sleep(Duration::from_millis(refusal.retry_after_ms.into())).await;
                    continue;
                }
                init_answer::Answer::Refusal(refusal) => {
                    self.refused("init", &refusal);
                    return None;
                }
            };
            let request = JoinRequest {
                manager_seed: ack.manager_seed,
                init_time_ms: ack.init_time_ms,
                local_address: self.address.into(),
                location: Some(Location {
                    address: self.address.into(),
                    port: 20202,
                    ..Location::default()
                }),
                spi: 0x8000_0001,
                key_share: self.share.public().to_vec(),
                run_id: run_id.to_vec(),
                ..JoinRequest::default()
            };
            let envelope = self.seal(file, Kind::Join, &request);
            self.tries(stage::JOINED);
            match ask!(self, join, envelope)? {
                join_answer::Answer::Ack(ack) => {
                    self.kept(stage::JOINED);
                    self.desk.ledger.address(&self.fqdn, ack.virtual_address.into());
                    return Some(());
                }
                // The manager that gave the seed is gone: from the beginning.
                join_answer::Answer::Refusal(refusal)
                    if passing(&refusal) || refusal.code() == Refused::TooLate =>
                {
                    sleep(Duration::from_millis(refusal.retry_after_ms.into())).await;
                }
                join_answer::Answer::Refusal(refusal) => {
                    self.refused("join", &refusal);
                    return None;
                }
            }
        }
    }

    async fn leave(&mut self, file: &RegistrationFile, run_id: Vec<u8>) -> Option<()> {
        let envelope = self.seal(file, Kind::Leave, &LeaveRequest { run_id });
        self.tries(stage::LEFT);
        match ask!(self, leave, envelope)? {
            leave_answer::Answer::Ack(_) => self.kept(stage::LEFT),
            // It had left before the kill.
            leave_answer::Answer::Refusal(refusal) if refusal.code() == Refused::NotJoined => {
                self.kept(stage::LEFT);
            }
            leave_answer::Answer::Refusal(refusal) => self.refused("leave", &refusal),
        }
        Some(())
    }
}

/// Not now, but soon.
fn passing(refusal: &Refusal) -> bool {
    matches!(refusal.code(), Refused::Busy | Refused::Store)
}

/// 1234-5678
pub fn is_code(text: &str) -> bool {
    let digits = |half: &str| half.len() == 4 && half.bytes().all(|octet| octet.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(one, other)| digits(one) && digits(other))
}
