//! Directors in other processes over real connections: who is refused, and by what name; who stays whatever others do.

use super::local::with_token;
use super::*;
use kith_protocol::admin::{AuditQuery, CredentialRequest, Director, Empty, EventQuery};
use kith_protocol::attendance::{Mirror, REPORT_MESSAGE};
use kith_protocol::director::director_report::Report;
use kith_protocol::director::directors_client::DirectorsClient;
use kith_protocol::director::{DirectorOrder, DirectorReport, Health, Hello, director_order::Order};
use std::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

/// A listed director, and its token.
async fn entered(world: &World, name: &str) -> String {
    let mut admin = world.admin().await;
    let director = Director {
        name: name.into(),
        address: "203.0.113.10".into(),
        port: 20202,
        udp: true,
        ..Director::default()
    };
    admin.put_director(director).await.unwrap();
    let wanted = CredentialRequest {
        name: format!("t-{name}"),
        role: "director".into(),
        director: name.into(),
        ..CredentialRequest::default()
    };
    admin.create_credential(wanted).await.unwrap().into_inner().token
}

fn hello(name: &str, instance: u8) -> DirectorReport {
    let hello = Hello {
        director: name.into(),
        instance: vec![instance; 16],
        ..Hello::default()
    };
    DirectorReport {
        report: Some(Report::Hello(hello)),
    }
}

fn health(serving: bool) -> DirectorReport {
    let health = Health {
        serving,
        sessions: 3,
        udp: true,
        ..Health::default()
    };
    DirectorReport {
        report: Some(Report::Health(health)),
    }
}

struct Stream {
    reports: mpsc::Sender<DirectorReport>,
    orders: Streaming<DirectorOrder>,
}

impl Stream {
    async fn begin(world: &World, token: &str, first: DirectorReport) -> Result<Self, tonic::Status> {
        let mut client = DirectorsClient::new(world.dial().connect().await.unwrap());
        let (reports, take) = mpsc::channel(256);
        reports.send(first).await.unwrap();
        let orders = client
            .attend(with_token(ReceiverStream::new(take), token))
            .await?;
        Ok(Self {
            reports,
            orders: orders.into_inner(),
        })
    }

    /// Reads until all is known.
    async fn known(&mut self) {
        let mut mirror = Mirror::default();
        mirror.begin();
        loop {
            let order = self.orders.message().await.unwrap().expect("an order");
            let end = matches!(order.order, Some(Order::End(_)));
            mirror.order(order, &mut Vec::new()).unwrap();
            if end {
                return;
            }
        }
    }

