//! What the agent says about the association with one member: for `kith tunnel`.

use crate::keying;
use kith_esp::{Bounds, Millis};
use kith_ike::Role;
use serde::{Deserialize, Serialize};

/// An IKE association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// We began it.
    pub initiator: bool,
    /// Milliseconds since both have proved who they are.
    pub up_ms: u64,
    /// Algorithms of its IKE SA.
    pub suite: String,
    /// Age of the IKE SA's keys, milliseconds.
    pub ike_age_ms: u64,
    /// In so many milliseconds they are replaced.
    pub ike_rekey_ms: u64,
    /// And in so many they end, whatever happens.
    pub ike_ends_ms: u64,
    /// Its pairs of ESP SAs, the oldest first.
    pub pairs: Vec<Pair>,
}

/// A pair of ESP SAs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// SPI of what we receive.
    pub spi_in: u32,
    /// SPI of what we send.
    pub spi_out: u32,
    /// Algorithms.
    pub suite: String,
    /// We asked for it.
    pub initiator: bool,
    /// Packets are sealed with it; else it only opens what is still under way.
    pub sending: bool,
    /// Its age, milliseconds.
    pub age_ms: u64,
    /// What is left until it is replaced.
    pub rekey: Room,
    /// What is left until it ends.
    pub ends: Room,
}

/// What is left of a pair's life; whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Milliseconds.
    pub ms: u64,
    /// Packets that may still be sealed. Counted by the member's counters since it was first sealed with, so dummies are not in it.
    pub packets: u64,
    /// AES blocks that may still be sealed, at least.
    pub blocks: u64,
}

impl Tunnel {
    /// As key agreement has it; so many packets and blocks were sealed with the pair in use.
    pub(crate) fn of(now: Millis, tunnel: &keying::Tunnel, (packets, blocks): (u64, u64)) -> Self {
        let pair = |pair: &keying::Pair| {
            let (packets, blocks) = if pair.sending { (packets, blocks) } else { (0, 0) };
            let room = |bounds: &Bounds| Room {
                ms: (pair.since.0 + bounds.age.0).saturating_sub(now.0),
                packets: bounds.packets.saturating_sub(packets),
                blocks: bounds.blocks.saturating_sub(blocks),
            };
            Pair {
                spi_in: pair.spis.0.get(),
                spi_out: pair.spis.1.get(),
                suite: pair.suite.to_string(),
                initiator: pair.role == Role::Initiator,
                sending: pair.sending,
                age_ms: now.0.saturating_sub(pair.since.0),
                rekey: room(&tunnel.limits[0]),
                ends: room(&tunnel.limits[1]),
            }
        };
        let [since, soft, hard] = tunnel.ike;
        Self {
            initiator: tunnel.role == Role::Initiator,
            up_ms: now.0.saturating_sub(tunnel.up.0),
            suite: tunnel.suite.to_string(),
            ike_age_ms: now.0.saturating_sub(since.0),
            ike_rekey_ms: soft.0.saturating_sub(now.0),
            ike_ends_ms: hard.0.saturating_sub(now.0),
            pairs: tunnel.pairs.iter().map(pair).collect(),
        }
    }
}
