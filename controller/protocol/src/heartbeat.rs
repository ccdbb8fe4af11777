//! Heartbeats, inside the tunnel, both ways: UDP to port 9001 of the other's virtual address, every few seconds.
//!
//! Source document 001, figure 13's answer names both intervals. They show that the way is open, say how much was moved, and measure the round trip.
//!
//! ```text
//!   0  "KHB1" │ kind u8: 1 member, 2 manager │ zero, 3
//!   8  sequence u64, from 1
//!  16  run id, 16
//!  32  octets sent u64, since this run began (manager: 0)
//!  40  octets received u64                   (manager: 0)
//!  48  the sender's time u64, ms
//!  56  sequence heard last from the other u64, 0 for none
//!  64  the time in that one u64, as the other wrote it
//! ```
//!
//! The tunnel authenticates them.

use crate::octets::Octets;
use thiserror::Error;

/// Virtual UDP port, on both sides.
pub const PORT: u16 = 9001;
/// Octets.
pub const LEN: usize = 72;

const MAGIC: &[u8; 4] = b"KHB1";

/// Who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A member.
    Member,
    /// The manager.
    Manager,
}

/// One heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who sends it.
    pub sender: Sender,
    /// Counts the sender's.
    pub sequence: u64,
    /// The member's run.
    pub run_id: [u8; 16],
    /// Octets the member sent to others since its run began.
    pub octets_sent: u64,
    /// Octets it received.
    pub octets_received: u64,
    /// The sender's time, milliseconds; the other gives it back.
    pub time_ms: u64,
    /// The sequence heard last from the other; 0 for none.
    pub heard_sequence: u64,
    /// The time that stood in it.
    pub heard_time_ms: u64,
}

/// Why octets are no heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeartbeatError {
    /// Not 72 octets.
    #[error("a heartbeat has 72 octets, not {0}")]
    Length(usize),
    /// Another magic, sender, or a reserved octet that is not zero.
    #[error("no heartbeat of this version")]
    Unknown,
}

impl Heartbeat {
    /// The octets.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..4].copy_from_slice(MAGIC);
        out[4] = match self.sender {
            Sender::Member => 1,
            Sender::Manager => 2,
        };
        out[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        out[16..32].copy_from_slice(&self.run_id);
        let numbers = [
            self.octets_sent,
            self.octets_received,
            self.time_ms,
            self.heard_sequence,
            self.heard_time_ms,
        ];
        out[32..].copy_from_slice(numbers.map(u64::to_be_bytes).as_flattened());
        out
    }

    /// From octets.
    ///
    /// # Errors
    /// Why they are none.
    pub fn decode(octets: &[u8]) -> Result<Self, HeartbeatError> {
        if octets.len() != LEN {
            return Err(HeartbeatError::Length(octets.len()));
        }
        read(Octets(octets)).ok_or(HeartbeatError::Unknown)
    }
}

fn read(mut octets: Octets<'_>) -> Option<Heartbeat> {
    let magic = octets.take(4)?;
    let sender = match octets.u8()? {
        1 => Sender::Member,
        2 => Sender::Manager,
        _ => return None,
    };
    octets.zeros(3)?;
    (magic == MAGIC).then_some(())?;
    Some(Heartbeat {
        sender,
        sequence: octets.u64()?,
        run_id: octets.array()?,
        octets_sent: octets.u64()?,
        octets_received: octets.u64()?,
        time_ms: octets.u64()?,
        heard_sequence: octets.u64()?,
        heard_time_ms: octets.u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Heartbeat {
        Heartbeat {
            sender: Sender::Member,
            sequence: 0x0102_0304_0506_0708,
            run_id: [0x11; 16],
            octets_sent: 1,
            octets_received: 2,
            time_ms: 3,
            heard_sequence: 4,
            heard_time_ms: 5,
        }
    }

    #[test]
    fn the_layout_is_as_drawn() {
        let mut drawn = b"KHB1\x01\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08".to_vec();
        drawn.extend([0x11; 16]);
        (1..=5u64).for_each(|number| drawn.extend(number.to_be_bytes()));
        assert_eq!(example().encode().to_vec(), drawn);
    }

    proptest! {
        /// What decodes encodes to the very same octets: there is one way to say it.
        #[test]
        fn there_is_one_way_to_say_it(mut octets in proptest::array::uniform32(any::<u8>()), rest in proptest::array::uniform32(any::<u8>()), kind in 0u8..4) {
            octets[..8].copy_from_slice(&[b'K', b'H', b'B', b'1', kind, 0, 0, 0]);
            let octets = [octets.as_slice(), &rest, &rest[..8]].concat();
            match Heartbeat::decode(&octets) {
                Ok(heartbeat) => prop_assert_eq!(heartbeat.encode().to_vec(), octets),
                Err(error) => prop_assert!(error == HeartbeatError::Unknown && !(1..=2).contains(&kind)),
            }
        }
    }

    #[test]
    fn other_lengths_and_reserved_octets_are_refused() {
        let octets = example().encode();
        assert_eq!(Heartbeat::decode(&octets), Ok(example()));
        assert_eq!(Heartbeat::decode(&octets[1..]), Err(HeartbeatError::Length(71)));
        assert_eq!(
            Heartbeat::decode(&[octets.as_slice(), &[0]].concat()),
            Err(HeartbeatError::Length(73))
        );
        for at in 0..8 {
            let mut bent = octets;
            bent[at] ^= 0x40;
            assert_eq!(
                Heartbeat::decode(&bent),
                Err(HeartbeatError::Unknown),
                "octet {at}"
            );
        }
    }
}
