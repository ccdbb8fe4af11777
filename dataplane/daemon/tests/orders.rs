//! Orders between a keeper and a worker: obeyed in time, or taken back; never half.

use kith_daemon::clock::Clock;
use kith_daemon::worker::keys::{Desk, Keeper, Line, ORDERS};
use kith_dpdk::{Eal, EalConfig, HugePages, post};
use kith_esp::{Key, Limits, SaKeys, Salt, Spi};
use kith_p4runtime::association::{Association, AssociationKey, Direction};
use kith_p4runtime::target::Associations;
use kith_pipeline::counters::AssociationCounters;
use kith_pipeline::gateway::Gateway;
use kith_pipeline::units::{SaIndex, WorkerIndex};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use tonic::Code;

fn association(direction: Direction, index: u32, key: u8) -> Association {
    let keys = SaKeys::new(Key::aes128(&[key; 16]), Salt::new(&[1; 4]));
    let at = AssociationKey {
        direction,
        index: SaIndex(index),
    };
    Association::new(at, Spi::new(0x1000).unwrap(), keys, Limits::default())
}

/// One test, for DPDK's environment is made once a process.
#[test]
fn an_order_is_obeyed_or_taken_back() {
    let eal = Eal::init(EalConfig {
        program: "kith-test".into(),
        huge_pages: HugePages::Off,
        memory_mib: 64,
        ..EalConfig::default()
    })
    .unwrap();
    let seen = Arc::new(AssociationCounters::new(4));
    let (orders, obeyed) = post(&eal, ORDERS).unwrap();
    let (answers, answered) = post(&eal, ORDERS).unwrap();
    let mut keeper = Keeper::new(
        vec![Line::new(orders, answered)],
        seen.clone(),
        Clock::start().unwrap(),
    );
    let mut desk = Desk::new(obeyed, answers);
    let mut gateway = Gateway::of_worker(WorkerIndex(0), 1, seen);

    // Nobody obeys: the order is taken back, whatever the worker does later.
    let late = association(Direction::Outbound, 1, 1);
    let error = keeper.install(&late).unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(keeper.list().is_empty());
    desk.obey(&mut gateway);
    assert!(gateway.remove_outbound(SaIndex(1)).is_none(), "it was not obeyed");

    // A worker that obeys. The key has not served, so it may come again.
    let (gateway, stop) = (Arc::new(Mutex::new(gateway)), Arc::new(AtomicBool::new(false)));
    let worker = {
        let (gateway, stop) = (gateway.clone(), stop.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                desk.obey(&mut gateway.lock().unwrap());
                thread::yield_now();
            }
        })
    };
    keeper.install(&late).unwrap();
    keeper.install(&association(Direction::Inbound, 1, 1)).unwrap();
    assert_eq!(keeper.list().len(), 2);
    assert_eq!(keeper.install(&late).unwrap_err().code(), Code::AlreadyExists);
    keeper.remove(late.key).unwrap();
    assert!(
        gateway.lock().unwrap().remove_outbound(SaIndex(1)).is_none(),
        "gone"
    );
    assert_eq!(keeper.remove(late.key).unwrap_err().code(), Code::NotFound);
    let served = keeper
        .install(&association(Direction::Outbound, 2, 1))
        .unwrap_err();
    assert_eq!(served.code(), Code::FailedPrecondition, "{served}");

    // A batch that failed: nothing went under it, so its key may come again.
    let other = association(Direction::Outbound, 3, 3);
    keeper.install(&other).unwrap();
    keeper.take_back(other.key);
    assert!(keeper.get(other.key).is_none());
    keeper.install(&other).unwrap();
    assert!(gateway.lock().unwrap().remove_outbound(SaIndex(3)).is_some());

    stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
}
