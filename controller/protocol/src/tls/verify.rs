//! Who is believed: the manager with the pinned key, any client that holds the key of the certificate it shows.
//!
//! Both check the handshake's signature with rustls' own functions: a certificate alone proves nothing, everybody has it.

use super::Fingerprint;
use super::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use super::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use super::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use super::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use super::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use subtle::ConstantTimeEq;

/// The part that rustls asks of verifiers of both sides in the same words: the handshake's signature, in TLS 1.3 and in nothing older.
macro_rules! tls13_only {
    ($algorithms:ident) => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.$algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$algorithms.supported_schemes()
        }
    };
}

/// The manager's key is the one that was pinned.
#[derive(Debug)]
pub(super) struct Pinned {
    fingerprint: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(fingerprint: Fingerprint, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self {
            fingerprint,
            algorithms,
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint::of_certificate(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if shown.0.ct_eq(&self.fingerprint.0).into() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    tls13_only!(algorithms);
}

/// Any client, with a certificate or without.
#[derive(Debug)]
pub(super) struct AnyClient {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Whose it is, and until when it is good, is looked up by its fingerprint later.
        match Fingerprint::of_certificate(certificate) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(_) => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    tls13_only!(algorithms);
}
