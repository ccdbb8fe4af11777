//! Questions to a manager that answers on loopback: well, late, truncated, wrongly, not at all.

use super::super::zones::Zone;
use super::*;
use crate::supervisor::member::Message as ToMember;
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::{A, TXT};
use kith_protocol::member::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const NAME: &str = "printer.acme.example.";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

fn facts_of(fqdn: &str, address: Ipv4Addr) -> Vec<String> {
    facts::encode(&Peer {
        fqdn: fqdn.into(),
        virtual_address: address.to_bits(),
        location: Some(Location {
            address: 0xc633_6401,
            port: 20_202,
            ..Location::default()
        }),
        ticket: vec![1; 200],
        sealed_key: vec![2; 104],
        ..Peer::default()
    })
    .unwrap()
}

fn good(asked: &Message) -> Message {
    let mut said = Message::error_msg(asked.metadata.id, OpCode::Query, ResponseCode::NoError);
    said.add_queries(asked.queries.clone());
    let name = asked.queries[0].name.clone();
    said.add_answer(Record::from_rdata(name.clone(), 3_600, RData::A(A(ADDRESS))));
    let text = TXT::new(facts_of("printer.acme.example", ADDRESS));
    said.add_additional(Record::from_rdata(name, 30, RData::TXT(text)));
    said
}

/// A manager: for each datagram that it gets, `say` gives the answers.
async fn manager_with(
    say: impl Fn(usize, &Message) -> Vec<Message> + Send + 'static,
) -> (SocketAddrV4, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(at) = socket.local_addr().unwrap() else {
        panic!("IPv4")
    };
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let tcp = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let len = stream.read_u16().await.unwrap();
            let mut query = vec![0; len.into()];
            stream.read_exact(&mut query).await.unwrap();
            let answer = good(&Message::from_vec(&query).unwrap()).to_vec().unwrap();
            stream
                .write_all(&(answer.len() as u16).to_be_bytes())
                .await
                .unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..len]).unwrap();
            for answer in say(counted.fetch_add(1, Ordering::SeqCst), &asked) {
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        }
    });
    (at, count)
}

struct Asker {
    zone: Zone,
    inbox: mpsc::Receiver<ToMember>,
}

fn asker() -> Asker {
    let (member, inbox) = mpsc::channel(8);
    let zone = Zone {
        domain: "acme.example".into(),
        fqdn: "alice.acme.example".into(),
        adapter: "kith0".into(),
        own: Ipv4Addr::LOCALHOST,
        manager: Ipv4Addr::LOCALHOST,
        networks: vec!["10.77.0.0/24".parse().unwrap()],
        member,
    };
    Asker { zone, inbox }
}

fn query() -> Message {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(NAME).unwrap(), RecordType::A));
    query
}

/// Asks while nobody is told of members.
async fn ask(at: SocketAddrV4) -> (Message, Asker) {
    let asker = asker();
    let answer = manager_at(&query(), &asker.zone, at).await;
    (answer, asker)
}

#[tokio::test]
async fn the_answer_waits_until_the_member_is_in_force_and_says_nothing_but_the_address() {
    let (at, _) = manager_with(|_, asked| vec![good(asked)]).await;
    let Asker { zone, mut inbox } = asker();
    let in_force = Arc::new(AtomicBool::new(false));
    let taking = in_force.clone();
    tokio::spawn(async move {
        let Some(ToMember::Found(peer, taken)) = inbox.recv().await else {
            panic!("a member")
        };
        assert_eq!(
            (peer.virtual_address, peer.ticket.len()),
            (ADDRESS.to_bits(), 200)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        taking.store(true, Ordering::SeqCst);
        taken.send(()).unwrap();
    });
    let answer = manager_at(&query(), &zone, at).await;
    assert!(in_force.load(Ordering::SeqCst));
    let [record] = answer.answers.as_slice() else {
        panic!("one record")
    };
    assert_eq!((&record.data, record.ttl), (&RData::A(A(ADDRESS)), MOST_TTL));
    assert!(answer.additionals.is_empty() && answer.metadata.id == 7);
}

#[tokio::test]
async fn a_lost_question_is_asked_again() {
    let (at, count) = manager_with(|nth, asked| {
        if nth == 0 {
            Vec::new()
        } else {
            vec![negative(asked)]
        }
    })
    .await;
    let (answer, _asker) = ask(at).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

fn negative(asked: &Message) -> Message {
    let mut said = Message::error_msg(asked.metadata.id, OpCode::Query, ResponseCode::NXDomain);
    said.add_queries(asked.queries.clone());
    said
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let (at, _) = manager_with(|_, asked| {
        let mut cut = good(asked).truncate();
        cut.metadata.truncation = true;
        vec![cut]
    })
    .await;
    let Asker { zone, mut inbox } = asker();
    tokio::spawn(async move {
        if let Some(ToMember::Found(_, taken)) = inbox.recv().await {
            taken.send(()).unwrap();
        }
    });
    let answer = manager_at(&query(), &zone, at).await;
    assert_eq!(answer.answers.len(), 1);
}

#[tokio::test]
async fn answers_to_other_questions_are_passed_over() {
    let (at, _) = manager_with(|_, asked| {
        let mut other_id = good(asked);
        other_id.metadata.id ^= 1;
        let mut other_name = good(asked);
        other_name.queries[0].name = Name::from_ascii("other.acme.example.").unwrap();
        let mut no_response = good(asked);
        no_response.metadata.message_type = MessageType::Query;
        vec![other_id, other_name, no_response, negative(asked)]
    })
    .await;
    let (answer, _asker) = ask(at).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn facts_of_another_name_or_address_let_nobody_in() {
    for (fqdn, address) in [
        ("mallory.acme.example", ADDRESS),
        ("printer.acme.example", Ipv4Addr::new(10, 77, 0, 9)),
    ] {
        let strings = facts_of(fqdn, address);
        let (at, _) = manager_with(move |_, asked| {
            let mut said = good(asked);
            said.additionals[0].data = RData::TXT(TXT::new(strings.clone()));
            vec![said]
        })
        .await;
        let (answer, mut asker) = ask(at).await;
        assert_eq!(
            answer.answers.len(),
            1,
            "what the address is, the manager may say"
        );
        assert!(asker.inbox.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_manager_that_refuses_or_is_not_there_is_a_failure_in_time() {
    let (at, _) = manager_with(|_, asked| {
        let mut said = negative(asked);
        said.metadata.response_code = ResponseCode::Refused;
        vec![said]
    })
    .await;
    assert_eq!(ask(at).await.0.metadata.response_code, ResponseCode::ServFail);
    let begun = std::time::Instant::now();
    let (nobody, _) = manager_with(|_, _| Vec::new()).await;
    assert_eq!(ask(nobody).await.0.metadata.response_code, ResponseCode::ServFail);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "before the application gives up"
    );
}
