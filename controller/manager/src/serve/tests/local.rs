//! Who may do what, over each way in.

use super::*;
use aws_lc_rs::digest::{SHA256, digest};
use kith_protocol::admin::{CredentialRequest, Empty, MemberQuery};
use kith_protocol::records::Credential;
use kith_protocol::tls::ClientCertificate;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

pub(super) fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

async fn credential(world: &World, name: &str, role: &str, valid_s: u64, certificate_der: Vec<u8>) -> String {
    let wanted = CredentialRequest {
        director: String::new(),
        name: name.into(),
        role: role.into(),
        valid_s,
        certificate_der,
    };
    world
        .admin()
        .await
        .create_credential(wanted)
        .await
        .unwrap()
        .into_inner()
        .token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_its_role_and_no_more() {
    let world = World::start().await;
    let token = credential(&world, "ci", "viewer", 0, Vec::new()).await;
    let mut remote = AdminClient::new(world.dial().connect().await.unwrap());
    remote.get_status(with_token(Empty {}, &token)).await.unwrap();
    let refused = remote
        .create_community(with_token(Community::default(), &token))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(
        refused.message(),
        "community.create needs the role admin; token ci has viewer"
    );
    let refused = remote.backup(with_token(Empty {}, &token)).await.err();
    assert_eq!(refused.unwrap().code(), Code::PermissionDenied);
    for wrong in ["token-of-ca", "", "x"] {
        let refused = remote.get_status(with_token(Empty {}, wrong)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    assert_eq!(
        remote.get_status(Empty {}).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        remote
            .list_members(MemberQuery::default())
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_is_none() {
    let world = World::start().await;
    let enter = |name: &str, expires_ms| {
        let hash = digest(&SHA256, name.as_bytes()).as_ref().to_vec();
        let credential = Credential {
            id: name.into(),
            name: name.into(),
            role: "admin".into(),
            hash,
            expires_ms,
            ..Credential::default()
        };
        world
            .server
            .host()
            .drive(|_, manager| manager.state_mut().put_credential(credential));
    };
    let now = world.server.host().clock.now();
    enter("good", now + 60_000);
    enter("over", now);
    let mut remote = AdminClient::new(world.dial().connect().await.unwrap());
    remote.get_status(with_token(Empty {}, "good")).await.unwrap();
    let refused = remote.get_status(with_token(Empty {}, "over")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_known_by_its_key() {
    let world = World::start().await;
    let make = || {
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["ops".into()])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        let key = tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        ClientCertificate {
            chain: vec![certificate.der().clone()],
            key,
        }
    };
    let (known, unknown) = (make(), make());
    credential(&world, "ops", "operator", 0, known.chain[0].to_vec()).await;
    let status = async |client| {
        let mut dial = world.dial();
        dial.client = Some(client);
        AdminClient::new(dial.connect().await.unwrap())
            .get_status(Empty {})
            .await
    };
    assert!(status(known).await.is_ok());
    assert_eq!(status(unknown).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_socket_serves_operators_and_no_members() {
    let world = World::start().await;
    let local = unix(&world.folder.path().join("admin.sock")).await.unwrap();
    let mut members = kith_protocol::member::members_client::MembersClient::new(local);
    assert_eq!(
        members
            .query(kith_protocol::member::Envelope::default())
            .await
            .unwrap_err()
            .code(),
        Code::Unimplemented
    );
}
