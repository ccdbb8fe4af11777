//! Any octets as an IKE message: what our parser takes, ipsec-parser takes too and reads the same.
#![no_main]

#[path = "../../../controller/ike/src/codec/differential.rs"]
mod differential;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    differential::compare(data);
});
