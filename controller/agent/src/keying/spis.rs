//! Places for inbound keys: one pool for both methods, because the low bits of an SPI are a place in the receiver's one table.

use kith_esp::Spi;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Places for inbound keys; reused as late as possible. Copies share the places.
#[derive(Clone)]
pub struct Spis(Rc<RefCell<Places>>);

struct Places {
    free: VecDeque<u32>,
    mask: u32,
}

impl Spis {
    /// So many places, rounded up to a power of two as the receiver does.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let size = capacity.clamp(1, 1 << 24).next_power_of_two();
        Self(Rc::new(RefCell::new(Places {
            free: (0..size).collect(),
            mask: size - 1,
        })))
    }

    /// A place that is free, below random high bits.
    pub(super) fn take(&self, entropy: &mut dyn FnMut(&mut [u8])) -> Option<Spi> {
        let mut places = self.0.borrow_mut();
        let place = places.free.pop_front()?;
        loop {
            let mut random = [0; 4];
            entropy(&mut random);
            // Fails for the 256 reserved numbers only: another throw.
            if let Ok(spi) = Spi::new(u32::from_ne_bytes(random) & !places.mask | place) {
                return Some(spi);
            }
        }
    }

    pub(super) fn give_back(&self, spi: Spi) {
        let mut places = self.0.borrow_mut();
        let place = spi.get() & places.mask;
        places.free.push_back(place);
    }
}
