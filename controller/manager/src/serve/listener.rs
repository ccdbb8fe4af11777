//! The two ways in: TLS over TCP, and the local socket.
//!
//! Accepting never waits for anybody: whoever is admitted gets a task of its own, in which the handshake happens against the clock.

use super::connection;
use super::front::Front;
use super::limits::Gate;
use super::peer::{Origin, Peer};
use crate::metrics::Metrics;
use kith_protocol::tls::client_fingerprint;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Local connections at a time.
const LOCAL: usize = 256;
/// A pause when the system gives no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What every listener and connection holds.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) front: Arc<Front>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: watch::Receiver<bool>,
    /// All clones are dropped when nothing is served any more.
    pub(super) _alive: mpsc::Sender<()>,
}

/// Takes TLS connections until stopped.
pub(super) async fn tls(listener: TcpListener, tls: TlsAcceptor, mut ground: Ground) {
    loop {
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause("members", &error).await;
                    continue;
                }
            },
            _ = ground.stop.changed() => return,
        };
        let Some(from) = v4(from) else { continue };
        let pass = match ground.gate.admit(Instant::now(), (*from.ip()).into()) {
            Ok(pass) => pass,
            Err(refused) => {
                ground.metrics.connection_refused(refused.name());
                continue;
            }
        };
        let (tls, ground) = (tls.clone(), ground.clone());
        tokio::spawn(async move {
            let limits = *ground.gate.limits();
            // On the heap, for what the task's own future has room for it keeps as long as the connection lasts.
            let shaking = Box::pin(handshake(&tls, stream));
            let shaken = tokio::time::timeout(limits.handshake, shaking).await;
            let stream = match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    ground.metrics.connection_refused("handshake");
                    return debug!(%from, %error, "no TLS");
                }
                Err(_) => {
                    ground.metrics.connection_refused("handshake_late");
                    return debug!(%from, "TLS took too long");
                }
            };
            let certificate = client_fingerprint(stream.get_ref().1).map(|fingerprint| fingerprint.0);
            let peer = Peer::new(Origin::Tls { from, certificate }, Some(pass));
            connection::serve(stream, peer, ground.front.clone(), limits, ground.stop.clone()).await;
        });
    }
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    tls.accept(stream).await
}

/// Takes local connections until stopped.
pub(super) async fn local(listener: UnixListener, mut ground: Ground) {
    let places = Arc::new(Semaphore::new(LOCAL));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause("operators", &error).await;
                    continue;
                }
            },
            _ = ground.stop.changed() => return,
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            ground.metrics.connection_refused("local");
            continue;
        };
        let Some(origin) = credentials(&stream) else {
            continue;
        };
        let ground = ground.clone();
        tokio::spawn(async move {
            let limits = *ground.gate.limits();
            let peer = Peer::new(origin, None);
            connection::serve(stream, peer, ground.front.clone(), limits, ground.stop.clone()).await;
            drop(place);
        });
    }
}

/// Who the process at the other end was when it connected.
fn credentials(stream: &UnixStream) -> Option<Origin> {
    match stream.peer_cred() {
        Ok(credentials) => Some(Origin::Local {
            uid: credentials.uid(),
            gid: credentials.gid(),
        }),
        Err(error) => {
            warn!(%error, "the system does not say who connected to the local socket");
            None
        }
    }
}

fn v4(from: SocketAddr) -> Option<SocketAddrV4> {
    match from {
        SocketAddr::V4(from) => Some(from),
        SocketAddr::V6(from) => from
            .ip()
            .to_ipv4_mapped()
            .map(|ip| SocketAddrV4::new(ip, from.port())),
    }
}

async fn pause(whose: &str, error: &io::Error) {
    warn!(%whose, %error, "no connection could be taken; trying on");
    tokio::time::sleep(PAUSE).await;
}
