//! Those who mean harm: each is closed or refused, what they hold is bounded, and others are served meanwhile.

use super::member::next;
use super::*;
use crate::serve::entropy::fill;
use kith_protocol::admin::{ApplyRequest, Invitee as Row, Network};
use kith_protocol::authenticator::Kind;
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::update::Change;
use kith_protocol::member::{Envelope, LocateRequest, Location, MoveRequest, move_answer};
use kith_protocol::tls::{pinned, rustls::pki_types::ServerName};
use std::net::Ipv4Addr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::Endpoint;

/// The last of a member's moves.
const LAST: u32 = 20_000;

fn short() -> With {
    let limits = Limits {
        handshake: Duration::from_millis(300),
        stranger: Duration::from_millis(600),
        strangers: 40,
        strangers_per_source: 40,
        queue: 4,
        ..Limits::default()
    };
    With {
        limits,
        ..With::default()
    }
}

async fn tcp(world: &World) -> TcpStream {
    TcpStream::connect(world.server.listens()).await.unwrap()
}

async fn tls(world: &World) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(pinned(world.server.fingerprint(), None).unwrap()));
    connector
        .connect(ServerName::try_from("127.0.0.1").unwrap(), tcp(world).await)
        .await
}

/// A client that lets the manager send hardly anything ahead.
async fn narrow(world: &World) -> MembersClient<Channel> {
    let (connector, at) = (
        TlsConnector::from(Arc::new(pinned(world.server.fingerprint(), None).unwrap())),
        world.server.listens(),
    );
    let connect = move |_| {
        let connector = connector.clone();
        async move {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            connector
                .connect(name, TcpStream::connect(at).await?)
                .await
                .map(hyper_util::rt::TokioIo::new)
        }
    };
    let endpoint = Endpoint::from_static("http://manager").initial_stream_window_size(1024);
    MembersClient::new(
        endpoint
            .connect_with_connector(tower::service_fn(connect))
            .await
            .unwrap(),
    )
}

/// How long the manager keeps a connection open on which nothing more is said.
async fn kept(mut stream: impl tokio::io::AsyncRead + Unpin) -> Duration {
    let began = Instant::now();
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all);
    tokio::time::timeout(Duration::from_secs(10), end)
        .await
        .expect("it is closed")
        .ok();
    began.elapsed()
}

/// A member's call succeeds, and soon.
async fn is_served(member: &mut Member) {
    let call = member.client.query(member.query());
    tokio::time::timeout(Duration::from_secs(2), call)
        .await
        .expect("served in time")
        .unwrap();
}

