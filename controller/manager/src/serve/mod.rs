//! Serving: the manager's core on a real computer.
//!
//! Problem: ten thousand members hold a connection each, operators and attackers come as well, and whatever one of them does the others must
//! be served. Idea: bounds on every way in, one lock around the core that is never held while anything waits, and queues with an end.
//!
//! ```text
//!   TLS 1.3, TCP 443 ──► listener ──► connection ──► front ─┬─► members ─┐
//!   Unix socket ───────► limits       peer           door ──┴─► admin ───┼──► host ──► core
//!   metrics page ◄────── counters                                        │     │ ├──► commit ──► store
//!   tunnel, UDP ───────► hub ────────────────────────────────────────────┘     │ └──► mail
//!   directors elsewhere ◄── token ── front ◄─► attend ◄── rosters ── outlets ◄─┘
//!                                                           └──► directors here, hub
//! ```
//!
//! Costs: a connection with an idle stream holds less than 100 KiB, both ends together (test `an_idle_stream_costs_little`), nearly all of it TLS
//! and HTTP/2; a member's call holds the lock some tens of microseconds.

mod admin;
mod attend;
pub mod clock;
mod commit;
mod connection;
mod door;
mod entropy;
mod front;
mod host;
pub mod identity;
pub mod limits;
mod listener;
mod members;
mod outlets;
mod outputs;
pub mod peer;
mod register;
mod reload;
pub mod settings;
pub mod streams;
#[cfg(test)]
mod tests;
mod tunnel;
mod unboxed;
mod watching;

pub use door::DoorError;
pub use entropy::NoEntropy;
pub use front::{ADMIN_MESSAGE, MEMBER_MESSAGE};
pub use host::Host;
pub use outlets::{Outlets, Take};
pub use register::InProcess;
pub use reload::ReadError;
pub use settings::{LocalUser, Public, Settings};

use crate::core;
use crate::mail::{MailError, Mailer};
use crate::metrics::{self, Metrics};
use clock::Clock;
use door::Door;
use front::Front;
use host::Parts;
use identity::IdentityError;
use kith_protocol::authenticator::Argon2Cost;
use kith_protocol::member::ManagerAddress;
use kith_protocol::tls::{Fingerprint, TlsError, server_config};
use kith_store::{Store, StoreError};
use limits::Gate;
use listener::Ground;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use tunnel::Tunnel;

/// How long whatever is under way may take when the manager stops.
const END: Duration = Duration::from_secs(5);

/// Why a manager does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Mail.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Local users.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Random numbers.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// A port.
    #[error(
        "cannot listen for {what} at {at}: {error}; is another program there, or is a privilege missing for ports below 1024?"
    )]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        at: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A socket or a thread.
    #[error("a socket or a thread cannot be had: {0}")]
    Local(io::Error),
    /// A director of this process.
    #[error("director {name} cannot be entered in the manager's list: {why}")]
    Director {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
}

/// The operators' half of the core.
#[derive(Clone, Copy)]
pub struct Operators {
    /// A policy as a member must keep it.
    pub compile_policy: core::CompilePolicy,
    /// What commands do.
    pub command: core::RunCommand,
    /// How initial passwords are derived.
    pub cost: Argon2Cost,
}

/// A manager that is served.
pub struct Server {
    host: Arc<Host>,
    fingerprint: Fingerprint,
    listens: SocketAddr,
    stop: watch::Sender<bool>,
    /// Ends when nobody is served any more.
    alive: mpsc::Receiver<()>,
    commits: (oneshot::Sender<()>, JoinHandle<()>),
    keeps_time: JoinHandle<()>,
}

