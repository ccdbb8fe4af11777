//! One IKE SA's messages sealed and opened, whole or in fragments.

use super::reassembly::{Part, Reassembly};
use crate::codec::{Body, Datagram, Exchange, Header, IkeSpi, MessageId, Payload};
use crate::suite::{CryptoError, IkeKeys, Opener, Plain, Sealer};
use crate::units::Role;

/// Both directions under one set of keys.
pub(crate) struct Protection {
    /// Whether we began this IKE SA: the flag in every header (RFC 7296 section 3.1).
    pub(crate) role: Role,
    pub(crate) initiator: IkeSpi,
    pub(crate) responder: IkeSpi,
    sealer: Sealer,
    opener: Opener,
    /// Of requests, and of responses.
    reassembly: [Reassembly; 2],
    /// The peer takes fragments.
    fragments: bool,
    max_datagram: usize,
}

/// What is in a datagram of this SA.
pub(crate) enum Opened {
    /// Not authentic, or no sealed message: nothing may follow from it.
    Not,
    /// A fragment; the rest is to come.
    Part,
    /// A message.
    Message(Plain),
}

impl Protection {
    pub(crate) fn new(
        role: Role,
        (initiator, responder): (IkeSpi, IkeSpi),
        keys: &IkeKeys,
        fragments: bool,
        max_datagram: usize,
    ) -> Result<Self, CryptoError> {
        let initiating = role == Role::Initiator;
        Ok(Self {
            role,
            initiator,
            responder,
            sealer: keys.sealer(initiating)?,
            opener: keys.opener(!initiating)?,
            reassembly: Default::default(),
            fragments,
            max_datagram,
        })
    }

    /// The SPI that names this SA here.
    pub(crate) fn local_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.initiator,
            Role::Responder => self.responder,
        }
    }

    pub(crate) fn fragments(&self) -> bool {
        self.fragments
    }

    /// New keys for the same SA (RFC 9370 section 2.2.2).
    pub(crate) fn rekey(&mut self, keys: &IkeKeys) -> Result<(), CryptoError> {
        let spis = (self.initiator, self.responder);
        *self = Self::new(self.role, spis, keys, self.fragments, self.max_datagram)?;
        Ok(())
    }

    pub(crate) fn header(&self, exchange: Exchange, response: bool, id: u32) -> Header {
        Header {
            initiator_spi: self.initiator,
            responder_spi: self.responder,
            exchange,
            from_initiator: self.role == Role::Initiator,
            response,
            message_id: MessageId(id),
        }
    }

    /// One datagram, or several fragments if one would be too long and the peer takes them (RFC 7383 section 2.4).
    pub(crate) fn seal(
        &mut self,
        header: &Header,
        payloads: &[Payload],
    ) -> Result<Vec<Vec<u8>>, CryptoError> {
        if self.fragments {
            self.sealer.seal_fragments(header, payloads, self.max_datagram)
        } else {
            Ok(vec![self.sealer.seal(header, payloads)?])
        }
    }

    /// Is it authentic, and all or the first part of a message? Then, if it was answered, it is answered again (RFC 7383 section 2.6.1).
    pub(crate) fn is_again(&self, datagram: &Datagram<'_>) -> bool {
        match &datagram.body {
            Body::Clear(_) => false,
            Body::Sealed(sealed) => self.opener.open_plain(sealed).is_ok(),
            Body::Fragment(fragment) => {
                self.fragments && fragment.number == 1 && self.opener.open_fragment(fragment).is_ok()
            }
        }
    }

    /// Time passes: parts of a message whose rest does not come are forgotten (RFC 7383 section 2.6).
    pub(crate) fn tidy(&mut self, now: u64) {
        self.reassembly.iter_mut().for_each(|one| one.tidy(now));
    }

    pub(crate) fn open(&mut self, now: u64, datagram: &Datagram<'_>) -> Opened {
        match &datagram.body {
            Body::Clear(_) => Opened::Not,
            Body::Sealed(sealed) => self
                .opener
                .open_plain(sealed)
                .map_or(Opened::Not, Opened::Message),
            // RFC 7383 section 2.6: not taken unless it was negotiated.
            Body::Fragment(_) if !self.fragments => Opened::Not,
            Body::Fragment(fragment) => {
                let Ok(piece) = self.opener.open_fragment(fragment) else {
                    return Opened::Not;
                };
                let part = Part {
                    message_id: datagram.header.message_id.0,
                    piece,
                };
                self.reassembly[usize::from(datagram.header.response)]
                    .add(now, part)
                    .map_or(Opened::Part, Opened::Message)
            }
        }
    }
}
