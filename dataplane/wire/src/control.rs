//! Director control messages: address request and response, keep-alive, leave (source document 001, figure 21).
//!
//! Problem: whoever can make a director answer with more than he sent can use it as an amplifier, and whoever can forge
//! a message can move or end another member's session. Idea: one fixed layout for every message in both directions, so
//! that an answer is exactly as long as its request; a cookie that only the true owner of a source address can echo; an
//! authenticator under the key that the manager gave this session.
//!
//! ```text
//!  0               8               16                             31
//! +----------------------------------------------------------------+
//! | shim (20 octets): type 3, 4, 5 or 6                            |
//! +---------------+---------------+--------------------------------+
//! | status        | reserved      | length = 68                    |   0
//! | key id (8 octets): which member's key                          |   4
//! | counter (8 octets): grows with every message of a member; echoed |  12
//! | cookie (16 octets): zero, or what the director's challenge held |  20
//! | lifetime, milliseconds                                         |  36
//! | keep-alive interval, milliseconds                              |  40
//! | observed address: the source the director saw                  |  44
//! | observed port                 | reserved                       |  48
//! | authenticator (16 octets): HMAC-SHA-256, first half, over shim |  52
//! |   and body up to here                                          |
//! +----------------------------------------------------------------+
//! ```
//!
//! In requests status, lifetime, interval and observed address are zero. In responses the shim's destination member is
//! the pseudo address, and both directors are the answering one. Two fields say more in two answers: a challenge to an
//! address request holds the counter last accepted under this key in lifetime (high half) and interval (low half), so
//! that a member whose clock went back is not refused as a replay; "no session" holds a cookie, so that the request that
//! follows needs no challenge of its own.

use crate::Malformed;
use crate::shim::{self, DataType, Shim};
use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets behind the shim.
pub const BODY_LEN: usize = 68;
/// Octets of the UDP data, shim included.
pub const LEN: usize = shim::LEN + BODY_LEN;
/// Octets of an authenticator.
pub const AUTHENTICATOR_LEN: usize = 16;
/// Octets of a cookie.
pub const COOKIE_LEN: usize = 16;

/// Shim flag, keep-alive and leave: this is the director's answer.
pub const FLAG_RESPONSE: u16 = 0x0001;
/// Shim flag, address request: the member has a public address; it sends through the director but is not reached through it.
pub const FLAG_SENDER_ONLY: u16 = 0x0002;

/// What a director says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Granted, extended, moved or ended, as asked. The only status of requests too.
    Ok = 0,
    /// Echo the cookie to prove that you are where you seem to be.
    Challenge = 1,
    /// There is no session for this key: ask for an address.
    NoSession = 2,
    /// Every pseudo address is taken.
    Full = 3,
    /// The session is bound to another address than the one this came from.
    WrongSource = 4,
    /// Too many requests; come back after the lifetime field.
    Busy = 5,
}

impl Status {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Ok,
            1 => Self::Challenge,
            2 => Self::NoSession,
            3 => Self::Full,
            4 => Self::WrongSource,
            5 => Self::Busy,
            _ => return None,
        })
    }
}

/// Which member's director key authenticates a message. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u64);

/// The body of a control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Body {
    status: u8,
    reserved: u8,
    length: U16,
    key_id: U64,
    counter: U64,
    cookie: [u8; COOKIE_LEN],
    lifetime_ms: U32,
    keep_alive_ms: U32,
    observed_address: U32,
    observed_port: U16,
    reserved2: U16,
    authenticator: [u8; AUTHENTICATOR_LEN],
}

/// A control message in its own terms. Addresses are host order; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// Address request, address response, keep-alive or leave.
    pub data_type: DataType,
    /// [`FLAG_RESPONSE`], [`FLAG_SENDER_ONLY`].
    pub flags: u16,
    /// The member's director.
    pub director: u32,
    /// The member's pseudo address; 0 in an address request.
    pub pseudo: u32,
    /// The director's answer.
    pub status: Status,
    /// Whose key.
    pub key_id: KeyId,
    /// Grows with every request of a member; a response repeats it.
    pub counter: u64,
    /// Zero, or the director's challenge.
    pub cookie: [u8; COOKIE_LEN],
    /// How long the session lasts without a keep-alive, milliseconds.
    pub lifetime_ms: u32,
    /// How often to send keep-alives, milliseconds.
    pub keep_alive_ms: u32,
    /// The source address the director saw, and its port.
    pub observed: (u32, u16),
}

/// A message whose authenticator has not been checked: all it shows is whose key to check it with.
#[derive(Debug, Clone, Copy)]
pub struct Unauthenticated<'a> {
    bytes: &'a [u8],
    message: Control,
}

