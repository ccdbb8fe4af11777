//! A store that fails: nothing is acknowledged that is not kept, and the manager serves again by itself.

use super::*;
use kith_protocol::admin::Empty;
use kith_protocol::member::refusal::Code;
use kith_protocol::member::{register_answer, update::Change};
use kith_store::Faults;
use std::sync::atomic::{AtomicBool, Ordering};

fn failing() -> (Arc<AtomicBool>, With) {
    let broken = Arc::new(AtomicBool::new(false));
    let at = broken.clone();
    let faults = Faults::new(move |_| at.load(Ordering::Relaxed));
    let store = Options {
        faults,
        ..Options::default()
    };
    (
        broken,
        With {
            store,
            ..With::default()
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_kept_was_not_acknowledged_and_afterwards_all_goes_on() {
    let (broken, with) = failing();
    let world = World::with(with).await;
    let mut ada = world.members(&["ada"]).await.remove(0);
    let joined = ada.join().await;
    let mut stream = ada.watch(joined.revision).await.unwrap();
    assert!(matches!(
        member::next(&mut stream).await.unwrap().unwrap().change,
        Some(Change::Synced(_))
    ));

    broken.store(true, Ordering::Relaxed);
    let mut admin = world.admin().await;
    let community = Community {
        domain: "globex.example".into(),
        pools: vec!["10.78.0.0/24".into()],
        ..Community::default()
    };
    let refused = admin.create_community(community.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    // Whoever listened is sent away, to come back and sync.
    assert_eq!(
        member::next(&mut stream).await.unwrap_err().code(),
        tonic::Code::Unavailable
    );

    broken.store(false, Ordering::Relaxed);
    let began = std::time::Instant::now();
    let status = loop {
        match admin.get_status(Empty {}).await {
            Ok(status) => break status.into_inner(),
            Err(_) => assert!(began.elapsed() < Duration::from_secs(10)),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        (status.communities, status.members, status.joined),
        (1, 1, 1),
        "the community was not kept"
    );
    admin.create_community(community).await.unwrap();
    assert_eq!(ada.join().await.virtual_address, joined.virtual_address);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_refused_by_name_while_nothing_can_be_kept() {
    let (broken, with) = failing();
    let world = World::with(with).await;
    let invitation = world.invite(&["ada"]).await.remove(0);
    let mut ada = Member::of(&world.dial(), invitation).await;
    broken.store(true, Ordering::Relaxed);
    let answer = ada
        .client
        .register(ada.registration())
        .await
        .unwrap()
        .into_inner()
        .answer;
    let Some(register_answer::Answer::Refusal(refusal)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(refusal.code(), Code::Store);
    assert!(refusal.retry_after_ms > 0 && !refusal.reason.is_empty());
    broken.store(false, Ordering::Relaxed);
    // Once it has been read again, the same request begins a registration.
    let began = std::time::Instant::now();
    loop {
        match ada
            .client
            .register(ada.registration())
            .await
            .unwrap()
            .into_inner()
            .answer
        {
            Some(register_answer::Answer::Ack(_)) => break,
            answer => assert!(began.elapsed() < Duration::from_secs(10), "{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
