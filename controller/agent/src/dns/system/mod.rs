//! How the system comes to ask us: by systemd-resolved, by resolv.conf, or not at all.
//!
//! | mode | who asks | names that are not ours |
//! |---|---|---|
//! | systemd-resolved | it sends us our domains and the reverse of our networks, by adapter | never come; refused |
//! | resolv-conf | everybody, for everything | go to the servers that the file had before |
//! | none | who asks the stub's address by hand | refused |

mod resolv_conf;
mod resolved;

use super::upstream::Upstream;
use super::zones::Zones;
use crate::state::State;
use resolv_conf::ResolvConf;
use std::fmt;
use std::net::SocketAddrV4;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::oneshot;

/// How the system is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By systemd-resolved where it runs, else by resolv.conf where that can be written, else not at all.
    Auto,
    /// By `resolvectl`, for each adapter.
    Resolved,
    /// By rewriting the file, and putting it back.
    ResolvConf,
    /// Not at all.
    None,
}

/// What is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of: auto, systemd-resolved, resolv-conf, none")]
pub struct NoMode(String);

impl FromStr for Mode {
    type Err = NoMode;

    fn from_str(text: &str) -> Result<Self, NoMode> {
        match text {
            "auto" => Ok(Self::Auto),
            "systemd-resolved" => Ok(Self::Resolved),
            "resolv-conf" => Ok(Self::ResolvConf),
            "none" => Ok(Self::None),
            _ => Err(NoMode(text.into())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Resolved => "systemd-resolved",
            Self::ResolvConf => "resolv-conf",
            Self::None => "none",
        })
    }
}

/// The system's part.
pub struct System {
    mode: Mode,
    listen: SocketAddrV4,
    file: ResolvConf,
    upstream: Upstream,
}

/// How often it is looked whether somebody else has written resolv.conf.
const LOOK: Duration = Duration::from_secs(5);

impl System {
    /// Finds out what there is. Whatever an earlier run has left behind is put back first.
    #[must_use]
    pub fn new(mode: Mode, listen: SocketAddrV4, resolv_conf: &Path, state: &State) -> Self {
        let file = ResolvConf::new(resolv_conf, state.path(), *listen.ip());
        if let Err(error) = file.put_back() {
            tracing::warn!(%error, "resolv.conf of an earlier run is not put back");
        }
        let mode = match mode {
            Mode::Auto if resolved::is_there() => Mode::Resolved,
            Mode::Auto if listen.port() == 53 && file.is_writable() => Mode::ResolvConf,
            Mode::Auto => Mode::None,
            mode => mode,
        };
        Self {
            mode,
            listen,
            file,
            upstream: Upstream::default(),
        }
    }

    /// How the system is told; not [`Mode::Auto`].
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the stub listens.
    #[must_use]
    pub fn listen(&self) -> SocketAddrV4 {
        self.listen
    }

    /// Who answers names that are not ours.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        self.upstream.clone()
    }

    /// Tells the system, and goes on telling it, until stopped; then puts everything back.
    pub async fn run(self, zones: Zones, stop: oneshot::Receiver<()>) {
        match self.mode {
            Mode::Resolved => resolved::run(self.listen, zones, stop).await,
            Mode::ResolvConf => self.rewrite(stop).await,
            Mode::Auto | Mode::None => {
                // Whoever has the sender says so, or is gone: both mean the end.
                let _stopped = stop.await;
            }
        }
    }

    async fn rewrite(self, mut stop: oneshot::Receiver<()>) {
        loop {
            // Files are small and local: no thread of its own for them.
            match self.file.take_over() {
                Ok(Some(servers)) => {
                    tracing::info!(?servers, "resolv.conf leads here; other names go to its servers");
                    self.upstream.set(servers);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "resolv.conf cannot be rewritten"),
            }
            if tokio::time::timeout(LOOK, &mut stop).await.is_ok() {
                break;
            }
        }
        self.upstream.refuse();
        if let Err(error) = self.file.put_back() {
            tracing::error!(%error, "resolv.conf is not put back");
        }
    }
}
