//! Test cases 1, 4, 13 and 16 of "The Galois/Counter Mode of Operation" (McGrew and Viega), through every back end.

use kith_esp::Key;
use kith_esp::aead::{Aead, AwsLc, Portable, Ring};

const KEY: &str = "feffe9928665731c6d6a8f9467308308";
const IV: &str = "cafebabefacedbaddecaf888";
const AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
const PLAIN: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
                     b16aedf5aa0de657ba637b39";

#[test]
fn nothing_at_all_under_the_zero_key() {
    let (key, iv) = ("00".repeat(16), "00".repeat(12));
    every_back_end(&key, &iv, "", "", "", "58e2fccefa7e3061367f1d57a4e7455a");
    every_back_end(
        &key.repeat(2),
        &iv,
        "",
        "",
        "",
        "530f8afbc74536b9a963b4f1c4cb738b",
    );
}

#[test]
fn sixty_octets_with_associated_data() {
    every_back_end(
        KEY,
        IV,
        AAD,
        PLAIN,
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05\
         1ba30b396a0aac973d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
    );
    every_back_end(
        &KEY.repeat(2),
        IV,
        AAD,
        PLAIN,
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
         c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    );
}

fn every_back_end(key: &str, iv: &str, aad: &str, plain: &str, cipher: &str, tag: &str) {
    check::<AwsLc>(key, iv, aad, plain, cipher, tag);
    check::<Ring>(key, iv, aad, plain, cipher, tag);
    check::<Portable>(key, iv, aad, plain, cipher, tag);
}

fn check<A: Aead>(key: &str, iv: &str, aad: &str, plain: &str, cipher: &str, tag: &str) {
    let aead = A::new(&Key::from_slice(&hex(key)).unwrap());
    let (iv, aad) = (hex(iv).try_into().unwrap(), hex(aad));
    let mut buf = hex(plain);
    let made = aead.seal(&iv, &aad, &mut buf).unwrap();
    assert_eq!(
        (&buf, &made[..]),
        (&hex(cipher), &hex(tag)[..]),
        "{} seals",
        A::NAME
    );
    buf.extend(made);
    aead.open(&iv, &aad, &mut buf).unwrap();
    assert_eq!(buf[..buf.len() - 16], hex(plain), "{} opens", A::NAME);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
