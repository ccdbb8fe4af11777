//! Buffers and bursts: bounds, ownership, nothing lost.

mod common;
use common::*;
use kith_dpdk::{BURST, Burst, Checksum, Mbuf, Mempool, MempoolConfig, MempoolError, TxOffload};

#[test]
fn an_mbuf_is_a_pointer_and_so_is_an_optional_one() {
    assert_eq!(size_of::<Mbuf>(), size_of::<*const u8>());
    assert_eq!(size_of::<Option<Mbuf>>(), size_of::<*const u8>());
}

#[test]
fn a_fresh_packet_is_empty_and_has_room_on_both_sides() {
    let pool = pool();
    let mbuf = pool.alloc().unwrap();
    assert_eq!(mbuf.bytes(), b"");
    assert_eq!(mbuf.headroom(), usize::from(Mempool::HEADROOM));
    assert_eq!(mbuf.tailroom(), usize::from(pool.data_room()));
    assert!(mbuf.is_contiguous());
    assert_eq!(
        (mbuf.ip_checksum(), mbuf.l4_checksum()),
        (Checksum::Unknown, Checksum::Unknown)
    );
    assert_eq!(mbuf.rss_hash(), None);
}

#[test]
fn headers_grow_and_shrink_without_moving_the_payload() {
    let pool = pool();
    let mut mbuf = packet(&pool, b"payload");
    assert!(mbuf.grow_front(4));
    mbuf.bytes_mut()[..4].copy_from_slice(b"head");
    assert!(mbuf.grow_back(4));
    mbuf.bytes_mut()[11..].copy_from_slice(b"tail");
    assert_eq!(mbuf.bytes(), b"headpayloadtail");
    assert!(mbuf.shrink_front(4));
    assert!(mbuf.shrink_back(4));
    assert_eq!(mbuf.bytes(), b"payload");
    assert_eq!(mbuf.headroom(), usize::from(Mempool::HEADROOM));
}

#[test]
fn every_edit_stops_exactly_at_its_bound_and_a_refused_one_changes_nothing() {
    let pool = pool();
    let mut mbuf = packet(&pool, b"12345");
    let shape = |mbuf: &Mbuf| (mbuf.headroom(), mbuf.bytes().len(), mbuf.tailroom());
    let before = shape(&mbuf);
    // The last ones would pass if lengths were cut to 16 or 32 bits.
    for excess in [1, 65536 - 1000, 65536, 1 << 32, usize::MAX - 70000] {
        let (head, len, tail) = before;
        assert!(!mbuf.grow_front(head + excess));
        assert!(!mbuf.grow_back(tail + excess));
        assert!(!mbuf.shrink_front(len + excess));
        assert!(!mbuf.shrink_back(len + excess));
        assert_eq!(shape(&mbuf), before);
    }
    let (head, len, tail) = before;
    assert!(mbuf.grow_front(head) && mbuf.grow_back(tail));
    assert_eq!(shape(&mbuf), (0, head + len + tail, 0));
    mbuf.bytes_mut().fill(0xa5);
    assert!(mbuf.shrink_front(head) && mbuf.shrink_back(tail));
    assert_eq!(shape(&mbuf), before);
    assert!(mbuf.shrink_back(5) && mbuf.shrink_front(0) && !mbuf.shrink_front(1));
}

#[test]
fn asking_for_checksums_and_clearing_leaves_the_packet_as_it_was() {
    let pool = pool();
    let mut mbuf = packet(&pool, b"x");
    mbuf.set_tx_offload(TxOffload {
        l2_len: 14,
        l3_len: 20,
        ipv4_checksum: true,
        udp_checksum: true,
    });
    mbuf.clear_offload();
    assert_eq!(mbuf.bytes(), b"x");
    assert_eq!(
        (mbuf.ip_checksum(), mbuf.l4_checksum()),
        (Checksum::Unknown, Checksum::Unknown)
    );
}

#[test]
fn a_dropped_packet_goes_home() {
    let pool = pool();
    assert_home(&pool);
    let mbuf = pool.alloc().unwrap();
    assert_eq!(pool.available(), pool.size() - 1);
    drop(mbuf);
    assert_home(&pool);
}

#[test]
fn an_exhausted_pool_gives_nothing_and_recovers() {
    let config = MempoolConfig {
        mbufs: 63,
        cache: 0,
        ..MempoolConfig::default()
    };
    let pool = Mempool::new(eal(), "small", &config).unwrap();
    let mut bursts = [const { Burst::new() }; 2];
    assert!(pool.fill(&mut bursts[0]));
    assert!(!pool.fill(&mut bursts[1]), "31 are left, 32 were asked for");
    assert!(bursts[1].is_empty());
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!(all.len(), 63 - BURST);
    drop(all);
    bursts[0].clear();
    assert_home(&pool);
}

#[test]
fn a_burst_keeps_order_and_gives_back_what_does_not_fit() {
    let pool = pool();
    let mut burst = numbered(&pool, 0, BURST as u32);
    assert!(burst.is_full());
    let excess = burst.push(packet(&pool, b"more")).unwrap_err();
    assert_eq!(excess.bytes(), b"more");
    drop(excess);
    assert!(burst.iter().map(number).eq(0..32));
    assert_eq!(burst.pop().as_ref().map(number), Some(31));
    assert_eq!(burst.swap_remove(3).as_ref().map(number), Some(3));
    assert_eq!(number(&burst[3]), 30);
    assert!(burst.swap_remove(30).is_none());
    assert_eq!(burst.len(), 30);
    drop(burst);
    assert_home(&pool);
}

#[test]
fn a_half_drained_burst_is_empty_and_frees_the_rest() {
    let pool = pool();
    let mut burst = numbered(&pool, 0, 10);
    {
        let mut drain = burst.drain();
        assert_eq!(drain.len(), 10);
        assert_eq!(drain.next().as_ref().map(number), Some(0));
        assert_eq!(drain.next().as_ref().map(number), Some(1));
    }
    assert!(burst.is_empty());
    assert_home(&pool);
}

#[test]
fn impossible_pools_are_refused_by_name() {
    let too_wide = MempoolConfig {
        data_room: u16::MAX,
        ..MempoolConfig::default()
    };
    assert!(
        matches!(Mempool::new(eal(), "wide", &too_wide), Err(MempoolError::DataRoom { name, .. }) if name == "wide")
    );
    let too_many = MempoolConfig {
        mbufs: 10_000_000,
        ..MempoolConfig::default()
    };
    assert!(matches!(
        Mempool::new(eal(), "many", &too_many),
        Err(MempoolError::Create {
            mbufs: 10_000_000,
            ..
        })
    ));
    let big_cache = MempoolConfig {
        mbufs: 100,
        cache: 100,
        ..MempoolConfig::default()
    };
    assert!(matches!(
        Mempool::new(eal(), "cached", &big_cache),
        Err(MempoolError::Create { cache: 100, .. })
    ));
}
