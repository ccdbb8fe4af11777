//! The bounded reader under every parser of this crate, and what it refuses with.
//!
//! **Idea.** A reader knows where in the whole it stands, so that a refusal can say so; a part of it ([`Reader::part`]) is again
//! a reader, and nothing inside the part reaches past its end.

use super::header::Header;
use std::fmt;

/// Octets that are no IKE message that we understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another major version than 2: answered with INVALID_MAJOR_VERSION, if at all (RFC 7296 2.5).
    #[error("major version {major} of IKE, we speak 2")]
    Version {
        /// The version of the sender.
        major: u8,
        /// The header, as far as version 2 can read it: for the answer.
        header: Header,
    },
    /// Something in it is wrong.
    #[error("{what} at octet {at}: {fault}")]
    At {
        /// Which part of the message.
        what: &'static str,
        /// Where it starts in the octets that were given.
        at: usize,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends before it is complete.
    Truncated,
    /// Octets are left after its end.
    Trailing,
    /// Its length field is impossible.
    Length,
    /// More of it than we take; the limit.
    TooMany(usize),
    /// A field of it has a value that it must not have.
    Value,
    /// It stands where it must not.
    Misplaced,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ends too early"),
            Self::Trailing => f.write_str("octets left over"),
            Self::Length => f.write_str("impossible length"),
            Self::TooMany(limit) => write!(f, "more than {limit}"),
            Self::Value => f.write_str("impossible value"),
            Self::Misplaced => f.write_str("not allowed here"),
        }
    }
}

/// Reads from the front of a slice and never past its end.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    left: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Over all of `octets`, whose first stands at offset `at` of the whole.
    pub(crate) fn new(octets: &'a [u8], at: usize) -> Self {
        Self { left: octets, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.left.len()
    }

    /// A refusal of what stands here.
    pub(crate) fn refuse(&self, what: &'static str, fault: Fault) -> Malformed {
        Malformed::At {
            what,
            at: self.at,
            fault,
        }
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (front, left) = self
            .left
            .split_first_chunk::<N>()
            .ok_or_else(|| self.refuse(what, Fault::Truncated))?;
        self.left = left;
        self.at += N;
        Ok(*front)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (front, left) = self
            .left
            .split_at_checked(count)
            .ok_or_else(|| self.refuse(what, Fault::Truncated))?;
        self.left = left;
        self.at += count;
        Ok(front)
    }

    /// The next `count` octets as a reader of their own.
    pub(crate) fn part(&mut self, count: usize, what: &'static str) -> Result<Reader<'a>, Malformed> {
        let at = self.at;
        Ok(Reader::new(self.take(count, what)?, at))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = std::mem::take(&mut self.left);
        self.at += rest.len();
        rest
    }

    /// That nothing is left.
    pub(crate) fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(self.refuse(what, Fault::Trailing))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_it_was_said_to() {
        let mut whole = Reader::new(&[1, 2, 3, 4], 10);
        let mut part = whole.part(2, "part").unwrap_or_else(|e| unreachable!("{e}"));
        assert_eq!(part.u16("both"), Ok(0x0102));
        assert_eq!(
            part.u8("third"),
            Err(Malformed::At {
                what: "third",
                at: 12,
                fault: Fault::Truncated
            })
        );
        assert_eq!(whole.u8("third"), Ok(3));
        assert_eq!(
            whole.end("whole"),
            Err(Malformed::At {
                what: "whole",
                at: 13,
                fault: Fault::Trailing
            })
        );
        assert_eq!(whole.rest(), [4]);
        assert_eq!(whole.end("whole"), Ok(()));
    }

    #[test]
    fn a_refusal_says_what_and_where() {
        let refusal = Reader::new(&[], 28).refuse("nonce", Fault::Length);
        assert_eq!(refusal.to_string(), "nonce at octet 28: impossible length");
    }
}
