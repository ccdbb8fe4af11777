//! The program as a manager, alone and beside a director whose dataplane is a P4Runtime service with tables in memory.

mod common;

use common::{Dataplane, Running, free_port, standing, status, until, write};
use kith_controller::status::{Client, Part, Standing};
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::admin::{Community, Director, Empty, InviteRequest, Invitee};
use kith_protocol::authenticator::{Argon2Cost, AuthKey, Kind, PasswordKey, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::invitation::Invitation;
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::{
    ConfirmRequest, Director as Offer, InitRequest, JoinRequest, Location, RegisterRequest, RegistrationFile,
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
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;

/// Where the member is inside its NAT.
const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 21);

fn manager(folder: &Path) -> String {
    let (tcp, udp) = (free_port(), free_port());
    let folder = folder.display();
    format!(
        "name: office\nstate_dir: {folder}/state\nstatus_socket: {folder}/socket\nmanager:\n  listen: 127.0.0.1:{tcp}\n  \
         tunnel: 127.0.0.1:{udp}\n  admin_socket: {folder}/admin.sock\n"
    )
}

fn director(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "directors:\n- name: nrd1\n  dataplane: {{ address: \"unix:{folder}/p4runtime\" }}\n  address: 203.0.113.10\n  \
         pseudo_pool: {{ first: 240.0.0.1, count: 100 }}\n"
    )
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn admin(folder: &Path) -> AdminClient<Channel> {
    AdminClient::new(unix(&folder.join("admin.sock")).await.unwrap())
}

async fn invite(folder: &Path) -> Invitation {
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

async fn until_async(what: &str, mut come_true: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !come_true().await {
        assert!(began.elapsed().as_secs() < 20, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

struct Member {
    client: MembersClient<Channel>,
    identity: DeviceIdentity,
    share: KeyShare,
    file: RegistrationFile,
    run_id: Vec<u8>,
}

const ADA: &str = "ada.acme.example";

impl Member {
    async fn enrol(folder: &Path, invitation: &Invitation) -> Self {
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
    async fn init(&mut self) -> (JoinRequest, Offer) {
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

    async fn join(&mut self, request: JoinRequest) {
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

async fn listed(folder: &Path) -> Director {
    admin(folder)
        .await
        .list_directors(Empty {})
        .await
        .unwrap()
        .into_inner()
        .directors
        .remove(0)
}

#[test]
fn a_manager_alone_invites_enrols_and_keeps_all_over_kills_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &manager(folder));
    let mut running = Running::start(folder);
    until("it answers", || status(folder));
    let socket = fs::metadata(folder.join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let runtime = runtime();
    let ada = runtime.block_on(async {
        let invitation = invite(folder).await;
        Member::enrol(folder, &invitation).await
    });
    assert_eq!(ada.file.community, "acme.example");
    for stop in ["-KILL", "-TERM", "-KILL"] {
        let code = running.signal(stop);
        assert_eq!(code, (stop == "-TERM").then_some(0));
        running = Running::start(folder);
        until("it answers again", || status(folder));
        let status = runtime.block_on(async {
            admin(folder)
                .await
                .get_status(Empty {})
                .await
                .unwrap()
                .into_inner()
        });
        assert_eq!((status.communities, status.members), (1, 1));
        let kept = ada.file.managers[0]
            .fingerprint
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect::<String>();
        assert_eq!(status.fingerprint, format!("sha256:{kept}"));
    }
    running.signal("-TERM");
    assert!(!folder.join("admin.sock").exists() && !folder.join("socket").exists());
}

#[test]
fn a_director_beside_the_manager_is_listed_gets_grants_and_brings_its_sessions_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &(manager(folder) + &director(folder)));
    let mut running = Running::start(folder);
    standing(folder, Standing::Away);
    let dataplane = Dataplane::start(folder);
    standing(folder, Standing::Serving);
    let runtime = runtime();
    let known = runtime.block_on(async {
        until_async("the manager hears that it serves", async || {
            listed(folder).await.health == "healthy"
        })
        .await;
        listed(folder).await
    });
    assert_eq!(
        (known.name.as_str(), known.address.as_str(), known.capacity),
        ("nrd1", "203.0.113.10", 100)
    );

    let offer = runtime.block_on(async {
        let invitation = invite(folder).await;
        let mut ada = Member::enrol(folder, &invitation).await;
        let (mut join, offer) = ada.init().await;
        let pseudo = dataplane.session(offer.key_id, offer.key.clone().try_into().unwrap());
        join.location = Some(Location {
            director: offer.address,
            director_port: offer.port,
            address: pseudo.into(),
            port: 0,
        });
        ada.join(join).await;
        offer
    });
    let grants = Client::connect(folder.join("socket"))
        .unwrap()
        .grants(Part::default())
        .unwrap()
        .grants;
    assert_eq!((grants[0].name.as_str(), grants[0].key_id), (ADA, offer.key_id));
    assert_eq!(grants[0].community, "acme.example");

    // Sessions come back because grants are there before the journal is read.
    running.signal("-KILL");
    let _running = Running::start(folder);
    let status = standing(folder, Standing::Serving);
    assert_eq!(
        (status.directors[0].restored, status.directors[0].sessions),
        (1, 1)
    );

    // Out is out, at the director too.
    runtime.block_on(async {
        let asked = kith_protocol::admin::RevokeRequest {
            fqdn: ADA.into(),
            reason: "lost".into(),
        };
        admin(folder).await.revoke_member(asked).await.unwrap();
    });
    until("its session is over", || {
        (standing(folder, Standing::Serving).directors[0].sessions == 0).then_some(())
    });
}