impl Control {
    /// Reads UDP data as a control message. Nothing of it may be acted on before [`Unauthenticated::authenticate`].
    pub fn parse(data: &[u8]) -> Result<Unauthenticated<'_>, Malformed> {
        let (shim, rest) = Shim::parse(data)?;
        let data_type = match shim.data_type() {
            Some(
                kind @ (DataType::AddressRequest
                | DataType::AddressResponse
                | DataType::Leave
                | DataType::KeepAlive),
            ) => kind,
            _ => return Err(Malformed::Field),
        };
        let body = Body::ref_from_bytes(rest).map_err(|_| match rest.len() {
            ..BODY_LEN => Malformed::Truncated,
            _ => Malformed::Length,
        })?;
        if usize::from(body.length.get()) != BODY_LEN {
            return Err(Malformed::Length);
        }
        let flags = shim.flags.get();
        let response = data_type == DataType::AddressResponse || flags & FLAG_RESPONSE != 0;
        let message = Self {
            data_type,
            flags,
            director: shim.destination_director.get(),
            pseudo: if response {
                shim.destination_member.get()
            } else {
                shim.source_member.get()
            },
            status: Status::from_number(body.status).ok_or(Malformed::Field)?,
            key_id: KeyId(body.key_id.get()),
            counter: body.counter.get(),
            cookie: body.cookie,
            lifetime_ms: body.lifetime_ms.get(),
            keep_alive_ms: body.keep_alive_ms.get(),
            observed: (body.observed_address.get(), body.observed_port.get()),
        };
        Ok(Unauthenticated { bytes: data, message })
    }

    /// Is this a director's answer, rather than a member's request?
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.data_type == DataType::AddressResponse || self.flags & FLAG_RESPONSE != 0
    }

    /// The message's octets; `authenticator` computes the authenticator over the octets it is given.
    #[must_use]
    pub fn encode(&self, authenticator: impl FnOnce(&[u8]) -> [u8; AUTHENTICATOR_LEN]) -> [u8; LEN] {
        let mut shim = Shim::new(self.data_type);
        shim.flags = U16::new(self.flags);
        shim.destination_director = U32::new(self.director);
        if self.is_response() {
            shim.source_director = U32::new(self.director);
            shim.destination_member = U32::new(self.pseudo);
        } else {
            shim.source_member = U32::new(self.pseudo);
        }
        let body = Body {
            status: self.status as u8,
            reserved: 0,
            length: U16::new(BODY_LEN as u16),
            key_id: U64::new(self.key_id.0),
            counter: U64::new(self.counter),
            cookie: self.cookie,
            lifetime_ms: U32::new(self.lifetime_ms),
            keep_alive_ms: U32::new(self.keep_alive_ms),
            observed_address: U32::new(self.observed.0),
            observed_port: U16::new(self.observed.1),
            reserved2: U16::ZERO,
            authenticator: [0; AUTHENTICATOR_LEN],
        };
        let mut out = [0u8; LEN];
        out[..shim::LEN].copy_from_slice(shim.as_bytes());
        out[shim::LEN..].copy_from_slice(body.as_bytes());
        let tag = authenticator(&out[..LEN - AUTHENTICATOR_LEN]);
        out[LEN - AUTHENTICATOR_LEN..].copy_from_slice(&tag);
        out
    }
}

impl Unauthenticated<'_> {
    /// Whose key to check with.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.message.key_id
    }

    /// The message, once `verify(covered octets, authenticator)` says that the authenticator is good.
    ///
    /// `verify` must compare in constant time.
    pub fn authenticate(self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> Option<Control> {
        let (covered, tag) = self.bytes.split_at_checked(LEN - AUTHENTICATOR_LEN)?;
        verify(covered, tag).then_some(self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response() -> Control {
        Control {
            data_type: DataType::AddressResponse,
            flags: 0,
            director: 0xcb00_710a,
            pseudo: 0xf000_0001,
            status: Status::Ok,
            key_id: KeyId(0x0102_0304_0506_0708),
            counter: 9,
            cookie: [0xcc; 16],
            lifetime_ms: 30_000,
            keep_alive_ms: 5_000,
            observed: (0xcb00_7115, 40_000),
        }
    }

    #[rustfmt::skip]
    const GOLDEN: [u8; LEN] = [
        1, 4, 0, 0,   203, 0, 113, 10,   203, 0, 113, 10,   0, 0, 0, 0,   240, 0, 0, 1,
        0, 0, 0, 68,
        1, 2, 3, 4, 5, 6, 7, 8,
        0, 0, 0, 0, 0, 0, 0, 9,
        0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
        0, 0, 0x75, 0x30,
        0, 0, 0x13, 0x88,
        203, 0, 113, 21,
        0x9c, 0x40, 0, 0,
        72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72,
    ];

    #[test]
    fn golden_response_both_ways() {
        let bytes = response().encode(|covered| [covered.len() as u8; 16]);
        assert_eq!(bytes, GOLDEN);
        let read = Control::parse(&GOLDEN).unwrap();
        assert_eq!(read.key_id(), response().key_id);
        let opened = read.authenticate(|covered, tag| covered.len() == 72 && tag == [72; 16]);
        assert_eq!(opened, Some(response()));
    }

    #[test]
    fn nothing_is_shown_when_the_authenticator_fails() {
        assert_eq!(Control::parse(&GOLDEN).unwrap().authenticate(|_, _| false), None);
    }

    #[test]
    fn lies_are_named() {
        let changed = |at: usize, value: u8| {
            let mut bytes = GOLDEN;
            bytes[at] = value;
            Control::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(changed(0, 9), Malformed::Version);
        assert_eq!(changed(1, 1), Malformed::Field);
        assert_eq!(changed(20, 6), Malformed::Field);
        assert_eq!(changed(23, 67), Malformed::Length);
        assert_eq!(
            Control::parse(&GOLDEN[..LEN - 1]).map(|_| ()),
            Err(Malformed::Truncated)
        );
        let mut longer = GOLDEN.to_vec();
        longer.push(0);
        assert_eq!(Control::parse(&longer).map(|_| ()), Err(Malformed::Length));
    }

    proptest! {
        #[test]
        fn what_parses_encodes_to_the_same_message(bytes in proptest::collection::vec(any::<u8>(), LEN), kind in 3u8..7) {
            let mut bytes = bytes;
            bytes[0] = 1;
            bytes[1] = kind;
            bytes[20] %= 6;
            bytes[22..24].copy_from_slice(&68u16.to_be_bytes());
            let message = Control::parse(&bytes).unwrap().authenticate(|_, _| true).unwrap();
            let again = message.encode(|_| [0; 16]);
            prop_assert_eq!(Control::parse(&again).unwrap().authenticate(|_, _| true), Some(message));
        }
    }
}
