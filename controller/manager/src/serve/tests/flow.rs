//! What a new user does, over the wire.

use super::member::next;
use super::*;
use kith_protocol::admin::{AuditQuery, Empty, EventQuery};
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::update::Change;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use tokio_stream::StreamExt;

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_a_joined_member_that_hears_of_changes() {
    let world = World::start().await;
    let mut members = world.members(&["ada", "bob"]).await;
    let ack = members[0].join().await;
    assert_eq!(Ipv4Addr::from(ack.virtual_address).to_string(), "10.77.0.2");
    assert_eq!(
        Ipv4Addr::from(ack.manager_virtual_address).to_string(),
        "10.77.0.1"
    );
    let mut stream = members[0].watch(ack.revision).await.unwrap();
    let synced = next(&mut stream).await.unwrap().unwrap();
    assert!(matches!(synced.change, Some(Change::Synced(_))));

    let status = world
        .admin()
        .await
        .get_status(Empty {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((status.communities, status.members, status.joined), (1, 2, 1));
    assert_eq!(status.fingerprint, world.server.fingerprint().to_string());
    assert!(status.mail.ends_with("spool"), "{}", status.mail);

    // The same run watches again: the first stream has been replaced, and says so.
    let mut second = members[0].watch(ack.revision).await.unwrap();
    assert!(matches!(
        next(&mut second).await.unwrap().unwrap().change,
        Some(Change::Synced(_))
    ));
    assert_eq!(next(&mut stream).await.unwrap_err().code(), tonic::Code::Aborted);
    world.server.stop().await;
    assert_eq!(
        next(&mut second).await.unwrap_err().code(),
        tonic::Code::Unavailable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_key_the_community_and_the_members() {
    let world = World::start().await;
    let mut ada = world.members(&["ada"]).await.remove(0);
    let joined = ada.join().await;
    let fingerprint = world.server.fingerprint();
    let world = world.restart(With::default()).await;
    assert_eq!(world.server.fingerprint(), fingerprint);
    let status = world
        .admin()
        .await
        .get_status(Empty {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((status.communities, status.members, status.joined), (1, 1, 1));
    ada.client = MembersClient::new(world.dial().connect().await.unwrap());
    assert_eq!(ada.join().await.virtual_address, joined.virtual_address);
    let store = fs::metadata(world.folder.path().join("store.db")).unwrap();
    assert_eq!(store.permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_authentic_is_dropped_and_told_nothing() {
    let world = World::start().await;
    let mut ada = world.members(&["ada"]).await.remove(0);
    let mut query = ada.query();
    query.authenticator[0] ^= 1;
    let mut unknown = ada.query();
    unknown.fqdn = "eve.acme.example".into();
    for envelope in [query, unknown, Default::default()] {
        let refused = ada.client.query(envelope.clone()).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (tonic::Code::Unauthenticated, "")
        );
        let mut stream = ada.client.watch(envelope).await.unwrap().into_inner();
        let ended = next(&mut stream).await.unwrap_err();
        assert_eq!(
            (ended.code(), ended.message()),
            (tonic::Code::Unauthenticated, "")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_events_as_they_happen_the_audit_and_a_backup_that_opens() {
    let world = World::start().await;
    let mut admin = world.admin().await;
    let query = EventQuery {
        community: "acme.example".into(),
    };
    let mut events = admin.watch_events(query).await.unwrap().into_inner();
    world.members(&["ada"]).await;
    let first = tokio::time::timeout(END, events.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        (first.kind.as_str(), first.community.as_str()),
        ("community.created", "acme.example")
    );

    let audit = admin
        .list_audit(AuditQuery::default())
        .await
        .unwrap()
        .into_inner()
        .records;
    let actions: Vec<_> = audit.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["community.create", "member.invite"]);
    assert!(audit[0].allowed && audit[0].actor.starts_with("uid "));
    let later = AuditQuery {
        since_ms: audit[1].at_ms,
        ..AuditQuery::default()
    };
    assert!(
        !admin
            .list_audit(later)
            .await
            .unwrap()
            .into_inner()
            .records
            .is_empty()
    );
    let none = AuditQuery {
        since_ms: u64::MAX,
        ..AuditQuery::default()
    };
    assert!(
        admin
            .list_audit(none)
            .await
            .unwrap()
            .into_inner()
            .records
            .is_empty()
    );

    let mut pieces = admin.backup(Empty {}).await.unwrap().into_inner();
    let mut copy = Vec::new();
    while let Some(piece) = pieces.next().await {
        copy.extend(piece.unwrap().data);
    }
    let path = world.folder.path().join("copy.db");
    fs::write(&path, copy).unwrap();
    let copy = Sqlite::open(&path, Options::default()).unwrap();
    let (found, _) = copy
        .get(kith_store::Key::new("member/acme.example/ada"))
        .await
        .unwrap();
    assert!(found.is_some());
    let left: Vec<_> = fs::read_dir(world.folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains("backup")),
        "{left:?}"
    );
}

/// Octets of memory that this process has.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_costs_little() {
    const STREAMS: usize = 200;
    let world = World::start().await;
    let names: Vec<_> = (0..STREAMS).map(|number| format!("m{number}")).collect();
    let mut members = world
        .members(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let mut revisions = Vec::new();
    for member in &mut members {
        revisions.push(member.join().await.revision);
    }
    let before = resident();
    let (mut streams, mut others) = (Vec::new(), Vec::new());
    for (member, revision) in members.iter_mut().zip(revisions) {
        // The connections of before stay: nothing of theirs is used again.
        let client = MembersClient::new(world.dial().connect().await.unwrap());
        others.push(std::mem::replace(&mut member.client, client));
        let mut stream = member.watch(revision).await.unwrap();
        assert!(matches!(
            next(&mut stream).await.unwrap().unwrap().change,
            Some(Change::Synced(_))
        ));
        streams.push(stream);
    }
    let each = resident().saturating_sub(before) / STREAMS / 1024;
    println!("a connection with an idle stream: {each} KiB, both ends together");
    assert!(each < 300, "{each} KiB");
}
