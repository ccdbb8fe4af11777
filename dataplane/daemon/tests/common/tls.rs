//! Certificates of a lab's own, and a dataplane that takes controllers who have one.

use super::Lab;
use kith_p4runtime::service::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};

/// Where the dataplane of [`serve`] listens, in its own namespace.
pub const ADDRESS: &str = "127.0.0.1:9559";

/// Starts a dataplane that takes who has a certificate of `ours`; gives that authority.
pub fn serve(lab: &mut Lab) -> Authority {
    let folder = lab.folder.path().to_owned();
    let ours = Authority::new("ours", &folder);
    ours.issue("127.0.0.1", &folder);
    let files = "certificate: 127.0.0.1.pem, key: 127.0.0.1.key, client_ca: ours.pem";
    let tcp = format!("device_id: 7, tcp: {{ listen: \"{ADDRESS}\", {files} }}");
    lab.configure("device_id: 7", &tcp);
    lab.start_with_loopback();
    ours
}

/// An authority with its files in a folder.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str, folder: &Path) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(file(folder, name, "pem"), issuer.pem()).unwrap();
        Self(issuer)
    }

    /// A certificate for this name, and its key.
    pub fn issue(&self, name: &str, folder: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = named(name);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(file(folder, name, "pem"), certificate.pem()).unwrap();
        kith_api::config::write_private(&file(folder, name, "key"), &key.serialize_pem()).unwrap();
    }
}

/// A file that an authority made: `pem` or `key`.
pub fn file(folder: &Path, name: &str, kind: &str) -> PathBuf {
    folder.join(format!("{name}.{kind}"))
}

/// What somebody shows, and whom he trusts.
pub fn files(folder: &Path, name: &str, authority: &str) -> TlsFiles {
    TlsFiles {
        certificate: file(folder, name, "pem"),
        key: file(folder, name, "key"),
        authority: file(folder, authority, "pem"),
    }
}

/// Each has a name of its own: a certificate whose subject is its issuer's would pass for self-signed.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