/// The head of a request whose body does not come (RFC 9113 section 6.2; RFC 7541 section 6.2.2).
fn head() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "manager"),
        (":path", "/kith.member.v1.Members/Register"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    octets.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    octets.extend([0, 0, block.len() as u8, 1, 4, 0, 0, 0, 1]);
    octets.extend(block);
    octets
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_stops_half_way_is_closed_in_time() {
    let world = World::with(short()).await;
    let mut ada = world.members(&["ada"]).await.remove(0);
    let mut garbage = tcp(&world).await;
    garbage.write_all(&[0x16, 3, 1, 255, 255]).await.unwrap();
    let half_a_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
    let mut hello = tcp(&world).await;
    hello.write_all(&half_a_hello).await.unwrap();
    let mut half = tls(&world).await.unwrap();
    half.write_all(&head()).await.unwrap();
    let mut nonsense = tls(&world).await.unwrap();
    nonsense
        .write_all(b"GET / HTTP/1.1\r\nhost: manager\r\n\r\n")
        .await
        .unwrap();
    let (silent, shaken) = (tcp(&world).await, tls(&world).await.unwrap());
    let all = tokio::join!(
        kept(silent),
        kept(garbage),
        kept(hello),
        kept(shaken),
        kept(half),
        kept(nonsense)
    );
    let limit = Duration::from_millis(1_800);
    for (time, who) in [
        (all.0, "silent"),
        (all.1, "garbage"),
        (all.2, "half a hello"),
        (all.3, "TLS and nothing"),
        (all.4, "a request without its body"),
        (all.5, "HTTP/1.1"),
    ] {
        assert!(time < limit, "{who}: {time:?}");
    }
    // One who is known stays, although as much time has passed.
    is_served(&mut ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_leaves_known_members_alone_and_ends() {
    let world = World::with(short()).await;
    let mut ada = world.members(&["ada"]).await.remove(0);
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(tcp(&world).await);
    }
    is_served(&mut ada).await;
    // No place for more strangers: a newcomer is closed at once.
    assert!(tls(&world).await.is_err());
    is_served(&mut ada).await;
    // The flood is closed without its help; then newcomers are welcome although the flood's ends are still open.
    let began = Instant::now();
    while tls(&world).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(flood);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_are_refused_before_they_are_read() {
    let world = World::start().await;
    let mut ada = world.members(&["ada"]).await.remove(0);
    let long = Envelope {
        payload: vec![7; MEMBER_MESSAGE + 1],
        ..ada.query()
    };
    assert_eq!(
        ada.client.query(long.clone()).await.unwrap_err().code(),
        Code::OutOfRange
    );
    assert_eq!(ada.client.watch(long).await.unwrap_err().code(), Code::OutOfRange);
    is_served(&mut ada).await;
    // An operator whom nobody knows: not one octet of the message counts.
    let rows = (0..100_000).map(|row| Row {
        fqdn: format!("row{row}.acme.example"),
        ..Row::default()
    });
    let network = Some(Network {
        members: rows.collect(),
        ..Network::default()
    });
    let mut stranger = AdminClient::new(world.dial().connect().await.unwrap());
    let refused = stranger
        .apply(ApplyRequest {
            network,
            ..ApplyRequest::default()
        })
        .await
        .err();
    assert_eq!(refused.unwrap().code(), Code::Unauthenticated);
    let mut metadata = tonic::Request::new(kith_protocol::admin::Empty {});
    metadata
        .metadata_mut()
        .insert("x-long", "a".repeat(20_000).parse().unwrap());
    assert!(stranger.get_status(metadata).await.is_err());
    is_served(&mut ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_registrations_and_joins_leave_nothing_behind_and_others_served() {
    let world = World::with(With {
        limits: Limits {
            calls: 64,
            ..Limits::default()
        },
        ..With::default()
    })
    .await;
    let mut ada = world.members(&["ada"]).await.remove(0);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(MembersClient::new(world.dial().connect().await.unwrap()));
    }
    let mut flood = JoinSet::new();
    for number in 0..4_000 {
        // Those who go away have connections of their own: HTTP/2 ends one on which too many do (CVE-2023-44487).
        let connection = if number % 3 == 2 {
            6 + number % 2
        } else {
            number % 6
        };
        let mut client: MembersClient<Channel> = clients[connection].clone();
        let mut envelope = Envelope {
            fqdn: format!("m{number}.acme.example"),
            ..ada.query()
        };
        fill(&mut envelope.authenticator);
        flood.spawn(async move {
            match number % 3 {
                0 => client.register(envelope).await.map(drop),
                1 => client.init(envelope).await.map(drop),
                // Gone before it is answered.
                _ => {
                    drop(tokio::time::timeout(Duration::from_micros(200), client.init(envelope)).await);
                    Err(tonic::Status::unauthenticated(""))
                }
            }
        });
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        is_served(&mut ada).await;
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while let Some(refused) = flood.join_next().await {
        let code = refused.unwrap().unwrap_err().code();
        assert!(
            matches!(code, Code::Unauthenticated | Code::ResourceExhausted),
            "{code:?}"
        );
    }
    println!("the slowest call of a member during the flood: {slowest:?}");
    assert_eq!(
        world.server.host().under_way(),
        (0, 0, 0),
        "calls, operators' requests, streams"
    );
    assert_eq!(world.server.host().free_calls(), 64);
    let status = world
        .admin()
        .await
        .get_status(kith_protocol::admin::Empty {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.members, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_its_stream_is_told_to_resync_and_others_hear_all() {
    let world = World::with(short()).await;
    let mut members = world.members(&["ada", "bob", "carol"]).await;
    let mut joined = Vec::new();
    for member in &mut members {
        joined.push(member.join().await);
    }
    // Both have dealt with carol.
    for member in &mut members[..2] {
        let request = LocateRequest {
            run_id: member.run_id.clone(),
            fqdn: "carol.acme.example".into(),
            virtual_address: 0,
        };
        member
            .client
            .locate(member.by_token(Kind::Locate, &request))
            .await
            .unwrap();
    }
    members[0].client = narrow(&world).await;
    let mut deaf = members[0].watch(joined[0].revision).await.unwrap();
    let mut alert = members[1].watch(joined[1].revision).await.unwrap();
    // The newest move is all that counts of many; what must not come is a resync.
    let heard = tokio::spawn(async move {
        loop {
            let update = next(&mut alert).await.unwrap().unwrap();
            match update.change {
                Some(Change::Peer(peer)) if peer.location.as_ref().unwrap().port == LAST => return alert,
                Some(Change::Resync(_)) => panic!("whoever reads is not to resync"),
                _ => {}
            }
        }
    });
    let host = world.server.host();
    let carol = &mut members[2];
    let mut port = 1_000;
    // Windows and buffers between both ends fill first.
    while port < LAST {
        port = if host.under_way().2 == 1 { LAST } else { port + 1 };
        let location = Location {
            address: Ipv4Addr::LOCALHOST.into(),
            port,
            ..Location::default()
        };
        let request = MoveRequest {
            run_id: carol.run_id.clone(),
            location: Some(location),
            local_address: Ipv4Addr::LOCALHOST.into(),
        };
        let answer = carol
            .client
            .r#move(carol.by_token(Kind::Move, &request))
            .await
            .unwrap()
            .into_inner()
            .answer;
        assert!(matches!(answer, Some(move_answer::Answer::Ack(_))), "{answer:?}");
    }
    let _alert = heard.await.unwrap();
    let mut last = None;
    while let Some(update) = next(&mut deaf).await.unwrap() {
        last = update.change;
    }
    assert!(matches!(last, Some(Change::Resync(_))));
    assert_eq!(
        world.server.host().under_way().2,
        1,
        "its stream has ended, the other's has not"
    );
}
