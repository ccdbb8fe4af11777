//! From a configuration to directors at their desks.

use super::Desk;
use super::grants::Changes;
use super::ledger::Ledger;
use crate::config::{self, Config};
use crate::director::{Core, Settings};
use crate::journal::{Journal, JournalError};
use crate::remote::View;
use kith_director::journal::Read;
use kith_director::server::{self, Director, DirectorConfig, Grant, PoolRange};
use kith_director::{DirectorKey, Rate, Time};
use kith_pipeline::meter;
use kith_pipeline::reason::PuntReason;
use kith_wire::control::KeyId;
use kith_wire::shim::PseudoIp;
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tracing::info;

/// Why a controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Sessions cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A director refuses its settings.
    #[error("director {name}: {error}")]
    Director {
        /// Which.
        name: String,
        /// Why.
        error: server::ConfigError,
    },
    /// A director refuses a grant.
    #[error("director {name}, grant of {member:?}: {error}")]
    Grant {
        /// Which director.
        name: String,
        /// Whose grant.
        member: String,
        /// Why.
        error: server::GrantError,
    },
    /// The dataplane's address or TLS files are of no use.
    #[error("director {name}: {what}")]
    Southbound {
        /// Which director.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The manager elsewhere cannot be reached like this.
    #[error("remote_manager names no manager")]
    Remote,
    /// No threads.
    #[error("the system gives no threads: {0}")]
    Threads(io::Error),
    /// No random numbers.
    #[error("the system gives no random numbers, without which cookies could be guessed")]
    Random,
}

/// What a desk begins with.
pub(super) struct Prepared {
    pub(super) desk: Desk,
    pub(super) journal: Option<Journal>,
    /// What the journal holds, if it is to be brought back only when the manager elsewhere has said who may have a session.
    pub(super) later: Option<Read>,
    pub(super) changes: Option<Changes>,
}

/// A director and its journal, ready to begin. With a manager elsewhere (`view`), its grants come later.
pub(super) fn desk(
    config: &Config,
    wanted: config::Director,
    started: Instant,
    mut changes: Option<Changes>,
    view: Option<Arc<View>>,
) -> Result<Prepared, StartError> {
    let folder = config.state_dir.as_ref().map(|folder| folder.join(&wanted.name));
    let journal = folder.as_deref().map(Journal::open).transpose()?;
    let mut director = director(&wanted)?;
    let mut ledger = Ledger::of(&wanted.grants);
    // The manager's grants too must be there before sessions are brought back, or none of theirs would be.
    while let Some(Ok(change)) = changes.as_mut().map(Changes::try_recv) {
        ledger.apply(
            &wanted.name,
            Time::since_epoch(started.elapsed()),
            &mut director,
            change,
        );
    }
    let (mut restored, mut later) = (0, None);
    let journal = match journal {
        Some((journal, read)) if view.is_some() => {
            later = Some(read);
            Some(journal)
        }
        Some((mut journal, read)) => {
            restored = restore(
                &wanted.name,
                Time::since_epoch(started.elapsed()),
                &mut director,
                &read,
            );
            if journal.wants_compaction(director.journal_len()) {
                journal.replace(director.journal())?;
            }
            Some(journal)
        }
        None => None,
    };
    let settings = Settings {
        sender_rate: wanted.sender_rate.map(|rate| meter::Rate {
            per_second: rate.per_second,
            burst: rate.burst,
        }),
        punt_rates: punt_rates(),
    };
    let desk = Desk::new(
        wanted,
        ledger,
        Core::new(director, settings),
        restored,
        journal.is_some(),
        started,
        view,
    );
    Ok(Prepared {
        desk,
        journal,
        later,
        changes,
    })
}

/// Brings sessions back whose members may still have one; how many.
pub(super) fn restore(name: &str, now: Time, director: &mut Director, read: &Read) -> usize {
    let outcome = director.restore(now, read);
    info!(
        director = %name,
        sessions = outcome.sessions,
        outdated = outcome.outdated,
        octets_lost = read.lost_len,
        "journal read"
    );
    outcome.sessions
}

/// How many packets of each reason come up.
#[must_use]
pub fn punt_rates() -> Vec<(PuntReason, meter::Rate)> {
    let rate = |&reason: &PuntReason| {
        // The director has finer limits of its own; these only keep one kind from filling the way up.
        let (per_second, burst) = match reason {
            PuntReason::Control => (50_000, 512),
            PuntReason::Ping | PuntReason::NeighborMiss => (20_000, 512),
            _ => (2_000, 256),
        };
        (reason, meter::Rate { per_second, burst })
    };
    PuntReason::ALL.iter().map(rate).collect()
}

fn director(wanted: &config::Director) -> Result<Director, StartError> {
    let fail = |error| StartError::Director {
        name: wanted.name.clone(),
        error,
    };
    let pool = wanted.pseudo_pool;
    let first = PseudoIp::new(pool.first.to_bits()).ok_or(fail(server::ConfigError::Pool))?;
    let range = PoolRange {
        first,
        count: pool.count,
    };
    let mut settings = DirectorConfig::new(wanted.address, range);
    settings.port = wanted.udp_port;
    settings.lifetime = wanted.session_lifetime.0;
    settings.keep_alive = wanted.keep_alive.0;
    settings.quarantine = wanted.quarantine.0;
    settings.max_sessions_per_community = wanted.max_sessions_per_community.unwrap_or(range.count);
    settings.mtu = wanted.mtu;
    let rate = |rate: config::Rate| Rate {
        per_second: rate.per_second,
        burst: rate.burst,
    };
    settings.limits.member = rate(wanted.limits.member);
    settings.limits.strangers = rate(wanted.limits.strangers);
    settings.limits.source = rate(wanted.limits.source);
    settings.limits.pings = rate(wanted.limits.pings);

    let mut secret = [0u8; 32];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| StartError::Random)?;
    let mut director = Director::new(settings, secret).map_err(fail)?;
    for grant in &wanted.grants {
        let added = Grant {
            key_id: KeyId(grant.key_id),
            key: DirectorKey::new(*grant.key.octets()),
            community: grant.community.index,
            reserved: grant.pseudo.and_then(|pseudo| PseudoIp::new(pseudo.to_bits())),
            name: grant.name.clone(),
        };
        let refused = |error| StartError::Grant {
            name: wanted.name.clone(),
            member: grant.name.clone(),
            error,
        };
        director.add_grant(Time::ZERO, added).map_err(refused)?;
    }
    Ok(director)
}
