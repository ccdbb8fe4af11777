//! ESP packets for cases: sealed with the keys that the world gives to the side that opens them.

use crate::frame::{FrameError, value};
use crate::world::{Association, Direction, World};
use kith_esp::{
    Bounds, HEADER_LEN, Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi, sealed_overhead,
};

/// When associations of cases begin, and when packets come.
pub const NOW: Millis = Millis(1_000);

/// Makes `sealed sa=1 next=17 sequence=3` of a payload.
pub fn sealed(world: &World, line: &str, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let said = |name: &str| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .and_then(value)
    };
    let wrong = || FrameError::Value(line.to_owned(), "sealed".to_owned());
    let number = said("sa").ok_or_else(wrong)?;
    let association = world
        .associations
        .iter()
        .find(|is| is.direction == Direction::Open && u64::from(is.sa) == number)
        .ok_or_else(wrong)?;
    let next = u8::try_from(said("next").unwrap_or(17)).map_err(|_| wrong())?;
    let unlimited = Association {
        packets: None,
        ..association.clone()
    };
    let mut sa = outbound(&unlimited).ok_or_else(wrong)?;
    let mut esp = Vec::new();
    // An association counts by itself: the n-th packet is sealed n-th.
    for _ in 0..said("sequence").unwrap_or(1) {
        esp = vec![0; payload.len() + sealed_overhead(payload.len())];
        let place = HEADER_LEN..HEADER_LEN + payload.len();
        esp[place.clone()].copy_from_slice(payload);
        sa.seal_in_place(&mut esp, place, next, NOW)
            .map_err(|_| wrong())?;
    }
    Ok(esp)
}

/// The outbound half; `None` if the SPI is a reserved one.
#[must_use]
pub fn outbound(association: &Association) -> Option<Outbound> {
    let spi = Spi::new(association.spi).ok()?;
    Some(Outbound::new(spi, keys(association), limits(association)?, NOW))
}

/// The inbound half; `None` if the SPI is a reserved one.
#[must_use]
pub fn inbound(association: &Association) -> Option<Inbound> {
    let spi = Spi::new(association.spi).ok()?;
    Some(Inbound::new(spi, keys(association), limits(association)?, NOW))
}

fn keys(association: &Association) -> SaKeys {
    SaKeys::new(
        Key::aes128(&[association.key; 16]),
        Salt::new(&[association.key; 4]),
    )
}

fn limits(association: &Association) -> Option<Limits> {
    let loosest = Limits::default();
    match association.packets {
        None => Some(loosest),
        Some(packets) => {
            let bounds = |is: Bounds| Bounds { packets, ..is };
            Limits::new(bounds(loosest.soft()), bounds(loosest.hard())).ok()
        }
    }
}
