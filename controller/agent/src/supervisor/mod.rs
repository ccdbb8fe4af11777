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
//! threads without any.

mod attachment;
mod beats;
pub mod control;
pub mod member;
mod netlink;
mod volume;

use crate::agent::{Agent, Handle, StartError, drop_capabilities};
use crate::config;
use crate::dns::{self, zones::Zones};
use crate::managed;
use crate::manager::membership::{Ending, Input, Membership, Settings, View};
use crate::manager::{Credentials, credentials::BadRegistration};
use crate::orders::{Order, Report};
use crate::server;
use crate::state::{State, StateError};
use crate::status::Status;
use kith_protocol::names::Fqdn;
use member::{Member, Message};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
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

/// All memberships, for those who ask.
#[derive(Default)]
pub struct Board(Vec<Entry>);

struct Entry {
    fqdn: String,
    adapter: String,
    udp_port: u16,
    handle: Handle,
    member: mpsc::Sender<Message>,
}

/// Everything that needed rights.
pub struct Supervisor {
    board: Board,
    members: Vec<(Member, Receiver<Report>, Agent)>,
    zones: Zones,
    dns: dns::Bound,
    listener: std::os::unix::net::UnixListener,
    socket: PathBuf,
    news: mpsc::Receiver<()>,
}

/// A leaving membership has so much time before the process ends without its consent.
const LEAVING: Duration = Duration::from_secs(5);
/// Reports that may wait.
const REPORTS: usize = 256;

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
        let mut supervisor = Self {
            board: Board::default(),
            members: Vec::new(),
            zones: Zones::default(),
            dns: dns::bind(&options.dns, &options.state)?,
            listener,
            socket: options.socket.clone(),
            news: heard,
        };
        for (index, fqdn) in names.into_iter().enumerate() {
            supervisor.open_member(options, index, fqdn, news.clone())?;
        }
        drop_capabilities();
        Ok(supervisor)
    }

    fn open_member(
        &mut self,
        options: &Options,
        index: usize,
        fqdn: Fqdn,
        news: mpsc::Sender<()>,
    ) -> Result<(), UpError> {
        let registration = options.state.load(&fqdn)?;
        let community = registration.file.community.clone();
        let (me, managers) = Credentials::take(registration.file, registration.identity)
            .map_err(|error| UpError::Registration(fqdn.clone(), error))?;
        let (orders, ordered) = sync_channel::<Order>(member::ORDERS);
        let (reports, reported) = sync_channel::<Report>(REPORTS);
        let tun = format!("kith{index}");
        let settings = managed::Settings {
            tun: tun.clone(),
            udp: config::Udp {
                port: options.port,
                ..config::Udp::default()
            },
            ..managed::Settings::default()
        };
        let agent = Agent::start_managed(settings, ordered, reports)?;
        let settings = Settings {
            udp_port: agent.udp_port(),
            site: options.site.clone(),
            platform: platform(),
            program: concat!("kith-agent ", env!("CARGO_PKG_VERSION")).into(),
            computer: computer(),
        };
        let (sender, inbox) = mpsc::channel(member::INBOX);
        self.board.0.push(Entry {
            fqdn: fqdn.as_str().into(),
            adapter: tun.clone(),
            udp_port: agent.udp_port(),
            handle: agent.handle(),
            member: sender.clone(),
        });
        let machine = Membership::new(me, managers, settings, Box::new(crate::entropy::fill));
        let (state, zones) = (options.state.clone(), self.zones.clone());
        let member = Member {
            fqdn,
            community,
            machine,
            state,
            tun,
            orders,
            sender,
            inbox,
            zones,
            news,
        };
        self.members.push((member, reported, agent));
        Ok(())
    }

    /// Works until all memberships are over, or `stop` says so; then all leave. Says how each ended.
    pub async fn run(
        self,
        mut stop: mpsc::Receiver<()>,
        mut tell: impl FnMut(&[control::Membership]) + Send,
    ) -> Vec<(String, Ending)> {
        let board = Arc::new(self.board);
        let mut tasks = JoinSet::new();
        for (member, reports, agent) in self.members {
            tasks.spawn(work(member, reports, agent));
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
        loop {
            tokio::select! {
                over = tasks.join_next() => match over {
                    Some(Ok(over)) => ended.push(over),
                    Some(Err(error)) => tracing::error!(%error, "a membership failed"),
                    None => break,
                },
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
        names.stop().await;
        if let Some(serving) = serving {
            serving.abort();
        }
        // Gone already is as good.
        let _gone = std::fs::remove_file(&self.socket);
        ended
    }
}

impl Board {
    /// All memberships.
    pub async fn memberships(&self) -> Vec<control::Membership> {
        let mut memberships = Vec::new();
        for entry in &self.0 {
            let view = entry.view().await;
            memberships.push(control::Membership {
                fqdn: entry.fqdn.clone(),
                phase: view.as_ref().map_or("over", |view| view.phase).into(),
                address: view.as_ref().and_then(|view| Some(view.place.as_ref()?.address)),
                manager: view
                    .as_ref()
                    .and_then(|view| Some(view.manager.as_ref()?.to_string())),
                adapter: entry.adapter.clone(),
                udp_port: entry.udp_port,
                trouble: view.and_then(|view| view.trouble),
            });
        }
        memberships
    }

    /// What the datapath of this membership says, or that of the first one.
    pub async fn status(&self, fqdn: Option<&str>) -> Option<Status> {
        let entry = self
            .0
            .iter()
            .find(|entry| fqdn.is_none_or(|fqdn| entry.fqdn == fqdn))?;
        let handle = entry.handle.clone();
        tokio::task::spawn_blocking(move || handle.status()).await.ok()?
    }

    /// Has this membership leave, or all; false if there is no such one.
    pub async fn leave(&self, fqdn: Option<&str>) -> bool {
        let mut found = fqdn.is_none();
        for entry in self
            .0
            .iter()
            .filter(|entry| fqdn.is_none_or(|fqdn| entry.fqdn == fqdn))
        {
            found = true;
            let _over = entry.member.send(Message::Input(Input::Leave)).await;
        }
        found
    }
}

impl Entry {
    async fn view(&self) -> Option<View> {
        let (answer, view) = oneshot::channel();
        self.member.send(Message::View(answer)).await.ok()?;
        tokio::time::timeout(Duration::from_secs(1), view)
            .await
            .ok()?
            .ok()
    }
}

/// One membership, its reports and its datapath, until all have ended.
async fn work(member: Member, reports: Receiver<Report>, agent: Agent) -> (String, Ending) {
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

/// The computer's own name, as NetBIOS would have it.
fn computer() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    let first = name.split('.').next().unwrap_or_default();
    let plain = first
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-');
    plain.take(15).collect::<String>().to_uppercase()
}

#[cfg(test)]
#[path = "up_tests.rs"]
mod tests;
