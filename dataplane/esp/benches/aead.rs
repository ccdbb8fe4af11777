//! Which AEAD back end serves: seal and open of payloads of 64, 256 and 1408 octets, all back ends, turn by turn.
//!
//! Each size is measured bare, and four octets longer: that is what ESP encrypts of it (padding and trailer), and it does not end
//! on a cipher block, which some back ends take far worse than others. The longer sizes decide.

//!
//! The table's ratio is `aws-lc-rs`'s time ÷ this one's: higher is faster. Criterion's own runs follow.

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use kith_esp::Key;
use kith_esp::aead::{Aead, AwsLc, Portable, Ring};
use support::{BURST, Work, compare};

const SIZES: [usize; 6] = [64, 68, 256, 260, 1408, 1412];

fn main() {
    for bits in [128, 256] {
        println!(
            "AES-{bits}-GCM; ratio: time of {} / time of the back end",
            AwsLc::NAME
        );
        support::heading();
        for size in SIZES {
            compare("seal", size, sealers(bits, size));
            compare(
                "open",
                size,
                vec![
                    opener::<AwsLc>(bits, size),
                    opener::<Ring>(bits, size),
                    opener::<Portable>(bits, size),
                ],
            );
        }
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("aead");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64 * BURST));
        for (name, mut work) in sealers(128, size) {
            group.bench_function(BenchmarkId::new(format!("seal/{name}"), size), |b| {
                b.iter(&mut work)
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

fn sealers(bits: usize, size: usize) -> Vec<Work> {
    vec![
        sealer::<AwsLc>(bits, size),
        sealer::<Ring>(bits, size),
        sealer::<Portable>(bits, size),
    ]
}

fn sealer<A: Aead + 'static>(bits: usize, size: usize) -> Work {
    let aead = A::new(&key(bits));
    let (mut buf, mut count) = (vec![0u8; size], 0u64);
    let work = move || {
        for _ in 0..BURST {
            count += 1;
            let tag = aead.seal(&nonce(count), &[7; 12], black_box(&mut buf));
            assert!(black_box(tag).is_ok());
        }
    };
    (A::NAME, Box::new(work))
}

/// Opens 32 packets per call; each is first copied from a sealed original, which the figures include.
fn opener<A: Aead + 'static>(bits: usize, size: usize) -> Work {
    let aead = A::new(&key(bits));
    let mut original = vec![0u8; size];
    let tag = aead.seal(&nonce(1), &[7; 12], &mut original).expect("sealed");
    original.extend_from_slice(&tag);
    let mut buf = original.clone();
    let work = move || {
        for _ in 0..BURST {
            buf.copy_from_slice(black_box(&original));
            assert!(aead.open(&nonce(1), &[7; 12], black_box(&mut buf)).is_ok());
        }
    };
    (A::NAME, Box::new(work))
}

fn key(bits: usize) -> Key {
    Key::from_slice(&[0x42; 32][..bits / 8]).expect("128 or 256")
}

/// A nonce that no other count gives.
fn nonce(count: u64) -> [u8; 12] {
    let mut nonce = [0x24; 12];
    nonce[4..].copy_from_slice(&count.to_be_bytes());
    nonce
}
