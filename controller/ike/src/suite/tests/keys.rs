//! Keys: HMAC by RFC 4231, the rest computed with Python's `cryptography` straight from the formulas of RFC 7296 2.13 to 2.18,
//! RFC 9370 2.2.2 and 2.2.4. Inputs are octets that count up (see `count`).

use super::*;

/// RFC 4231 4.3 and 4.7: cases 2 and 6.
#[test]
fn hmac_gives_what_its_rfc_says() {
    let short = |prf: Prf| hex(prf.prf(b"Jefe", &[b"what do ya want ", b"for nothing?"]).octets());
    let long = |prf: Prf| {
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        hex(prf.prf(&[0xaa; 131], &[text]).octets())
    };
    assert_eq!(
        short(Prf::HmacSha256),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        short(Prf::HmacSha384),
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
    );
    assert_eq!(
        long(Prf::HmacSha256),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
    assert_eq!(
        long(Prf::HmacSha384),
        "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952"
    );
}

#[test]
fn prf_plus_gives_what_its_formula_says() {
    let stream = |prf: Prf, length| {
        hex(prf
            .prf_plus(&count(0, 32), &[&count(100, 20), &count(120, 30)], length)
            .octets())
    };
    let long = "96fc8a11996cf20ae361ba2f2749dbbe751f8011c6e9f2b035283033d90e7f873622d71e228f8984669c8f51b9ac4e04\
        941fbdba78fb46aa6bdf37b30dd8e3d71e20746b7f0439fb30c6f3951b38423b8a995cf1389f17a6c439e00598c3afab\
        f44ec609125d3204eed720f71682a91568792eb2e6d86e910b19ed21c7c9e45f0785c3725b6d84e82f8c70eadcb8c4e3\
        a4ec1dda1dc725f79d4f89bfc8fba0ffde574e21aa092c76f45e24fc9920af93d54886b0b508d6cc86780e57475a50b2\
        8c1357a0993a8954";
    assert_eq!(stream(Prf::HmacSha256, 200), long);
    assert_eq!(stream(Prf::HmacSha256, 32), long[..64]);
    assert_eq!(stream(Prf::HmacSha256, 33), long[..66]);
    assert_eq!(stream(Prf::HmacSha256, 0), "");
    let long = "951804bd202415d4535b5180da07ee8615377dd4e49b58a9020edfd90bd406f4072a3ec736865a9543931b5c03e64f28\
        a18af83b8506e557a333cfe4bb41217335c67af316ddcd8e9eaae39e6311b8c05457e93fc1fe91926b360461134f3de6\
        180f6181095e80c1db6cb8c8f86702dad47aa216fffc00dd3ee72a348adcdf4e8366d3405e4ac358d4c04357c92673d7\
        b2bd6834d4819f51dc90199602169bbc699a99b78e2258a6c81f126852bc59f693bb8780ebcaaeb636d1fc63c7947dac\
        1f91eaaea89b628a";
    assert_eq!(stream(Prf::HmacSha384, 200), long);
}

/// Long streams by their SHA-256.
fn digest(keys: &IkeKeys) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &keys.stream()).as_ref())
}

