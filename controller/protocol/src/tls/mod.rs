//! TLS 1.3 between members, operators and a manager; the manager is known by the fingerprint of its key.
//!
//! ```text
//!  invitation ── fingerprint = SHA-256(SubjectPublicKeyInfo) ──► pinned(): that key signs the handshake (RFC 8446 4.4.3), or no connection
//! ```
//!
//! No authority vouches for a manager: the invitation does, and the registration file after it. Names and dates in the certificate mean nothing,
//! so it can be renewed with the same key at any time. Clients may show a certificate; who it is of, the manager looks up by its fingerprint.

mod dial;
mod fingerprint;
mod verify;

pub use dial::{ADMIN_SOCKET, Dial, DialError, unix};
pub use fingerprint::{BadFingerprint, Fingerprint};
/// The very version that the configurations here are of.
pub use tokio_rustls::rustls;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig, ServerConnection};
use std::sync::Arc;
use thiserror::Error;

/// A certificate or key that TLS does not take.
#[derive(Debug, Error)]
#[error("TLS: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// A client's certificate and key, for operators.
pub struct ClientCertificate {
    /// The certificate, and those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for ClientCertificate {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// For the manager: TLS 1.3 only, HTTP/2, client certificates welcome and not needed.
///
/// # Errors
/// If certificate and key do not fit.
pub fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let clients = Arc::new(verify::AnyClient {
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// For members and operators: TLS 1.3 only, and only with the holder of this key.
///
/// # Errors
/// If the client's certificate and key do not fit.
pub fn pinned(fingerprint: Fingerprint, client: Option<ClientCertificate>) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier = Arc::new(verify::Pinned::new(
        fingerprint,
        provider.signature_verification_algorithms,
    ));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match client {
        Some(client) => config.with_client_auth_cert(client.chain, client.key)?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The fingerprint of the certificate a client showed, whose key it has proved to hold.
#[must_use]
pub fn client_fingerprint(connection: &ServerConnection) -> Option<Fingerprint> {
    Fingerprint::of_certificate(connection.peer_certificates()?.first()?).ok()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
