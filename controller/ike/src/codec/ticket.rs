//! The ticket in the first message (source document 001, figures 16B, 17 and 18).
//!
//! **Problem.** The responder should have the key of a pair of members without asking the manager, from the first message on,
//! and a standard peer must not stumble over it.
//!
//! **Idea.** The item list of figure 18 as data of a status notification of our own ([`super::NotifyKind::KITH_TICKET`]): who
//! does not know a status notification ignores it (RFC 7296 3.10.1).
//!
//! ```text
//!  count of items u8 │ zero u8 │ length of all u16 │ items
//!  item: type u8 │ zero u8 │ length of the item u16, with these four octets │ value
//!    1  my name, ending with a zero octet          3  the peer's name, ending with a zero octet
//!    2  my ticket data: initiator's time u64, ms   4  peer's ticket data: the ticket as the manager sealed it
//!       │ initiator's virtual address │ target's virtual address
//! ```

use super::reader::{Fault, Malformed, Reader};
use std::net::Ipv4Addr;

/// Octets of a name, without its end.
const MAX_NAME: usize = 255;
const WHAT: &str = "ticket";

/// What an initiator shows, unprotected: only what is inside `sealed`, once opened, proves anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The initiator's full name.
    pub my_name: String,
    /// The manager's time as the initiator knows it, milliseconds since 1970.
    pub time_ms: u64,
    /// The initiator's virtual address.
    pub my_virtual: Ipv4Addr,
    /// The target's virtual address.
    pub peer_virtual: Ipv4Addr,
    /// The target's full name.
    pub peer_name: String,
    /// The ticket, sealed for the target.
    pub sealed: Vec<u8>,
}

impl Ticket {
    /// As data of the notification.
    ///
    /// # Errors
    /// If a name is empty, too long or not printable ASCII, or the sealed ticket does not fit.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut data =
            Vec::with_capacity(4 * 5 + 16 + self.my_name.len() + self.peer_name.len() + self.sealed.len());
        data.extend_from_slice(&[4, 0, 0, 0]);
        let refuse = |data: &[u8], fault| Malformed::At {
            what: WHAT,
            at: data.len(),
            fault,
        };
        let mut mine = [0; 16];
        mine[..8].copy_from_slice(&self.time_ms.to_be_bytes());
        mine[8..12].copy_from_slice(&self.my_virtual.octets());
        mine[12..].copy_from_slice(&self.peer_virtual.octets());
        for (kind, value, end) in [
            (1, self.my_name.as_bytes(), &[0][..]),
            (2, &mine, &[]),
            (3, self.peer_name.as_bytes(), &[0]),
            (4, &self.sealed, &[]),
        ] {
            if !end.is_empty() && !printable(value) {
                return Err(refuse(&data, Fault::Value));
            }
            let length =
                u16::try_from(4 + value.len() + end.len()).map_err(|_| refuse(&data, Fault::Length))?;
            data.extend_from_slice(&[kind, 0]);
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(value);
            data.extend_from_slice(end);
        }
        let length = u16::try_from(data.len()).map_err(|_| refuse(&data, Fault::Length))?;
        data[2..4].copy_from_slice(&length.to_be_bytes());
        Ok(data)
    }

    /// From the data of the notification.
    ///
    /// # Errors
    /// If it is not exactly one item of each type.
    pub fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data, 0);
        let start = reader;
        let [count, zero] = reader.array(WHAT)?;
        if usize::from(reader.u16(WHAT)?) != data.len() {
            return Err(start.refuse(WHAT, Fault::Length));
        }
        if count != 4 || zero != 0 {
            return Err(start.refuse(WHAT, Fault::Value));
        }
        let mut items: [Option<Reader<'_>>; 4] = [None; 4];
        for _ in 0..count {
            let here = reader;
            let [kind, zero] = reader.array(WHAT)?;
            let length = usize::from(reader.u16(WHAT)?);
            let length = length
                .checked_sub(4)
                .ok_or_else(|| here.refuse(WHAT, Fault::Length))?;
            let value = reader.part(length, WHAT)?;
            let slot = usize::from(kind)
                .checked_sub(1)
                .and_then(|index| items.get_mut(index));
            match slot {
                Some(slot @ None) if zero == 0 => *slot = Some(value),
                _ => return Err(here.refuse("item of a ticket", Fault::Value)),
            }
        }
        reader.end(WHAT)?;
        // Four items, none twice: all four are there.
        let [Some(my_name), Some(mut mine), Some(peer_name), Some(mut sealed)] = items else {
            return Err(start.refuse(WHAT, Fault::Value));
        };
        let ticket = Self {
            my_name: name(my_name)?,
            time_ms: mine.u64("ticket data")?,
            my_virtual: mine.array::<4>("ticket data")?.into(),
            peer_virtual: mine.array::<4>("ticket data")?.into(),
            peer_name: name(peer_name)?,
            sealed: sealed.rest().to_vec(),
        };
        mine.end("ticket data")?;
        Ok(ticket)
    }
}

