//! An operator, and a member as thin as can be: it enrols, joins, and is whatever the test makes of it.

use super::free_port;
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::admin::{Community, Director, Empty, InviteRequest, Invitee};
use kith_protocol::authenticator::{Argon2Cost, AuthKey, Kind, PasswordKey, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::invitation::Invitation;
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::{
    ConfirmRequest, Director as Offer, InitRequest, JoinRequest, RegisterRequest, RegistrationFile,
    confirm_answer, init_answer, join_answer, register_answer,
};
use kith_protocol::registration::{Code, FileKey};
use kith_protocol::secret::Secret32;
use kith_protocol::share::KeyShare;
use kith_protocol::tls::{Dial, unix};
use prost::Message;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;

/// Where the member is inside its NAT.
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 21);

/// A manager's configuration.
pub fn manager(folder: &Path) -> String {
    let (tcp, udp) = (free_port(), free_port());
    let folder = folder.display();
    format!(
        "name: office\nstate_dir: {folder}/state\nstatus_socket: {folder}/socket\nmanager:\n  listen: 127.0.0.1:{tcp}\n  \
         tunnel: 127.0.0.1:{udp}\n  admin_socket: {folder}/admin.sock\n"
    )
}

pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub async fn admin(folder: &Path) -> AdminClient<Channel> {
    AdminClient::new(unix(&folder.join("admin.sock")).await.unwrap())
}

pub async fn invite(folder: &Path) -> Invitation {
    let mut admin = admin(folder).await;
    let community = Community {
        domain: "acme.example".into(),
        pools: vec!["10.77.0.0/24".into()],
        ..Community::default()
    };
    admin.create_community(community).await.unwrap();
    let ada = Invitee {
        fqdn: "ada.acme.example".into(),
        email: "ada@acme.example".into(),
        ..Invitee::default()
    };
    let request = InviteRequest {
        community: "acme.example".into(),
        invitees: vec![ada],
        ..InviteRequest::default()
    };
    let invitations = admin.invite(request).await.unwrap().into_inner().invitations;
    Invitation::parse(&invitations[0].text).unwrap()
}

fn fill(out: &mut [u8]) {
    SystemRandom::new().fill(out).unwrap();
}

pub async fn until_async(what: &str, mut come_true: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !come_true().await {
        assert!(began.elapsed().as_secs() < 20, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

pub struct Member {
    pub client: MembersClient<Channel>,
    identity: DeviceIdentity,
    share: KeyShare,
    pub file: RegistrationFile,
    run_id: Vec<u8>,
}

pub const ADA: &str = "ada.acme.example";

impl Member {
    pub async fn enrol(folder: &Path, invitation: &Invitation) -> Self {
        let dial = Dial::new(&invitation.host, invitation.port, invitation.fingerprint);
        let mut client = MembersClient::new(dial.connect().await.unwrap());
        let key: PasswordKey = invitation.password_key(Argon2Cost::DEFAULT).unwrap();
        let (identity, share) = (DeviceIdentity::generate(&mut fill), KeyShare::generate(&mut fill));
        let request = RegisterRequest {
            key_share: share.public().to_vec(),
            identity: identity.public().to_vec(),
            platform: "linux".into(),
            program: "test".into(),
        };
        let envelope = seal_envelope(
            Kind::Register,
            ADA,
            0,
            request.encode_to_vec(),
            &key,
            None,
            Some(&identity),
        );
        let Some(register_answer::Answer::Ack(ack)) =
            client.register(envelope).await.unwrap().into_inner().answer
        else {
            panic!("not registered")
        };
        let code = code(&folder.join("state/spool"));
        let request = ConfirmRequest {
            key_share: share.public().to_vec(),
            identity: identity.public().to_vec(),
        };
        let (payload, hash) = (request.encode_to_vec(), code.hash(ADA));
        let envelope = seal_envelope(Kind::Confirm, ADA, 0, payload, &key, Some(&hash), Some(&identity));
        let Some(confirm_answer::Answer::Ack(sealed)) =
            client.confirm(envelope).await.unwrap().into_inner().answer
        else {
            panic!("not confirmed")
        };
        let file = FileKey::at_member(&share, &ack.key_share, ADA)
            .unwrap()
            .open(ADA, &sealed)
            .unwrap();
        let mut run_id = vec![0; 16];
        fill(&mut run_id);
        Self {
            client,
            identity,
            share,
            file,
            run_id,
        }
    }

    fn seal(&self, kind: Kind, request: &impl Message) -> kith_protocol::member::Envelope {
        let key = AuthKey::of(&Secret32::from_slice(&self.file.token_key).unwrap());
        let time = self.file.token_timestamp;
        seal_envelope(
            kind,
            ADA,
            time,
            request.encode_to_vec(),
            &key,
            None,
            Some(&self.identity),
        )
    }

    /// Behind a NAT: what it is offered.
    pub async fn init(&mut self) -> (JoinRequest, Offer) {
        let mut seed = vec![0; 32];
        fill(&mut seed);
        let request = InitRequest {
            seed,
            local_address: INSIDE.into(),
            run_id: self.run_id.clone(),
            ..InitRequest::default()
        };
        let envelope = self.seal(Kind::Init, &request);
        let Some(init_answer::Answer::Ack(ack)) =
            self.client.init(envelope).await.unwrap().into_inner().answer
        else {
            panic!("no director was offered")
        };
        let join = JoinRequest {
            manager_seed: ack.manager_seed,
            init_time_ms: ack.init_time_ms,
            local_address: INSIDE.into(),
            spi: 0x8000_0001,
            key_share: self.share.public().to_vec(),
            run_id: self.run_id.clone(),
            ..JoinRequest::default()
        };
        (join, ack.director.expect("a director"))
    }

    pub async fn join(&mut self, request: JoinRequest) {
        let envelope = self.seal(Kind::Join, &request);
        let answer = self.client.join(envelope).await.unwrap().into_inner().answer;
        assert!(matches!(answer, Some(join_answer::Answer::Ack(_))), "{answer:?}");
    }
}

/// The code in the only letter that has one.
fn code(spool: &Path) -> Code {
    let letters = fs::read_dir(spool)
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let text: String = letters.collect();
    let shape = |word: &&str| {
        word.len() == 9 && word.as_bytes()[4] == b'-' && word.replace('-', "").parse::<u32>().is_ok()
    };
    Code::parse(text.split_whitespace().find(shape).expect("a code")).unwrap()
}

pub async fn listed(folder: &Path) -> Director {
    admin(folder)
        .await
        .list_directors(Empty {})
        .await
        .unwrap()
        .into_inner()
        .directors
        .remove(0)
}
