//! How to reach a target: a Unix socket, TCP in the clear (loopback and labs), TCP with mutual TLS 1.3.

use super::ClientError;
use crate::service::{ListenError, TlsFiles, authority, identity};
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// How long to try to connect.
const PATIENCE: Duration = Duration::from_secs(5);

/// Octets of headers taken from a target: the errors of a batch travel in them.
const HEADERS: u32 = 4 << 20;

/// Where a target is.
#[derive(Debug, Clone)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// Host and port, in the clear.
    Plain(String),
    /// Host and port, with mutual TLS.
    Tls(String, TlsFiles),
}

impl Address {
    /// From `unix:/path`, `http://host:port` or `https://host:port`; the last needs certificates.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn parse(text: &str, tls: Option<TlsFiles>) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address(text.to_owned());
        let host = |rest: &str| {
            let authority: tonic::codegen::http::uri::Authority = rest.trim_end_matches('/').parse().ok()?;
            authority.port().map(|_| authority.to_string())
        };
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            Ok(Self::Unix(path.into()))
        } else if let Some(rest) = text.strip_prefix("http://") {
            host(rest).map(Self::Plain).ok_or_else(wrong)
        } else if let Some(rest) = text.strip_prefix("https://") {
            Ok(Self::Tls(host(rest).ok_or_else(wrong)?, tls.ok_or_else(wrong)?))
        } else {
            Err(wrong())
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Plain(host) => write!(f, "http://{host}"),
            Self::Tls(host, _) => write!(f, "https://{host}"),
        }
    }
}

/// A channel to there.
pub(super) async fn channel(address: &Address) -> Result<Channel, ClientError> {
    let host = match address {
        Address::Unix(_) => "localhost",
        Address::Plain(host) | Address::Tls(host, _) => host,
    };
    let endpoint = Endpoint::from_shared(format!("http://{host}"))
        .map_err(|_| ClientError::Address(address.to_string()))?;
    let endpoint = endpoint
        .connect_timeout(PATIENCE)
        .http2_max_header_list_size(HEADERS)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    let failed = |error: tonic::transport::Error| ClientError::Connect {
        address: address.to_string(),
        why: causes(&error),
    };
    match address {
        Address::Unix(path) => {
            let path = path.clone();
            let connector = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await.map_err(failed)
        }
        Address::Plain(_) => endpoint.connect().await.map_err(failed),
        Address::Tls(host, files) => {
            let (name, _port) = host
                .rsplit_once(':')
                .ok_or_else(|| ClientError::Address(host.clone()))?;
            let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
            let name = name.map_err(|_| ClientError::Address(host.clone()))?;
            let tls = TlsConnector::from(Arc::new(client_config(files)?));
            let target = host.clone();
            let connector = service_fn(move |_: Uri| {
                let (tls, name, target) = (tls.clone(), name.clone(), target.clone());
                async move {
                    let stream = TcpStream::connect(target).await?;
                    stream.set_nodelay(true)?;
                    tls.connect(name, stream).await.map(TokioIo::new)
                }
            });
            endpoint.connect_with_connector(connector).await.map_err(failed)
        }
    }
}

fn client_config(files: &TlsFiles) -> Result<rustls::ClientConfig, ListenError> {
    let wrong = |error: rustls::Error| ListenError::Tls {
        file: files.certificate.clone(),
        what: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (certificates, key) = identity(files)?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(wrong)?
        .with_root_certificates(authority(files)?)
        .with_client_auth_cert(certificates, key)
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// An error with what caused it: tonic's own says "transport error" only.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}