    /// How it ends, in whatever time that takes.
    async fn ends(&mut self) -> tonic::Status {
        let end = async {
            loop {
                match self.orders.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return tonic::Status::ok(""),
                    Err(status) => return status,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(15), end)
            .await
            .expect("it ends")
    }
}

async fn refused(world: &World, token: &str, first: DirectorReport) -> tonic::Status {
    match Stream::begin(world, token, first).await {
        Ok(mut stream) => stream.ends().await,
        Err(status) => status,
    }
}

async fn listed(world: &World) -> Director {
    let listed = world.admin().await.list_directors(Empty {}).await.unwrap();
    listed.into_inner().directors.remove(0)
}

async fn until(world: &World, what: &str, good: impl Fn(&Director) -> bool) {
    let began = Instant::now();
    while !good(&listed(world).await) {
        assert!(began.elapsed() < Duration::from_secs(15), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_directors_own_token_attends_and_it_does_nothing_else() {
    let world = World::start().await;
    let (one, other) = (entered(&world, "prd1").await, entered(&world, "prd2").await);
    for wrong in ["", "kith-nonsense", &one[..one.len() - 1]] {
        let status = refused(&world, wrong, hello("prd1", 1)).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    let status = refused(&world, &other, hello("prd1", 1)).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status.message().contains("is of the director prd2, not of prd1"),
        "{status:?}"
    );
    let wanted = CredentialRequest {
        name: "ops".into(),
        role: "admin".into(),
        ..CredentialRequest::default()
    };
    let ops = world
        .admin()
        .await
        .create_credential(wanted)
        .await
        .unwrap()
        .into_inner()
        .token;
    let status = refused(&world, &ops, hello("prd1", 1)).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("--role director"), "{status:?}");

    let mut remote = AdminClient::new(world.dial().connect().await.unwrap());
    let status = remote.get_status(with_token(Empty {}, &one)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status.message().contains("prd1 attend, and nothing else"),
        "{status:?}"
    );
    let events = remote.watch_events(with_token(EventQuery::default(), &one)).await;
    assert_eq!(events.err().unwrap().code(), Code::PermissionDenied);
    let audit = remote.list_audit(with_token(AuditQuery::default(), &one)).await;
    assert_eq!(audit.unwrap_err().code(), Code::PermissionDenied);
    let local = unix(&world.folder.path().join("admin.sock")).await.unwrap();
    let (_reports, take) = mpsc::channel(1);
    let status = DirectorsClient::new(local)
        .attend(Request::new(ReceiverStream::new(take)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);

    let records = world
        .admin()
        .await
        .list_audit(AuditQuery::default())
        .await
        .unwrap()
        .into_inner()
        .records;
    let attend = records.iter().filter(|record| record.action == "director.attend");
    let attend: Vec<_> = attend
        .map(|record| (record.subject.as_str(), record.allowed))
        .collect();
    assert_eq!(attend, [("prd1", false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_on_a_stream_ends_that_stream_under_a_name_and_no_other() {
    let world = World::start().await;
    let (good, bad) = (entered(&world, "nrd1").await, entered(&world, "nrd2").await);
    let mut served = Stream::begin(&world, &good, hello("nrd1", 1)).await.ok().unwrap();
    served.known().await;
    served.reports.send(health(true)).await.unwrap();

    let mut short = hello("nrd2", 2);
    if let Some(Report::Hello(hello)) = &mut short.report {
        hello.instance.pop();
    }
    for first in [short, health(true), DirectorReport { report: None }] {
        let status = refused(&world, &bad, first).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("must be a hello"), "{status:?}");
    }
    let mut large = hello("nrd2", 2);
    if let Some(Report::Hello(hello)) = &mut large.report {
        hello.program = "x".repeat(REPORT_MESSAGE + 1);
    }
    let status = refused(&world, &bad, large).await;
    assert!(status.message().contains("cannot be read"), "{status:?}");

    let mut flood = Stream::begin(&world, &bad, hello("nrd2", 2)).await.ok().unwrap();
    let sending = flood.reports.clone();
    let flooding = tokio::spawn(async move { while sending.send(health(true)).await.is_ok() {} });
    let status = flood.ends().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("more than 64 reports"), "{status:?}");
    drop(flood);
    flooding.await.unwrap();

    let mut again = Stream::begin(&world, &bad, hello("nrd2", 2)).await.ok().unwrap();
    again.known().await;
    again.reports.send(hello("nrd2", 2)).await.unwrap();
    assert_eq!(again.ends().await.code(), Code::InvalidArgument, "a second hello");

    served.reports.send(health(true)).await.unwrap();
    until(&world, "it is still there", |nrd1| {
        nrd1.place == "attended" && nrd1.health == "healthy"
    })
    .await;
    let text = world.server.host().metrics.text();
    for end in ["hello", "unreadable", "flood", "abnormal"] {
        assert!(
            text.contains(&format!("director_streams_total{{end=\"{end}\"}}")),
            "{end}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_until_the_first_is_gone_or_silent() {
    let world = World::start().await;
    let token = entered(&world, "nrd1").await;
    let mut first = Stream::begin(&world, &token, hello("nrd1", 1))
        .await
        .ok()
        .unwrap();
    first.known().await;
    let status = refused(&world, &token, hello("nrd1", 2)).await;
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(status.message().contains("another process attends"), "{status:?}");

    // The same process on another connection: its older stream ends.
    let mut newer = Stream::begin(&world, &token, hello("nrd1", 1))
        .await
        .ok()
        .unwrap();
    newer.known().await;
    assert_eq!(first.ends().await.code(), Code::Aborted);
    assert_eq!(listed(&world).await.place, "attended");

    // It says nothing more, and keeps its connection open.
    let began = Instant::now();
    let status = newer.ends().await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(began.elapsed() > Duration::from_secs(3));
    let mut other = Stream::begin(&world, &token, hello("nrd1", 2))
        .await
        .ok()
        .unwrap();
    other.known().await;
    other.reports.send(health(true)).await.unwrap();
    until(&world, "it serves", |nrd1| {
        nrd1.health == "healthy" && nrd1.sessions == 3
    })
    .await;
    drop(other);
    until(&world, "it is gone, and then down", |nrd1| {
        nrd1.place == "lost" && nrd1.health == "down"
    })
    .await;
}
