//! ESP packets of draft-mcgrew-gcm-test-01, all with extended sequence numbers: each opens to what the draft says, and is
//! sealed to the same octets. Their IVs are not their sequence numbers, as RFC 4106 allows every sender.

use crate::aead::{Aead, DefaultAead, Portable};
use crate::layout::{aad, nonce};
use crate::{HEADER_LEN, Inbound, Key, Limits, Millis, SaKeys, Salt, SeqNo, Spi};

struct Vector {
    key: &'static str,
    salt: &'static str,
    spi: u32,
    seq: u64,
    iv: &'static str,
    /// Payload, padding and trailer.
    plain: &'static str,
    /// Ciphertext and ICV.
    sealed: &'static str,
    padding: usize,
}

const VECTORS: [Vector; 7] = [
    Vector {
        key: "4c80cdefbb5d10da906ac73c3613a634",
        salt: "2e443b68",
        spi: 0x4321,
        seq: 0x8765_4321_0000_0000,
        iv: "4956ed7e3b244cfe",
        plain: "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f756470\
                037369700963796265726369747902646b000021000101020201",
        sealed: "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a1\
                 3c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4",
        padding: 2,
    },
    Vector {
        key: "3de09874b388e6491988d0c3607eae1f",
        salt: "57690e43",
        spi: 0x42f6_7e3f,
        seq: 0x1010_1010_1010_1010,
        iv: "4e280000a2fca1a3",
        plain: "4500001c42a200008001441f406793b6e00000020a00f5ff01020201",
        sealed: "fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed369f071f35e034be95f112e4e7d05d35",
        padding: 2,
    },
    Vector {
        key: "abbccddef00112233445566778899aab",
        salt: "decaf888",
        spi: 0x100,
        seq: 1,
        iv: "cafedebaceface74",
        plain: "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e20001e8c18d75b81dc91ba\
                a0476b91b924b280389d92c963bac046ec959b6266c04722b14923010101",
        sealed: "18a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d95412e1c349c1d2fbec168f9190feebaf2cb01984e65863965d\
                 7472b79da345e0e780191f0d2f0e0f496c226f2127b27db35724e7845d68651f57e65f354f75ff17015769623436",
        padding: 1,
    },
    Vector {
        key: "4c80cdefbb5d10da906ac73c3613a634",
        salt: "22433c64",
        spi: 0x4321,
        seq: 0x8765_4321_0000_0007,
        iv: "4855ec7d3a234bfd",
        plain: "0800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201",
        sealed: "74752e8aeb5d873cd7c0f4acc36c4bff84b7d7b98f0ca8b6acda6894bc619069ef9cbc28fe1b56a7c4e0d58c86cd\
                 2bc0",
        padding: 2,
    },
    Vector {
        key: "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        salt: "73616c74",
        spi: 0x1740_5e67,
        seq: 0x156f_3126_dd0d_b99b,
        iv: "616e640169766563",
        plain: "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
        sealed: "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e451626c24157\
                 71e3b7eebca614c89b35",
        padding: 0,
    },
    Vector {
        key: "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        salt: "73616c74",
        spi: 0x1740_5e67,
        seq: 0x156f_3126_dd0d_b99b,
        iv: "616e640169766563",
        plain: "636973636f0172756c657301746865016e6574776501646566696e6501746865746563686e6f6c6f676965730174\
                68617477696c6c01646566696e65746f6d6f72726f7701020201",
        sealed: "d4b7ed86a1777f2ea13d6973d324c69e7b43f826fb56831226508bebd2dceb18d0a6df10e5487df074113e14c641\
                 024e3e6773d91a62ee429b043a10e3efe6b012a49363412364f8c0cac587f249e56b11e24f30e44ccc76",
        padding: 2,
    },
    Vector {
        key: "6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961",
        salt: "7475726e",
        spi: 0x796b_6963,
        seq: u64::MAX,
        iv: "333021696765746d",
        plain: "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f7071727374\
                01020201",
        sealed: "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57d\
                 be821dcc63b9d0937ba2945f669368661a329fb4c053",
        padding: 2,
    },
];

#[test]
fn the_drafts_packets_open() {
    VECTORS.iter().for_each(opens::<DefaultAead>);
    VECTORS.iter().for_each(opens::<Portable>);
}

#[test]
fn the_drafts_packets_come_out_of_our_nonce_and_associated_data() {
    for v in &VECTORS {
        let SaKeys { key, salt } = v.keys();
        let mut body = hex(v.plain);
        let tag =
            DefaultAead::new(&key).seal(&nonce(&salt, array(v.iv)), &aad(v.spi(), SeqNo(v.seq)), &mut body);
        body.extend(tag.unwrap_or_else(|e| unreachable!("{e}")));
        assert_eq!(body, hex(v.sealed));
    }
}

fn opens<A: Aead>(v: &Vector) {
    let mut sa = Inbound::<A>::with_aead(v.spi(), v.keys(), Limits::default(), Millis(0));
    if v.seq > 1 {
        sa = sa.after(SeqNo(v.seq - 1));
    }
    let low = SeqNo(v.seq).low().to_be_bytes();
    let mut packet = [&v.spi.to_be_bytes()[..], &low, &hex(v.iv), &hex(v.sealed)].concat();
    let opened = sa
        .open_in_place(&mut packet, Millis(0))
        .unwrap_or_else(|e| panic!("{e}: {}", v.plain));
    let plain = hex(v.plain);
    assert_eq!(opened.token.seq(), SeqNo(v.seq), "the high word was inferred");
    assert_eq!(
        opened.payload,
        HEADER_LEN..HEADER_LEN + plain.len() - v.padding - 2
    );
    assert_eq!(packet[opened.payload.clone()], plain[..opened.payload.len()]);
    assert_eq!(Some(&opened.next_header), plain.last());
    assert_eq!(sa.commit(opened.token), Ok(()));
}

impl Vector {
    fn keys(&self) -> SaKeys {
        let key = Key::from_slice(&hex(self.key)).unwrap_or_else(|e| unreachable!("{e}"));
        SaKeys::new(key, Salt::new(&array(self.salt)))
    }

    fn spi(&self) -> Spi {
        Spi::new(self.spi).unwrap_or_else(|e| unreachable!("{e}"))
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text)
        .try_into()
        .unwrap_or_else(|_| unreachable!("{text} is {N} octets"))
}
