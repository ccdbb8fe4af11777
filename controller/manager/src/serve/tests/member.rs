//! A member's client, as thin as can be.

use crate::serve::entropy::fill;
use kith_protocol::authenticator::{Argon2Cost, AuthKey, EnvelopeKey, Kind, PasswordKey, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::invitation::Invitation;
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::{
    ConfirmRequest, Envelope, InitAck, InitRequest, JoinAck, JoinRequest, Location, QueryRequest,
    RegisterRequest, RegistrationFile, Update, WatchRequest, confirm_answer, init_answer, join_answer,
    register_answer,
};
use kith_protocol::registration::{Code, FileKey};
use kith_protocol::secret::Secret32;
use kith_protocol::share::KeyShare;
use kith_protocol::tls::Dial;
use prost::Message;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

pub(super) struct Member {
    pub(super) client: MembersClient<Channel>,
    pub(super) fqdn: String,
    pub(super) file: Option<RegistrationFile>,
    pub(super) run_id: Vec<u8>,
    password: PasswordKey,
    identity: DeviceIdentity,
    share: KeyShare,
}

impl Member {
    pub(super) async fn of(dial: &Dial, invitation: Invitation) -> Self {
        let mut run_id = vec![0; 16];
        fill(&mut run_id);
        Self {
            client: MembersClient::new(dial.connect().await.unwrap()),
            fqdn: invitation.fqdn.as_str().into(),
            file: None,
            run_id,
            password: invitation.password_key(Argon2Cost::SIMULATION).unwrap(),
            identity: DeviceIdentity::generate(&mut fill),
            share: KeyShare::generate(&mut fill),
        }
    }

    /// The register request.
    pub(super) fn registration(&self) -> Envelope {
        let request = RegisterRequest {
            key_share: self.share.public().to_vec(),
            identity: self.identity.public().to_vec(),
            platform: "linux".into(),
            program: "test".into(),
        };
        self.seal(Kind::Register, 0, &request, &self.password, None)
    }

    /// Registers and confirms with the code that comes by mail.
    pub(super) async fn enrol(&mut self, spool: &Path) {
        let answer = self
            .client
            .register(self.registration())
            .await
            .unwrap()
            .into_inner()
            .answer;
        let Some(register_answer::Answer::Ack(ack)) = answer else {
            panic!("{answer:?}")
        };
        let code = code(spool, &self.fqdn.replacen('.', "@", 1));
        let request = ConfirmRequest {
            key_share: self.share.public().to_vec(),
            identity: self.identity.public().to_vec(),
        };
        let envelope = self.seal(Kind::Confirm, 0, &request, &self.password, Some(&code));
        let answer = self.client.confirm(envelope).await.unwrap().into_inner().answer;
        let Some(confirm_answer::Answer::Ack(sealed)) = answer else {
            panic!("{answer:?}")
        };
        let key = FileKey::at_member(&self.share, &ack.key_share, &self.fqdn).unwrap();
        self.file = Some(key.open(&self.fqdn, &sealed).unwrap());
    }

    pub(super) async fn init(&mut self) -> InitAck {
        let mut seed = vec![0; 32];
        fill(&mut seed);
        let request = InitRequest {
            seed,
            local_address: Ipv4Addr::LOCALHOST.into(),
            run_id: self.run_id.clone(),
            ..InitRequest::default()
        };
        let envelope = self.by_token(Kind::Init, &request);
        match self.client.init(envelope).await.unwrap().into_inner().answer {
            Some(init_answer::Answer::Ack(ack)) => ack,
            other => panic!(
                "{}",
                refusal(other.map(|answer| match answer {
                    init_answer::Answer::Refusal(refusal) => refusal,
                    init_answer::Answer::Ack(_) => unreachable!(),
                }))
            ),
        }
    }

    pub(super) async fn join(&mut self) -> JoinAck {
        let init = self.init().await;
        let request = JoinRequest {
            manager_seed: init.manager_seed,
            init_time_ms: init.init_time_ms,
            local_address: Ipv4Addr::LOCALHOST.into(),
            location: Some(Location {
                address: Ipv4Addr::LOCALHOST.into(),
                port: 20202,
                ..Location::default()
            }),
            spi: 0x8000_0001,
            key_share: self.share.public().to_vec(),
            run_id: self.run_id.clone(),
            program: "test".into(),
            ..JoinRequest::default()
        };
        let envelope = self.by_token(Kind::Join, &request);
        match self.client.join(envelope).await.unwrap().into_inner().answer {
            Some(join_answer::Answer::Ack(ack)) => ack,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn watching(&self, from_revision: u64) -> Envelope {
        self.by_token(
            Kind::Watch,
            &WatchRequest {
                run_id: self.run_id.clone(),
                from_revision,
            },
        )
    }

    pub(super) async fn watch(&mut self, from_revision: u64) -> Result<Streaming<Update>, Status> {
        let envelope = self.watching(from_revision);
        Ok(self.client.watch(envelope).await?.into_inner())
    }

    pub(super) fn query(&self) -> Envelope {
        self.by_token(
            Kind::Query,
            &QueryRequest {
                run_id: self.run_id.clone(),
                ..QueryRequest::default()
            },
        )
    }

    pub(super) fn by_token(&self, kind: Kind, request: &impl Message) -> Envelope {
        let file = self.file.as_ref().unwrap();
        let key = AuthKey::of(&Secret32::from_slice(&file.token_key).unwrap());
        self.seal(kind, file.token_timestamp, request, &key, None)
    }

    fn seal(
        &self,
        kind: Kind,
        time: u64,
        request: &impl Message,
        key: &impl EnvelopeKey,
        code: Option<&Code>,
    ) -> Envelope {
        let hash = code.map(|code| code.hash(&self.fqdn));
        let identity = kind.signed().then_some(&self.identity);
        seal_envelope(
            kind,
            &self.fqdn,
            time,
            request.encode_to_vec(),
            key,
            hash.as_ref(),
            identity,
        )
    }
}

fn refusal(refusal: Option<kith_protocol::member::Refusal>) -> String {
    format!("{refusal:?}")
}

/// The next update; a test does not wait for ever.
pub(super) async fn next(stream: &mut Streaming<Update>) -> Result<Option<Update>, Status> {
    tokio::time::timeout(Duration::from_secs(10), stream.message())
        .await
        .expect("an update in time")
}

/// The code in the newest letter to this address.
fn code(spool: &Path, to: &str) -> Code {
    let mut letters: Vec<_> = std::fs::read_dir(spool)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    letters.retain(|path| path.to_str().unwrap().ends_with(&format!("-{to}.eml")));
    letters.sort();
    let text = std::fs::read_to_string(letters.last().expect("a letter")).unwrap();
    let digits = |word: &&str| {
        word.len() == 9 && word.as_bytes()[4] == b'-' && word.replace('-', "").parse::<u32>().is_ok()
    };
    Code::parse(text.split_whitespace().find(digits).expect("a code")).unwrap()
}
