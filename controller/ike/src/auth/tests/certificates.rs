//! Certificates: which paths, times, purposes and names are taken.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Eku, IsCa, KeyUsagePurpose, SanType, date_time_ymd,
};

/// An authority, and what it issues.
struct Issuer(CertifiedIssuer<'static, KeyPair>);

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf() -> CertificateParams {
    let mut params = params("alice");
    let dns = "alice.example".try_into().unwrap_or_else(|e| panic!("{e}"));
    let email = "alice@example.org".try_into().unwrap_or_else(|e| panic!("{e}"));
    params.subject_alt_names = vec![
        SanType::Rfc822Name(email),
        SanType::DnsName(dns),
        SanType::IpAddress([192, 0, 2, 7].into()),
        SanType::IpAddress([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into()),
    ];
    params
}

impl Issuer {
    fn root() -> Self {
        Self::named("root")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap_or_else(|e| panic!("{e}"));
        Self(CertifiedIssuer::self_signed(authority(name), key).unwrap_or_else(|e| panic!("{e}")))
    }

    fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap_or_else(|e| panic!("{e}"));
        Self(CertifiedIssuer::signed_by(authority(name), key, &self.0).unwrap_or_else(|e| panic!("{e}")))
    }

    fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    fn trusted(&self) -> PeerProof {
        PeerProof::Certificate(Arc::new(
            Anchors::from_der(&[self.der()]).unwrap_or_else(|e| panic!("{e}")),
        ))
    }

    /// A proof with a certificate of ours, and the certificate.
    fn issue(
        &self,
        params: &CertificateParams,
        algorithm: &'static SignatureAlgorithm,
    ) -> ((u8, Vec<u8>), Vec<u8>) {
        let pair = KeyPair::generate_for(algorithm).unwrap_or_else(|e| panic!("{e}"));
        let certificate = params
            .signed_by(&pair, &self.0)
            .unwrap_or_else(|e| panic!("{e}"))
            .der()
            .to_vec();
        let key = SigningKey::from_pkcs8(&pair.serialize_der()).unwrap_or_else(|e| panic!("{e}"));
        let own = OwnProof::Signature {
            key: Arc::new(key),
            chain: vec![certificate.clone()],
        };
        (prove(&own, HASHES), certificate)
    }
}

/// Whether a certificate of a trusted authority is taken for `peer` at `now`.
fn outcome(params: &CertificateParams, peer: &Identity, now: u64) -> Result<(), AuthError> {
    let root = Issuer::root();
    let ((method, data), certificate) = root.issue(params, &PKCS_ED25519);
    root.trusted()
        .check(peer, method, &data, OCTETS, PRF, &[certificate], HASHES, now)
}

#[test]
fn who_has_a_certificate_in_its_name_is_believed() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let root = Issuer::root();
        let (proof, certificate) = root.issue(&leaf(), algorithm);
        let check = |octets| {
            root.trusted().check(
                &alice(),
                proof.0,
                &proof.1,
                octets,
                PRF,
                std::slice::from_ref(&certificate),
                HASHES,
                NOW,
            )
        };
        assert_eq!(check(OCTETS), Ok(()));
        assert_eq!(check(b"something else"), Err(AuthError::WrongSignature));
    }
}

#[test]
fn a_certificate_is_for_whom_it_names_and_nobody_else() {
    let fqdn = |name: &str| Identity::Fqdn(name.into());
    let email = |name: &str| Identity::Email(name.into());
    // SEQUENCE, SET, SEQUENCE, commonName, UTF8String "alice".
    let dn = b"\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05alice".to_vec();
    let v6 = |last: u16| Identity::Ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into());
    for named in [
        fqdn("alice.example"),
        fqdn("ALICE.example"),
        email("alice@example.org"),
        Identity::Ipv4([192, 0, 2, 7].into()),
        v6(7),
        Identity::DerDn(dn.clone()),
    ] {
        assert_eq!(outcome(&leaf(), &named, NOW), Ok(()), "{named}");
    }
    for other in [
        fqdn("bob.example"),
        fqdn("alice.example.org"),
        fqdn("alice"),
        fqdn("alice@example.org"),
        email("alice.example"),
        email("Alice@example.org"),
        Identity::Ipv4([192, 0, 2, 8].into()),
        v6(8),
        Identity::DerDn(dn[..17].to_vec()),
        Identity::DerDn([&dn[..], &[0]].concat()),
        Identity::DerDn(Vec::new()),
        Identity::KeyId(b"alice".to_vec()),
        Identity::Other(12, b"alice.example".to_vec()),
    ] {
        assert_eq!(
            outcome(&leaf(), &other, NOW),
            Err(AuthError::OtherIdentity(other.to_string()))
        );
    }
}

#[test]
fn a_wildcard_names_nobody() {
    let mut params = leaf();
    let any = "*.example".try_into().unwrap_or_else(|e| panic!("{e}"));
    params.subject_alt_names = vec![SanType::DnsName(any)];
    assert!(matches!(
        outcome(&params, &alice(), NOW),
        Err(AuthError::OtherIdentity(_))
    ));
    params.subject_alt_names = Vec::new();
    assert!(matches!(
        outcome(&params, &alice(), NOW),
        Err(AuthError::OtherIdentity(_))
    ));
}

#[test]
fn a_certificate_holds_in_its_time_only() {
    const YEAR: u64 = 365 * 24 * 3600;
    assert_eq!(outcome(&leaf(), &alice(), NOW + YEAR), Err(AuthError::Expired));
    assert_eq!(
        outcome(&leaf(), &alice(), NOW - YEAR),
        Err(AuthError::NotYetValid)
    );
    assert_eq!(outcome(&leaf(), &alice(), 0), Err(AuthError::NotYetValid));
}

