//! No key ever meets an initialisation vector twice, whatever happens to who has it.
//!
//! Problem: 10^8 packets are too many to remember. Idea: two things together say the same, and are cheap to hold against every packet.
//!
//! ```text
//!  within keys:   the vectors count 1, 2, 3, … from the moment when they are installed ─► no repetition under them
//!  between keys:  the same plaintext, sealed with vector n ≤ 32, never gives octets ──► no two installations have the same key and salt
//!                 seen before (same key, salt and vector: same octets)
//! ```
//!
//! Packets are those of the real packet path, sealed by `kith_esp::Outbound`; the network loses, doubles and reorders; both ends are killed now and
//! then, and begin again with nothing but the pair's secret.

use super::world::World;
use super::{MS, S};
use crate::keying::Method;
use kith_esp::{Bounds, Limits};
use std::collections::HashSet;

/// Packets of a short run; `KITH_NONCES` says another number.
const SHORT: u64 = 1_000_000;
/// Packets under the same keys, when others are due and at most.
const PACKETS: [u64; 2] = [5_000, 8_000];
/// Vectors whose packets are remembered.
const REMEMBERED: u64 = 32;

/// What was sealed, by each end.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) packets: u64,
    pub(super) keys: u64,
    /// The last vector under the present keys.
    last: [u64; 2],
    seen: HashSet<(u64, [u8; 16])>,
}

impl Ledger {
    /// Other keys are installed.
    pub(super) fn keys(&mut self, which: usize) {
        self.keys += 1;
        self.last[which] = 0;
    }

    /// A packet is sealed: its ESP header, vector and ciphertext. All data packets have the same octets.
    #[inline]
    pub(super) fn sealed(&mut self, which: usize, esp: &[u8], data: bool) {
        let vector = u64::from_be_bytes(esp[8..16].try_into().unwrap());
        assert_eq!(vector, self.last[which] + 1, "vectors count up");
        assert!(vector <= PACKETS[1], "keys end");
        self.last[which] = vector;
        self.packets += 1;
        if data && vector <= REMEMBERED {
            let octets = esp[16..32].try_into().unwrap();
            assert!(self.seen.insert((vector, octets)), "the same keys again");
        }
    }
}

fn limits() -> Limits {
    let (soft, hard) = (Limits::default().soft(), Limits::default().hard());
    let few = |bounds: Bounds, packets| Bounds { packets, ..bounds };
    Limits::new(few(soft, PACKETS[0]), few(hard, PACKETS[1])).unwrap()
}

fn no_nonce_repeats(method: Method, seed: u64, wanted: u64) {
    let mut world = World::with_limits(method, seed, limits());
    (world.loss, world.duplicates, world.jitter) = (5, 5, 10 * MS);
    world.ledger = Some(Ledger::default());
    let (mut kills, mut steps) = (0, 0u64);
    while world.ledger.as_ref().unwrap().packets < wanted {
        let chance = world.random.next() >> 33;
        let which = (chance % 2) as usize;
        world.burst(which, chance % 1_000);
        world.send(which);
        world.send(1 - which);
        world.run(20 * MS);
        steps += 1;
        // Once in two seconds.
        if steps.is_multiple_of(100) {
            kills += 1;
            world.restart(which, 0);
        }
        assert!(steps < wanted, "nothing is sealed any more");
    }
    world.run(S);
    let ledger = world.ledger.as_ref().unwrap();
    eprintln!(
        "{method}: {} packets under {} keys, {kills} ends killed, {} remembered",
        ledger.packets,
        ledger.keys,
        ledger.seen.len()
    );
    assert!(ledger.keys > wanted / PACKETS[1] && kills > 0);
    // Enough of what was sealed says which keys it was sealed with.
    assert!(ledger.seen.len() as u64 > ledger.keys);
}

#[test]
fn no_key_meets_a_vector_twice_across_rekeying_and_kills() {
    let wanted = std::env::var("KITH_NONCES")
        .ok()
        .and_then(|number| number.parse().ok());
    let wanted: u64 = wanted.unwrap_or(SHORT);
    no_nonce_repeats(Method::Ike, 31, wanted / 2);
    no_nonce_repeats(Method::Ticket, 32, wanted / 2);
}

#[test]
#[should_panic(expected = "the same keys again")]
fn who_installed_the_same_keys_again_would_be_found_out() {
    let mut ledger = Ledger::default();
    for _ in 0..2 {
        ledger.keys(0);
        let mut esp = [7; 32];
        esp[8..16].copy_from_slice(&1u64.to_be_bytes());
        ledger.sealed(0, &esp, true);
    }
}
