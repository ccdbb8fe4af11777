//! `up` as a whole, in a network namespace of its own: manager, adapter, DNS stub and control socket are real. What is not here is the manager's
//! end of the tunnel.
//!
//! ```text
//!  lo:    fake manager, TLS ◄── membership      stub 127.0.0.1:5399 ◄── questions
//!  kith0: 10.77.0.2/24, set up by the join, gone after the leave
//! ```

use super::*;
use crate::config::Prefix;
use crate::dns::system::Mode;
use crate::lans;
use crate::manager::fake::{self, FQDN, OWN};
use crate::manager::fake_server::{Served, serve};
use crate::manager::request::Call;
use control::{Answer, Request, ask};
use hickory_proto::op::{Message as Dns, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use kith_protocol::member::ManagerAddress;
use nix::sched::{CloneFlags, unshare};
use std::net::UdpSocket;
use std::process::Command;
use std::time::Instant;

/// In a thread that has left the host's network behind, and can reach it no more.
fn in_a_namespace(test: impl FnOnce() + Send + 'static) {
    let alone = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; it takes root");
        assert!(
            Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .unwrap()
                .success()
        );
        test();
    };
    std::thread::spawn(alone).join().unwrap();
}

fn registered(manager: &Served, state: &State) {
    let alice = Fqdn::parse(FQDN).unwrap();
    let identity = state.identity(&alice, &mut |out| out.fill(3)).unwrap();
    assert_eq!(identity.public(), fake::identity().public());
    let mut file = fake::registration(&[]);
    file.managers = vec![ManagerAddress {
        host: "127.0.0.1".into(),
        port: manager.port.into(),
        fingerprint: manager.fingerprint.0.to_vec(),
    }];
    state.keep(&alice, &file).unwrap();
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{what}: not in twenty seconds"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn resolve(name: &str, kind: RecordType) -> ResponseCode {
    let mut query = Dns::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    socket
        .send_to(&query.to_vec().unwrap(), "127.0.0.1:5399")
        .unwrap();
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).expect("an answer");
    Dns::from_vec(&buffer[..len]).unwrap().metadata.response_code
}

#[test]
fn up_joins_sets_up_the_adapter_answers_names_and_leaves_when_told() {
    in_a_namespace(|| {
        let (manager, folder) = (serve(), tempfile::tempdir().unwrap());
        let state = State::at(&folder.path().join("state"));
        registered(&manager, &state);
        let options = Options {
            state,
            socket: folder.path().join("agent.sock"),
            port: 20_202,
            site: String::new(),
            dns: dns::Options {
                mode: Mode::None,
                listen: Some("127.0.0.1:5399".parse().unwrap()),
                ..dns::Options::default()
            },
        };
        let socket = options.socket.clone();
        let working = std::thread::spawn(move || {
            let supervisor = Supervisor::open(&options).unwrap_or_else(|error| panic!("{error}"));
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            let (_stop, stopped) = mpsc::channel(1);
            runtime.block_on(supervisor.run(stopped, |_| {}))
        });
        let memberships = || match ask(&socket, &Request::Memberships) {
            Ok(Answer::Memberships { memberships }) => memberships,
            _ => Vec::new(),
        };
        eventually("joined", || {
            memberships().iter().any(|member| member.address == Some(OWN))
        });
        let network: Prefix = "10.77.0.0/24".parse().unwrap();
        eventually("the adapter has its address", || {
            lans::networks(&[]).unwrap().contains(&network)
        });
        assert!(
            !lans::networks(&["kith0".into()]).unwrap().contains(&network),
            "ours do not count"
        );
        let [membership] = memberships().try_into().unwrap();
        assert_eq!(
            (
                membership.phase.as_str(),
                membership.adapter.as_str(),
                membership.udp_port
            ),
            ("joined", "kith0", 20_202)
        );

        assert_eq!(
            resolve("printer.acme.example.", RecordType::AAAA),
            ResponseCode::NoError
        );
        assert_eq!(resolve("www.example.org.", RecordType::A), ResponseCode::Refused);
        // The manager's end of the tunnel is missing here: that is said in time.
        assert_eq!(
            resolve("printer.acme.example.", RecordType::A),
            ResponseCode::ServFail
        );
        let Ok(Answer::Status(status)) = ask(&socket, &Request::Status { fqdn: None }) else {
            panic!("the datapath's status")
        };
        assert_eq!((status.name.as_str(), status.address), (FQDN, OWN));

        let nobody = Request::Leave {
            fqdn: Some("nobody.acme.example".into()),
        };
        assert!(ask(&socket, &nobody).is_err());
        assert_eq!(
            ask(
                &socket,
                &Request::Leave {
                    fqdn: Some(FQDN.into())
                }
            )
            .unwrap(),
            Answer::Done
        );
        assert_eq!(working.join().unwrap(), [(FQDN.to_owned(), Ending::Left)]);
        assert_eq!(manager.fake.lock().unwrap().calls.last(), Some(&Call::Leave));
        eventually("the adapter is gone", || {
            !lans::networks(&[]).unwrap().contains(&network)
        });
        assert!(!socket.exists());
    });
}