fn name(mut value: Reader<'_>) -> Result<String, Malformed> {
    let refusal = value.refuse("name in a ticket", Fault::Value);
    match value.rest().split_last() {
        Some((0, name)) if printable(name) => String::from_utf8(name.to_vec()).map_err(|_| refusal),
        _ => Err(refusal),
    }
}

fn printable(name: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket() -> Ticket {
        Ticket {
            my_name: "a.x".into(),
            time_ms: 0x0102_0304_0506_0708,
            my_virtual: [10, 0, 0, 1].into(),
            peer_virtual: [10, 0, 0, 2].into(),
            peer_name: "b.x".into(),
            sealed: vec![0xaa, 0xbb],
        }
    }

    const BY_HAND: &[u8] = &[
        4, 0, 0, 46, // four items, 46 octets
        1, 0, 0, 8, b'a', b'.', b'x', 0, //
        2, 0, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 10, 0, 0, 1, 10, 0, 0, 2, //
        3, 0, 0, 8, b'b', b'.', b'x', 0, //
        4, 0, 0, 6, 0xaa, 0xbb,
    ];

    #[test]
    fn a_ticket_is_laid_out_as_figure_18_has_it() {
        assert_eq!(ticket().encode().as_deref(), Ok(BY_HAND));
        assert_eq!(Ticket::parse(BY_HAND), Ok(ticket()));
    }

    #[test]
    fn the_items_may_come_in_any_order_but_each_once() {
        let swapped = [&BY_HAND[..4], &BY_HAND[12..32], &BY_HAND[4..12], &BY_HAND[32..]].concat();
        assert_eq!(Ticket::parse(&swapped), Ok(ticket()));
        for (at, octet) in [
            (0, 3),
            (0, 5),
            (1, 1),
            (3, 45),
            (4, 0),
            (4, 5),
            (4, 2),
            (5, 1),
            (11, b'!'),
            (8, 0),
            (8, b' '),
        ] {
            let mut changed = BY_HAND.to_vec();
            changed[at] = octet;
            assert!(Ticket::parse(&changed).is_err(), "octet {at} = {octet}");
        }
        for length in 0..BY_HAND.len() {
            assert!(Ticket::parse(&BY_HAND[..length]).is_err(), "{length} octets");
        }
    }

    #[test]
    fn what_would_not_be_taken_is_not_written() {
        assert!(
            Ticket {
                my_name: String::new(),
                ..ticket()
            }
            .encode()
            .is_err()
        );
        assert!(
            Ticket {
                peer_name: "a\0b".into(),
                ..ticket()
            }
            .encode()
            .is_err()
        );
        assert!(
            Ticket {
                sealed: vec![0; 65536],
                ..ticket()
            }
            .encode()
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn every_ticket_comes_back(
            (my_name, peer_name) in ("[!-~]{1,255}", "[!-~]{1,255}"),
            (time_ms, my, peer) in any::<(u64, [u8; 4], [u8; 4])>(),
            sealed in proptest::collection::vec(any::<u8>(), 0..700),
        ) {
            let ticket =
                Ticket { my_name, peer_name, time_ms, my_virtual: my.into(), peer_virtual: peer.into(), sealed };
            prop_assert_eq!(ticket.encode().and_then(|data| Ticket::parse(&data)), Ok(ticket));
        }
    }
}
