//! P4Runtime: where controllers connect.
//!
//! Problem: a gRPC server wants threads, allocation and TLS, beside workers that must never wait for any of it. Idea: a runtime with
//! two threads of its own, kept off the workers' CPUs where the machine has others; between it and the packets there
//! are only the store of entries and two bounded queues.
//!
//! Both places to listen at are taken before anything else is touched, so that a second dataplane stops at once.

use kith_api::config::{self, ConfigError};
use kith_api::socket::{PRIVATE, Setting, Socket, SocketError};
use kith_p4runtime::service::{ListenError, Service, TlsFiles, serve_tcp};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport;
use tracing::{error, info};

/// Threads that talk with controllers.
const THREADS: usize = 2;
/// Threads for batches and reads, which may take some time.
const BLOCKING: usize = 4;
/// Calls and streams that one connection may have at once.
const CALLS: u32 = 64;
/// How long open calls may go on when the dataplane stops.
const GRACE: Duration = Duration::from_millis(500);

/// Why controllers cannot connect.
#[derive(Debug, thiserror::Error)]
pub enum ControllersError {
    /// The Unix socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The private key.
    #[error("p4runtime.tcp.key: {0}")]
    Key(#[from] ConfigError),
    /// TCP.
    #[error("cannot listen at {address}: {error} (p4runtime.tcp.listen)")]
    Tcp {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Certificates.
    #[error("p4runtime.tcp: {0}")]
    Tls(#[from] ListenError),
    /// No threads.
    #[error("the system gives no threads for P4Runtime: {0}")]
    Threads(io::Error),
}

/// Places where controllers can connect, and wait to be served.
pub struct Listeners {
    unix: Socket,
    tcp: Option<(TcpListener, TlsFiles)>,
}

/// The running service; stops when dropped.
pub struct Server {
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
}

impl Listeners {
    /// Takes the places of this configuration.
    pub fn bind(config: &config::P4Runtime) -> Result<Self, ControllersError> {
        let setting = Setting::new("dataplane", "p4runtime.unix");
        let unix = Socket::bind(&config.unix, PRIVATE, setting)?;
        unix.listener()
            .set_nonblocking(true)
            .map_err(ControllersError::Threads)?;
        let tcp = config.tcp.as_ref().map(|tcp| {
            // Read again by TLS: here it is only looked whether others can read it as well.
            drop(config::read_private(&tcp.key)?);
            let fail = |error| ControllersError::Tcp {
                address: tcp.listen,
                error,
            };
            let listener = TcpListener::bind(tcp.listen).map_err(fail)?;
            listener.set_nonblocking(true).map_err(fail)?;
            let files = TlsFiles {
                certificate: tcp.certificate.clone(),
                key: tcp.key.clone(),
                authority: tcp.client_ca.clone(),
            };
            Ok::<_, ControllersError>((listener, files))
        });
        let tcp = tcp.transpose()?;
        Ok(Self { unix, tcp })
    }

    /// Serves from now on, on threads that keep off these CPUs if there are others.
    pub fn serve(self, service: &Service, workers: &[usize]) -> Result<Server, ControllersError> {
        let workers = workers.to_vec();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING)
            .thread_name("kith-p4runtime")
            .on_thread_start(move || keep_off(&workers))
            .enable_all()
            .build()
            .map_err(ControllersError::Threads)?;
        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            // An error is the end as well: the server is gone.
            let _stopped = stopped.wait_for(|stop| *stop).await;
        };
        let _inside = runtime.enter();
        if let Some((listener, files)) = self.tcp {
            let address = listener.local_addr();
            let listener = tokio::net::TcpListener::from_std(listener).map_err(ControllersError::Threads)?;
            let (service, stopped) = (service.clone(), until(stopped.clone()));
            runtime.spawn(async move { report(serve_tcp(service, listener, &files, stopped).await) });
            info!(?address, "P4Runtime with mutual TLS");
        }
        let listener = self
            .unix
            .listener()
            .try_clone()
            .map_err(ControllersError::Threads)?;
        let listener = UnixListener::from_std(listener).map_err(ControllersError::Threads)?;
        let (service, stopped) = (service.clone(), until(stopped));
        runtime.spawn(async move {
            // The file goes with the task.
            let _socket = self.unix;
            let served = transport::Server::builder()
                .max_concurrent_streams(CALLS)
                .serve_with_incoming_shutdown(service.server(), UnixListenerStream::new(listener), stopped)
                .await;
            report(served.map_err(ListenError::from));
        });
        Ok(Server {
            runtime: Some(runtime),
            stop,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody listens to it any more if all servers ended by themselves.
        let _told = self.stop.send(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(GRACE);
        }
    }
}

/// A server that ended: forwarding goes on, but no controller can connect there.
fn report(ended: Result<(), ListenError>) {
    if let Err(problem) = ended {
        error!(%problem, "controllers cannot connect here any more");
    }
}

/// Lets this thread run where no worker does. On a machine where workers have every CPU, the system finds it a place.
fn keep_off(workers: &[usize]) {
    let this = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this) else {
        return;
    };
    let mut others = CpuSet::new();
    let free =
        (0..CpuSet::count()).filter(|cpu| !workers.contains(cpu) && allowed.is_set(*cpu).unwrap_or(false));
    let free = free.filter(|cpu| others.set(*cpu).is_ok()).count();
    if free > 0 && sched_setaffinity(this, &others).is_err() {
        // It runs all the same, and may take a worker's time.
        error!("a thread of P4Runtime cannot be kept off the workers' CPUs");
    }
}
