//! Certificates: a path to an authority of ours, and the peer's name in it (RFC 5280, RFC 4945).
//!
//! **Idea.** Path, times, constraints and purposes are webpki's. The name is compared here, in the same octets that webpki has
//! verified: exactly, without wildcards, because a certificate that speaks for many members speaks for none.

use super::error::AuthError;
use super::signature::PublicKey;
use crate::codec::Identity;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    RequiredEkuNotFoundContext, anchor_from_trusted_cert,
};

/// Certificates in a chain at most.
pub const MAX_CHAIN: usize = 4; // RFC 7296 3.6: as many have to be taken.
/// Octets of a certificate at most.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

/// serverAuth, clientAuth (RFC 5280 4.2.1.12), ipsecIKE (RFC 4945 5.1.3.12), any purpose.
const PURPOSES: [&[usize]; 4] = [
    &[1, 3, 6, 1, 5, 5, 7, 3, 1],
    &[1, 3, 6, 1, 5, 5, 7, 3, 2],
    &[1, 3, 6, 1, 5, 5, 7, 3, 17],
    &[2, 5, 29, 37, 0],
];
/// 1.3.6.1.5.5.7.3.17 as DER has it.
const IPSEC_IKE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 17];
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.29.15
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const EXTENSIONS: u8 = 0xa3;
const RFC822_NAME: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// Authorities whose certificates are believed.
pub struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    key_ids: Vec<[u8; 20]>,
}

impl Anchors {
    /// From certificates, DER.
    ///
    /// # Errors
    /// [`AuthError::BadAnchor`] with the position of the first that is none.
    pub fn from_der(certificates: &[Vec<u8>]) -> Result<Self, AuthError> {
        let anchor = |(index, der): (usize, &Vec<u8>)| {
            if der.len() > MAX_CERTIFICATE {
                return Err(AuthError::BadAnchor(index));
            }
            anchor_from_trusted_cert(&CertificateDer::from(der.as_slice()))
                .map(|anchor| anchor.to_owned())
                .map_err(|_| AuthError::BadAnchor(index))
        };
        let anchors: Vec<_> = certificates
            .iter()
            .enumerate()
            .map(anchor)
            .collect::<Result<_, _>>()?;
        let key_ids = anchors.iter().map(key_id).collect();
        Ok(Self { anchors, key_ids })
    }

    /// Hashes of their public keys, for a certificate request of encoding 4 (RFC 7296 3.7).
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        self.key_ids.concat()
    }

    /// The key of the first certificate of `chain`, once there is a path from it to an authority at the time `now` and it
    /// names `peer`.
    pub(super) fn verify(
        &self,
        chain: &[Vec<u8>],
        peer: &Identity,
        now: u64,
    ) -> Result<PublicKey, AuthError> {
        let (leaf, others) = chain.split_first().ok_or(AuthError::NoCertificate)?;
        if chain.len() > MAX_CHAIN
            || chain
                .iter()
                .any(|certificate| certificate.len() > MAX_CERTIFICATE)
        {
            return Err(AuthError::ChainTooLong);
        }
        let der = CertificateDer::from(leaf.as_slice());
        let certificate = EndEntityCert::try_from(&der)?;
        let others: Vec<_> = others
            .iter()
            .map(|other| CertificateDer::from(other.as_slice()))
            .collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        certificate.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &self.anchors,
            &others,
            now,
            Purposes,
            None,
            None,
        )?;
        let bad = || AuthError::Certificate(Error::BadDer);
        if !may_sign(extension(leaf, KEY_USAGE).ok_or_else(bad)?) {
            return Err(AuthError::Purpose);
        }
        let named = match peer {
            // RFC 4945 3.1.5: the whole subject, octet for octet.
            Identity::DerDn(name) => *name == sequence(certificate.subject()),
            other => names(
                extension(leaf, SUBJECT_ALT_NAME)
                    .ok_or_else(bad)?
                    .unwrap_or_default(),
                other,
            ),
        };
        if !named {
            return Err(AuthError::OtherIdentity(peer.to_string()));
        }
        PublicKey::from_octets(&certificate.subject_public_key_info())
    }
}