impl Server {
    /// Starts: when this returns, members and operators are answered, and directors of this process have been given their grants.
    pub async fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        local: UnixListener,
        operators: Operators,
        directors: Vec<InProcess>,
    ) -> Result<Self, StartError> {
        entropy::check()?;
        let metrics = Arc::new(Metrics::new());
        let public = settings.public.clone();
        let identity = identity::of_store(&*store, &public.host, public.port).await?;
        let tls = server_config(identity.certificate(), identity.key())?;
        let fingerprint = Fingerprint(identity.fingerprint);
        let mailer = Mailer::start(settings.mail.clone())?;

        // Ports first: that another one runs is found out before anything is changed.
        let members = bind("members", settings.listen.into()).await?;
        let page = match settings.metrics {
            Some(at) => Some(bind("metrics", at).await?),
            None => None,
        };
        let tunnel = UdpSocket::bind(settings.tunnel).map_err(|error| StartError::Listen {
            what: "the tunnel",
            at: settings.tunnel.into(),
            error,
        })?;
        local.set_nonblocking(true).map_err(StartError::Local)?;
        let local = tokio::net::UnixListener::from_std(local).map_err(StartError::Local)?;
        let listens = members.local_addr().map_err(StartError::Local)?;

        let known = ManagerAddress {
            host: identity.public_host.clone(),
            port: identity.public_port.into(),
            fingerprint: identity.fingerprint.to_vec(),
        };
        let Operators {
            compile_policy,
            command,
            cost,
        } = operators;
        let mut core = core::Settings::new(vec![known], public.tunnel, compile_policy, command);
        core.limits = settings.core_limits;
        core.times = settings.times;
        let heartbeat = core.times.manager_heartbeat;
        let load: reload::Load = Box::new(move |entries, revision, now| {
            core::Manager::load(core.clone(), &entries, revision, now, entropy::entropy())
        });
        let (committer, jobs) = commit::committer();
        let mut outlets = Outlets::new(entropy::number());
        let records = directors
            .into_iter()
            .map(|director| director.connect(&mut outlets))
            .collect::<Vec<_>>();
        let about = admin::About {
            fingerprint,
            tunnel_port: public.tunnel.port(),
            store: settings.store.clone(),
            mail: mailer.describe().to_owned(),
        };
        let host = Host::new(Parts {
            store,
            committer,
            metrics: metrics.clone(),
            mailer,
            limits: settings.limits,
            load,
            outlets,
            clock: Clock::default(),
        });
        let door = Arc::new(Door::new(host.clone(), &settings.local_users)?);
        let tunnel = Tunnel::start(tunnel, &host, heartbeat).map_err(StartError::Local)?;
        host.desk().outlets.hub(Some(tunnel));
        host.load_once().await?;

        let (stop, stopped) = watch::channel(false);
        let (end_commits, commits_end) = oneshot::channel();
        let commits = tokio::spawn(commit::work(host.clone(), jobs, commits_end));
        let keeps_time = tokio::spawn(host.clone().keep_time(stopped.clone()));
        for record in records {
            register::enter(&host, record).await?;
        }

        let (alive, ends) = mpsc::channel(1);
        let gate = Gate::new(settings.limits);
        let admin = admin::AdminService::new(host.clone(), about, cost, stopped.clone());
        let front = Front::new(
            members::MembersService::new(host.clone()),
            admin,
            attend::DirectorsService::new(host.clone(), stopped.clone()),
            door,
            settings.limits.deadline,
            metrics.clone(),
        );
        let ground = Ground {
            front: Arc::new(front),
            gate: gate.clone(),
            metrics: metrics.clone(),
            stop: stopped.clone(),
            _alive: alive,
        };
        if let Some(page) = page {
            let (measured, counted) = (host.clone(), metrics.clone());
            let refresh = move || {
                let (strangers, known) = gate.count();
                counted.connections(strangers, known);
                measured.measure();
            };
            tokio::spawn(metrics::serve(page, metrics, Arc::new(refresh), stopped));
        }
        tokio::spawn(listener::tls(
            members,
            TlsAcceptor::from(Arc::new(tls)),
            ground.clone(),
        ));
        tokio::spawn(listener::local(local, ground));
        info!(listen = %listens, host = %identity.public_host, %fingerprint, "managing");
        Ok(Self {
            host,
            fingerprint,
            listens,
            stop,
            alive: ends,
            commits: (end_commits, commits),
            keeps_time,
        })
    }

    /// The host, for what else is part of this process.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Where members connect.
    #[must_use]
    pub fn listens(&self) -> SocketAddr {
        self.listens
    }

    /// What members know the manager by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Has something ended that should not have?
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.host.is_hopeless() || self.commits.1.is_finished() || self.keeps_time.is_finished()
    }

    /// Stops in order: nobody new, whoever waits is answered, everything is on disk.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.host.end_streams();
        if tokio::time::timeout(END, self.alive.recv()).await.is_err() {
            warn!("some connections did not end in time");
        }
        let (end, commits) = self.commits;
        // It may have ended before, by a panic that was reported then.
        end.send(()).ok();
        if tokio::time::timeout(END, commits).await.is_err() {
            warn!("the store does not answer; what was not acknowledged may not be kept");
        }
        drop(self.keeps_time.await);
        // Its thread takes the lock: it is ended when the lock is free.
        let tunnel = self.host.desk().outlets.hub(None);
        drop(tokio::task::spawn_blocking(move || drop(tunnel)).await);
        let host = self.host;
        // Tasks of requests that were cut off end at their next turn; then the store is nobody's any more.
        let began = tokio::time::Instant::now();
        while Arc::strong_count(&host) > 1 && began.elapsed() < END {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Closing the store waits for its threads.
        drop(tokio::task::spawn_blocking(move || drop(host)).await);
    }
}

async fn bind(what: &'static str, at: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    let bound = tokio::net::TcpListener::bind(at).await;
    bound.map_err(|error| StartError::Listen { what, at, error })
}
