//! What a director is told at its start, and whom it serves.

use super::pool::PoolRange;
use crate::{DirectorKey, Rate};
use core::net::Ipv4Addr;
use core::time::Duration;
use kith_wire::control::KeyId;
use kith_wire::shim::PseudoIp;

/// Longest name of a member, octets.
pub const NAME_MAX: usize = 255;
/// No session's path MTU goes lower (RFC 791: every host accepts 576 octets).
pub const MTU_FLOOR: u16 = 576;

/// A director's settings; [`DirectorConfig::new`] gives sensible ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorConfig {
    /// The director's public address, as members name it in the shim.
    pub address: Ipv4Addr,
    /// The UDP port members send to.
    pub port: u16,
    /// The pseudo addresses it gives out.
    pub pool: PoolRange,
    /// How long a session lasts without a keep-alive.
    pub lifetime: Duration,
    /// How often members are told to send keep-alives.
    pub keep_alive: Duration,
    /// How long a freed pseudo address rests before somebody else gets it.
    pub quarantine: Duration,
    /// Sessions of one community at a time.
    pub max_sessions_per_community: u32,
    /// Path MTU of a session until a router says otherwise, octets of outer packet.
    pub mtu: u16,
    /// How long a lowered path MTU is believed (RFC 1191 section 6.3: 10 minutes).
    pub mtu_lifetime: Duration,
    /// How fast it works for whom.
    pub limits: Limits,
}

/// Rates. What they guard is in the documentation of [`crate::server`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages of one member that carry proof of their source.
    pub member: Rate,
    /// Authenticators checked for senders without proof, all together.
    pub strangers: Rate,
    /// Cookies that look good checked before the authenticator, all together.
    pub cookies: Rate,
    /// Messages without proof and pings, for each source address.
    pub source: Rate,
    /// Pings answered, all together.
    pub pings: Rate,
    /// Unasked challenges to sources the fast path reported, all together.
    pub hints: Rate,
    /// At least so long between two such challenges for one session.
    pub hint_interval: Duration,
    /// Buckets in the table of source addresses, 8 octets each.
    pub source_buckets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            member: rate(10, 20),
            strangers: rate(200_000, 5_000),
            cookies: rate(50_000, 5_000),
            source: rate(200, 400),
            pings: rate(20_000, 2_000),
            hints: rate(10_000, 1_000),
            hint_interval: Duration::from_secs(1),
            source_buckets: 8192,
        }
    }
}

/// Why a director cannot start so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The pool is empty, larger than a /8, or runs over the end of the address space.
    #[error("the pool of pseudo addresses must hold between 1 and 16777216 addresses below 255.255.255.255")]
    Pool,
    /// The director has no address.
    #[error("the director's address must not be 0.0.0.0, nor its port 0")]
    Address,
    /// A member that loses one keep-alive would lose its session.
    #[error(
        "keep-alive {keep_alive:?} must be at least 0.2 s and at most a third of the lifetime {lifetime:?}, which is at most 24 h"
    )]
    KeepAlive {
        /// The interval asked for.
        keep_alive: Duration,
        /// The lifetime asked for.
        lifetime: Duration,
    },
    /// No packet of ours fits.
    #[error("MTU {0} is below 576")]
    Mtu(u16),
    /// A rate of zero serves nobody; a burst beyond [`Rate::MAX_BURST`] cannot be counted.
    #[error("rates and bursts must be positive, bursts at most 4294967, source_buckets between 1 and 2^24")]
    Limits,
}

impl DirectorConfig {
    /// Default settings for a director at this address with this pool.
    #[must_use]
    pub fn new(address: Ipv4Addr, pool: PoolRange) -> Self {
        Self {
            address,
            port: kith_wire::shim::DEFAULT_PORT,
            pool,
            lifetime: Duration::from_secs(60),
            keep_alive: Duration::from_secs(15),
            quarantine: Duration::from_secs(60),
            max_sessions_per_community: PoolRange::MAX,
            mtu: 1500,
            mtu_lifetime: Duration::from_secs(600),
            limits: Limits::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !self.pool.is_possible() {
            return Err(ConfigError::Pool);
        }
        if self.address.is_unspecified() || self.port == 0 {
            return Err(ConfigError::Address);
        }
        let shortest = Duration::from_millis(200);
        let longest = Duration::from_secs(24 * 3600);
        if self.keep_alive < shortest || self.lifetime < self.keep_alive * 3 || self.lifetime > longest {
            return Err(ConfigError::KeepAlive {
                keep_alive: self.keep_alive,
                lifetime: self.lifetime,
            });
        }
        if self.mtu < MTU_FLOOR {
            return Err(ConfigError::Mtu(self.mtu));
        }
        let limits = &self.limits;
        let rates = [
            limits.member,
            limits.strangers,
            limits.cookies,
            limits.source,
            limits.pings,
            limits.hints,
        ];
        let possible = |rate: &Rate| rate.per_second > 0 && (1..=Rate::MAX_BURST).contains(&rate.burst);
        if !rates.iter().all(possible) || !(1..=1 << 24).contains(&limits.source_buckets) {
            return Err(ConfigError::Limits);
        }
        Ok(())
    }
}

/// Leave for one member to have a session. No `Debug`: it holds a key.
#[derive(Clone)]
pub struct Grant {
    /// How the member's messages name the key.
    pub key_id: KeyId,
    /// The key they are authenticated with.
    pub key: DirectorKey,
    /// Which community the member is of; packets are relayed only inside one.
    pub community: u16,
    /// The pseudo address that only this member gets.
    pub reserved: Option<PseudoIp>,
    /// What listings call the member.
    pub name: String,
}

/// Why a grant was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is a grant with this key id; remove it first.
    #[error("key id {:#x} is granted already; remove that grant first", .0.0)]
    Duplicate(KeyId),
    /// The reserved address is not in the pool.
    #[error("reserved pseudo address {0} is outside the pool")]
    OutsidePool(PseudoIp),
    /// The reserved address is another member's.
    #[error("reserved pseudo address {0} is reserved for, or used by, another member; remove that one first")]
    Taken(PseudoIp),
    /// The name is longer than [`NAME_MAX`].
    #[error("a member's name has at most 255 octets")]
    Name,
}
