//! Tokens and certificates of operators, directors, and the manager's own settings.

use super::*;
use aws_lc_rs::digest::{SHA256, digest};

fn wish(name: &str, role: &str) -> a::CredentialRequest {
    a::CredentialRequest {
        name: name.into(),
        role: role.into(),
        ..a::CredentialRequest::default()
    }
}

#[test]
fn a_token_is_shown_once_and_only_its_hash_is_kept() {
    let mut world = world();
    let AdminReply::NewCredential(made) = done(&mut world, Command::CreateCredential(wish("ci", "operator")))
    else {
        panic!()
    };
    assert!(made.token.starts_with("kith-") && made.token.len() == 5 + 43);
    assert!(!on_disk(&world, made.token.as_bytes()));
    let kept = world.manager.state().credentials().next().unwrap();
    assert_eq!(kept.hash, digest(&SHA256, made.token.as_bytes()).as_ref());
    assert!(kept.expires_ms > world.now.0);
    let AdminReply::Credentials(listed) = done(&mut world, Command::ListCredentials) else {
        panic!()
    };
    assert_eq!(listed.credentials, [made.credential.unwrap()]);

    assert!(
        refused(&mut world, Command::CreateCredential(wish("ci", "viewer")))
            .contains("there is a credential ci already")
    );
    assert!(
        refused(&mut world, Command::CreateCredential(wish("x", "root")))
            .contains("there are viewer, operator and admin")
    );
    done(&mut world, Command::DeleteCredential(name("ci")));
    assert_eq!(world.manager.state().credentials().count(), 0);
    assert!(refused(&mut world, Command::DeleteCredential(name("ci"))).contains("there is no credential ci"));
}

#[test]
fn a_certificate_is_known_by_its_key() {
    let mut world = world();
    let certified = rcgen::generate_simple_self_signed(vec!["ops.example".into()]).unwrap();
    let with = |der: &[u8]| {
        Command::CreateCredential(a::CredentialRequest {
            certificate_der: der.to_vec(),
            ..wish("ops", "admin")
        })
    };
    let AdminReply::NewCredential(made) = done(&mut world, with(certified.cert.der())) else {
        panic!()
    };
    assert!(made.token.is_empty() && made.credential.unwrap().certificate);
    let expected = kith_protocol::tls::Fingerprint::of_certificate(certified.cert.der()).unwrap();
    assert_eq!(
        world.manager.state().credentials().next().unwrap().hash,
        expected.0
    );
    done(&mut world, Command::DeleteCredential(name("ops")));
    assert!(refused(&mut world, with(b"-----BEGIN CERTIFICATE-----")).contains("openssl x509 -outform der"));
}

#[test]
fn a_director_that_is_in_use_stays() {
    let mut world = world();
    let wish = a::Director {
        name: "d1".into(),
        address: "203.0.113.9".into(),
        port: 4500,
        udp: true,
        ..a::Director::default()
    };
    done(&mut world, Command::PutDirector(wish.clone()));
    let mut pc = invited(&mut world, invitee("pc.acme.example"));
    pc.behind_nat("192.168.1.5");
    pc.enroll(&mut world);
    pc.up(&mut world);
    assert!(
        refused(&mut world, Command::DeleteDirector(name("d1")))
            .contains("1 member is reached through d1; drain it first")
    );
    done(
        &mut world,
        Command::PutDirector(a::Director {
            draining: true,
            ..wish.clone()
        }),
    );
    assert_eq!(audit(&world).pop().unwrap().detail, "draining: no -> yes");
    world.call(pc.from, Call::Leave, pc.leave());
    done(&mut world, Command::DeleteDirector(name("d1")));

    let with = |change: &dyn Fn(&mut a::Director)| {
        let mut one = wish.clone();
        change(&mut one);
        Command::PutDirector(one)
    };
    let cases: [(Command, &str); 5] = [
        (
            with(&|one| one.address.clear()),
            "needs the address at which members reach it",
        ),
        (
            with(&|one| one.port = 70_000),
            "a number from 1 to 65535, not 70000",
        ),
        (with(&|one| one.udp = false), "must take UDP, TCP or both"),
        (
            with(&|one| one.private = true),
            "needs its address inside its network",
        ),
        (
            with(&|one| one.name = "My Director".into()),
            "a name has 1 to 64 letters",
        ),
    ];
    for (command, words) in cases {
        let error = refused(&mut world, command);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn invitations_name_the_manager_as_it_was_last_set() {
    let mut world = world();
    let set = |host: &str, port| {
        Command::SetManager(a::ManagerSettings {
            host: host.into(),
            port,
        })
    };
    let AdminReply::Status(status) = done(&mut world, set("vpn.acme.example", 0)) else {
        panic!()
    };
    assert_eq!(
        (status.host.as_str(), status.port, status.communities),
        ("vpn.acme.example", 443, 1)
    );
    let AdminReply::Invitations(answer) = done(&mut world, invitation(invitee("pc.acme.example"), 7)) else {
        panic!()
    };
    let read = kith_protocol::invitation::Invitation::parse(&answer.invitations[0].text).unwrap();
    assert_eq!(read.host, "vpn.acme.example");
    assert!(refused(&mut world, set("no such host", 443)).contains("write it as vpn.acme.example"));
    assert!(refused(&mut world, set("vpn.acme.example", 65_536)).contains("1 to 65535"));

    let mut nowhere = settings();
    (nowhere.command, nowhere.managers) = (crate::admin::run, Vec::new());
    let mut world = World::with(nowhere);
    assert!(
        refused(&mut world, invitation(invitee("pc.acme.example"), 7)).contains("kith manager set --host")
    );
}

#[test]
fn a_directors_credential_is_for_one_that_is_there_and_goes_with_it() {
    let mut world = world();
    let director_wish = |name: &str, director: &str| a::CredentialRequest {
        director: director.into(),
        ..wish(name, "director")
    };
    let create = |wish| Command::CreateCredential(wish);
    assert!(refused(&mut world, create(director_wish("t", ""))).contains("for which route director"));
    assert!(refused(&mut world, create(director_wish("t", "prd1"))).contains("kith director add"));
    let director = a::Director {
        name: "prd1".into(),
        address: "203.0.113.10".into(),
        port: 20202,
        udp: true,
        ..a::Director::default()
    };
    done(&mut world, Command::PutDirector(director));
    let viewer = a::CredentialRequest {
        director: "prd1".into(),
        ..wish("t", "viewer")
    };
    assert!(refused(&mut world, create(viewer)).contains("leave the director out"));
    let AdminReply::NewCredential(made) = done(&mut world, create(director_wish("t", "prd1"))) else {
        panic!("no credential")
    };
    let shown = made.credential.unwrap();
    assert_eq!(
        (shown.role.as_str(), shown.director.as_str()),
        ("director", "prd1")
    );
    assert!(!on_disk(&world, made.token.as_bytes()), "only its hash is kept");
    assert_eq!(world.manager.attends_for(&shown.id, world.now), Some("prd1"));
    assert_eq!(audit(&world).pop().unwrap().detail, "director prd1, token");
    done(&mut world, Command::DeleteDirector(name("prd1")));
    assert_eq!(world.manager.state().credentials().count(), 0);
    assert_eq!(audit(&world).pop().unwrap().detail, "and 1 of its credentials");
}