#[test]
fn the_first_keys_come_from_nonces_and_secret() {
    let keys = keys();
    let wanted = "6945327a3c671ce9726c461ec4dfccfad10608b10a82b28b7bc01107091a148e481806b186e8792c567503a1592620a1\
        6d424d946b209e17787ac4a935dfac2d03046490e41e32312b445117afa103522d6f43c976ed155f4bc4e58609f41828\
        ef21b1b1f21d1ce2828947136d93354cefc51b818214b66973e5392e21a5515ee27acee6f1a8b4545588f1cd895c471c\
        6776cbc5ba6da643bd6aa1ea233653e8bbe724be641e61a3";
    assert_eq!(hex(&keys.stream()), wanted);
    assert_eq!(hex(keys.prove(true).octets()), wanted[208..272]);
    assert_eq!(hex(keys.prove(false).octets()), wanted[272..]);

    let (initiator, responder) = (count(0, 32), count(32, 32));
    let nonces = Nonces {
        initiator: &initiator,
        responder: &responder,
    };
    let secret = SharedSecret::known(&count(64, 32));
    let keys = IkeKeys::first(Prf::HmacSha384, Cipher::Aes128Gcm16, nonces, &secret, SPIS);
    let wanted = "d5c0d0f6a4631e7f5465f42916087da5b3bf218a1ddf0526a0f5c7e2719cde0981a8454762377fa8344b7c0b6c04e4fe\
        3f0e5858c9d5c3ed026c120b35c3f5182f51ebb9411e88c6ba8516815f2f58af243b8991ad8d673b584b59613d3243b7\
        b5f5091bf414c9def033b25459025f1677a863ec403e75d7e48693b22f0badfa331af991e5d1cc44ed3a1e449938635c\
        07ad858a373a114f449baaffcfc808e22c8714ed98c5f5fb31e534e74e96a9c5cbf9b49f0602223d";
    assert_eq!(hex(&keys.stream()), wanted);
}

#[test]
fn an_additional_exchange_changes_every_key() {
    let (initiator, responder) = (count(0, 32), count(32, 32));
    let nonces = Nonces {
        initiator: &initiator,
        responder: &responder,
    };
    let keys = keys().additional(&SharedSecret::known(&count(128, 32)), nonces, SPIS);
    assert_eq!(
        digest(&keys),
        "714e50437d471650fa03b43fa6b7e80f0d2ffd71477c5c67907d407038c20536"
    );
}

/// The seed by the old function, the keys by the new.
#[test]
fn a_rekeyed_association_hangs_on_the_old_one_and_on_new_secrets() {
    let (initiator, responder) = (count(200, 32), count(220, 32));
    let nonces = Nonces {
        initiator: &initiator,
        responder: &responder,
    };
    let secrets = [
        &SharedSecret::known(&count(128, 32)),
        &SharedSecret::known(&count(160, 32)),
    ];
    let spis = Spis {
        initiator: IkeSpi(0x0102_0304_0506_0708),
        responder: IkeSpi(0x090a_0b0c_0d0e_0f10),
    };
    let keys = keys().rekeyed(Prf::HmacSha384, Cipher::Aes128Gcm16, nonces, &secrets, spis);
    assert_eq!(
        digest(&keys),
        "471148dbc422c06834b4192373c7ad7b04e1a98880faa9096c354fbe30a33f82"
    );
    assert_eq!(keys.prf(), Prf::HmacSha384);
}

#[test]
fn a_child_has_keys_of_its_own() {
    let (initiator, responder) = (count(200, 32), count(220, 32));
    let nonces = Nonces {
        initiator: &initiator,
        responder: &responder,
    };
    let suite = EspSuite {
        cipher: Cipher::Aes256Gcm16,
        esn: true,
        group: None,
        additional: None,
    };
    let plain = keys().child_keys(suite, nonces, &[]);
    let wanted = octets(
        "f354ec1bd1a0324019b4a3d5ba2822c8563e70b62411f602ea360719b45a195aa58634234bbe1c3847d4d0b3ce6cd7df\
        cdb0fcf27d7745110cc53a9e6c8846c3a1cbd2019ea03f29",
    );
    crate::golden::assert_fits(plain.initiator_to_responder, &wanted[..36]);
    crate::golden::assert_fits(plain.responder_to_initiator, &wanted[36..]);

    let secrets = [
        &SharedSecret::known(&count(128, 32)),
        &SharedSecret::known(&count(160, 32)),
    ];
    let fresh = keys().child_keys(suite, nonces, &secrets);
    let wanted = octets(
        "0d43bb4687cbbf991a47c526caab970fdf8aef2f8b720a1e7885e8c90829aad2be22cc80ae820fb50b8a7516d989e9dc\
        84cfc5e9dfbeec6104c247a8b9f122e5e8f9f60c91af2059",
    );
    crate::golden::assert_fits(fresh.initiator_to_responder, &wanted[..36]);
    crate::golden::assert_fits(fresh.responder_to_initiator, &wanted[36..]);
}
