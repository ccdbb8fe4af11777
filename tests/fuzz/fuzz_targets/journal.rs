//! Any bytes as a session journal: what is read can be written and read again.
#![no_main]

use kith_director::journal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = journal::read(data);
});
