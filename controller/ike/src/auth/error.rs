//! Why a peer was not believed.

/// Why a proof could not be made, or was not believed. For operators: the peer hears AUTHENTICATION_FAILED only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The peer does not have our shared secret.
    #[error("the peer's shared secret is another than ours: compare the two")]
    WrongSecret,
    /// Another kind of proof than the one that this peer has to give.
    #[error("the peer proved itself by method {0}, which is not the one configured for it")]
    Method(u8),
    /// The signature does not fit what was signed, or the key.
    #[error("the peer's signature is wrong: it has another key, or someone changed the messages")]
    WrongSignature,
    /// A signature by an algorithm that the key is not for, or that we do not know.
    #[error("the peer signed with an algorithm that does not fit its key")]
    Algorithm,
    /// A hash that one side did not announce.
    #[error("the two sides have no hash for signatures in common (RFC 7427)")]
    NoCommonHash,
    /// Certificates are needed and none came.
    #[error("the peer sent no certificate")]
    NoCertificate,
    /// More or longer certificates than are read.
    #[error("the peer's certificates are too many or too long: at most 4 of 16 KiB each")]
    ChainTooLong,
    /// Valid in the past.
    #[error("a certificate of the peer has expired, or our clock is wrong")]
    Expired,
    /// Valid in the future.
    #[error("a certificate of the peer is not valid yet, or our clock is wrong")]
    NotYetValid,
    /// No path to one of our authorities.
    #[error("no authority that we trust issued the peer's certificate")]
    UnknownIssuer,
    /// A certificate for other purposes.
    #[error("the peer's certificate may not be used for signatures, or not for IKE")]
    Purpose,
    /// Anything else that is wrong with a certificate.
    #[error("the peer's certificate is not acceptable: {0}")]
    Certificate(webpki::Error),
    /// The certificate is in order, but somebody else's.
    #[error("the peer's certificate does not name {0}")]
    OtherIdentity(String),
    /// A key of ours, or one configured for a peer, is none.
    #[error("not an Ed25519 or P-256 key: {0}")]
    BadKey(&'static str),
    /// A certificate configured as authority is none.
    #[error("authority number {0} is not a certificate")]
    BadAnchor(usize),
    /// The library refused to sign.
    #[error("the cryptographic library failed to sign")]
    Library,
}

impl From<webpki::Error> for AuthError {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::CertExpired { .. } => Self::Expired,
            Error::CertNotValidYet { .. } => Self::NotYetValid,
            Error::UnknownIssuer => Self::UnknownIssuer,
            Error::RequiredEkuNotFoundContext(_) => Self::Purpose,
            other => Self::Certificate(other),
        }
    }
}
