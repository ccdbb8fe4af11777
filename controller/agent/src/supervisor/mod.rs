//! `kith-agent up`: all memberships of this device in one process.
//!
//! ```text
//!   alice.acme.example   ── Member ── orders ──► datapath, kith0, UDP 20202
//!   alice.globex.example ── Member ── orders ──► datapath, kith1, UDP 20203
//!        ▲    │ zones
//!        │    ▼
//!       DNS plug-in      control socket (status, leave)      SIGTERM: all leave, what was changed is put back
//! ```
//!
//! What needs rights (adapters, port 53) is done first, by one thread; then the rights are given up, and the rest runs on a few
//! threads without any. One thread keeps the right to make adapters, and does nothing else: for memberships that this device is enrolled in
//! while it runs.

mod attachment;
mod beats;
mod board;
pub mod control;
pub mod member;
mod netlink;
mod opener;
mod volume;

pub use board::Board;

use crate::agent::{StartError, drop_capabilities};
use crate::dns::{self, zones::Zones};
use crate::manager::credentials::BadRegistration;
use crate::manager::membership::{Ending, Input};
use crate::server;
use crate::state::{State, StateError};
use kith_protocol::names::Fqdn;
use member::Message;
use opener::{Opened, Opener};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What `up` is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where registrations are.
    pub state: State,
    /// Where to serve requests.
    pub socket: PathBuf,
    /// The first UDP port to try.
    pub port: u16,
    /// The site this device is at.
    pub site: String,
    /// What is done about names.
    pub dns: dns::Options,
}

/// Why `up` does not come up.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Nothing to join.
    #[error("this device is enrolled nowhere; `kith-agent enroll INVITATION` does that")]
    NotEnrolled,
    /// A registration cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A registration is of no use.
    #[error("{0}: {1}")]
    Registration(Fqdn, BadRegistration),
    /// The datapath.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The control socket.
    #[error("cannot serve requests at {0}: {1}; is another agent running?")]
    Socket(PathBuf, io::Error),
    /// Names.
    #[error(transparent)]
    Dns(#[from] dns::DnsError),
    /// Something that every process needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Everything that needed rights.
pub struct Supervisor {
    board: Arc<Board>,
    begun: mpsc::Receiver<Option<Opened>>,
    zones: Zones,
    dns: dns::Bound,
    listener: std::os::unix::net::UnixListener,
    socket: PathBuf,
    news: mpsc::Receiver<()>,
    members: Vec<Opened>,
}

/// A leaving membership has so much time before the process ends without its consent.
const LEAVING: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Opens everything, and gives up all rights of the calling thread.
    pub fn open(options: &Options) -> Result<Self, UpError> {
        let names = options.state.names()?;
        if names.is_empty() {
            return Err(UpError::NotEnrolled);
        }
        let listener =
            server::bind(&options.socket).map_err(|error| UpError::Socket(options.socket.clone(), error))?;
        listener.set_nonblocking(true)?;
        let (news, heard) = mpsc::channel(1);
        let zones = Zones::default();
        let dns = dns::bind(&options.dns, &options.state)?;
        let (board, starts) = Board::new(&options.state);
        let board = Arc::new(board);
        let opener = Opener::new(options.clone(), board.clone(), zones.clone(), news);
        let members: Result<Vec<Opened>, UpError> = names.into_iter().map(|fqdn| opener.open(fqdn)).collect();
        let members = members?;
        let begun = opener.stay(starts)?;
        drop_capabilities();
        Ok(Self {
            board,
            begun,
            zones,
            dns,
            listener,
            socket: options.socket.clone(),
            news: heard,
            members,
        })
    }

    /// Works until all memberships are over, or `stop` says so; then all leave. Says how each ended.
    pub async fn run(
        self,
        mut stop: mpsc::Receiver<()>,
        mut tell: impl FnMut(&[control::Membership]) + Send,
    ) -> Vec<(String, Ending)> {
        let board = self.board;
        let mut begun = self.begun;
        let mut tasks = JoinSet::new();
        for opened in self.members {
            tasks.spawn(work(opened));
        }
        let names = self.dns.run(self.zones.clone());
        let serving = match tokio::net::UnixListener::from_std(self.listener) {
            Ok(listener) => Some(tokio::spawn(control::serve(listener, board.clone()))),
            Err(error) => {
                tracing::error!(%error, "cannot serve requests");
                None
            }
        };
        let mut news = self.news;
        let mut ended = Vec::new();
        while !tasks.is_empty() || board.is_starting() {
            tokio::select! {
                over = tasks.join_next(), if !tasks.is_empty() => match over {
                    Some(Ok(over)) => {
                        board.ended(&over.0);
                        ended.push(over);
                    }
                    Some(Err(error)) => tracing::error!(%error, "a membership failed"),
                    None => {}
                },
                Some(opened) = begun.recv() => {
                    if let Some(opened) = opened {
                        tasks.spawn(work(opened));
                    }
                    board.started();
                }
                _ = stop.recv() => {
                    board.leave(None).await;
                    let last = tokio::time::timeout(LEAVING, async {
                        while let Some(over) = tasks.join_next().await {
                            ended.extend(over);
                        }
                    });
                    if last.await.is_err() {
                        tracing::warn!("a membership does not leave in time: its manager will notice its silence");
                    }
                    break;
                }
                Some(()) = news.recv() => tell(&board.memberships().await),
            }
        }
        board.close();
        names.stop().await;
        if let Some(serving) = serving {
            serving.abort();
        }
        // Gone already is as good.
        let _gone = std::fs::remove_file(&self.socket);
        ended
    }
}

/// One membership, its reports and its datapath, until all have ended.
async fn work((member, reports, agent): Opened) -> (String, Ending) {
    let name = member.fqdn.as_str().to_owned();
    let sender = member.sender.clone();
    let reporting = sender.clone();
    tokio::task::spawn_blocking(move || {
        while let Ok(report) = reports.recv() {
            if reporting
                .blocking_send(Message::Input(Input::Report(report)))
                .is_err()
            {
                return;
            }
        }
    });
    let attached = member
        .machine
        .manager()
        .cloned()
        .map(|manager| tokio::spawn(attachment::watch(manager, member.tun.clone(), sender)));
    let ending = member.run().await;
    if let Some(attached) = attached {
        attached.abort();
    }
    // The orders' sender is gone: it gives back its session, and ends.
    let well = tokio::task::spawn_blocking(move || agent.join()).await;
    if !matches!(well, Ok(true)) {
        tracing::error!(member = name, "the datapath did not end well");
    }
    (name, ending)
}

/// The kind of computer, for those who query members.
#[must_use]
pub fn platform() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
#[path = "up_tests.rs"]
mod tests;
