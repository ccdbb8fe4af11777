//! Director control messages: what parses encodes to a message that says the same.
#![no_main]

use kith_wire::control::Control;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = Control::parse(data) {
        assert_eq!(read.authenticate(|_, _| false), None);
        let Some(message) = read.authenticate(|_, _| true) else { unreachable!("the check said yes") };
        let again = message.encode(|_| [0; 16]);
        let same = Control::parse(&again).ok().and_then(|read| read.authenticate(|_, _| true));
        assert_eq!(same, Some(message));
    }
});
