//! The hidden command `kith stranger`: sends what somebody sends who is no member. The tour runs it in the stranger's namespace.
//!
//! Everything comes from the stranger's own address; what is forged is inside.

use crate::error::Error;
use clap::Args;
use kith_wire::ipv4::{self, Ipv4};
use kith_wire::shim::{self, DataType, Shim};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U32;

/// In every packet of the stranger: where it is not found, none arrived.
pub const MARKER: &[u8; 16] = b"KITH-IS-STRANGER";
/// What the stranger sends.
#[derive(Debug, Clone, Args)]
pub struct Stranger {
    /// Whom to send to.
    to: SocketAddrV4,
    /// Data type of the shim.
    #[arg(long)]
    kind: Option<u8>,
    /// The shim's source member.
    #[arg(long, default_value = "0.0.0.0")]
    source: Ipv4Addr,
    /// The shim's destination member.
    #[arg(long, default_value = "0.0.0.0")]
    destination: Ipv4Addr,
    /// The shim's destination director.
    #[arg(long, default_value = "0.0.0.0")]
    at: Ipv4Addr,
    /// Octets behind the shim.
    #[arg(long, default_value = "68")]
    size: usize,
    /// How many.
    #[arg(long, default_value = "20")]
    count: u32,
}

/// The hidden command: sends, and never looks for an answer.
pub fn send(what: &Stranger) -> Result<u8, Error> {
    let fail = |source| Error::Io {
        doing: "send to",
        path: what.to.to_string().into(),
        source,
    };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(fail)?;
    let datagram = datagram(what);
    for _ in 0..what.count {
        socket.send_to(&datagram, what.to).map_err(fail)?;
        // Below every rate limit: what is tried is the judgement, not the limit.
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(0)
}

/// Without a kind: no shim at all. With one: a shim, then a virtual packet's header, then the marker over and over.
fn datagram(what: &Stranger) -> Vec<u8> {
    let body: Vec<u8> = MARKER.iter().copied().cycle().take(what.size).collect();
    let Some(kind) = what.kind else { return body };
    let mut head = Shim::new(DataType::Virtual);
    head.source_member = U32::new(what.source.to_bits());
    head.destination_member = U32::new(what.destination.to_bits());
    head.source_director = U32::new(what.at.to_bits());
    head.destination_director = U32::new(what.at.to_bits());
    let mut datagram = [head.as_bytes(), &body].concat();
    datagram[1] = kind;
    if kind == DataType::Virtual as u8
        && let Some(inside) = datagram.get_mut(shim::LEN..shim::LEN + ipv4::HEADER_LEN)
    {
        // Right in every respect but who sends it.
        let (from, to) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
        let header = Ipv4::new(from, to, 50, u16::try_from(what.size).unwrap_or(u16::MAX));
        inside.copy_from_slice(header.as_bytes());
    }
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(kind: Option<u8>) -> Stranger {
        Stranger {
            to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            kind,
            source: Ipv4Addr::new(240, 0, 0, 1),
            destination: Ipv4Addr::new(240, 0, 0, 2),
            at: Ipv4Addr::new(203, 0, 113, 10),
            size: 68,
            count: 1,
        }
    }

    #[test]
    fn only_the_sender_is_wrong() {
        let datagram = datagram(&stranger(Some(1)));
        let (shim, inner) = Shim::parse(&datagram).unwrap();
        assert_eq!(shim.data_type(), Some(DataType::Virtual));
        assert_eq!(
            Ipv4Addr::from(shim.source_member.get()),
            Ipv4Addr::new(240, 0, 0, 1)
        );
        assert!(Ipv4::parse(inner).is_ok());
        assert!(datagram.windows(16).any(|window| window == MARKER));
    }

    #[test]
    fn without_a_kind_there_is_no_shim() {
        assert!(Shim::parse(&datagram(&stranger(None))).is_err());
    }
}
