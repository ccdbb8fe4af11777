//! Where the service listens: a Unix socket, and TCP with mutual TLS 1.3.
//!
//! Connections and handshakes are bounded: a client that connects and says nothing keeps one of [`HANDSHAKES`] places for
//! [`PATIENCE`], and no thread.

use super::Service;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Connected;

/// TLS handshakes at once.
const HANDSHAKES: usize = 32;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls and streams that one connection may have at once.
const CALLS: u32 = 64;

/// Own certificate and key, and whose certificates the other side's must be; all in PEM files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Own certificate, with those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that the other side's certificate must come from.
    pub authority: PathBuf,
}

/// Why the service does not listen, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A socket.
    #[error("{place}: {source}")]
    Socket {
        /// Address or path.
        place: String,
        /// What happened.
        source: io::Error,
    },
    /// A file with certificates or keys.
    #[error("{}: {what}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The server ended.
    #[error("the server ended: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves on a Unix socket until `stop` is done. Who may connect is a matter of the directory that it is in; a stale socket there is replaced.
///
/// # Errors
/// If the socket cannot be made.
pub async fn serve_unix(
    service: Service,
    path: &Path,
    stop: impl Future<Output = ()>,
) -> Result<(), ListenError> {
    let error = |source| ListenError::Socket {
        place: path.display().to_string(),
        source,
    };
    match std::fs::remove_file(path) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(error(problem)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(error)?;
    let incoming = UnixListenerStream::new(listener);
    let served = server()
        .serve_with_incoming_shutdown(service.server(), incoming, stop)
        .await;
    let _ = std::fs::remove_file(path);
    Ok(served?)
}

/// Serves on TCP with mutual TLS 1.3 until `stop` is done.
///
/// # Errors
/// If a file is not what it should be. The listener is the caller's, so that it may bind before it gives up privileges.
pub async fn serve_tcp(
    service: Service,
    listener: TcpListener,
    files: &TlsFiles,
    stop: impl Future<Output = ()>,
) -> Result<(), ListenError> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(files)?));
    let (ready, incoming) = mpsc::channel(HANDSHAKES);
    let accepting = tokio::spawn(accept(listener, acceptor, ready));
    let served = server()
        .serve_with_incoming_shutdown(service.server(), ReceiverStream::new(incoming), stop)
        .await;
    accepting.abort();
    Ok(served?)
}

fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(CALLS)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
}

type Accepted = Result<Secured, io::Error>;

/// A TLS connection, as tonic takes it.
struct Secured(TlsStream<TcpStream>);

impl Connected for Secured {
    type ConnectInfo = ();
    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<Accepted>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others must close some first.
                tracing::warn!(%error, "p4runtime: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(ready.send(Ok(Secured(stream))).await),
                Ok(Err(error)) => refused(peer, &error.to_string()),
                Err(_) => refused(peer, "the handshake took too long"),
            }
        });
    }
}

fn refused(peer: SocketAddr, why: &str) {
    tracing::info!(%peer, why, "p4runtime: a client was refused");
}

fn server_config(files: &TlsFiles) -> Result<rustls::ServerConfig, ListenError> {
    let wrong = |file: &Path| {
        let file = file.to_owned();
        move |what: &dyn std::fmt::Display| ListenError::Tls {
            file,
            what: what.to_string(),
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authority(files)?), provider.clone())
        .build()
        .map_err(|error| wrong(&files.authority)(&error))?;
    let (certificates, key) = identity(files)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&files.certificate)(&error))?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates, key)
        .map_err(|error| wrong(&files.certificate)(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Whose certificates are believed.
pub(crate) fn authority(files: &TlsFiles) -> Result<RootCertStore, ListenError> {
    let wrong = |what: &dyn std::fmt::Display| ListenError::Tls {
        file: files.authority.clone(),
        what: what.to_string(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&files.authority).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there is no certificate in it"));
    }
    Ok(roots)
}

/// Own certificates and key.
pub(crate) fn identity(
    files: &TlsFiles,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ListenError> {
    let wrong = |file: &Path, what: &dyn std::fmt::Display| ListenError::Tls {
        file: file.to_owned(),
        what: what.to_string(),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.certificate)
        .map_err(|error| wrong(&files.certificate, &error))?
        .collect();
    let certificates = certificates.map_err(|error| wrong(&files.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, &error))?;
    Ok((certificates, key))
}
