//! The tests' manager behind real TLS on loopback, in a thread of its own.

use super::fake::{FQDN, Fake};
use super::request::{Answer, Call, Failure, Manager};
use futures_util::stream;
use kith_protocol::invitation::Invitation;
use kith_protocol::member::members_server::{Members, MembersServer};
use kith_protocol::member::*;
use kith_protocol::names::Fqdn;
use kith_protocol::tls::rustls::pki_types::PrivateKeyDer;
use kith_protocol::tls::{Fingerprint, server_config};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

/// A running manager.
pub struct Served {
    pub fake: Arc<Mutex<Fake>>,
    pub port: u16,
    pub fingerprint: Fingerprint,
    /// Ends it when dropped.
    _stop: tokio::sync::oneshot::Sender<()>,
}

struct Service(Arc<Mutex<Fake>>);

type Updates = Pin<Box<dyn futures_util::Stream<Item = Result<Update, Status>> + Send>>;

/// Starts it on a free port.
pub fn serve() -> Served {
    let made = rcgen::generate_simple_self_signed(vec!["manager".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let fingerprint = Fingerprint::of_certificate(&certificate).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, key).unwrap()));
    let fake = Arc::new(Mutex::new(Fake::new()));
    let served = fake.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (tell, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            let accept = async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, served) = (acceptor.clone(), served.clone());
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
                        let incoming = stream::iter([Ok::<_, std::io::Error>(ours)]);
                        let server = Server::builder()
                            .serve_with_incoming(MembersServer::new(Service(served)), incoming);
                        let _ends =
                            tokio::join!(server, tokio::io::copy_bidirectional(&mut stream, &mut theirs));
                    });
                }
            };
            tokio::select! {
                () = accept => {}
                _ = stopped => {}
            }
        });
    });
    Served {
        fake,
        port: port.recv().unwrap(),
        fingerprint,
        _stop: stop,
    }
}

impl Served {
    pub fn invitation(&self) -> Invitation {
        Invitation {
            host: "127.0.0.1".into(),
            port: self.port,
            fingerprint: self.fingerprint,
            fqdn: Fqdn::parse(FQDN).unwrap(),
            salt: *b"salt of sixteen!",
            password: Zeroizing::new(*b"initial password"),
        }
    }

    pub fn manager(&self) -> Manager {
        Manager {
            host: "127.0.0.1".into(),
            port: self.port,
            fingerprint: self.fingerprint.0,
        }
    }
}

impl Service {
    fn call(&self, call: Call, request: Request<Envelope>) -> Result<Answer, Status> {
        let now = crate::clock::wall_nanos() / 1_000_000;
        let answer = self.0.lock().unwrap().call(now, call, &request.into_inner());
        answer.map_err(|failure| match failure {
            Failure::Dropped => Status::unauthenticated(""),
            other => Status::unavailable(other.to_string()),
        })
    }
}

macro_rules! answers {
    ($($method:ident $call:ident $answer:ident [$($unbox:tt)*];)*) => {
        #[tonic::async_trait]
        impl Members for Service {
            $(async fn $method(&self, request: Request<Envelope>) -> Result<Response<$answer>, Status> {
                match self.call(Call::$call, request)? {
                    Answer::$call(answer) => Ok(Response::new($($unbox)* answer)),
                    _ => unreachable!("the fake answers what it is asked"),
                }
            })*

            type WatchStream = Updates;

            async fn watch(&self, _: Request<Envelope>) -> Result<Response<Updates>, Status> {
                let revision = self.0.lock().unwrap().revision;
                let synced = Update { revision, change: Some(update::Change::Synced(Synced::default())) };
                let updates = futures_util::StreamExt::chain(stream::iter([Ok(synced)]), stream::pending());
                Ok(Response::new(Box::pin(updates)))
            }
        }
    };
}

answers! {
    register Register RegisterAnswer [];
    confirm Confirm ConfirmAnswer [];
    init Init InitAnswer [*];
    join Join JoinAnswer [*];
    r#move Move MoveAnswer [];
    refresh Refresh RefreshAnswer [];
    locate Locate LocateAnswer [*];
    query Query QueryAnswer [];
    leave Leave LeaveAnswer [];
}
