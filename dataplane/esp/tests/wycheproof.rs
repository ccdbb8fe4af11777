//! Project Wycheproof's AES-GCM vectors, through every back end.

use kith_esp::Key;
use kith_esp::aead::{Aead, AwsLc, NONCE_LEN, Portable, Ring, TAG_LEN};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

#[test]
fn all_valid_vectors_pass_and_all_invalid_ones_are_refused() {
    run::<AwsLc>();
    run::<Ring>();
    run::<Portable>();
}

fn run<A: Aead>() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        // ESP uses neither AES-192, nor other nonces, nor shorter tags (RFC 4106 4, 6).
        if group.nonce_size != 8 * NONCE_LEN || group.tag_size != 8 * TAG_LEN || group.key_size == 192 {
            continue;
        }
        for test in &group.tests {
            let aead = A::new(&Key::from_slice(&test.key).unwrap());
            let nonce = test.nonce.as_slice().try_into().unwrap();
            let mut sealed = [&test.ct[..], &test.tag].concat();
            let opened = aead.open(nonce, &test.aad, &mut sealed);

            let mut buf = test.pt.to_vec();
            let tag = aead.seal(nonce, &test.aad, &mut buf).unwrap();
            let name = format!("{} test {}: {}", A::NAME, test.tc_id, test.comment);
            match test.result {
                TestResult::Valid | TestResult::Acceptable => {
                    valid += 1;
                    assert_eq!(opened, Ok(()), "{name}");
                    assert_eq!(sealed[..test.pt.len()], test.pt[..], "{name}");
                    assert_eq!((&buf[..], &tag[..]), (&test.ct[..], &test.tag[..]), "{name}");
                }
                TestResult::Invalid => {
                    invalid += 1;
                    assert!(opened.is_err(), "{name}");
                    assert_ne!((&buf[..], &tag[..]), (&test.ct[..], &test.tag[..]), "{name}");
                }
            }
        }
    }
    assert!(
        valid >= 60 && invalid >= 30,
        "the set was read: {valid} valid, {invalid} invalid"
    );
}
