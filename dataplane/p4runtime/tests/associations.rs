//! Security associations over a live service: what may be installed, in which order with entries, and that keys never come back.

mod common;

use common::*;
use kith_esp::{Key, Limits, SaKeys, Salt, Spi};
use kith_p4runtime::association::*;
use kith_p4runtime::proto::v1::{self, entity::Entity as Kind, update::Type};
use kith_p4runtime::service::Config;
use kith_p4runtime::target::{Atomicity, Backend, Faulty, Memory, Target};
use kith_p4runtime::update::Update;
use kith_pipeline::units::SaIndex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tonic::Code;

fn of(direction: Direction, index: u32, key: u8) -> Association {
    let keys = SaKeys::new(Key::aes128(&[key; 16]), Salt::new(&[1; 4]));
    let key = AssociationKey {
        direction,
        index: SaIndex(index),
    };
    Association::new(key, Spi::new(0x1000 + index).unwrap(), keys, Limits::default())
}

fn install(direction: Direction, index: u32, key: u8) -> Update {
    Update::InstallAssociation(of(direction, index, key))
}

fn remove(direction: Direction, index: u32) -> Update {
    Update::RemoveAssociation(of(direction, index, 0).key)
}

use Direction::{Inbound, Outbound};

#[tokio::test]
async fn associations_are_installed_read_without_keys_and_removed() {
    let server = Server::start(Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    let batch = [
        install(Inbound, 3, 1),
        insert(association(0x1003, 3)),
        install(Outbound, 3, 2),
        install(Outbound, 0, 3),
    ];
    client.write(&batch, Atomicity::Rollback).await.unwrap();
    let read = client.associations().await.unwrap();
    let keys: Vec<_> = read
        .iter()
        .map(|state| (state.key.direction, state.key.index.0))
        .collect();
    assert_eq!(keys, [(Outbound, 0), (Outbound, 3), (Inbound, 3)]);
    assert_eq!((read[2].spi.get(), read[2].limits), (0x1003, Limits::default()));

    let one = AssociationFilter {
        direction: Some(Outbound),
        index: Some(SaIndex(0)),
    };
    let filter = v1::Entity {
        entity: Some(Kind::ExternEntry(one.encode())),
    };
    let raw = client.read_all(vec![filter]).await.unwrap();
    let [
        v1::Entity {
            entity: Some(Kind::ExternEntry(entry)),
        },
    ] = &raw[..]
    else {
        panic!("one was asked for: {raw:?}")
    };
    let octets = &entry.entry.as_ref().unwrap().value;
    assert!(
        !octets.windows(16).any(|window| window == [3; 16]),
        "a read gave a key"
    );

    client
        .write(&[remove(Outbound, 3)], Atomicity::Continue)
        .await
        .unwrap();
    assert_eq!(client.associations().await.unwrap().len(), 2);
    let error = client
        .write(&[remove(Outbound, 3)], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::NotFound));
}

#[tokio::test]
async fn a_place_that_is_taken_a_place_that_is_not_and_a_key_that_served_are_refused() {
    let server = Server::start(Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    client
        .write(&[install(Outbound, 1, 1)], Atomicity::Continue)
        .await
        .unwrap();
    for (update, code) in [
        (install(Outbound, 1, 2), Code::AlreadyExists),
        (install(Outbound, 8192, 3), Code::OutOfRange),
        (install(Outbound, 2, 1), Code::FailedPrecondition),
    ] {
        let error = client.write(&[update], Atomicity::Continue).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
    }
    client
        .write(&[remove(Outbound, 1)], Atomicity::Continue)
        .await
        .unwrap();
    let error = client
        .write(&[install(Outbound, 1, 1)], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(
        error.code(),
        Some(Code::FailedPrecondition),
        "gone, and yet it served: {error}"
    );
    client
        .write(&[install(Inbound, 1, 1)], Atomicity::Continue)
        .await
        .unwrap();

    let modify = v1::Update {
        r#type: Type::Modify.into(),
        entity: Some(v1::Entity {
            entity: Some(Kind::ExternEntry(of(Inbound, 1, 9).encode())),
        }),
    };
    let error = client
        .write_messages(vec![modify], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::InvalidArgument), "{error}");
    let error = client
        .write(&[install(Inbound, 7, 7)], Atomicity::Dataplane)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::Unimplemented), "{error}");
}

#[tokio::test]
async fn only_the_primary_installs() {
    let server = Server::start(Config::default()).await;
    let (_primary, _session) = server.primary(2).await;
    let mut other = server.client().await;
    let error = other
        .write(&[install(Inbound, 1, 1)], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::PermissionDenied));
    assert!(other.associations().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_that_fails_leaves_no_association_and_its_keys_may_come_again() {
    let server = Server::start(Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    client
        .write(&[install(Outbound, 9, 9)], Atomicity::Rollback)
        .await
        .unwrap();
    // The place of one that goes is taken until the batch is over.
    let batch = [
        install(Inbound, 1, 1),
        remove(Outbound, 9),
        install(Outbound, 9, 2),
    ];
    let error = client.write(&batch, Atomicity::Rollback).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::AlreadyExists), "{error}");
    let left = client.associations().await.unwrap();
    assert_eq!(left.len(), 1, "as before: {left:?}");
    assert_eq!(left[0].key, of(Outbound, 9, 0).key);
    client
        .write(&[install(Inbound, 1, 1)], Atomicity::Rollback)
        .await
        .unwrap();
}

#[test]
fn what_is_published_while_a_batch_removes_an_association_still_has_it() {
    // The back end fails at its n-th write: first the publication, then the removal.
    let left = Arc::new(AtomicU32::new(u32::MAX));
    let counting = left.clone();
    let fails = move || counting.fetch_sub(1, Ordering::Relaxed) == 0;
    let store = kith_p4runtime::target::Store::new(Faulty::new(Memory::new(4), fails), &[]).unwrap();
    let batch = [install(Outbound, 1, 1), insert(association(0x1001, 1))];
    store.write(&batch, Atomicity::Rollback).unwrap();
    let there = || store.with_backend(|backend| backend.associations().get(of(Outbound, 1, 0).key).is_some());
    for fails_at in [0, 1] {
        left.store(fails_at, Ordering::Relaxed);
        let key = association(0x1001, 1).key();
        let outcomes = store
            .write(&[remove(Outbound, 1), Update::Delete(key)], Atomicity::Rollback)
            .unwrap();
        assert!(outcomes[0].is_err(), "{outcomes:?}");
        assert!(there(), "write {fails_at} failed, so the association stays");
    }
    left.store(u32::MAX, Ordering::Relaxed);
    assert!(store.write(&[remove(Outbound, 1)], Atomicity::Rollback).unwrap()[0].is_ok());
    assert!(!there());
}

#[test]
fn a_reset_removes_all_and_their_keys_stay_burnt() {
    let store = kith_p4runtime::target::Store::new(Memory::new(4), &[]).unwrap();
    store
        .write(
            &[install(Outbound, 1, 1), install(Inbound, 1, 2)],
            Atomicity::Continue,
        )
        .unwrap();
    store.reset().unwrap();
    assert!(store.with_backend(|backend| backend.associations().list().is_empty()));
    let again = store
        .write(&[install(Outbound, 1, 1)], Atomicity::Continue)
        .unwrap();
    assert_eq!(again[0].as_ref().unwrap_err().code(), Code::FailedPrecondition);
}
