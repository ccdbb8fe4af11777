//! The system ping (source document 001, figure 19): is a route director alive?
//!
//! All four shim addresses are zero. The response is the request with its kind changed: as long, same sequence number,
//! same data, so that a director can be asked by anyone without amplifying anything.
//!
//! ```text
//! | kind (1): 1 request, 2 response | reserved (3) | sequence (4) | data, echoed |
//! ```

use crate::Malformed;
use crate::shim::{self, DataType, Shim};
use zerocopy::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets before the data.
pub const HEADER_LEN: usize = 8;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// Request or response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Are you there?
    Request,
    /// I am.
    Response,
}

/// The 8 octets behind the shim of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ping {
    kind: u8,
    reserved: [u8; 3],
    /// Chosen by who asks, repeated by who answers.
    pub sequence: U32,
}

impl Ping {
    /// Reads what follows a shim of type ping.
    pub fn parse(body: &[u8]) -> Result<(&Self, &[u8]), Malformed> {
        let (ping, data) = Self::ref_from_prefix(body).map_err(|_| Malformed::Truncated)?;
        match ping.kind {
            REQUEST | RESPONSE => Ok((ping, data)),
            _ => Err(Malformed::Field),
        }
    }

    /// Request or response.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.kind == REQUEST {
            Kind::Request
        } else {
            Kind::Response
        }
    }

    /// Writes shim and ping header of a request into `out`, whose rest is the data.
    pub fn write_request(out: &mut [u8], sequence: u32) -> Result<(), Malformed> {
        let head = out
            .get_mut(..shim::LEN + HEADER_LEN)
            .ok_or(Malformed::Truncated)?;
        let (front, back) = head.split_at_mut(shim::LEN);
        front.copy_from_slice(Shim::new(DataType::Ping).as_bytes());
        back.copy_from_slice(
            Self {
                kind: REQUEST,
                reserved: [0; 3],
                sequence: U32::new(sequence),
            }
            .as_bytes(),
        );
        Ok(())
    }

    /// Turns UDP data that holds a request into the response, in place.
    pub fn answer_in_place(data: &mut [u8]) -> Result<(), Malformed> {
        let (shim, body) = Shim::parse(data)?;
        let (ping, _) = Self::parse(body)?;
        if shim.data_type() != Some(DataType::Ping) || ping.kind() != Kind::Request {
            return Err(Malformed::Field);
        }
        let answer = Shim::new(DataType::Ping);
        data[..shim::LEN].copy_from_slice(answer.as_bytes());
        data[shim::LEN] = RESPONSE;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_request_with_another_kind() {
        let mut data = [0xabu8; 40];
        Ping::write_request(&mut data, 7).unwrap();
        let asked = data;
        Ping::answer_in_place(&mut data).unwrap();
        let (ping, echoed) = Ping::parse(&data[shim::LEN..]).unwrap();
        assert_eq!((ping.kind(), ping.sequence.get()), (Kind::Response, 7));
        assert_eq!(echoed, &asked[28..]);
        assert_eq!(data.iter().zip(&asked).filter(|(a, b)| a != b).count(), 1);
    }

    #[test]
    fn a_response_is_never_answered() {
        let mut data = [0u8; 28];
        Ping::write_request(&mut data, 1).unwrap();
        Ping::answer_in_place(&mut data).unwrap();
        assert_eq!(Ping::answer_in_place(&mut data), Err(Malformed::Field));
        data[shim::LEN] = 3;
        assert_eq!(Ping::answer_in_place(&mut data), Err(Malformed::Field));
        assert_eq!(Ping::answer_in_place(&mut data[..27]), Err(Malformed::Truncated));
    }
}
