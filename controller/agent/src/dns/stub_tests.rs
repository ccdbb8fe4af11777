//! The stub on loopback, asked as a program would.

use super::*;
use hickory_proto::op::{MessageType, OpCode, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

async fn start(upstream: Upstream) -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(at).await.unwrap();
    let SocketAddr::V4(listen) = at else {
        panic!("IPv4")
    };
    let stub = Stub::new(Zones::default(), upstream, listen);
    tokio::spawn(serve_udp(udp, stub.clone()));
    tokio::spawn(serve_tcp(tcp, stub));
    at
}

fn query(name: &str) -> Vec<u8> {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    query.to_vec().unwrap()
}

async fn ask(at: SocketAddr, query: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(query, at).await.unwrap();
    let mut buffer = [0; 2048];
    let received = tokio::time::timeout(Duration::from_secs(8), socket.recv(&mut buffer));
    let len = received.await.expect("an answer").unwrap();
    Message::from_vec(&buffer[..len]).unwrap()
}

/// A server of the system's: answers every name with one address, and only if the number is not the application's.
async fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..len]).unwrap();
            let mut said = question::answer(&asked, ResponseCode::NoError);
            let name = asked.queries[0].name.clone();
            said.add_answer(Record::from_rdata(
                name,
                60,
                RData::A(A("192.0.2.80".parse().unwrap())),
            ));
            // Somebody guesses first, and guesses wrong.
            let mut forged = said.clone();
            forged.metadata.id = asked.metadata.id.wrapping_add(1);
            forged.answers.clear();
            socket.send_to(&forged.to_vec().unwrap(), from).await.unwrap();
            socket.send_to(&said.to_vec().unwrap(), from).await.unwrap();
        }
    });
    at
}

#[tokio::test]
async fn names_that_are_not_ours_are_refused_where_they_should_not_come() {
    let at = start(Upstream::default()).await;
    let answer = ask(at, &query("www.example.org.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn names_that_are_not_ours_are_passed_on_where_all_come_here() {
    let upstream = Upstream::default();
    // The first server is gone.
    upstream.set(vec!["127.0.0.1:1".parse().unwrap(), server().await]);
    let at = start(upstream.clone()).await;
    let answer = ask(at, &query("www.example.org.")).await;
    assert_eq!((answer.metadata.id, answer.answers.len()), (7, 1));
    upstream.set(vec!["127.0.0.1:1".parse().unwrap()]);
    let answer = ask(at, &query("www.example.org.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn tcp_carries_several_questions_and_ends_with_the_first_that_is_none() {
    let at = start(Upstream::default()).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    for _ in 0..3 {
        let query = query("www.example.org.");
        stream
            .write_all(&[&(query.len() as u16).to_be_bytes(), query.as_slice()].concat())
            .await
            .unwrap();
        let len = stream.read_u16().await.unwrap();
        let mut answer = vec![0; len.into()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(
            Message::from_vec(&answer).unwrap().metadata.response_code,
            ResponseCode::Refused
        );
    }
    stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    assert!(stream.read_u16().await.is_err());
}
