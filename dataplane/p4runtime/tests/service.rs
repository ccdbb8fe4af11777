//! The service as a client sees it: writes, reads, arbitration, packets.

mod common;

use common::{Server, rule, sender, session};
use kith_p4runtime::client::{ClientError, Event};
use kith_p4runtime::entry::{self, PolicyAction, Table};
use kith_p4runtime::packet::{PacketIn, PacketOut, PacketOutMode};
use kith_p4runtime::proto::v1::{self, entity::Entity as Kind};
use kith_p4runtime::service::{Config, NotDelivered};
use kith_p4runtime::target::Atomicity;
use kith_p4runtime::update::{Row, Update};
use kith_pipeline::units::PortIndex;
use tonic::Code;

/// A read of table entries.
fn entries(filter: v1::TableEntry) -> Vec<v1::Entity> {
    vec![v1::Entity {
        entity: Some(Kind::TableEntry(filter)),
    }]
}

fn of_table(table: Table) -> Vec<v1::Entity> {
    entries(v1::TableEntry {
        table_id: table.id(),
        ..Default::default()
    })
}

fn insert(entry: entry::Entry) -> Update {
    Update::Insert(Row::from(entry))
}

#[tokio::test]
async fn what_is_written_is_read_back_the_same() {
    let server = Server::start(Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    let all = [
        session(1, 40_000),
        sender(1, 40_000),
        rule(10, 22, PolicyAction::Allow),
    ];
    client.write(&all.map(insert), Atomicity::Continue).await.unwrap();
    let read = client.read_all(entries(v1::TableEntry::default())).await.unwrap();
    assert_eq!(read.len(), 3);
    for one in all {
        let message = v1::Entity {
            entity: Some(Kind::TableEntry(entry::encode(&one))),
        };
        assert!(read.contains(&message), "{one:?}");
    }
    assert_eq!(client.read_all(of_table(Table::Session)).await.unwrap().len(), 1);
    client
        .write(&[Update::Delete(all[0].key())], Atomicity::Continue)
        .await
        .unwrap();
    assert_eq!(client.read_all(of_table(Table::Session)).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_batch_tells_each_update_its_fate() {
    let server = Server::start(Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    let batch = [
        insert(session(1, 1)),
        insert(session(1, 2)),
        insert(session(2, 2)),
        Update::Delete(session(9, 1).key()),
    ];
    let Err(ClientError::Batch(failures)) = client.write(&batch, Atomicity::Continue).await else {
        panic!("two of four are wrong");
    };
    assert_eq!(failures.of, 4);
    let told: Vec<_> = failures
        .failed
        .iter()
        .map(|failure| (failure.index, failure.code))
        .collect();
    assert_eq!(told, [(1, Code::AlreadyExists), (3, Code::NotFound)]);
    assert_eq!(
        client.read_all(of_table(Table::Session)).await.unwrap().len(),
        2,
        "the others happened"
    );

    let batch = [insert(session(3, 1)), insert(session(1, 2))];
    let error = client.write(&batch, Atomicity::Rollback).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::AlreadyExists));
    assert_eq!(
        client.read_all(of_table(Table::Session)).await.unwrap().len(),
        2,
        "nothing happened"
    );

    let error = client
        .write(&[insert(session(4, 1))], Atomicity::Dataplane)
        .await
        .unwrap_err();
    assert_eq!(
        error.code(),
        Some(Code::Unimplemented),
        "sessions change in place"
    );
    client
        .write(&[insert(rule(1, 1, PolicyAction::Deny))], Atomicity::Dataplane)
        .await
        .unwrap();
}

#[tokio::test]
async fn only_the_primary_writes_and_the_highest_id_is_primary() {
    let server = Server::start(Config::default()).await;
    let (mut first, mut first_session) = server.primary(10).await;
    let mut second = server.client().await;
    let mut second_session = second.arbitrate(Some(5)).await.unwrap();
    assert!(!second_session.is_primary().await.unwrap());
    let denied = second
        .write(&[insert(session(1, 1))], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Some(Code::PermissionDenied));

    second_session.arbitrate(Some(11)).await.unwrap();
    second.show(Some(11));
    assert!(second_session.is_primary().await.unwrap());
    let told = first_session.next().await.unwrap();
    assert_eq!(
        told,
        Event::Arbitration {
            primary: false,
            any: true,
            highest: Some(11)
        }
    );
    second
        .write(&[insert(session(1, 1))], Atomicity::Continue)
        .await
        .unwrap();
    let denied = first
        .write(&[insert(session(2, 1))], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Some(Code::PermissionDenied));

    drop(second_session);
    let told = first_session.next().await.unwrap();
    assert_eq!(
        told,
        Event::Arbitration {
            primary: false,
            any: false,
            highest: Some(11)
        }
    );
    let denied = second
        .write(&[insert(session(2, 1))], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(
        denied.code(),
        Some(Code::PermissionDenied),
        "a dead stream is no primary"
    );
}

#[tokio::test]
async fn a_tie_ends_the_second_stream() {
    let server = Server::start(Config::default()).await;
    let (_first, _session) = server.primary(10).await;
    let mut second = server.client().await;
    let refused = async { second.arbitrate(Some(10)).await?.is_primary().await }
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(Code::InvalidArgument));
}

#[tokio::test]
async fn packets_go_to_the_primary_and_come_from_it_alone() {
    let server = Server::start(Config {
        queue: 4,
        ..Config::default()
    })
    .await;
    let packet = PacketIn {
        ingress_port: PortIndex(2),
        reason: 2,
        frame: vec![9; 100],
    };
    assert_eq!(server.packet_ins.send(packet.clone()), Err(NotDelivered::Nobody));
    let (_first, mut primary) = server.primary(10).await;
    let mut other = server.client().await;
    let mut backup = other.arbitrate(Some(5)).await.unwrap();
    assert!(!backup.is_primary().await.unwrap());

    server.packet_ins.send(packet.clone()).unwrap();
    assert_eq!(primary.next().await.unwrap(), Event::Packet(packet));

    let out = PacketOut {
        egress_port: PortIndex(1),
        mode: PacketOutMode::Send,
        frame: vec![7; 60],
    };
    backup.packet_out(out.clone()).await.unwrap();
    let Event::Refused(error) = backup.next().await.unwrap() else {
        panic!("a backup sends nothing")
    };
    assert_eq!(Code::from(error.canonical_code), Code::PermissionDenied);

    primary
        .packet_out(PacketOut {
            egress_port: PortIndex(9),
            mode: PacketOutMode::Send,
            frame: vec![7; 60],
        })
        .await
        .unwrap();
    let Event::Refused(error) = primary.next().await.unwrap() else {
        panic!("there is no port 9")
    };
    assert_eq!(Code::from(error.canonical_code), Code::InvalidArgument);

    primary.packet_out(out.clone()).await.unwrap();
    while server
        .store
        .with_backend(|memory| memory.sent.lock().unwrap().is_empty())
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        server
            .store
            .with_backend(|memory| memory.sent.lock().unwrap().clone()),
        [out]
    );
}
