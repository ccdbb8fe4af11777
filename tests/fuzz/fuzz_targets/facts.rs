//! Any character-strings as another member's facts: refused, or facts that can be written and read again.
#![no_main]

use kith_protocol::facts::{MAX_STRING, MAX_STRINGS, encode, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // One string a line: so that an input is readable.
    let strings: Vec<&[u8]> = data.split(|octet| *octet == b'\n').collect();
    let Ok(peer) = parse(&strings) else { return };
    let again = encode(&peer).expect("what was read can be written");
    assert!(again.len() <= MAX_STRINGS && again.iter().all(|fact| fact.len() <= MAX_STRING));
    assert_eq!(parse(&again), Ok(peer));
});
