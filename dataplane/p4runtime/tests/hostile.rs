//! Clients that mean harm: too large, too many, too fast, nonsense.

mod common;

use common::{Server, rule, session};
use kith_p4runtime::client::ClientError;
use kith_p4runtime::entry::{self, PolicyAction};
use kith_p4runtime::ids;
use kith_p4runtime::packet::PacketIn;
use kith_p4runtime::proto::v1::{
    self, entity::Entity as Kind, set_forwarding_pipeline_config_request::Action,
};
use kith_p4runtime::service::{Config, NotDelivered};
use kith_p4runtime::target::Atomicity;
use kith_p4runtime::update::Update;
use kith_pipeline::units::PortIndex;
use tonic::Code;

fn update(kind: Kind) -> v1::Update {
    v1::Update {
        r#type: v1::update::Type::Modify.into(),
        entity: Some(v1::Entity { entity: Some(kind) }),
    }
}

#[tokio::test]
async fn a_message_too_large_is_refused_and_the_service_goes_on() {
    let server = Server::start(Config {
        message: 64 << 10,
        ..Config::default()
    })
    .await;
    let (mut client, _session) = server.primary(1).await;
    let mut table = entry::encode(&rule(1, 1, PolicyAction::Allow));
    table.metadata = vec![0; 1 << 20];
    let error = client
        .write_messages(vec![update(Kind::TableEntry(table))], Atomicity::Continue)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::OutOfRange), "{error}");
    client
        .write(&[Update::Insert(session(1, 1).into())], Atomicity::Continue)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_the_program_does_not_have_is_unimplemented_and_what_is_nonsense_is_invalid() {
    let server = Server::start(Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    let mut metadata = entry::encode(&session(1, 1));
    metadata.metadata = vec![1];
    let mut long = entry::encode(&rule(1, 1, PolicyAction::Allow));
    long.metadata = vec![0; 257];
    let mut idle = entry::encode(&rule(1, 1, PolicyAction::Allow));
    idle.idle_timeout_ns = 1;
    let mut meter = entry::encode(&rule(1, 1, PolicyAction::Allow));
    meter.meter_config = Some(v1::MeterConfig::default());
    let cell = |index| v1::MeterEntry {
        meter_id: ids::meter::PUNT_METER,
        index: Some(v1::Index { index }),
        ..Default::default()
    };
    let rates = |cir, pir, eburst| v1::MeterEntry {
        config: Some(v1::MeterConfig {
            cir,
            pir,
            eburst,
            ..Default::default()
        }),
        ..cell(0)
    };
    let colours = v1::MeterEntry {
        counter_data: Some(v1::MeterCounterData::default()),
        ..cell(0)
    };
    let cases = [
        (
            update(Kind::RegisterEntry(v1::RegisterEntry::default())),
            Code::Unimplemented,
        ),
        (
            update(Kind::DigestEntry(v1::DigestEntry::default())),
            Code::Unimplemented,
        ),
        (
            update(Kind::ActionProfileMember(v1::ActionProfileMember::default())),
            Code::Unimplemented,
        ),
        (
            update(Kind::CounterEntry(v1::CounterEntry {
                counter_id: 5,
                ..Default::default()
            })),
            Code::NotFound,
        ),
        (update(Kind::MeterEntry(cell(9))), Code::OutOfRange),
        (update(Kind::MeterEntry(cell(-1))), Code::InvalidArgument),
        (update(Kind::MeterEntry(rates(2, 1, 0))), Code::InvalidArgument),
        (update(Kind::MeterEntry(rates(1, 1, 1))), Code::InvalidArgument),
        (update(Kind::MeterEntry(rates(-1, 1, 0))), Code::InvalidArgument),
        (update(Kind::MeterEntry(colours)), Code::Unimplemented),
        (update(Kind::TableEntry(metadata)), Code::InvalidArgument),
        (update(Kind::TableEntry(long)), Code::InvalidArgument),
        (update(Kind::TableEntry(idle)), Code::InvalidArgument),
        (update(Kind::TableEntry(meter)), Code::InvalidArgument),
        (
            update(Kind::TableEntry(v1::TableEntry::default())),
            Code::NotFound,
        ),
        (
            v1::Update {
                r#type: 1,
                entity: None,
            },
            Code::InvalidArgument,
        ),
        (
            v1::Update {
                r#type: 0,
                ..update(Kind::MeterEntry(cell(0)))
            },
            Code::InvalidArgument,
        ),
        (
            v1::Update {
                r#type: 1,
                ..update(Kind::MeterEntry(cell(0)))
            },
            Code::InvalidArgument,
        ),
        (
            v1::Update {
                r#type: 99,
                ..update(Kind::MeterEntry(cell(0)))
            },
            Code::InvalidArgument,
        ),
    ];
    let (updates, codes): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let Err(ClientError::Batch(failures)) = client.write_messages(updates, Atomicity::Continue).await else {
        panic!("all of them are wrong");
    };
    let told: Vec<_> = failures.failed.iter().map(|failure| failure.code).collect();
    assert_eq!(told, codes, "{failures}");
}

#[tokio::test]
async fn a_thousand_errors_arrive_whole() {
    let server = Server::start(Config::default()).await;
    let (mut client, _session) = server.primary(1).await;
    let batch: Vec<_> = (0..1000)
        .map(|number| Update::Delete(session(number, 1).key()))
        .collect();
    let Err(ClientError::Batch(failures)) = client.write(&batch, Atomicity::Continue).await else {
        panic!("all fail")
    };
    assert_eq!((failures.of, failures.failed.len()), (1000, 1000));
    assert!(
        failures
            .failed
            .iter()
            .all(|failure| failure.code == Code::NotFound)
    );
    assert!(!failures.failed[0].message.is_empty());
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let server = Server::start(Config {
        streams: 2,
        ..Config::default()
    })
    .await;
    let (_one, first) = server.primary(1).await;
    let (_two, _second) = server.primary(2).await;
    let mut third = server.client().await;
    let error = third.arbitrate(Some(3)).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::ResourceExhausted));
    drop(first);
    loop {
        match third.arbitrate(Some(3)).await {
            Ok(mut session) => break assert!(session.is_primary().await.unwrap()),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test]
async fn packets_for_a_client_that_does_not_read_are_dropped_and_counted() {
    let server = Server::start(Config {
        queue: 8,
        ..Config::default()
    })
    .await;
    let (_client, _session) = server.primary(1).await;
    let packet = PacketIn {
        ingress_port: PortIndex(0),
        reason: 1,
        frame: vec![0; 60_000],
    };
    let sent: Vec<_> = (0..1000)
        .map(|_| server.packet_ins.send(packet.clone()))
        .collect();
    let dropped = sent.iter().filter(|one| **one == Err(NotDelivered::Full)).count() as u64;
    assert!(dropped > 500, "{dropped}");
    assert_eq!(server.packet_ins.dropped(), dropped);
}

#[tokio::test]
async fn another_program_is_refused_and_ours_keeps_its_cookie() {
    let server = Server::start(Config::default()).await;
    let mut reader = server.client().await;
    let ours = reader.p4info().await.unwrap();
    assert_eq!(&ours, ids::p4info(), "the program runs before anybody set one");
    let (mut client, _session) = server.primary(1).await;
    let config = |info: Option<_>, program: &[u8]| v1::ForwardingPipelineConfig {
        p4info: info,
        p4_device_config: program.to_vec(),
        cookie: Some(v1::forwarding_pipeline_config::Cookie { cookie: 77 }),
    };
    let mut other = ours.clone();
    other.tables[0].size += 1;
    for (action, wrong, code) in [
        (Action::Verify, None, Code::InvalidArgument),
        (Action::Verify, Some(config(None, &[])), Code::InvalidArgument),
        (
            Action::VerifyAndCommit,
            Some(config(Some(other), &[])),
            Code::InvalidArgument,
        ),
        (
            Action::VerifyAndCommit,
            Some(config(Some(ours.clone()), b"other")),
            Code::InvalidArgument,
        ),
        (Action::Commit, None, Code::NotFound),
        (
            Action::Commit,
            Some(config(Some(ours.clone()), &[])),
            Code::InvalidArgument,
        ),
        (
            Action::Unspecified,
            Some(config(Some(ours.clone()), &[])),
            Code::InvalidArgument,
        ),
    ] {
        let error = client.set_pipeline(action, wrong).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{action:?}: {error}");
    }
    client
        .write(&[Update::Insert(session(1, 1).into())], Atomicity::Continue)
        .await
        .unwrap();
    let all = || {
        vec![v1::Entity {
            entity: Some(Kind::TableEntry(v1::TableEntry::default())),
        }]
    };

    let mut shuffled = ours.clone();
    shuffled.tables.reverse();
    client
        .set_pipeline(Action::VerifyAndSave, Some(config(Some(shuffled), &[])))
        .await
        .unwrap();
    let cookie = |config: v1::ForwardingPipelineConfig| config.cookie.map(|cookie| cookie.cookie);
    assert_eq!(
        cookie(client.pipeline(Default::default()).await.unwrap()),
        None,
        "saved is not committed"
    );
    client.set_pipeline(Action::Commit, None).await.unwrap();
    assert_eq!(
        cookie(client.pipeline(Default::default()).await.unwrap()),
        Some(77)
    );
    client
        .set_pipeline(Action::ReconcileAndCommit, Some(config(Some(ours.clone()), &[])))
        .await
        .unwrap();
    assert_eq!(client.read_all(all()).await.unwrap().len(), 1, "entries stay");
    client
        .set_pipeline(Action::VerifyAndCommit, Some(config(Some(ours), &[])))
        .await
        .unwrap();
    assert_eq!(client.read_all(all()).await.unwrap().len(), 0, "entries go");
}

#[tokio::test]
async fn wrong_devices_and_roles_are_not_found() {
    let server = Server::start(Config {
        device_id: 7,
        ..Config::default()
    })
    .await;
    let mut client = server.client().await;
    let all = vec![v1::Entity {
        entity: Some(Kind::TableEntry(v1::TableEntry::default())),
    }];
    assert_eq!(
        client.read_all(all).await.unwrap_err().code(),
        Some(Code::NotFound)
    );
    assert_eq!(client.p4info().await.unwrap_err().code(), Some(Code::NotFound));
    let refused = async { client.arbitrate(Some(1)).await?.is_primary().await };
    assert_eq!(refused.await.unwrap_err().code(), Some(Code::NotFound));
}
