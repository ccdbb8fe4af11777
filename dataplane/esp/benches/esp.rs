//! What ESP costs beside its cipher: the AEAD alone against `seal_in_place`, and against `open_in_place` with `commit`.
//!
//! Both run turn by turn in slices (A B A B ...) on the same packet sizes; printed is the median of crypto alone ÷ the full
//! call, with its spread. Criterion's own runs of the full calls follow.

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use kith_esp::aead::{Aead, DefaultAead};
use kith_esp::{
    HEADER_LEN, ICV_LEN, Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi, sealed_overhead,
};
use support::{BURST, Work, compare};

const SIZES: [usize; 3] = [64, 256, 1408];
/// The cipher's own time does not depend on them; that they repeat, here, spares the baseline their making.
const NONCE: [u8; 12] = [0x24; 12];
const AAD: [u8; 12] = [7; 12];

const NOW: Millis = Millis(0);

/// Enough that making a new SA after them costs nothing visible, few enough to stay in cache.
const PACKETS: u64 = 512;

fn main() {
    println!(
        "AES-128-GCM by {}; ratio: crypto alone / full call",
        DefaultAead::NAME
    );
    support::heading();
    for size in SIZES {
        compare("seal", size, vec![seal_crypto(size), seal_full(size)]);
        compare("open", size, vec![open_crypto(size), open_full(size)]);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("esp");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64 * BURST));
        for (name, mut work) in [
            seal_crypto(size),
            seal_full(size),
            open_crypto(size),
            open_full(size),
        ] {
            group.bench_function(BenchmarkId::new(name, size), |b| b.iter(&mut work));
        }
    }
    group.finish();
    criterion.final_summary();
}

/// The cipher over what ESP would encrypt: payload, padding and trailer.
fn seal_crypto(size: usize) -> Work {
    let aead = DefaultAead::new(&key());
    let mut buf = vec![0u8; size + sealed_overhead(size) - HEADER_LEN - ICV_LEN];
    let work = move || {
        for _ in 0..BURST {
            let tag = aead.seal(black_box(&NONCE), black_box(&AAD), black_box(&mut buf));
            assert!(black_box(tag).is_ok());
        }
    };
    ("seal, crypto", Box::new(work))
}

fn seal_full(size: usize) -> Work {
    let mut sa = outbound();
    let mut buf = vec![0u8; size + sealed_overhead(size)];
    let (mut sealed, mut renew) = (0u64, 0u64);
    let work = move || {
        // The hard lifetime in AES blocks would end a long run.
        renew += 1;
        if renew.is_multiple_of(1 << 20) {
            sa = outbound();
        }
        for _ in 0..BURST {
            let packet = sa.seal_in_place(black_box(&mut buf), HEADER_LEN..HEADER_LEN + size, 17, NOW);
            sealed += u64::from(black_box(packet).is_ok());
        }
        assert!(sealed.is_multiple_of(BURST));
    };
    ("seal, full", Box::new(work))
}

/// Opens distinct packets, as the full call must: all are copied from originals, which both sides' figures include.
fn open_crypto(size: usize) -> Work {
    let aead = DefaultAead::new(&key());
    let body = size + sealed_overhead(size) - HEADER_LEN - ICV_LEN;
    let seal = |_| {
        let mut buf = vec![0u8; HEADER_LEN + body];
        let tag = aead.seal(&NONCE, &AAD, &mut buf[HEADER_LEN..]).expect("sealed");
        [&buf[..], &tag].concat()
    };
    let originals: Vec<_> = (0..PACKETS).map(seal).collect();
    let mut buf = originals[0].clone();
    let mut next = 0;
    let work = move || {
        for _ in 0..BURST {
            buf.copy_from_slice(black_box(&originals[next]));
            let sealed = black_box(&mut buf[HEADER_LEN..]);
            assert!(aead.open(black_box(&NONCE), black_box(&AAD), sealed).is_ok());
            next = (next + 1) % originals.len();
        }
    };
    ("open, crypto", Box::new(work))
}

fn open_full(size: usize) -> Work {
    let originals = packets(size);
    let mut buf = originals[0].clone();
    let mut sa = inbound();
    let mut next = 0;
    let work = move || {
        for _ in 0..BURST {
            let original = &originals[next];
            next += 1;
            buf.copy_from_slice(black_box(original));
            let opened = sa.open_in_place(black_box(&mut buf), NOW).expect("authentic");
            sa.commit(opened.token).expect("new");
            if next == originals.len() {
                // All numbers are used: a new SA, once in many packets.
                (next, sa) = (0, inbound());
            }
        }
    };
    ("open, full", Box::new(work))
}

/// Packets 1 to [`PACKETS`] of an SA.
fn packets(size: usize) -> Vec<Vec<u8>> {
    let mut sa = outbound();
    let seal = |_| {
        let mut buf = vec![0u8; size + sealed_overhead(size)];
        sa.seal_in_place(&mut buf, HEADER_LEN..HEADER_LEN + size, 17, NOW)
            .expect("sealed");
        buf
    };
    (0..PACKETS).map(seal).collect()
}

fn key() -> Key {
    Key::aes128(&[0x42; 16])
}

fn outbound() -> Outbound {
    Outbound::new(
        Spi::new(4096).expect("not reserved"),
        SaKeys::new(key(), Salt::new(b"salt")),
        Limits::default(),
        NOW,
    )
}

fn inbound() -> Inbound {
    Inbound::new(
        Spi::new(4096).expect("not reserved"),
        SaKeys::new(key(), Salt::new(b"salt")),
        Limits::default(),
        NOW,
    )
}
