//! Key exchange: vectors of RFC 7748 and RFC 5903, and everything that must be refused.

use super::*;

/// Random octets that are what the vector has.
fn fixed(private: &str) -> impl FnMut(&mut [u8]) {
    let private = octets(private);
    move |out| out.copy_from_slice(&private)
}

fn entropy() -> impl FnMut(&mut [u8]) {
    let mut next = 1;
    move |out| {
        out.fill(next);
        next += 1;
    }
}

fn offer(group: Group, private: &str) -> Ephemeral {
    Ephemeral::offer(group, &mut fixed(private)).unwrap_or_else(|e| panic!("{e}"))
}

fn finish(ours: Ephemeral, theirs: &[u8]) -> Result<String, CryptoError> {
    ours.finish(theirs).map(|secret| hex(secret.octets()))
}

/// RFC 7748 6.1.
#[test]
fn x25519_gives_what_its_rfc_says() {
    let alice = || {
        offer(
            Group::X25519,
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        )
    };
    let bob = || {
        offer(
            Group::X25519,
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        )
    };
    assert_eq!(
        hex(alice().public()),
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    );
    assert_eq!(
        hex(bob().public()),
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    );
    let secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assert_eq!(finish(alice(), bob().public()), Ok(secret.into()));
    assert_eq!(finish(bob(), alice().public()), Ok(secret.into()));
}

/// RFC 5903 8.1.
#[test]
fn p256_gives_what_its_rfc_says() {
    let initiator = || {
        offer(
            Group::P256,
            "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
        )
    };
    let responder = || {
        offer(
            Group::P256,
            "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
        )
    };
    let public = "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180\
                  5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3";
    assert_eq!(initiator().public(), octets(public));
    let public = "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63\
                  56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB";
    assert_eq!(responder().public(), octets(public));
    let secret = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de";
    assert_eq!(finish(initiator(), responder().public()), Ok(secret.into()));
    assert_eq!(finish(responder(), initiator().public()), Ok(secret.into()));
}

#[test]
fn both_sides_of_every_group_agree() {
    for group in [Group::X25519, Group::P256, Group::MlKem768] {
        let ours = Ephemeral::offer(group, &mut entropy()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((ours.group(), ours.public().len()), (group, group.offer_len()));
        let theirs = answer(group, ours.public(), &mut |out| out.fill(77));
        let (public, secret) = theirs.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(public.len(), group.answer_len());
        assert_eq!(finish(ours, &public), Ok(hex(secret.octets())));
        assert_eq!(Group::from_id(group.id()), Some(group));
    }
    assert_eq!(Group::from_id(14), None);
}

/// FIPS 203: a wrong ciphertext gives a secret too, another one.
#[test]
fn a_changed_ciphertext_gives_another_secret() {
    let ours = Ephemeral::offer(Group::MlKem768, &mut entropy()).unwrap_or_else(|e| panic!("{e}"));
    let (mut ciphertext, secret) =
        answer(Group::MlKem768, ours.public(), &mut entropy()).unwrap_or_else(|e| panic!("{e}"));
    ciphertext[500] ^= 1;
    let other = finish(ours, &ciphertext);
    assert!(other.is_ok() && other != Ok(hex(secret.octets())));
}

/// RFC 7748 6.1, RFC 8031 5: points of small order give nothing but zeros.
#[test]
fn points_of_small_order_are_refused() {
    let one = [&[1][..], &[0; 31]].concat();
    let eight = octets("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    for point in [vec![0; 32], one, eight] {
        let ours = Ephemeral::offer(Group::X25519, &mut entropy()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(finish(ours, &point), Err(CryptoError::PublicKey(Group::X25519)));
        let refused = answer(Group::X25519, &point, &mut entropy()).map(|_| ());
        assert_eq!(refused, Err(CryptoError::PublicKey(Group::X25519)));
    }
}

/// RFC 5903 section 7, RFC 6989 2.3.
#[test]
fn points_beside_the_curve_are_refused() {
    let good = offer(
        Group::P256,
        "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
    );
    let mut beside = good.public().to_vec();
    beside[63] ^= 1;
    for point in [beside, vec![0; 64], vec![0xff; 64]] {
        let ours = Ephemeral::offer(Group::P256, &mut entropy()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(finish(ours, &point), Err(CryptoError::PublicKey(Group::P256)));
    }
}

#[test]
fn a_public_key_of_another_length_is_refused() {
    for group in [Group::X25519, Group::P256, Group::MlKem768] {
        for length in [0, 1, group.answer_len() - 1, group.answer_len() + 1, 65] {
            let ours = Ephemeral::offer(group, &mut entropy()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(finish(ours, &vec![4; length]), Err(CryptoError::PublicKey(group)));
        }
        for length in [0, group.offer_len() - 1, group.offer_len() + 1] {
            let refused = answer(group, &vec![4; length], &mut entropy()).map(|_| ());
            assert_eq!(refused, Err(CryptoError::PublicKey(group)));
        }
    }
}

#[test]
fn a_source_of_zeros_is_noticed() {
    for group in [Group::X25519, Group::P256] {
        assert_eq!(
            Ephemeral::offer(group, &mut |out| out.fill(0)).map(|_| ()),
            Err(CryptoError::Entropy(group))
        );
    }
    // Above the order of the curve, the first time; then well.
    let mut times = 0;
    let mut source = |out: &mut [u8]| {
        out.fill(if times == 0 { 0xff } else { 3 });
        times += 1;
    };
    assert!(Ephemeral::offer(Group::P256, &mut source).is_ok());
    assert_eq!(times, 2);
}

/// RFC 8031 section 3.2, RFC 7748 section 5.
#[test]
fn the_top_bit_of_a_point_is_masked_and_one_that_is_not_reduced_is_taken() {
    let private = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    let mut base = vec![0; 32];
    base[0] = 9;
    let wanted = finish(offer(Group::X25519, private), &base);
    assert!(wanted.is_ok());
    let mut top = base;
    top[31] |= 0x80;
    assert_eq!(finish(offer(Group::X25519, private), &top), wanted);
    // 2^255 - 10, which is 9 modulo 2^255 - 19.
    let mut long = vec![0xff; 32];
    (long[0], long[31]) = (0xf6, 0x7f);
    assert_eq!(finish(offer(Group::X25519, private), &long), wanted);
}