/// RFC 4945 5.1.3.2, 5.1.3.12.
#[test]
fn a_certificate_serves_its_purpose_only() {
    let with = |usage: &[KeyUsagePurpose], purposes: &[Eku]| {
        let mut params = leaf();
        params.key_usages = usage.to_vec();
        params.extended_key_usages = purposes.to_vec();
        outcome(&params, &alice(), NOW)
    };
    let ipsec = Eku::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 17]);
    for purposes in [
        &[][..],
        &[Eku::ServerAuth],
        &[Eku::ClientAuth],
        &[Eku::CodeSigning, ipsec],
        &[Eku::Any],
    ] {
        assert_eq!(
            with(&[KeyUsagePurpose::DigitalSignature], purposes),
            Ok(()),
            "{purposes:?}"
        );
    }
    assert_eq!(with(&[KeyUsagePurpose::ContentCommitment], &[]), Ok(()));
    assert_eq!(
        with(&[KeyUsagePurpose::KeyAgreement], &[]),
        Err(AuthError::Purpose)
    );
    assert_eq!(with(&[], &[Eku::CodeSigning]), Err(AuthError::Purpose));
}

#[test]
fn a_chain_leads_to_an_authority_of_ours() {
    let root = Issuer::root();
    let one = root.below("one");
    let two = one.below("two");
    let ((method, data), certificate) = two.issue(&leaf(), &PKCS_ED25519);
    let check = |proof: &PeerProof, chain: &[Vec<u8>]| {
        proof.check(&alice(), method, &data, OCTETS, PRF, chain, HASHES, NOW)
    };
    let chain = [certificate.clone(), two.der(), one.der()];
    assert_eq!(check(&root.trusted(), &chain), Ok(()));
    assert_eq!(
        check(&root.trusted(), &[certificate.clone(), one.der(), two.der()]),
        Ok(()),
        "in any order"
    );
    assert_eq!(check(&two.trusted(), &chain[..1]), Ok(()));
    assert_eq!(check(&root.trusted(), &chain[..2]), Err(AuthError::UnknownIssuer));
    assert_eq!(
        check(&Issuer::named("other").trusted(), &chain),
        Err(AuthError::UnknownIssuer)
    );
    let namesake = check(&Issuer::root().trusted(), &chain);
    assert_eq!(
        namesake,
        Err(AuthError::Certificate(
            webpki::Error::InvalidSignatureForPublicKey
        ))
    );
    assert_eq!(check(&root.trusted(), &[]), Err(AuthError::NoCertificate));
    let long = [&chain[..], &[root.der(), root.der()]].concat();
    assert_eq!(check(&root.trusted(), &long), Err(AuthError::ChainTooLong));
    assert_eq!(
        check(&root.trusted(), &[certificate, vec![0; MAX_CERTIFICATE + 1]]),
        Err(AuthError::ChainTooLong)
    );
    // The signature is by the leaf's key, not by that of any certificate shown.
    let other = two.issue(&leaf(), &PKCS_ED25519).1;
    assert_eq!(
        check(&root.trusted(), &[other, two.der(), one.der()]),
        Err(AuthError::WrongSignature)
    );
}

/// A member cannot issue for another.
#[test]
fn a_leaf_is_no_authority() {
    let root = Issuer::root();
    let key = KeyPair::generate().unwrap_or_else(|e| panic!("{e}"));
    let mallory =
        CertifiedIssuer::signed_by(params("mallory"), key, &root.0).unwrap_or_else(|e| panic!("{e}"));
    let mallory = Issuer(mallory);
    let ((method, data), certificate) = mallory.issue(&leaf(), &PKCS_ED25519);
    let refused = root.trusted().check(
        &alice(),
        method,
        &data,
        OCTETS,
        PRF,
        &[certificate, mallory.der()],
        HASHES,
        NOW,
    );
    assert!(
        matches!(refused, Err(AuthError::Certificate(_) | AuthError::UnknownIssuer)),
        "{refused:?}"
    );
}

#[test]
fn rubbish_is_no_certificate() {
    let root = Issuer::root();
    let ((method, data), certificate) = root.issue(&leaf(), &PKCS_ED25519);
    for length in 0..certificate.len() {
        let chain = [certificate[..length].to_vec()];
        let refused = root
            .trusted()
            .check(&alice(), method, &data, OCTETS, PRF, &chain, HASHES, NOW);
        assert!(
            matches!(refused, Err(AuthError::Certificate(_))),
            "{length} octets: {refused:?}"
        );
    }
    assert_eq!(
        Anchors::from_der(&[root.der(), vec![1, 2, 3]]).map(|_| ()),
        Err(AuthError::BadAnchor(1))
    );
}

/// RFC 7296 3.7.
#[test]
fn a_request_names_the_authorities_by_their_keys() {
    let capture = include_str!("../../golden/strongswan-ecdsa.txt");
    let line = |name: &str| {
        let hex = capture
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{name}"));
        HEXLOWER.decode(hex.as_bytes()).unwrap_or_else(|e| panic!("{e}"))
    };
    let request = Anchors::from_der(&[line("ca = ")])
        .unwrap_or_else(|e| panic!("{e}"))
        .request();
    let responder = line("responder_init = ");
    let Ok(crate::codec::Body::Clear(payloads)) = crate::codec::parse(&responder).map(|d| d.body) else {
        panic!("sealed")
    };
    assert!(payloads.contains(&Payload::CertificateRequest {
        encoding: 4,
        data: request
    }));
}
