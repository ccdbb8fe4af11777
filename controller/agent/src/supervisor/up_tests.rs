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

fn options(state: State, socket: &std::path::Path) -> Options {
    Options {
        state,
        socket: socket.into(),
        port: 20_202,
        site: String::new(),
        dns: dns::Options {
            mode: Mode::None,
            listen: Some("127.0.0.1:5399".parse().unwrap()),
            ..dns::Options::default()
        },
    }
}

/// `up` at work, in a thread of its own.
fn work_at(options: Options) -> std::thread::JoinHandle<Vec<(String, Ending)>> {
    std::thread::spawn(move || {
        let supervisor = Supervisor::open(&options).unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (_stop, stopped) = mpsc::channel(1);
        runtime.block_on(supervisor.run(stopped, |_| {}))
    })
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
        let socket = folder.path().join("agent.sock");
        let working = work_at(options(state, &socket));
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

#[test]
fn what_this_device_is_enrolled_in_while_up_runs_is_joined_at_once_and_again_after_it_was_left() {
    in_a_namespace(|| {
        let (manager, folder) = (serve(), tempfile::tempdir().unwrap());
        let state = State::at(&folder.path().join("state"));
        registered(&manager, &state);
        let socket = folder.path().join("agent.sock");
        let working = work_at(options(state.clone(), &socket));
        let phase = |fqdn: &str| {
            let Ok(Answer::Memberships { memberships }) = ask(&socket, &Request::Memberships) else {
                return String::new();
            };
            let found = memberships.into_iter().find(|member| member.fqdn == fqdn);
            found.map_or_else(String::new, |member| {
                format!("{} {}", member.phase, member.adapter)
            })
        };
        let start = |fqdn: &str, folder: &std::path::Path| {
            let request = Request::Start {
                fqdn: fqdn.into(),
                state: folder.into(),
            };
            ask(&socket, &request).map_err(|error| error.to_string())
        };
        eventually("joined", || phase(FQDN) == "joined kith0");

        let unknown = start("bob.acme.example", state.path()).unwrap_err();
        assert!(unknown.contains("bob.acme.example"), "{unknown}");
        let elsewhere = start(FQDN, folder.path()).unwrap_err();
        assert!(elsewhere.contains("enrolments in"), "{elsewhere}");

        // Enrolled anew under another name. The manager does not know it: that is its own affair, and its adapter is there.
        let bob = Fqdn::parse("bob.acme.example").unwrap();
        state.identity(&bob, &mut |out| out.fill(4)).unwrap();
        let alice = state.load(&Fqdn::parse(FQDN).unwrap()).unwrap().file;
        let file = kith_protocol::member::RegistrationFile {
            fqdn: bob.as_str().into(),
            ..alice
        };
        state.keep(&bob, &file).unwrap();
        assert_eq!(start(bob.as_str(), state.path()), Ok(Answer::Done));
        assert!(phase(bob.as_str()).ends_with("kith1"), "{}", phase(bob.as_str()));
        let link = Command::new("ip")
            .args(["link", "show", "kith1"])
            .output()
            .unwrap();
        assert!(link.status.success());
        assert_eq!(phase(FQDN), "joined kith0", "undisturbed");

        // Enrolled anew under the same name, or joined again after it was left: the old one leaves first.
        assert_eq!(start(FQDN, state.path()), Ok(Answer::Done));
        eventually("joined again", || phase(FQDN).starts_with("joined"));
        let joins = manager.fake.lock().unwrap().joins.clone();
        assert_eq!(joins.len(), 2);
        assert_ne!(joins[0].run_id, joins[1].run_id);

        assert_eq!(
            ask(&socket, &Request::Leave { fqdn: None }).unwrap(),
            Answer::Done
        );
        let mut ended: Vec<String> = working
            .join()
            .unwrap()
            .into_iter()
            .map(|(fqdn, _)| fqdn)
            .collect();
        ended.sort();
        assert_eq!(ended, [FQDN, FQDN, bob.as_str()]);
    });
}
