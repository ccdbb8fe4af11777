//! `kith dataplane tables|table|write|read|capture` as a user runs them, against a P4Runtime service whose tables are in memory.

use kith_p4runtime::client::{Address, Client, Event, Session};
use kith_p4runtime::packet::PacketIn;
use kith_p4runtime::service::{Config, PacketIns, Service, serve_unix};
use kith_p4runtime::target::{Memory, Store};
use kith_pipeline::reason::PuntReason;
use kith_pipeline::units::PortIndex;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A running service, and `kith` pointed at it.
struct Target {
    runtime: Runtime,
    packet_ins: PacketIns,
    folder: TempDir,
}

struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Target {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let store = Arc::new(Store::new(Memory::new(4), &[]).unwrap());
        let service = Service::new(store, Config::default());
        let packet_ins = service.packet_ins();
        let folder = tempfile::tempdir().unwrap();
        let target = Self {
            runtime,
            packet_ins,
            folder,
        };
        let socket = target.socket();
        let path = socket.clone();
        target
            .runtime
            .spawn(async move { serve_unix(service, &path, std::future::pending()).await.unwrap() });
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        target
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("p4")
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command
            .args(words.split_whitespace())
            .arg("--p4runtime")
            .arg(format!("unix:{}", self.socket().display()));
        command
    }

    fn run(&self, words: &str) -> Ran {
        Ran::of(self.command(words).stdin(Stdio::null()).output().unwrap())
    }

    fn good(&self, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{words}: {}", ran.out);
        ran.out
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.good(&format!("-o json {words}"))).unwrap()
    }

    fn fed(&self, words: &str, text: &str) -> Ran {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// A controller that is primary.
    fn controller(&self, election: u128) -> (Client, Session) {
        self.runtime.block_on(async {
            let mut client = Client::connect(&Address::Unix(self.socket()), 1).await.unwrap();
            let mut session = client.arbitrate(Some(election)).await.unwrap();
            assert!(session.is_primary().await.unwrap());
            (client, session)
        })
    }
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |octets| String::from_utf8(octets).unwrap();
        Self {
            status: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

const SESSION: &str = "dataplane write insert session destination_member=240.0.0.7 relay_to address=203.0.113.21 \
                       port=4000 community=1 mtu=1500";

#[test]
fn an_entry_is_written_seen_changed_and_deleted() {
    let target = Target::start();
    assert_eq!(target.good(SESSION), "1 written\n");
    let listed = target.json("dataplane table session --counters");
    assert_eq!(
        listed,
        serde_json::json!([{
            "table": "session",
            "match": {"destination_member": "240.0.0.7"},
            "action": "relay_to",
            "params": {"address": "203.0.113.21", "port": 4000, "community": 1, "mtu": 1500},
            "counter": {"packets": 0, "bytes": 0},
        }])
    );
    let modify = SESSION.replace("insert", "modify").replace("1500", "1400");
    target.good(&modify);
    assert_eq!(target.json("dataplane table session")[0]["params"]["mtu"], 1400);
    assert_eq!(
        target.json("dataplane table session --filter port=4001"),
        serde_json::json!([])
    );
    let tables = target.json("dataplane tables");
    let session = tables["tables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|table| table["name"] == "session")
        .unwrap();
    assert_eq!(
        (&session["entries"], &session["counter"]),
        (&1.into(), &"session_counter".into())
    );
    target.good("dataplane write delete session destination_member=240.0.0.7");
    assert_eq!(target.good("dataplane table session"), "no entry\n");
}

#[test]
fn the_default_entry_of_endpoint_is_set_and_reset() {
    let target = Target::start();
    target.good("dataplane write default endpoint act_as_director address=203.0.113.10 udp_port=20202");
    assert_eq!(
        target.good("dataplane table endpoint"),
        "default: act_as_director address=203.0.113.10 udp_port=20202\n"
    );
    target.good("dataplane write default endpoint");
    assert_eq!(
        target.good("dataplane table endpoint"),
        "default: act_as_nothing\n"
    );
}

#[test]
fn what_is_listed_can_be_written_elsewhere() {
    let (one, other) = (Target::start(), Target::start());
    for rule in [
        "community=1 protocol=udp destination_port=53 priority=20 allow",
        "source=10.77.0.0/24 destination_port=8000&&&0xffc0 priority=10 deny",
    ] {
        one.good(&format!("dataplane write insert policy {rule}"));
    }
    one.good("dataplane write insert route destination=198.51.100.0/24 via port=0 gateway=203.0.113.1");
    for table in ["policy", "route"] {
        let listed = one.good(&format!("-o json dataplane table {table}"));
        let ran = other.fed("dataplane write -f -", &listed);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{}", ran.out);
        assert_eq!(
            other.json(&format!("dataplane table {table}")),
            one.json(&format!("dataplane table {table}"))
        );
    }
}

#[test]
fn a_batch_says_which_updates_failed_and_keeps_its_promise() {
    let target = Target::start();
    let entry = |last: u32| {
        format!(
            "- {{ table: session, match: {{ destination_member: 240.0.0.{last} }}, action: relay_to, \
             params: {{ address: 203.0.113.21, port: 4000, community: 1, mtu: 1500 }} }}\n"
        )
    };
    let batch = [entry(1), entry(1), entry(2)].concat();
    let ran = target.fed("dataplane write -f - --atomicity rollback", &batch);
    assert_eq!(ran.status, 1);
    assert!(
        ran.out
            .contains("update 2 of 3: insert session destination_member=240.0.0.1"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("ALREADY_EXISTS") && ran.out.ends_with("nothing written\n"),
        "{}",
        ran.out
    );
    assert_eq!(target.good("dataplane table session"), "no entry\n");
    let ran = target.fed("-o json dataplane write -f -", &batch);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (
            ran.status,
            &told["updates"],
            told["failed"].as_array().unwrap().len()
        ),
        (1, &3.into(), 1)
    );
    assert_eq!(
        (&told["failed"][0]["update"], &told["failed"][0]["code"]),
        (&2.into(), &"ALREADY_EXISTS".into())
    );
    assert_eq!(
        target.json("dataplane table session").as_array().unwrap().len(),
        2
    );
    let ran = target.fed("dataplane write -f - --atomicity dataplane-atomic", &entry(3));
    assert!(ran.status == 1 && (ran.out + &ran.err).contains("UNIMPLEMENTED"));
}

#[test]
fn beside_a_controller_a_write_needs_to_be_asked_for() {
    let target = Target::start();
    let (_client, mut session) = target.controller(7_000);
    let ran = target.run(SESSION);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("another client is primary") && ran.err.contains("--take-over"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("with election id 7000"), "{}", ran.err);
    // Reading needs no place.
    assert_eq!(target.good("dataplane table session"), "no entry\n");
    let ran = target.run(&format!("{SESSION} --take-over"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("election id 7001"), "{}", ran.err);
    assert_eq!(
        target.json("dataplane table session").as_array().unwrap().len(),
        1
    );
    // The controller hears that it was deposed, then that nobody is primary, and can come back.
    let back = target.runtime.block_on(async {
        let wait = async {
            loop {
                if let Event::Arbitration {
                    any: false, highest, ..
                } = session.next().await.unwrap()
                {
                    session.arbitrate(highest).await.unwrap();
                    return session.is_primary().await.unwrap();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await
    });
    assert_eq!(back, Ok(true));
    let ran = target.run(&format!("{SESSION} --election-id 5"));
    assert!(
        ran.status == 1 && ran.err.contains("another client is primary"),
        "{}",
        ran.err
    );
}

#[test]
fn meters_are_set_and_read_by_reason() {
    let target = Target::start();
    target.good("dataplane write meter punt_meter control 1000:100");
    let read = target.good("dataplane read meter punt_meter");
    assert!(read.contains("control") && read.contains("1000, 100"), "{read}");
    let drops = target.json("dataplane read counter drops");
    assert_eq!(drops[0]["cells"][1]["name"], "ethernet_truncated");
    assert_eq!(drops[0]["cells"][1]["counter"]["packets"], 0);
    target.good("dataplane write meter punt_meter control none");
    assert!(!target.good("dataplane read meter punt_meter").contains("1000"));
    let wrong = target.run("dataplane read counter nothing");
    assert!(
        wrong.status == 2 && wrong.err.contains("no counter `nothing`; it has drops"),
        "{}",
        wrong.err
    );
}

#[test]
fn a_capture_shows_and_keeps_packets_and_needs_the_controllers_place() {
    let target = Target::start();
    let file = target.folder.path().join("up.pcap");
    let words = format!(
        "dataplane capture --reason control --count 2 --time 10 --pcap {}",
        file.display()
    );
    let child = target
        .command(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    while !target.packet_ins.has_primary() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    for reason in [PuntReason::Control, PuntReason::Arp, PuntReason::Control] {
        let packet = PacketIn {
            ingress_port: PortIndex(3),
            reason: reason as u16,
            frame: vec![0xab; 60],
        };
        target.packet_ins.send(packet).unwrap();
    }
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.err.as_str()), (0, "2 packets\n"), "{}", ran.out);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines
            .iter()
            .all(|line| line.contains("port 3 control") && line.contains("ethertype 0xabab")),
        "{lines:?}"
    );
    assert_eq!(std::fs::read(file).unwrap().len(), 24 + 2 * (16 + 60));

    let _controller = target.controller(9);
    let refused = target.run("dataplane capture --count 1");
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("packets go to the primary alone") && refused.err.contains("--take-over"));
    let wrong = target.run("dataplane capture --reason sunshine");
    assert!(
        wrong.status == 2 && wrong.err.contains("there are arp"),
        "{}",
        wrong.err
    );
}

#[test]
fn nobody_there_is_said() {
    let ran = Ran::of(
        Command::new(env!("CARGO_BIN_EXE_kith"))
            .args([
                "dataplane",
                "tables",
                "--p4runtime",
                "unix:/run/kith/kt-no-such-socket",
            ])
            .output()
            .unwrap(),
    );
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.contains("no connection") && ran.err.contains("is the dataplane running?"),
        "{}",
        ran.err
    );
}

#[test]
fn security_associations_are_listed_without_keys() {
    use kith_esp::{Key, Limits, SaKeys, Salt, Spi};
    use kith_p4runtime::association::{Association, AssociationKey, Direction};
    use kith_p4runtime::target::Atomicity;
    use kith_p4runtime::update::Update;
    use kith_pipeline::units::SaIndex;

    let target = Target::start();
    assert!(
        target
            .good("dataplane associations")
            .ends_with("has no security association\n")
    );
    let (mut client, _session) = target.controller(1);
    let key = AssociationKey {
        direction: Direction::Outbound,
        index: SaIndex(5),
    };
    let keys = SaKeys::new(Key::aes128(&[0xA5; 16]), Salt::new(&[0xA5; 4]));
    let association = Association::new(key, Spi::new(0x1234).unwrap(), keys, Limits::default());
    let install = [Update::InstallAssociation(association)];
    target
        .runtime
        .block_on(client.write(&install, Atomicity::Continue))
        .unwrap();
    let listed = target.json("dataplane associations");
    let one = &listed["associations"][0];
    assert_eq!(
        (&one["direction"], &one["index"], &one["state"]),
        (&"outbound".into(), &5.into(), &"fresh".into())
    );
    assert_eq!(one["until_hard"]["milliseconds"], 180_000);
    let shown = target.good("dataplane associations");
    assert!(shown.contains("0x00001234"), "{shown}");
    for secret in ["a5a5", "A5A5", "165"] {
        assert!(!listed.to_string().contains(secret) && !shown.contains(secret));
    }
}
