//! Any text as an invitation, and any octets as the inside of one with a good check sum: refused with words, or one that reads the same again.
#![no_main]

use data_encoding::BASE64URL_NOPAD;
use kith_protocol::invitation::Invitation;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    let label = b"kith invitation 1".as_slice();
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[label, data].concat());
    check(&format!("kith1-{}", BASE64URL_NOPAD.encode(&[data, &sum.as_ref()[..4]].concat())));
});

fn check(text: &str) {
    match Invitation::parse(text) {
        Ok(invitation) => assert!(Invitation::parse(&invitation.text()).is_ok_and(|again| again == invitation)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
