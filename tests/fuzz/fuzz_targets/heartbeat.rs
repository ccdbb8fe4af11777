//! Any octets as a heartbeat: what is read is written to the very same octets.
#![no_main]

use kith_protocol::heartbeat::Heartbeat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(heartbeat) = Heartbeat::decode(data) {
        assert_eq!(heartbeat.encode().as_slice(), data);
    }
});
