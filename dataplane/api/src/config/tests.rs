use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const GOOD: &str = r#"
name: nrd1
workers: 2
eal: { cores: [0, 1], huge_pages: off, memory_mib: 128 }
ports:
  - { device: "net_af_packet0,iface=eth0,qpairs=2", address: 203.0.113.10/24, gateway: 203.0.113.1, mtu: 1500 }
sessions: { first: 240.0.0.1, count: 16 }
p4runtime:
  unix: /run/kith/nrd1-p4runtime.sock
  device_id: 7
  tcp: { listen: "192.0.2.1:9559", certificate: nrd1.pem, key: nrd1.key, client_ca: /etc/kith/controllers.pem }
stats_socket: /run/kith/nrd1.sock
"#;

fn good() -> Config {
    Config::from_yaml(GOOD).unwrap()
}

fn wrong_at(change: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut config = good();
    change(&mut config);
    config.mistakes().into_iter().map(|mistake| mistake.at).collect()
}

#[test]
fn the_example_is_good_and_survives_being_written() {
    let config = good();
    assert_eq!(config.mistakes(), []);
    assert_eq!(config.eal.huge_pages, HugePages::Off);
    assert_eq!(config.p4runtime.device_id, 7);
    let again = Config::from_yaml(&config.to_yaml().unwrap()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
}

#[test]
fn security_associations_may_be_none_and_not_without_end() {
    assert_eq!(good().associations, 8192);
    assert_eq!(wrong_at(|config| config.associations = 0), [""; 0]);
    assert_eq!(
        wrong_at(|config| config.associations = (1 << 20) + 1),
        ["associations"]
    );
}

#[test]
fn ports_are_all_that_must_be_written() {
    let least = "name: nrd1\nports: [{ device: net_null0, address: 203.0.113.10/24 }]\n";
    let config = Config::from_yaml(least).unwrap();
    assert_eq!(config.mistakes(), []);
    assert_eq!(config.p4runtime, P4Runtime::default());
    assert_eq!(config.p4runtime.tcp, None, "nobody elsewhere gets in by default");
}

#[test]
fn a_mistake_in_writing_says_where() {
    for (from, to, line) in [
        ("workers: 2", "worker: 2", "3:"),
        ("203.0.113.10/24", "203.0.113.10", "6:"),
        ("device_id: 7", "device_id: seven", "10:"),
        ("client_ca:", "ca:", "11:"),
    ] {
        let error = Config::from_yaml(&GOOD.replace(from, to)).unwrap_err();
        let ConfigError::Syntax { place, .. } = &error else {
            panic!("{error}")
        };
        assert!(place.starts_with(line), "{to}: {error}");
    }
}

#[test]
fn what_belongs_to_the_controller_is_refused() {
    for (name, value) in [
        ("director", "{ udp_port: 20202 }"),
        ("state_dir", "/var/lib/kith"),
    ] {
        let error = Config::from_yaml(&format!("{GOOD}{name}: {value}\n")).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let wrong = wrong_at(|config| {
        config.workers = 0;
        config.ports[0].mtu = 100;
        config.sessions.count = 0;
        config.p4runtime.device_id = 0;
        config.p4runtime.unix = config.stats_socket.clone();
    });
    assert_eq!(
        wrong,
        [
            "workers",
            "ports[0].mtu",
            "sessions",
            "p4runtime.unix",
            "p4runtime.device_id",
        ]
    );
}

#[test]
fn what_makes_no_network_is_named() {
    assert_eq!(wrong_at(|c| c.ports.clear()), ["ports"]);
    let gateway = |address| move |c: &mut Config| c.ports[0].gateway = Some(address);
    assert_eq!(
        wrong_at(gateway(Ipv4Addr::new(203, 0, 114, 1))),
        ["ports[0].gateway"]
    );
    assert_eq!(
        wrong_at(gateway(Ipv4Addr::new(203, 0, 113, 10))),
        ["ports[0].gateway"]
    );
    for edge in ["203.0.113.0/24", "203.0.113.255/24"] {
        let change = |c: &mut Config| c.ports[0].address = edge.parse().unwrap();
        assert_eq!(wrong_at(change), ["ports[0].address"], "{edge}");
    }
    let second = |c: &mut Config| {
        let again = c.ports[0].clone();
        c.ports.push(again);
    };
    assert_eq!(wrong_at(second), ["ports[1].device", "ports[1].address"]);
}

#[test]
fn sessions_must_be_possible_addresses() {
    for (first, count) in [
        (Ipv4Addr::UNSPECIFIED, 5),
        (Ipv4Addr::new(240, 0, 0, 1), 0),
        (Ipv4Addr::new(240, 0, 0, 1), (1 << 24) + 1),
        (Ipv4Addr::new(255, 255, 255, 250), 6),
    ] {
        assert_eq!(wrong_at(|c| c.sessions = Sessions { first, count }), ["sessions"]);
    }
}

#[test]
fn files_of_tls_lie_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, GOOD).unwrap();
    let tcp = load(&file).unwrap().p4runtime.tcp.unwrap();
    assert_eq!(tcp.key, folder.path().join("nrd1.key"));
    assert_eq!(tcp.client_ca, Path::new("/etc/kith/controllers.pem"));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("nrd1.key");
    assert!(matches!(read_private(&key), Err(ConfigError::Read { path, .. }) if path == key));
    write_private(&key, "secret").unwrap();
    assert_eq!(*read_private(&key).unwrap(), "secret");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = read_private(&key).unwrap_err().to_string();
    assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
}
