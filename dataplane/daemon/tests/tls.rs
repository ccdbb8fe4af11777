//! P4Runtime over TCP: mutual TLS or nothing.

mod common;

use common::controller::Controller;
use common::{Lab, is_root};
use kith_p4runtime::client::Address;
use kith_p4runtime::service::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};

/// An authority with its files in a folder.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str, folder: &Path) -> Self {
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(file(folder, name, "pem"), issuer.pem()).unwrap();
        Self(issuer)
    }

    /// A certificate for this name, and its key.
    fn issue(&self, name: &str, folder: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.into()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(file(folder, name, "pem"), certificate.pem()).unwrap();
        kith_api::config::write_private(&file(folder, name, "key"), &key.serialize_pem()).unwrap();
    }
}

fn file(folder: &Path, name: &str, kind: &str) -> PathBuf {
    folder.join(format!("{name}.{kind}"))
}

fn files(folder: &Path, name: &str, authority: &str) -> TlsFiles {
    TlsFiles {
        certificate: file(folder, name, "pem"),
        key: file(folder, name, "key"),
        authority: file(folder, authority, "pem"),
    }
}

#[test]
fn who_has_a_certificate_of_the_authority_gets_in_and_nobody_else() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    let folder = lab.folder.path().to_owned();
    let (ours, theirs) = (Authority::new("ours", &folder), Authority::new("theirs", &folder));
    ours.issue("127.0.0.1", &folder);
    ours.issue("controller", &folder);
    theirs.issue("stranger", &folder);
    // The dataplane's namespace has a loopback of its own.
    let tls = "tcp: { listen: \"127.0.0.1:9559\", certificate: 127.0.0.1.pem, key: 127.0.0.1.key, client_ca: ours.pem }";
    lab.configure("device_id: 7", &format!("device_id: 7, {tls}"));
    lab.start_with_loopback();
    let address = |files| Address::Tls("127.0.0.1:9559".into(), files);
    let good = address(files(&folder, "controller", "ours"));
    let strangers = [
        address(files(&folder, "stranger", "ours")),
        // It is not the dataplane that this one trusts.
        address(files(&folder, "controller", "theirs")),
        Address::Plain("127.0.0.1:9559".into()),
    ];
    let refused = lab.inside_dataplane(move || {
        let mut controller = Controller::to(&good, 5).unwrap();
        controller.act_as_director();
        strangers.map(|address| Controller::to(&address, 6).is_err())
    });
    assert_eq!(refused, [true; 3]);
    let status = lab.stats().status().unwrap();
    assert_eq!(
        status.endpoint,
        kith_api::stats::Endpoint::Director(common::DIRECTOR)
    );
}
