//! Any text as a topology: accepted, or refused with at least one diagnostic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = kith_topologies::parse("fuzz.yaml", text);
    }
});
