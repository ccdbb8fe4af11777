//! Messages that came in fragments (RFC 7383 section 2.6). Only fragments that were opened come here, so all of this is of the peer.

use crate::codec::PayloadKind;
use crate::suite::{Front, Piece, Plain};
use zeroize::Zeroizing;

/// Fragments of one message at most; more than any message of ours or of others needs.
const MOST: u16 = 64;
/// Octets of one message at most.
const OCTETS: usize = 1 << 16;

/// A message that is not whole after so long is forgotten, milliseconds (RFC 7383 section 2.6). Longer than a peer waits before it repeats.
const PATIENCE: u64 = 15_000;

/// At most one unfinished message. Requests and responses have one each: their numbers are counted apart.
#[derive(Default)]
pub(crate) struct Reassembly(Option<Partial>);

struct Partial {
    message_id: u32,
    since: u64,
    first: Option<(PayloadKind, Front)>,
    octets: usize,
    parts: Vec<Option<Zeroizing<Vec<u8>>>>,
}

/// An opened fragment.
pub(crate) struct Part {
    pub(crate) message_id: u32,
    pub(crate) piece: Piece,
}

impl Reassembly {
    /// Time passes.
    pub(crate) fn tidy(&mut self, now: u64) {
        self.0
            .take_if(|partial| now >= partial.since.saturating_add(PATIENCE));
    }

    /// The message, if this was its last missing part.
    pub(crate) fn add(&mut self, now: u64, Part { message_id, piece }: Part) -> Option<Plain> {
        self.tidy(now);
        let place = usize::from(piece.number.checked_sub(1)?);
        if piece.number > piece.total || piece.total > MOST {
            return None;
        }
        let total = usize::from(piece.total);
        let fits = |partial: &Partial| partial.message_id == message_id && partial.parts.len() >= total;
        // More fragments than before: the peer found a smaller path MTU and cut anew (section 2.5.2).
        if !self.0.as_ref().is_some_and(fits) {
            self.0 = Some(Partial {
                message_id,
                since: now,
                first: None,
                octets: 0,
                parts: (0..total).map(|_| None).collect(),
            });
        }
        let partial = self.0.as_mut()?;
        if partial.parts.len() != total || partial.parts.get(place)?.is_some() {
            return None;
        }
        partial.octets += piece.plain.len();
        if partial.octets > OCTETS {
            self.0 = None;
            return None;
        }
        // RFC 7383 section 2.5: only the first says what the message begins with; RFC 9242 section 3.3.2: nor does another header count.
        if piece.number == 1 {
            partial.first = Some((piece.first, piece.front));
        }
        partial.parts[place] = Some(piece.plain);
        if partial.parts.iter().any(Option::is_none) {
            return None;
        }
        let partial = self.0.take()?;
        let (first, front) = partial.first?;
        let mut octets = Zeroizing::new(Vec::with_capacity(partial.octets));
        for part in partial.parts.into_iter().flatten() {
            octets.extend_from_slice(&part);
        }
        Some(Plain { first, octets, front })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u16, total: u16, plain: &[u8]) -> Part {
        Part {
            message_id: 1,
            piece: Piece {
                number,
                total,
                first: if number == 1 {
                    PayloadKind(41)
                } else {
                    PayloadKind::NONE
                },
                plain: plain.to_vec().into(),
                front: [number as u8; 32],
            },
        }
    }

    #[test]
    fn parts_in_any_order_and_twice_make_the_message_once() {
        let mut all = Reassembly::default();
        assert!(all.add(0, part(3, 3, b"c")).is_none());
        assert!(all.add(0, part(1, 3, b"a")).is_none());
        assert!(all.add(0, part(3, 3, b"x")).is_none(), "the first one counts");
        let whole = all.add(0, part(2, 3, b"b")).unwrap();
        assert_eq!((whole.first, &whole.octets[..]), (PayloadKind(41), &b"abc"[..]));
        assert_eq!(whole.front, [1; 32], "the header of the first");
        assert!(all.add(0, part(2, 3, b"b")).is_none());
    }

    #[test]
    fn a_message_cut_anew_into_more_parts_replaces_the_old_ones_and_never_the_other_way() {
        let mut all = Reassembly::default();
        assert!(all.add(0, part(1, 2, b"ab")).is_none());
        assert!(all.add(0, part(1, 3, b"a")).is_none());
        assert!(all.add(0, part(2, 2, b"c")).is_none(), "of the old cut");
        assert!(all.add(0, part(2, 3, b"b")).is_none());
        let whole = all.add(0, part(3, 3, b"c")).unwrap();
        assert_eq!((whole.first, &whole.octets[..]), (PayloadKind(41), &b"abc"[..]));
    }

    #[test]
    fn numbers_beyond_the_total_and_floods_are_not_kept() {
        let mut all = Reassembly::default();
        for (number, total) in [(0, 2), (3, 2), (1, MOST + 1)] {
            assert!(all.add(0, part(number, total, b"x")).is_none());
            assert!(all.0.is_none());
        }
        let big = vec![0; OCTETS / 2 + 1];
        assert!(all.add(0, part(1, 3, &big)).is_none());
        assert!(all.add(0, part(2, 3, &big)).is_none());
        assert!(all.0.is_none());
    }

    #[test]
    fn a_message_that_does_not_become_whole_is_forgotten_in_time() {
        let mut all = Reassembly::default();
        assert!(all.add(0, part(1, 2, b"a")).is_none());
        all.tidy(PATIENCE - 1);
        assert!(all.0.is_some());
        all.tidy(PATIENCE);
        assert!(all.0.is_none());
        assert!(all.add(0, part(1, 2, b"a")).is_none());
        assert!(all.add(PATIENCE, part(2, 2, b"b")).is_none(), "too late");
    }
}
