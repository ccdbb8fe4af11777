use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const GOOD: &str = r#"
name: office
directors:
  - name: nrd1
    dataplane: { address: "unix:/run/kith/p4runtime.sock" }
    address: 203.0.113.10
    pseudo_pool: { first: 240.0.0.1, count: 16 }
    session_lifetime: 60s
    keep_alive: 5s
    sender_rate: { per_second: 1000, burst: 100 }
    grants:
      - name: alice
        key_id: 1
        key: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff
        community: { index: 1, name: acme.example }
        pseudo: 240.0.0.1
  - name: nrd2
    dataplane: { address: "https://dp.example:9559", device_id: 2, tls: { ca: ca, certificate: cert, key: key } }
    address: 198.51.100.7
status_socket: /run/kith/controller.sock
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
    assert_eq!(config.directors[0].udp_port, 20202);
    let again = Config::from_yaml(&config.to_yaml().unwrap()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
    let key = |config: &Config| *config.directors[0].grants[0].key.octets();
    assert_eq!(key(&config), key(&again));
    assert!(!format!("{config:?}").contains("1e"), "a key is shown");
}

#[test]
fn a_mistake_in_writing_says_where_and_shows_no_key() {
    for (from, to, line) in [
        ("status_socket: /", "socket: /", "20:"),
        ("unix:/run", "unix:run", "5:"),
        ("keep_alive: 5s", "keep_alive: soon", "9:"),
        ("1eff", "1ef", "14:"),
        ("https://dp.example:9559", "http://dp.example:9559", "18:"),
    ] {
        let error = Config::from_yaml(&GOOD.replace(from, to)).unwrap_err();
        let ConfigError::Syntax { place, .. } = &error else {
            panic!("{error}")
        };
        assert!(place.starts_with(line), "{to}: {error}");
        assert!(!error.to_string().contains("0001020304"), "{error}");
    }
}

#[test]
fn addresses_are_unix_sockets_or_hosts_with_a_port() {
    for good in [
        "unix:/run/kith.sock",
        "https://192.0.2.1:9559",
        "https://dp.example:1",
    ] {
        assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
    }
    for wrong in [
        "",
        "/run/kith.sock",
        "unix:x",
        "https://host",
        "https://:1",
        "https://h:0",
        "https://a/b:1",
        "tcp://h:1",
    ] {
        assert!(wrong.parse::<Address>().is_err(), "{wrong}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let wrong = wrong_at(|config| {
        config.election_id = Some(0);
        let director = &mut config.directors[0];
        director.name = "../nrd1".into();
        director.mtu = 100;
        director.udp_port = 0;
        director.keep_alive = Span::from_secs(30);
        director.sender_rate = Some(Rate {
            per_second: 0,
            burst: 1,
        });
        let twin = director.grants[0].clone();
        director.grants.push(twin);
        config.directors[1].dataplane.tls = None;
    });
    assert_eq!(
        wrong,
        [
            "election_id",
            "directors[0].name",
            "directors[0].udp_port",
            "directors[0].mtu",
            "directors[0].keep_alive",
            "directors[0].sender_rate",
            "directors[0], grant of \"alice\", key_id",
            "directors[0], grant of \"alice\", pseudo",
            "directors[1].dataplane.tls",
        ]
    );
}

#[test]
fn directors_have_one_manager_and_each_its_own_token() {
    let fingerprint = format!("sha256:{}", "0f".repeat(32));
    let remote = |token: Option<&str>| {
        Some(RemoteManager {
            address: "manager.acme.example:443".into(),
            fingerprint: fingerprint.clone(),
            token_file: token.map(Into::into),
        })
    };
    let tokens = |c: &mut Config| {
        for director in &mut c.directors {
            director.token_file = Some("token".into());
        }
    };
    let good = wrong_at(|c| {
        c.remote_manager = remote(None);
        tokens(c);
    });
    assert!(good.is_empty(), "{good:?}");
    let tokenless = wrong_at(|c| c.remote_manager = remote(Some("token")));
    assert_eq!(
        tokenless,
        [
            "remote_manager.token_file",
            "directors[0].token_file",
            "directors[1].token_file"
        ]
    );
    assert_eq!(
        wrong_at(tokens),
        ["directors[0].token_file", "directors[1].token_file"]
    );
    let both = wrong_at(|c| {
        c.remote_manager = remote(None);
        c.manager = Some(Manager::default());
        tokens(c);
    });
    assert_eq!(both, ["remote_manager"]);
    for (address, key) in [
        ("manager.acme.example", "sha256:0f"),
        ("manager:0", ""),
        (":443", "sha256"),
        ("a b:443", "x"),
    ] {
        let wrong = wrong_at(|c| {
            let key = key.to_owned();
            c.remote_manager = remote(None).map(|remote| RemoteManager {
                address: address.into(),
                fingerprint: key,
                ..remote
            });
            tokens(c);
        });
        assert_eq!(
            wrong,
            ["remote_manager.address", "remote_manager.fingerprint"],
            "{address}"
        );
    }
}

