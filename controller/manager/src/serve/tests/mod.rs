//! A whole manager on loopback: store on disk, TLS, local socket, spool folder; and members and operators who are real clients of it.

mod attend;
mod failure;
mod flow;
mod hostile;
mod local;
mod member;

use super::limits::Limits;
use super::*;
use crate::mail::{MailSettings, Way};
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::admin::{Community, InviteRequest, Invitee};
use kith_protocol::invitation::Invitation;
use kith_protocol::tls::{Dial, unix};
use kith_store::{Options, sqlite::Sqlite};
use member::Member;
use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;
use tempfile::TempDir;
use tonic::transport::Channel;

/// The operators' half, with passwords that are made fast.
const OPERATORS: Operators = Operators {
    compile_policy: crate::policy::compile,
    command: crate::admin::run,
    cost: Argon2Cost::SIMULATION,
};

/// A running manager in a folder of its own.
struct World {
    folder: TempDir,
    server: Server,
}

/// Its settings: bounds, and how its store fails.
#[derive(Default)]
struct With {
    limits: Limits,
    store: Options,
    directors: Vec<InProcess>,
}

impl World {
    async fn start() -> Self {
        Self::with(With::default()).await
    }

    async fn with(with: With) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(folder.path(), with).await;
        Self { folder, server }
    }

    /// Stops it in order and starts another on the same folder.
    async fn restart(self, with: With) -> Self {
        let Self { folder, server } = self;
        server.stop().await;
        let server = serve(folder.path(), with).await;
        Self { folder, server }
    }

    async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(unix(&self.folder.path().join("admin.sock")).await.unwrap())
    }

    fn dial(&self) -> Dial {
        Dial::new(
            "127.0.0.1",
            self.server.listens().port(),
            self.server.fingerprint(),
        )
    }

    /// A community, and an invitation of each of these.
    async fn invite(&self, names: &[&str]) -> Vec<Invitation> {
        let mut admin = self.admin().await;
        let community = Community {
            domain: "acme.example".into(),
            pools: vec!["10.77.0.0/24".into()],
            ..Community::default()
        };
        // It may be there already.
        admin.create_community(community).await.ok();
        let invitee = |name: &&str| Invitee {
            fqdn: format!("{name}.acme.example"),
            email: format!("{name}@acme.example"),
            ..Invitee::default()
        };
        let request = InviteRequest {
            community: "acme.example".into(),
            invitees: names.iter().map(invitee).collect(),
            valid_s: 3600,
            ..InviteRequest::default()
        };
        let invitations = admin.invite(request).await.unwrap().into_inner().invitations;
        invitations
            .iter()
            .map(|one| Invitation::parse(&one.text).unwrap())
            .collect()
    }

    /// Members that have registered with the code from the spool folder.
    async fn members(&self, names: &[&str]) -> Vec<Member> {
        let mut members = Vec::new();
        for invitation in self.invite(names).await {
            let mut member = Member::of(&self.dial(), invitation).await;
            member.enrol(&self.folder.path().join("spool")).await;
            members.push(member);
        }
        members
    }
}

async fn serve(folder: &Path, with: With) -> Server {
    let any: SocketAddrV4 = "127.0.0.1:0".parse().unwrap();
    let settings = Settings {
        store: folder.join("store.db"),
        listen: any,
        tunnel: any,
        public: Public {
            host: "127.0.0.1".into(),
            port: 443,
            tunnel: "127.0.0.1:20202".parse().unwrap(),
        },
        local_users: Vec::new(),
        mail: MailSettings {
            from: "kith@acme.example".into(),
            way: Way::Spool(folder.join("spool")),
        },
        metrics: None,
        limits: with.limits,
        core_limits: core::Limits {
            source: core::Rate {
                per_second: 10_000,
                burst: 100_000,
            },
            ..core::Limits::default()
        },
        times: core::Times::default(),
    };
    let store = Sqlite::open(&settings.store, with.store).unwrap();
    let socket = folder.join("admin.sock");
    fs::remove_file(&socket).ok();
    let local = UnixListener::bind(&socket).unwrap();
    Server::start(settings, Arc::new(store), local, OPERATORS, with.directors)
        .await
        .unwrap()
}
