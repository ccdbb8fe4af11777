//! IKE_INTERMEDIATE with one additional key exchange (RFC 9242, RFC 9370 section 2.2.2): what an eavesdropper with a quantum computer lacks.
//!
//! ```text
//!  initiator ── SK{ KE(ML-KEM key) } ──► responder       keys of IKE_SA_INIT
//!            ◄─ SK{ KE(ciphertext) } ──                  from here on new keys; IKE_AUTH covers both messages
//! ```

use super::hello::Negotiated;
use crate::codec::{Header, KeyExchange, Payload, encode_chain};
use crate::suite::{Group, Nonces, Plain, SharedSecret, Spis};

impl Negotiated {
    /// A message of ours, before it is sealed.
    pub(crate) fn absorb_own(&mut self, header: &Header, said: &[Payload]) {
        let (first, octets) = encode_chain(said);
        let key = self.keys.prove(header.from_initiator);
        self.intermediate
            .absorb(header, first, &octets, self.keys.prf(), key);
    }

    /// A message of the peer, under the keys that hold when it is sent.
    pub(crate) fn absorb(&mut self, header: &Header, plain: &Plain) {
        let key = self.keys.prove(header.from_initiator);
        self.intermediate.absorb_received(plain, self.keys.prf(), key);
    }

    /// From here on both ends use keys that hang on the new secret too. The nonces and SPIs are those of IKE_SA_INIT.
    pub(crate) fn renew(&mut self, shared: &SharedSecret) -> Option<()> {
        let [initiator, responder] = &self.nonces;
        let nonces = Nonces { initiator, responder };
        let (initiator, responder) = (self.protection.initiator, self.protection.responder);
        self.keys = self
            .keys
            .additional(shared, nonces, Spis { initiator, responder });
        self.protection.rekey(&self.keys).ok()
    }
}

/// The payload with one side's part.
pub(crate) fn payload(group: Group, data: Vec<u8>) -> Payload {
    Payload::KeyExchange(KeyExchange {
        group: group.id(),
        data,
    })
}

/// The one key exchange payload that there must be.
pub(crate) fn share(payloads: &[Payload], group: Group) -> Option<&[u8]> {
    let mut shares = payloads.iter().filter_map(|payload| match payload {
        Payload::KeyExchange(share) => Some(share),
        _ => None,
    });
    let share = shares.next().filter(|share| share.group == group.id())?;
    shares.next().is_none().then_some(&share.data)
}