/// SHA-1 of the public key as RFC 7296 3.7 wants it: a name for it, not a protection.
fn key_id(anchor: &TrustAnchor<'_>) -> [u8; 20] {
    let id = digest::digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        &sequence(&anchor.subject_public_key_info),
    );
    id.as_ref()
        .try_into()
        .unwrap_or_else(|_| unreachable!("SHA-1 gives 20 octets"))
}

/// A sequence around `inside`: webpki keeps only that of names and keys.
fn sequence(inside: &[u8]) -> Vec<u8> {
    let length = u16::try_from(inside.len()).unwrap_or_else(|_| unreachable!("certificates are shorter"));
    let [a, b] = length.to_be_bytes();
    let start: &[u8] = match length {
        0..=0x7f => &[SEQUENCE, b],
        0x80..=0xff => &[SEQUENCE, 0x81, b],
        _ => &[SEQUENCE, 0x82, a, b],
    };
    [start, inside].concat()
}

/// RFC 4945 5.1.3.12: no extended key usage, or one that fits.
struct Purposes;

impl ExtendedKeyUsageValidator for Purposes {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let present = purposes
            .map(|purpose| Ok(purpose?.to_decoded_oid()))
            .collect::<Result<Vec<_>, Error>>()?;
        if present.is_empty()
            || present
                .iter()
                .any(|purpose| PURPOSES.contains(&purpose.as_slice()))
        {
            return Ok(());
        }
        let required = webpki::KeyUsage::required(IPSEC_IKE);
        Err(Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext {
            required,
            present,
        }))
    }
}

/// RFC 4945 5.1.3.2: if there is a key usage, it has digitalSignature (bit 0) or nonRepudiation (bit 1).
fn may_sign(usage: Option<&[u8]>) -> bool {
    let Some(usage) = usage else { return true };
    matches!(Der(usage).take(), Some((BIT_STRING, [_, bits, ..], _)) if bits & 0xc0 != 0)
}

/// Whether a subject alternative name is this one.
fn names(alternatives: &[u8], peer: &Identity) -> bool {
    let Some((SEQUENCE, names, _)) = Der(alternatives).take() else {
        return false;
    };
    let mut names = Der(names);
    while let Some((tag, name, rest)) = names.take() {
        let same = match peer {
            Identity::Fqdn(peer) => tag == DNS_NAME && name.eq_ignore_ascii_case(peer.as_bytes()),
            Identity::Email(peer) => tag == RFC822_NAME && name == peer.as_bytes(),
            Identity::Ipv4(peer) => tag == IP_ADDRESS && name == peer.octets(),
            Identity::Ipv6(peer) => tag == IP_ADDRESS && name == peer.octets(),
            Identity::DerDn(_) | Identity::KeyId(_) | Identity::Other(..) => false,
        };
        if same {
            return true;
        }
        names = rest;
    }
    false
}

/// The value of an extension of a certificate: none if it has no such, and nothing at all if it is not a certificate.
fn extension<'a>(certificate: &'a [u8], wanted: &[u8]) -> Option<Option<&'a [u8]>> {
    let (_, certificate, _) = Der(certificate).take()?;
    let (_, signed, _) = Der(certificate).take()?;
    let mut fields = Der(signed);
    let extensions = loop {
        match fields.take() {
            Some((EXTENSIONS, extensions, _)) => break extensions,
            Some((_, _, rest)) => fields = rest,
            None => return Some(None),
        }
    };
    let (_, list, _) = Der(extensions).take()?;
    let mut list = Der(list);
    while let Some((_, extension, rest)) = list.take() {
        let (tag, name, mut after) = Der(extension).take()?;
        if tag == OID && name == wanted {
            // Past "critical", if it is there.
            loop {
                match after.take()? {
                    (OCTET_STRING, value, _) => return Some(Some(value)),
                    (_, _, rest) => after = rest,
                }
            }
        }
        list = rest;
    }
    Some(None)
}

/// DER, one element after the other.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: tag, content, what follows. Lengths of at most 65,535 octets, tags of one octet: webpki takes no others.
    fn take(self) -> Option<(u8, &'a [u8], Self)> {
        let (length, start) = match self.0 {
            [_, short @ 0..=0x7f, ..] => (usize::from(*short), 2),
            [_, 0x81, length, ..] => (usize::from(*length), 3),
            [_, 0x82, a, b, ..] => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            _ => return None,
        };
        let (content, rest) = self.0[start..].split_at_checked(length)?;
        Some((self.0[0], content, Self(rest)))
    }
}