#[test]
fn an_only_director_takes_the_sections_token_and_nobody_else_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "name: site\nremote_manager: {{ address: \"192.0.2.1:443\", fingerprint: \"sha256:{}\", token_file: prd1.token }}\n\
         directors:\n- {{ name: prd1, dataplane: {{ address: \"unix:/run/p4\" }}, address: 192.168.1.5 }}\n",
        "0f".repeat(32)
    );
    let (path, token) = (
        folder.path().join("config.yaml"),
        folder.path().join("prd1.token"),
    );
    fs::write(&path, &text).unwrap();
    assert!(matches!(load(&path), Err(ConfigError::Read { path, .. }) if path == token));
    fs::write(&token, "kith-abc\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(load(&path), Err(ConfigError::Exposed { path, .. }) if path == token));
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(load(&path).unwrap().directors[0].token_file, Some(token));
    fs::write(&path, text.replace("fingerprint", "finger")).unwrap();
    let unknown = load(&path).unwrap_err().to_string();
    assert!(unknown.contains("finger"), "{unknown}");
}

#[test]
fn one_dataplane_has_one_director_and_one_name_is_one_director() {
    assert_eq!(wrong_at(|c| c.directors.clear()), ["directors"]);
    let twins = |c: &mut Config| c.directors[1] = c.directors[0].clone();
    assert_eq!(wrong_at(twins), ["directors[1].name", "directors[1].dataplane"]);
}

#[test]
fn grants_must_fit_pool_and_communities() {
    let outside = |c: &mut Config| c.directors[0].grants[0].pseudo = Some(Ipv4Addr::new(240, 0, 0, 17));
    assert_eq!(wrong_at(outside), ["directors[0], grant of \"alice\", pseudo"]);
    let other_name = |c: &mut Config| {
        let mut bob = c.directors[0].grants[0].clone();
        (bob.name, bob.key_id, bob.pseudo) = ("bob".into(), 2, None);
        bob.community.name = "other.example".into();
        c.directors[0].grants.push(bob);
    };
    assert_eq!(
        wrong_at(other_name),
        ["directors[0], grant of \"bob\", community"]
    );
    let unset = |c: &mut Config| c.directors[0].grants[0].key = SecretKey::new([0; 32]);
    assert_eq!(wrong_at(unset), ["directors[0], grant of \"alice\", key"]);
}

#[test]
fn keys_in_a_file_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (file, grants) = (at("config.yaml"), at("grants.yaml"));
    let mut config = good();
    let moved = std::mem::take(&mut config.directors[0].grants);
    config.directors[0].grants_file = Some("grants.yaml".into());
    fs::write(&file, config.to_yaml().unwrap()).unwrap();
    assert!(matches!(load(&file), Err(ConfigError::Read { path, .. }) if path == grants));
    write_private(&grants, &grants_to_yaml(&moved).unwrap()).unwrap();
    assert!(matches!(load(&file), Err(ConfigError::Read { path, .. }) if path == at("ca")));
    for name in ["ca", "cert", "key"] {
        fs::write(at(name), "PEM").unwrap();
    }
    fs::set_permissions(at("key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(load(&file), Err(ConfigError::Exposed { path, .. }) if path == at("key")));
    fs::set_permissions(at("key"), fs::Permissions::from_mode(0o600)).unwrap();
    let loaded = load(&file).unwrap();
    assert_eq!(loaded.directors[0].grants[0].name, "alice");
    assert_eq!(loaded.directors[1].dataplane.tls.as_ref().unwrap().ca, at("ca"));
    fs::set_permissions(&grants, fs::Permissions::from_mode(0o640)).unwrap();
    let error = load(&file).unwrap_err().to_string();
    assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
}
