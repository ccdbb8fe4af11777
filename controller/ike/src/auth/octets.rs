//! What a proof covers (RFC 7296 2.15; RFC 9242 3.3.2).

use crate::codec::{GENERIC_LEN, HEADER_LEN, Header, MessageId, PayloadKind};
use crate::suite::{Front, Plain, Prf, Secret};
use zeroize::Zeroizing;

/// The octets that one side proves itself over: its own IKE_SA_INIT `message` (the last one sent, from the header on), the
/// other's nonce, its own identification (`id_payload_body`: [`crate::codec::Identity::body`]) under its SK_p, and what
/// [`IntAuth::finish`] gave if there was an IKE_INTERMEDIATE.
#[must_use]
pub fn signed_octets(
    message: &[u8],
    nonce_of_other: &[u8],
    prf: Prf,
    sk_p: &Secret,
    id_payload_body: &[u8],
    int_auth: Option<&[u8]>,
) -> Zeroizing<Vec<u8>> {
    let identity = prf.prf(sk_p.octets(), &[id_payload_body]);
    Zeroizing::new(
        [
            message,
            nonce_of_other,
            identity.octets(),
            int_auth.unwrap_or_default(),
        ]
        .concat(),
    )
}

/// What passed in IKE_INTERMEDIATE, for the proofs of both sides. Each side's messages go in one after the other, under the SK_p
/// that holds when they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntAuth {
    initiator: Vec<u8>,
    responder: Vec<u8>,
}

impl IntAuth {
    /// One message, sent or received: `first` and `chain` are what is inside SK ([`crate::codec::encode_chain`] or
    /// [`crate::suite::Plain`]), as if it had not been fragmented. IntAuth_n = prf(SK_p, IntAuth_(n-1) | A | P).
    pub fn absorb(&mut self, header: &Header, first: PayloadKind, chain: &[u8], prf: Prf, sk_p: &Secret) {
        let mut front: Front = [0; HEADER_LEN + GENERIC_LEN];
        front[..HEADER_LEN].copy_from_slice(&header.encode(PayloadKind::SK, 0));
        front[HEADER_LEN] = first.0;
        self.add(front, chain, prf, sk_p);
    }

    /// One message as it was received. RFC 9242 3.3.2: bits that are reserved are covered as they came, though nobody understands them.
    pub fn absorb_received(&mut self, plain: &Plain, prf: Prf, sk_p: &Secret) {
        self.add(plain.front, &plain.octets, prf, sk_p);
    }

    fn add(&mut self, mut front: Front, chain: &[u8], prf: Prf, sk_p: &Secret) {
        let side = if Header::is_from_initiator(&front) {
            &mut self.initiator
        } else {
            &mut self.responder
        };
        // RFC 9242 3.3.2: the lengths are those of a message without IV, padding and tag.
        let length = u32::try_from(HEADER_LEN + GENERIC_LEN + chain.len())
            .unwrap_or_else(|_| unreachable!("a message is shorter than 4 GiB"));
        // A message that came in fragments counts as if it had come whole.
        front[16] = PayloadKind::SK.0;
        front[24..HEADER_LEN].copy_from_slice(&length.to_be_bytes());
        let [_, _, inner @ ..] = (length - HEADER_LEN as u32).to_be_bytes();
        front[HEADER_LEN + 2..].copy_from_slice(&inner);
        *side = prf.prf(sk_p.octets(), &[side, &front, chain]).octets().to_vec();
    }

    /// IntAuth_i | IntAuth_r | message id of the first IKE_AUTH; nothing if there was no IKE_INTERMEDIATE.
    #[must_use]
    pub fn finish(&self, ike_auth: MessageId) -> Option<Vec<u8>> {
        (!self.initiator.is_empty())
            .then(|| [&self.initiator, &self.responder, &ike_auth.0.to_be_bytes()[..]].concat())
    }
}
