//! How to reach a manager: over TLS with its key pinned, or through its Unix socket on the same machine.

use super::rustls::ClientConfig;
use super::rustls::pki_types::ServerName;
use super::{ClientCertificate, Fingerprint, TlsError, pinned};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// Where the manager listens for operators on its own machine.
pub const ADMIN_SOCKET: &str = "/run/kith/admin.sock";

/// Why a manager was not reached.
#[derive(Debug, Error)]
pub enum DialError {
    /// The host is neither a name nor an address.
    #[error("{0:?} is neither a host name nor an address")]
    Host(String),
    /// Certificate or key of ours.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody there, or not the one we look for.
    #[error("cannot reach the manager at {at}: {why}")]
    Connect {
        /// Where.
        at: String,
        /// All causes.
        why: String,
    },
}

/// How a manager is reached over TLS. TCP connect, TLS and HTTP/2 together have `connect_timeout`; a silent connection is
/// found dead after `keepalive` and as long again.
#[derive(Clone)]
pub struct Dial {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// For operators.
    pub client: Option<ClientCertificate>,
    /// Until the connection stands.
    pub connect_timeout: Duration,
    /// Between signs of life.
    pub keepalive: Duration,
}

impl Dial {
    /// With 5 s to connect and a sign of life every 20 s.
    #[must_use]
    pub fn new(host: &str, port: u16, fingerprint: Fingerprint) -> Self {
        Self {
            host: host.to_owned(),
            port,
            fingerprint,
            client: None,
            connect_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(20),
        }
    }

    /// Connects now. Deadlines of requests are set with each (`tonic::Request::set_timeout`): a Watch has none.
    ///
    /// # Errors
    /// Why not.
    pub async fn connect(&self) -> Result<Channel, DialError> {
        let (host, port) = (self.host.clone(), self.port);
        let bare = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(bare.clone()).map_err(|_| DialError::Host(host.clone()))?;
        let tls = TlsConnector::from(Arc::new(self.client_config()?));
        let patience = self.connect_timeout;
        let connector = service_fn(move |_: Uri| {
            let (tls, name, bare) = (tls.clone(), name.clone(), bare.clone());
            async move {
                let shake = async {
                    let stream = TcpStream::connect((bare.as_str(), port)).await?;
                    stream.set_nodelay(true)?;
                    tls.connect(name, stream).await
                };
                // tonic's own timeout covers the TCP connect of its own connector only.
                match tokio::time::timeout(patience, shake).await {
                    Ok(stream) => stream.map(TokioIo::new),
                    Err(_) => Err(std::io::Error::new(
                        std::io::ErrorKind::TimedOut,
                        "no answer in time",
                    )),
                }
            }
        });
        let at = format!("{host}:{port}");
        // The address is the connector's; here it is only what the request's authority says.
        let endpoint = Endpoint::from_static("http://manager.kith.invalid")
            .http2_keep_alive_interval(self.keepalive)
            .keep_alive_timeout(self.keepalive)
            .keep_alive_while_idle(true)
            .connect_timeout(patience);
        endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|error| DialError::Connect {
                at,
                why: causes(&error),
            })
    }

    fn client_config(&self) -> Result<ClientConfig, TlsError> {
        pinned(self.fingerprint, self.client.clone())
    }
}

/// The manager on this machine, by its Unix socket.
///
/// # Errors
/// Why not.
pub async fn unix(path: &Path) -> Result<Channel, DialError> {
    let socket = PathBuf::from(path);
    let connector = service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint =
        Endpoint::from_static("http://manager.kith.invalid").connect_timeout(Duration::from_secs(5));
    let at = format!("unix:{}", path.display());
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| DialError::Connect {
            at,
            why: causes(&error),
        })
}

/// An error with what caused it: tonic's own says "transport error" only.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let one_text = one.to_string();
        if !text.ends_with(&one_text) {
            text = format!("{text}: {one_text}");
        }
        cause = one.source();
    }
    text
}
