//! TCP with mutual TLS 1.3: who has no certificate of the authority is no client.

mod common;

use kith_p4runtime::client::{Address, Client};
use kith_p4runtime::service::{Config, Service, TlsFiles, serve_tcp};
use kith_p4runtime::target::{Memory, Store};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate, key and believed authority as files.
fn files(dir: &Path, name: &str, from: &Authority, believes: &Authority) -> TlsFiles {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, from).unwrap();
    let write = |end: &str, text: String| {
        let path = dir.join(format!("{name}.{end}"));
        std::fs::write(&path, text).unwrap();
        path
    };
    TlsFiles {
        certificate: write("crt", certificate.pem()),
        key: write("key", key.serialize_pem()),
        authority: write("ca", believes.pem()),
    }
}

#[tokio::test]
async fn only_certificates_of_the_authority_count() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, strangers) = (authority(), authority());
    let server = files(dir.path(), "server", &ours, &ours);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = Service::new(
        Arc::new(Store::new(Memory::new(4), &[]).unwrap()),
        Config::default(),
    );
    tokio::spawn(async move {
        serve_tcp(service, listener, &server, std::future::pending())
            .await
            .unwrap()
    });

    // A client that connects and says nothing is in nobody's way.
    let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connect = |files: TlsFiles| async move {
        let address = Address::parse(&format!("https://localhost:{port}"), Some(files)).unwrap();
        let mut client = Client::connect(&address, 1).await?;
        client.api_version().await
    };
    assert_eq!(
        connect(files(dir.path(), "good", &ours, &ours)).await.unwrap(),
        "1.4.1"
    );
    assert!(
        connect(files(dir.path(), "stranger", &strangers, &ours))
            .await
            .is_err(),
        "a stranger's certificate"
    );
    assert!(
        connect(files(dir.path(), "fooled", &ours, &strangers))
            .await
            .is_err(),
        "a server not believed"
    );

    let plain = Address::parse(&format!("http://localhost:{port}"), None).unwrap();
    let answered = async { Client::connect(&plain, 1).await?.api_version().await };
    assert!(answered.await.is_err(), "nothing in the clear");
    let mut garbage = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    garbage.write_all(&[0xff; 2000]).await.unwrap();
    let mut answer = Vec::new();
    let _ = garbage.read_to_end(&mut answer).await;
    assert!(
        answer.len() < 2000,
        "less comes back than went there: {}",
        answer.len()
    );
    assert_eq!(
        connect(files(dir.path(), "again", &ours, &ours)).await.unwrap(),
        "1.4.1",
        "it goes on"
    );
}
