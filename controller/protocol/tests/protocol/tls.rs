//! Real handshakes over loopback: with the pinned key, and with nobody else.

use kith_protocol::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use kith_protocol::tls::rustls::{self, ClientConfig, ServerConfig};
use kith_protocol::tls::{
    ClientCertificate, Dial, Fingerprint, client_fingerprint, pinned, server_config, unix,
};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::Status;
use tonic::transport::{Channel, Server};

struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    fingerprint: Fingerprint,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["kith".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let fingerprint = Fingerprint::of_certificate(&certificate).expect("a certificate");
    Identity {
        certificate,
        key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key"),
        fingerprint,
    }
}

/// Both ends of a handshake: what the server saw of the client, and whether the client was content.
async fn handshake(
    server: ServerConfig,
    client: ClientConfig,
) -> (io::Result<Option<Fingerprint>>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let at = listener.local_addr().expect("bound");
    let accept = async {
        let (stream, _) = listener.accept().await?;
        let stream = TlsAcceptor::from(Arc::new(server)).accept(stream).await?;
        assert_eq!(
            stream.get_ref().1.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        Ok(client_fingerprint(stream.get_ref().1))
    };
    let connect = async {
        let stream = TcpStream::connect(at).await?;
        let name = ServerName::try_from("whatever.example").expect("a name");
        TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await
            .map(drop)
    };
    tokio::join!(accept, connect)
}

fn serving(with: Identity) -> ServerConfig {
    server_config(with.certificate, with.key).expect("fits")
}

#[tokio::test]
async fn the_pinned_key_is_believed_whatever_its_name() {
    let manager = identity();
    let client = pinned(manager.fingerprint, None).expect("good");
    let (server, client) = handshake(serving(manager), client).await;
    assert_eq!(server.expect("accepted"), None);
    client.expect("content");
}

#[tokio::test]
async fn another_key_is_refused() {
    let client = pinned(identity().fingerprint, None).expect("good");
    let (server, client) = handshake(serving(identity()), client).await;
    let why = client.expect_err("another key").to_string();
    assert!(why.contains("invalid peer certificate"), "{why}");
    assert!(server.is_err());
}

#[derive(Debug)]
struct OneCertificate(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for OneCertificate {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The certificate is public; only its key proves anything.
#[tokio::test]
async fn the_pinned_certificate_without_its_key_is_refused() {
    let (manager, thief) = (identity(), identity());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(thief.key).expect("a key");
    let stolen = rustls::sign::CertifiedKey::new(vec![manager.certificate], key);
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(OneCertificate(Arc::new(stolen))));
    let (_, client) = handshake(server, pinned(manager.fingerprint, None).expect("good")).await;
    let why = client.expect_err("no key").to_string();
    assert!(why.contains("BadSignature"), "{why}");
}

#[tokio::test]
async fn tls_1_2_is_refused_by_either_side() {
    let (manager, provider) = (
        identity(),
        Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
    );
    let mut roots = rustls::RootCertStore::empty();
    roots.add(manager.certificate.clone()).expect("a certificate");
    let old = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("TLS 1.2 is compiled in for this test")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let fingerprint = manager.fingerprint;
    let (server, client) = handshake(serving(manager), old).await;
    assert!(
        client.expect_err("old").to_string().contains("ProtocolVersion"),
        "the manager says why"
    );
    assert!(server.is_err());

    let manager = identity();
    let old = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("TLS 1.2")
        .with_no_client_auth()
        .with_single_cert(vec![manager.certificate], manager.key)
        .expect("fits");
    let (server, client) = handshake(old, pinned(fingerprint, None).expect("good")).await;
    assert!(server.is_err() && client.is_err());
}

#[tokio::test]
async fn a_client_certificate_is_welcome_and_known_by_its_key() {
    let (manager, operator) = (identity(), identity());
    let shown = ClientCertificate {
        chain: vec![operator.certificate],
        key: operator.key,
    };
    let client = pinned(manager.fingerprint, Some(shown)).expect("good");
    let (server, client) = handshake(serving(manager), client).await;
    client.expect("content");
    assert_eq!(server.expect("accepted"), Some(operator.fingerprint));
}

#[test]
fn a_certificate_renewed_with_the_same_key_has_the_same_fingerprint() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let print = |name: &str| {
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        Fingerprint::of_certificate(params.self_signed(&key).expect("signs").der()).expect("a certificate")
    };
    assert_eq!(print("old.example"), print("new.example"));
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    assert_eq!(print("old.example"), Fingerprint::of_spki(&spki));
    assert!(Fingerprint::of_certificate(&CertificateDer::from(vec![0x30, 0x00])).is_err());
}

#[test]
fn fingerprints_are_read_as_they_are_shown() {
    let print = Fingerprint([0xab; 32]);
    assert_eq!(print.to_string(), format!("sha256:{}", "ab".repeat(32)));
    assert_eq!(print.to_string().parse(), Ok(print));
    assert_eq!(print.to_string().replace("ab", "AB").parse(), Ok(print));
    for wrong in [
        "",
        "sha256:",
        "ab",
        &format!("sha256:{}", "ab".repeat(31)),
        &format!("sha1:{}", "ab".repeat(32)),
    ] {
        assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
    }
}

type Request = tonic::codegen::http::Request<tonic::body::Body>;

/// A gRPC server that answers one thing to all.
async fn answer<IO>(stream: IO)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let incoming = tokio_stream::once(Ok::<_, io::Error>(theirs));
    let service = tower::service_fn(|_: Request| async {
        Ok::<_, std::convert::Infallible>(Status::aborted("it is me").into_http::<tonic::body::Body>())
    });
    let serve = Server::builder().serve_with_incoming(service, incoming);
    let (mut stream, mut ours) = (stream, ours);
    let _ = tokio::join!(serve, tokio::io::copy_bidirectional(&mut stream, &mut ours));
}

