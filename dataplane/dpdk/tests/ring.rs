//! Rings between threads, and threads themselves.

mod common;
use common::*;
use kith_dpdk::{Burst, ThreadError, ring, tsc, tsc_hz};
use std::thread;

#[test]
fn a_ring_holds_exactly_its_capacity() {
    let pool = pool();
    let (mut producer, mut consumer) = ring(eal(), 20).unwrap();
    let mut burst = numbered(&pool, 0, 32);
    assert_eq!(producer.send(&mut burst), 20);
    assert!(burst.iter().map(number).eq(20..32), "the rest stays, in order");
    let refused = producer.push(packet(&pool, b"more")).unwrap_err();
    assert_eq!(refused.bytes(), b"more");
    drop(refused);
    assert_eq!((producer.len(), consumer.len()), (20, 20));
    assert_eq!(consumer.receive(&mut burst), 20);
    assert_eq!(consumer.receive(&mut burst), 0, "the burst is full");
    producer.push(packet(&pool, b"more")).unwrap();
    assert!(!consumer.is_empty());
    drop((burst, producer, consumer));
    assert_home(&pool);
}

#[test]
fn what_is_inside_when_both_ends_go_is_freed() {
    let pool = pool();
    let (mut producer, consumer) = ring(eal(), 512).unwrap();
    for _ in 0..10 {
        producer.send(&mut numbered(&pool, 0, 32));
    }
    drop(producer);
    assert_eq!(pool.available(), pool.size() - 320);
    drop(consumer);
    assert_home(&pool);
}

#[test]
fn packets_cross_threads_in_order_and_all_come_home() {
    const PACKETS: u32 = 200_000;
    let pool = pool();
    let (mut producer, mut consumer) = ring(eal(), 256).unwrap();
    thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            let _me = eal().register_thread(None).unwrap();
            let (mut next, mut burst) = (0, Burst::new());
            while next < PACKETS || !burst.is_empty() {
                while next < PACKETS && !burst.is_full() {
                    let Some(mut mbuf) = pool.alloc() else { break };
                    assert!(mbuf.grow_back(4));
                    mbuf.bytes_mut().copy_from_slice(&next.to_be_bytes());
                    burst.push(mbuf).unwrap();
                    next += 1;
                }
                if producer.send(&mut burst) == 0 {
                    thread::yield_now();
                }
            }
        });
        scope.spawn(move || {
            let _me = eal().register_thread(None).unwrap();
            let (mut next, mut burst) = (0, Burst::new());
            while next < PACKETS {
                if consumer.receive(&mut burst) == 0 {
                    thread::yield_now();
                }
                for mbuf in burst.drain() {
                    assert_eq!(number(&mbuf), next);
                    next += 1;
                }
            }
        });
    });
    assert_home(&pool);
}

#[test]
fn a_ring_for_nothing_is_refused() {
    assert_eq!(ring(eal(), 0).err().unwrap().capacity, 0);
}

#[test]
fn a_thread_registers_once_is_pinned_and_leaves() {
    thread::spawn(|| {
        let cpu = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
        let cpu = (0..nix::sched::CpuSet::count()).find(|&n| cpu.is_set(n).unwrap()).unwrap();
        let me = eal().register_thread(Some(cpu)).unwrap();
        let lcore = me.lcore();
        assert!(matches!(eal().register_thread(None), Err(ThreadError::AlreadyRegistered { lcore: l }) if l == lcore));
        let mine = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
        let cpus = (0..nix::sched::CpuSet::count()).filter(|&n| mine.is_set(n).unwrap());
        assert!(cpus.eq([cpu]));
        drop(me);
        eal().register_thread(None).unwrap();
    })
    .join()
    .unwrap();
}

#[test]
fn a_cpu_that_does_not_exist_is_refused() {
    for cpu in [nix::sched::CpuSet::count() - 1, usize::MAX] {
        thread::spawn(move || {
            assert!(
                matches!(eal().register_thread(Some(cpu)), Err(ThreadError::Pin { cpu: c, .. }) if c == cpu)
            );
            eal().register_thread(None).unwrap();
        })
        .join()
        .unwrap();
    }
}

#[test]
fn the_clock_runs_at_its_stated_rate() {
    eal();
    let (start, wall) = (tsc(), std::time::Instant::now());
    thread::sleep(std::time::Duration::from_millis(50));
    let seconds = (tsc() - start) as f64 / tsc_hz() as f64;
    let ratio = seconds / wall.elapsed().as_secs_f64();
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}
