//! The program at its edges: wrong configurations, missing devices, two of it. Needs no network.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Output};
use std::time::Duration;

fn run(config: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    fs::write(&path, config.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_kith-dataplane"))
        .arg("--config")
        .arg(&path)
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const GOOD: &str = "name: test
workers: 1
eal: { huge_pages: off, memory_mib: 64 }
ports: [{ device: \"net_null0\", address: 203.0.113.10/24 }]
sessions: { first: 240.0.0.1, count: 16 }
p4runtime: { unix: FOLDER/p4runtime }
stats_socket: FOLDER/socket
";

#[test]
fn a_wrong_configuration_ends_with_2_and_all_that_is_wrong() {
    let wrong = GOOD
        .replace("workers: 1", "workers: 0")
        .replace("count: 16", "count: 0")
        .replace("10/24", "0/24");
    let output = run(&wrong, &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output);
    for what in ["3 values are wrong", "workers:", "ports[0].address:", "sessions:"] {
        assert!(text.contains(what), "{what}: {text}");
    }
    let output = run(&GOOD.replace("name: test", "nam: test"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("config.yaml:1:1: unknown field `nam`"));
}

#[test]
fn a_good_configuration_can_be_checked_without_starting() {
    let output = run(GOOD, &["--check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("good"));
}

#[test]
fn a_missing_device_is_named_with_what_to_look_at() {
    let missing = GOOD.replace("net_null0", "net_af_packet0,iface=kt-nowhere");
    let output = run(&missing, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains("port 0") && text.contains("ip link show kt-nowhere"),
        "{text}"
    );
}

#[test]
fn a_cpu_that_is_not_there_is_named() {
    let elsewhere = GOOD.replace("huge_pages: off", "huge_pages: off, cores: [1000]");
    let output = run(&elsewhere, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("CPU 1000"), "{}", said(&output));
}

/// Does not outlive a test that failed.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_service_manager_hears_ready_watchdog_and_stopping_and_a_second_instance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let home = folder.path().to_str().unwrap();
    fs::write(&path, GOOD.replace("FOLDER", home)).unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_kith-dataplane"));
    program.arg("--config").arg(&path);
    program
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "300000");
    let mut running = Running(program.spawn().unwrap());
    let child = &mut running.0;
    let hear = || {
        let mut buffer = [0; 256];
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).trim().to_owned()
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "WATCHDOG=1");

    // net_null delivers frames of zeros as fast as it is asked: each is dropped under its name.
    let mut stats = kith_api::client::Client::connect(folder.path().join("socket")).unwrap();
    let status = stats.status().unwrap();
    assert_eq!((status.name.as_str(), status.pid), ("test", child.id()));
    let drops = stats.drops().unwrap();
    let zeros = drops.drops.iter().find(|drop| drop.name == "ethertype_unknown");
    assert!(zeros.unwrap().workers > 0);

    let second = program.output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        said(&second).contains("a dataplane runs already"),
        "{}",
        said(&second)
    );

    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    while hear() != "STOPPING=1" {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for socket in ["socket", "p4runtime"] {
        assert!(!folder.path().join(socket).exists(), "{socket} goes with it");
    }
}

#[test]
fn what_is_wrong_with_tls_is_named_before_anything_starts() {
    let tcp =
        "device_id: 1, tcp: { listen: \"127.0.0.1:1\", certificate: c.pem, key: KEY, client_ca: ca.pem }";
    let config = GOOD.replace(
        "unix: FOLDER/p4runtime",
        &format!("unix: FOLDER/p4runtime, {tcp}"),
    );
    let output = run(&config.replace("KEY", "nowhere.key"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("nowhere.key"), "{}", said(&output));
    // A file that everyone can read.
    let output = run(&config.replace("KEY", "/etc/hostname"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("chmod 600 /etc/hostname"),
        "{}",
        said(&output)
    );
}