async fn call(channel: Channel) -> Status {
    let mut client = kith_protocol::admin::admin_client::AdminClient::new(channel);
    client
        .get_status(kith_protocol::admin::Empty {})
        .await
        .expect_err("all it answers")
}

#[tokio::test]
async fn calls_go_over_the_pinned_connection() {
    let manager = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let SocketAddr::V4(at) = listener.local_addr().expect("bound") else {
        unreachable!("IPv4 was bound")
    };
    let dial = Dial::new("127.0.0.1", at.port(), manager.fingerprint);
    let acceptor = TlsAcceptor::from(Arc::new(serving(manager)));
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(answer(stream));
            }
        }
    });
    let channel = dial.connect().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(call(channel).await.message(), "it is me");

    let wrong = Dial {
        fingerprint: Fingerprint([0; 32]),
        ..dial
    };
    let why = wrong
        .connect()
        .await
        .err()
        .map(|error| error.to_string())
        .expect("another key");
    assert!(
        why.contains("cannot reach the manager at 127.0.0.1:") && why.contains("invalid peer certificate"),
        "{why}"
    );
    server.abort();
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let quick = Duration::from_millis(100);
    let dial = Dial {
        connect_timeout: quick,
        ..Dial::new("127.0.0.1", port, Fingerprint([0; 32]))
    };
    let outcome = tokio::time::timeout(Duration::from_secs(5), dial.connect())
        .await
        .expect("gives up by itself");
    assert!(outcome.is_err(), "nobody speaks TLS there");
    let nobody = Dial::new("not a name", 443, Fingerprint([0; 32])).connect().await;
    assert!(
        nobody
            .err()
            .is_some_and(|error| error.to_string().contains("neither a host name nor an address"))
    );
}

#[tokio::test]
async fn operators_on_the_same_machine_take_the_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.sock");
    assert!(
        unix(&path)
            .await
            .is_err_and(|error| error.to_string().contains("admin.sock"))
    );
    let listener = UnixListener::bind(&path).expect("binds");
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        answer(stream).await;
    });
    let channel = unix(&path).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(call(channel).await.message(), "it is me");
    server.abort();
}
