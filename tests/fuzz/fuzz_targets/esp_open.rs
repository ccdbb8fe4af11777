//! Any bytes to an inbound security association, some of them bent from a packet that it would accept.
#![no_main]

use kith_esp::{Inbound, Key, Limits, Millis, Outbound, SaKeys, Salt, Spi, sealed_overhead};
use libfuzzer_sys::fuzz_target;

const NOW: Millis = Millis(1);

fn keys() -> SaKeys {
    SaKeys::new(Key::aes128(&[7; 16]), Salt::new(&[7; 4]))
}

fuzz_target!(|data: &[u8]| {
    let Ok(spi) = Spi::new(0x1001) else { unreachable!("0x1001 is not reserved") };
    let mut inbound = Inbound::new(spi, keys(), Limits::default(), NOW);
    let mut any = data.to_vec();
    assert!(inbound.open_in_place(&mut any, NOW).is_err(), "nobody finds a tag by chance");

    // Sealed for real, then bent where the input says.
    let (bend, payload) = data.split_at(data.len().min(3));
    let mut outbound = Outbound::new(spi, keys(), Limits::default(), NOW);
    let mut packet = vec![0; payload.len() + sealed_overhead(payload.len())];
    packet[16..16 + payload.len()].copy_from_slice(payload);
    let Ok(_) = outbound.seal_in_place(&mut packet, 16..16 + payload.len(), 17, NOW) else { return };
    if let &[high, low, mask] = bend
        && mask != 0
    {
        let at = usize::from(u16::from_be_bytes([high, low])) % packet.len();
        // The IV repeats the sequence number and is authentic through the nonce: any changed octet must be refused.
        packet[at] ^= mask;
        assert!(inbound.open_in_place(&mut packet, NOW).is_err(), "octet {at} changed unnoticed");
    } else {
        let opened = inbound.open_in_place(&mut packet, NOW).expect("an unbent packet opens");
        assert_eq!(&packet[opened.payload], payload);
        assert_eq!(inbound.commit(opened.token), Ok(()));
    }
});
