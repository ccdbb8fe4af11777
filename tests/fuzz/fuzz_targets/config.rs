//! Any text as the configuration of a dataplane: accepted or refused, and what is accepted says so again.
#![no_main]

use kith_api::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(config) = Config::from_yaml(text)
    {
        let _ = config.mistakes();
    }
});
