//! Sets of virtual addresses, and the fewest masks that mean just them.
//!
//! Members look rules up one after another: a set of 256 neighbours should be one rule, not 256.

use std::collections::BTreeSet;

/// What is compared, and which bits of it.
pub type Masked = (u32, u32);

/// Matches every address.
pub const ANY: Masked = (0, 0);

/// This address alone.
#[must_use]
pub fn exactly(address: u32) -> Masked {
    (address, u32::MAX)
}

/// The fewest aligned blocks that hold all these addresses and no other, in order.
#[must_use]
pub fn blocks(addresses: &BTreeSet<u32>) -> Vec<Masked> {
    let mut blocks: Vec<Masked> = Vec::new();
    for &address in addresses {
        let mut block = exactly(address);
        // Two halves make a whole.
        while let Some(&(before, mask)) = blocks.last() {
            let wider = mask << 1;
            if mask != block.1 || (before ^ block.0) & wider != 0 || mask == 0 {
                break;
            }
            blocks.pop();
            block = (before & wider, wider);
        }
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_hold_all_and_nothing_else(addresses in prop::collection::btree_set(0u32..300, 0..200)) {
            let base = 0x0a4d_0000;
            let set: BTreeSet<u32> = addresses.iter().map(|at| base + at).collect();
            let blocks = blocks(&set);
            for at in 0..320u32 {
                let holding = blocks.iter().filter(|(value, mask)| (base + at) & mask == *value).count();
                prop_assert_eq!(holding, usize::from(set.contains(&(base + at))));
            }
        }
    }

    #[test]
    fn neighbours_become_one_block() {
        let of = |range: std::ops::Range<u32>| blocks(&range.collect());
        assert_eq!(of(256..512), [(256, u32::MAX << 8)]);
        assert_eq!(of(257..260).len(), 2);
        assert_eq!(of(0..0), []);
    }

    #[test]
    fn the_last_addresses_are_no_special_case() {
        let set = [u32::MAX - 1, u32::MAX].into();
        assert_eq!(blocks(&set), [(u32::MAX - 1, u32::MAX << 1)]);
    }
}
