//! The manager's own key and certificate: made once, kept in the store, known to members by its fingerprint.
//!
//! Nobody signs it: an invitation carries the SHA-256 of its public key, and that alone is believed. It never expires; whoever has the
//! store's file has the key, as well as all the rest.

use kith_protocol::records;
use kith_store::{Compare, Condition, Key, Operation, Store, StoreError, Transaction};
use prost::Message;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::{Zeroize, Zeroizing};

/// Where it stands in the store.
pub const KEY: &str = "manager/identity";
/// What the certificate is for; nobody compares it, but TLS wants a name.
const NAME: &str = "manager.kith";
/// Made and found by another meanwhile: so often it is looked for again.
const TRIES: usize = 3;

/// What TLS is served with.
pub struct Identity {
    key: Zeroizing<Vec<u8>>,
    certificate: Vec<u8>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    pub fingerprint: [u8; 32],
    /// How members reach the manager: name or address.
    pub public_host: String,
    /// And port.
    pub public_port: u16,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store has is none.
    #[error("the manager's key in the store ({KEY}) cannot be used: {0}; restore a backup")]
    Broken(String),
    /// It cannot be made.
    #[error("no key and certificate can be made: {0}")]
    Make(rcgen::Error),
}

/// The manager's identity; the first time, a new one. `host` and `port` are how members will reach it, unless the store knows better.
pub async fn of_store(store: &dyn Store, host: &str, port: u16) -> Result<Identity, IdentityError> {
    for _ in 0..TRIES {
        if let (Some(entry), _) = store.get(Key::new(KEY)).await? {
            let mut record = records::Identity::decode(&*entry.value)
                .map_err(|error| IdentityError::Broken(error.to_string()))?;
            let key = Zeroizing::new(std::mem::take(&mut record.key));
            return Identity::of(key, record).map_err(|error| IdentityError::Broken(error.to_string()));
        }
        let mut record = make(host, port).map_err(IdentityError::Make)?;
        let created = Transaction {
            conditions: vec![Condition {
                key: Key::new(KEY),
                is: Compare::Absent,
            }],
            operations: vec![Operation::put(KEY, record.encode_to_vec())],
        };
        record.key.zeroize();
        match store.transact(created).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(IdentityError::Broken("it comes and goes".into()))
}

fn make(host: &str, port: u16) -> Result<records::Identity, rcgen::Error> {
    let pair = KeyPair::generate()?;
    let mut wanted = CertificateParams::new(vec![NAME.to_owned()])?;
    wanted.distinguished_name = DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, NAME);
    let certificate = wanted.self_signed(&pair)?;
    let mut instance = vec![0; 16];
    aws_lc_rs::rand::fill(&mut instance).map_err(|_| rcgen::Error::RingUnspecified)?;
    Ok(records::Identity {
        key: pair.serialize_der(),
        certificate: certificate.der().to_vec(),
        public_host: host.to_owned(),
        public_port: port.into(),
        instance,
    })
}

/// Keeps another address under which members reach the manager.
pub(super) async fn set_public(store: &dyn Store, host: &str, port: u32) -> Result<(), IdentityError> {
    let (found, _) = store.get(Key::new(KEY)).await?;
    let entry = found.ok_or_else(|| IdentityError::Broken("it is not there".into()))?;
    let mut record =
        records::Identity::decode(&*entry.value).map_err(|error| IdentityError::Broken(error.to_string()))?;
    (record.public_host, record.public_port) = (host.to_owned(), port);
    let changed = Transaction {
        conditions: vec![Condition {
            key: Key::new(KEY),
            is: Compare::ModifiedAt(entry.modified),
        }],
        operations: vec![Operation::put(KEY, record.encode_to_vec())],
    };
    record.key.zeroize();
    store.transact(changed).await?;
    Ok(())
}

impl Identity {
    fn of(key: Zeroizing<Vec<u8>>, record: records::Identity) -> Result<Self, rcgen::Error> {
        let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.as_slice()))?;
        let public = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pair.subject_public_key_info());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(public.as_ref());
        Ok(Self {
            key,
            certificate: record.certificate,
            fingerprint,
            public_host: record.public_host,
            public_port: u16::try_from(record.public_port).unwrap_or(443),
        })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.certificate.clone())
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }
}
