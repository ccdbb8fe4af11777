//! The journal: which bindings a killed director has to bring back. Octets in, octets out; the host owns the file.
//!
//! Problem: a director that dies must forward again at once, not when the last member has noticed. Idea: every binding
//! and its end is one record of fixed length with its own checksum, appended to a file as it happens. A write that was
//! cut off spoils only the tail.
//!
//! ```text
//! file:    "KITHDJ01" | record | record | …
//! record:  kind (1) | flags (1) | community (2) | pseudo address (4) | address (4) | port (2) | zero (2)
//!          | key id (8) | counter (8) | CRC-32 of all that (4)                         = 36 octets, big endian
//! ```
//!
//! The host: reads the file at start, gives [`read`]'s entries to [`crate::server::Director::restore`], writes
//! [`encode_all`] of [`crate::server::Director::journal`] to a new file, renames it over the old one, and from then on
//! appends [`Entry::encode`] of every [`crate::server::Output::Journal`]. When [`wants_compaction`] says so, it writes
//! and renames again. Losing the journal costs members one exchange each, never safety: what would replay an old message
//! needs a cookie, and those die with the run.

use core::net::{Ipv4Addr, SocketAddrV4};
use kith_wire::control::KeyId;
use kith_wire::shim::PseudoIp;
use std::collections::BTreeMap;

/// The first octets of a journal.
pub const MAGIC: [u8; 8] = *b"KITHDJ01";
/// Octets of a record.
pub const RECORD_LEN: usize = 36;

const CHECKED_LEN: usize = RECORD_LEN - 4;
const KIND_BOUND: u8 = 1;
const KIND_UNBOUND: u8 = 2;
const FLAG_SENDER_ONLY: u8 = 1;

/// A session as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The session's pseudo address.
    pub pseudo: PseudoIp,
    /// Whose session.
    pub key_id: KeyId,
    /// Where the member is.
    pub bound: SocketAddrV4,
    /// Of which community.
    pub community: u16,
    /// The last counter accepted when this was written.
    pub counter: u64,
    /// Nothing is relayed to this member.
    pub sender_only: bool,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A session began, or moved.
    Bound(Binding),
    /// The session of this pseudo address ended.
    Unbound(PseudoIp),
}

/// What a journal says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Read {
    /// The sessions that had not ended, by pseudo address.
    pub bindings: Vec<Binding>,
    /// Addresses whose last session ended: they must rest before they are given out again.
    pub freed: Vec<PseudoIp>,
    /// Octets up to the last good record; appending goes on from here.
    pub good_len: usize,
    /// Octets after that: a write cut off, or damage. Zero for a journal closed in order.
    pub lost_len: usize,
}

/// The octets are no journal, or of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this file is not a director journal of version 1; move it away to start without remembered sessions"
)]
pub struct NotAJournal;

impl Entry {
    /// The record's octets.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0u8; RECORD_LEN];
        match self {
            Self::Bound(binding) => {
                out[0] = KIND_BOUND;
                out[1] = u8::from(binding.sender_only) * FLAG_SENDER_ONLY;
                out[2..4].copy_from_slice(&binding.community.to_be_bytes());
                out[4..8].copy_from_slice(&binding.pseudo.to_bits().to_be_bytes());
                out[8..12].copy_from_slice(&binding.bound.ip().octets());
                out[12..14].copy_from_slice(&binding.bound.port().to_be_bytes());
                out[16..24].copy_from_slice(&binding.key_id.0.to_be_bytes());
                out[24..32].copy_from_slice(&binding.counter.to_be_bytes());
            }
            Self::Unbound(pseudo) => {
                out[0] = KIND_UNBOUND;
                out[4..8].copy_from_slice(&pseudo.to_bits().to_be_bytes());
            }
        }
        let sum = crc32(&out[..CHECKED_LEN]);
        out[CHECKED_LEN..].copy_from_slice(&sum.to_be_bytes());
        out
    }

    /// The record of these octets; `None` if they are damaged.
    #[must_use]
    pub fn decode(record: &[u8; RECORD_LEN]) -> Option<Self> {
        let field = |at: usize| u64::from_be_bytes(core::array::from_fn(|i| record[at + i]));
        let word = |at: usize| u32::from_be_bytes(core::array::from_fn(|i| record[at + i]));
        let half = |at: usize| u16::from_be_bytes([record[at], record[at + 1]]);
        if crc32(&record[..CHECKED_LEN]) != word(CHECKED_LEN) {
            return None;
        }
        let pseudo = PseudoIp::new(word(4))?;
        match record[0] {
            KIND_BOUND => Some(Self::Bound(Binding {
                pseudo,
                key_id: KeyId(field(16)),
                bound: SocketAddrV4::new(Ipv4Addr::from_bits(word(8)), half(12)),
                community: half(2),
                counter: field(24),
                sender_only: record[1] & FLAG_SENDER_ONLY != 0,
            })),
            KIND_UNBOUND => Some(Self::Unbound(pseudo)),
            _ => None,
        }
    }
}

/// Reads a journal up to its first damaged record. Nothing after it is believed: it may be older, or misaligned.
pub fn read(octets: &[u8]) -> Result<Read, NotAJournal> {
    if octets.is_empty() {
        return Ok(Read::default());
    }
    let Some(records) = octets.strip_prefix(&MAGIC) else {
        // A start cut off before the magic was whole lost nothing but itself.
        return match MAGIC.starts_with(octets) {
            true => Ok(Read {
                lost_len: octets.len(),
                ..Read::default()
            }),
            false => Err(NotAJournal),
        };
    };
    let mut last: BTreeMap<u32, Option<Binding>> = BTreeMap::new();
    let mut good_len = MAGIC.len();
    for entry in records.as_chunks().0.iter().map_while(Entry::decode) {
        good_len += RECORD_LEN;
        match entry {
            Entry::Bound(binding) => last.insert(binding.pseudo.to_bits(), Some(binding)),
            Entry::Unbound(pseudo) => last.insert(pseudo.to_bits(), None),
        };
    }
    let freed = last.iter().filter(|(_, binding)| binding.is_none());
    Ok(Read {
        freed: freed.filter_map(|(&bits, _)| PseudoIp::new(bits)).collect(),
        bindings: last.values().flatten().copied().collect(),
        good_len,
        lost_len: octets.len() - good_len,
    })
}

/// A whole journal of these entries.
#[must_use]
pub fn encode_all(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for entry in entries {
        out.extend_from_slice(&entry.encode());
    }
    out
}

/// Is a journal of `len` octets mostly about the past, with `sessions` alive?
#[must_use]
pub fn wants_compaction(len: usize, sessions: usize) -> bool {
    len > (1 << 16) && len / RECORD_LEN > sessions.saturating_mul(4)
}

/// CRC-32 as in IEEE 802.3, reflected.
fn crc32(octets: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    value >> 1 ^ 0xedb8_8320
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !octets
        .iter()
        .fold(!0, |sum, &octet| sum >> 8 ^ TABLE[usize::from(sum as u8 ^ octet)])
}
