use super::*;

const GOOD: &str = r#"
name: nrd1
workers: 2
eal: { cores: [0, 1], huge_pages: off, memory_mib: 128 }
ports:
  - { device: "net_af_packet0,iface=eth0,qpairs=2", address: 203.0.113.10/24, gateway: 203.0.113.1, mtu: 1500 }
director:
  pseudo_pool: { first: 240.0.0.1, count: 16 }
  session_lifetime: 60s
  keep_alive: 5s
  grants:
    - name: alice
      key_id: 1
      key: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff
      community: { index: 1, name: acme.example }
      pseudo: 240.0.0.1
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
    assert_eq!(config.director_address(), Ipv4Addr::new(203, 0, 113, 10));
    assert_eq!(config.eal.huge_pages, HugePages::Off);
    let again = Config::from_yaml(&config.to_yaml().unwrap()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
    let (old, new) = (&config.director.grants[0].key, &again.director.grants[0].key);
    assert_eq!(old.octets(), new.octets());
}

#[test]
fn a_mistake_in_writing_says_where() {
    for (from, to, line) in [
        ("workers: 2", "worker: 2", "3:"),
        ("203.0.113.10/24", "203.0.113.10", "6:"),
        ("keep_alive: 5s", "keep_alive: soon", "10:"),
        ("1eff", "1ef", "14:"),
    ] {
        let error = Config::from_yaml(&GOOD.replace(from, to)).unwrap_err();
        let ConfigError::Syntax { place, .. } = &error else {
            panic!("{error}")
        };
        println!("{error}");
        assert!(place.starts_with(line), "{to}: {error}");
        assert!(
            !error.to_string().contains("0001020304"),
            "a key is shown: {error}"
        );
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let wrong = wrong_at(|config| {
        config.workers = 0;
        config.ports[0].mtu = 100;
        config.director.udp_port = 0;
        config.director.keep_alive = Span::from_secs(30);
        let twin = config.director.grants[0].clone();
        config.director.grants.push(twin);
    });
    assert_eq!(
        wrong,
        [
            "workers",
            "ports[0].mtu",
            "director.udp_port",
            "director.keep_alive",
            "grant of \"alice\", key_id",
            "grant of \"alice\", pseudo",
        ]
    );
}

#[test]
fn what_makes_no_network_is_named() {
    assert_eq!(wrong_at(|c| c.ports.clear()), ["ports", "director.address"]);
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
fn grants_must_fit_pool_and_communities() {
    let outside = |c: &mut Config| c.director.grants[0].pseudo = Some(Ipv4Addr::new(240, 0, 0, 17));
    assert_eq!(wrong_at(outside), ["grant of \"alice\", pseudo"]);
    let other_name = |c: &mut Config| {
        let mut bob = c.director.grants[0].clone();
        (bob.name, bob.key_id, bob.pseudo) = ("bob".into(), 2, None);
        bob.community.name = "other.example".into();
        c.director.grants.push(bob);
    };
    assert_eq!(wrong_at(other_name), ["grant of \"bob\", community"]);
    let unset = |c: &mut Config| c.director.grants[0].key = SecretKey::new([0; 32]);
    assert_eq!(wrong_at(unset), ["grant of \"alice\", key"]);
}

#[test]
fn keys_in_a_file_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, grants) = (
        folder.path().join("config.yaml"),
        folder.path().join("grants.yaml"),
    );
    let mut config = good();
    let moved = std::mem::take(&mut config.director.grants);
    config.director.grants_file = Some("grants.yaml".into());
    fs::write(&file, config.to_yaml().unwrap()).unwrap();
    assert!(matches!(load(&file), Err(ConfigError::Read { path, .. }) if path == grants));
    write_private(&grants, &grants_to_yaml(&moved).unwrap()).unwrap();
    let loaded = load(&file).unwrap();
    assert_eq!(loaded.director.grants[0].name, "alice");
    fs::set_permissions(&grants, fs::Permissions::from_mode(0o640)).unwrap();
    let error = load(&file).unwrap_err().to_string();
    assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
}
