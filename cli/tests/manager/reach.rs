//! The ways to a manager, and what is said where there is none.

use crate::world::{World, kith};
use std::fs;
use std::os::unix::net::UnixListener;

#[test]
fn a_token_lets_in_from_elsewhere_with_its_role_and_until_it_is_removed() {
    let world = World::acme();
    let ran = world.run("credential create ci --role viewer --valid 2h");
    assert_eq!(ran.status, 0);
    assert!(
        ran.err.starts_with("kith: ci: viewer, good until 20"),
        "{}",
        ran.err
    );
    assert_eq!(ran.out.lines().count(), 1, "the token alone");
    let token = world.private("ci.token", &ran.out);
    let print = world.fingerprint();
    let with = |file: &str| {
        vec![
            "--fingerprint".to_owned(),
            print.clone(),
            "--token-file".to_owned(),
            file.to_owned(),
        ]
    };
    let remote = |words: &str, file: &str| {
        let with = with(file);
        world.remote(words, &with.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let listed = remote("member list", &token);
    assert_eq!((listed.status, listed.err.as_str()), (0, ""));
    assert_eq!(listed.out, world.good("member list"));

    let refused = remote("member revoke printer.acme.example --reason x", &token);
    assert_eq!(
        (refused.status, refused.err.as_str()),
        (
            1,
            "kith: member.revoke needs the role operator; token ci has viewer\n"
        )
    );
    world.good("credential remove ci");
    let removed = remote("member list", &token);
    assert_eq!(
        (removed.status, removed.err),
        (
            1,
            format!(
                "kith: the manager at {} does not take the token in {token}: it has expired, was removed, or is for another manager\n  \
                 help: an admin makes a new one with `kith credential create NAME --role ROLE`\n",
                world.https()
            )
        )
    );
    fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let open = remote("member list", &token);
    assert_eq!(open.status, 1);
    assert!(open.err.contains("can be read by others"), "{}", open.err);
}

#[test]
fn a_client_certificate_lets_in() {
    let world = World::acme();
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["ops".into()]).unwrap();
    let certificate = certificate.self_signed(&pair).unwrap();
    let pem = world.private("ops.pem", &certificate.pem());
    let key = world.private("ops.key", &pair.serialize_pem());
    let print = world.fingerprint();
    let with = ["--fingerprint", &print, "--certificate", &pem, "--key", &key];
    let stranger = world.remote("manager status", &with);
    assert!(
        stranger.err.contains("does not take the certificate in "),
        "{}",
        stranger.err
    );
    world.good(&format!(
        "credential create ops --role operator --client-certificate {pem}"
    ));
    let known = world.remote("manager status", &with);
    assert_eq!((known.status, known.err.as_str()), (0, ""));
    let wrong = world.bad(&format!(
        "credential create more --role operator --client-certificate {key}"
    ));
    assert!(
        wrong.1.contains("there is no X.509 certificate in it"),
        "{}",
        wrong.1
    );
}

#[test]
fn nothing_is_sent_to_another_manager_than_the_pinned_one() {
    let world = World::start();
    let other = format!("sha256:{}", "ab".repeat(32));
    let token = world.private("token", "kith-secret");
    let ran = world.remote(
        "manager status",
        &["--fingerprint", &other, "--token-file", &token],
    );
    assert_eq!(ran.status, 1);
    let first = ran.err.lines().next().unwrap();
    let place = world.https();
    assert_eq!(
        first,
        format!(
            "kith: who answers at {place} is not the manager with this fingerprint: nothing was sent to it"
        )
    );
    let ran = world.remote("manager status", &[]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("give `--fingerprint sha256:…`"), "{}", ran.err);
    let ran = world.remote("manager status", &["--fingerprint", "ab:cd"]);
    assert_eq!(ran.status, 2);
    let ran = world.remote("manager status", &["--fingerprint", &world.fingerprint()]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.err
            .starts_with(&format!("kith: the manager at {place} wants to know who asks\n")),
        "{}",
        ran.err
    );
}

#[test]
fn where_no_manager_is_what_to_do_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = |place: &str, more: &[&str]| {
        let ran = kith("manager status")
            .arg("--manager")
            .arg(place)
            .args(more)
            .output()
            .unwrap();
        assert!(!ran.status.success());
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(err.lines().count(), 2, "{err}");
        err
    };
    let path = folder.path().join("no.sock");
    let none = said(&format!("unix:{}", path.display()), &[]);
    assert!(
        none.starts_with("kith: no manager runs at unix:/") && none.contains("systemctl start"),
        "{none}"
    );
    // A socket that its program has left behind.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(said(&format!("unix:{}", path.display()), &[]), none);

    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let print = format!("sha256:{}", "ab".repeat(32));
    let place = format!("https://127.0.0.1:{port}");
    let refused = said(&place, &["--fingerprint", &print]);
    assert!(
        refused.starts_with(&format!(
            "kith: the manager at {place} cannot be reached: nobody listens there\n"
        )),
        "{refused}"
    );
    let unknown = said("https://nobody.invalid", &["--fingerprint", &print]);
    assert!(unknown.contains("there is no host of this name"), "{unknown}");
    for wrong in [
        "vpn.acme.example",
        "http://a",
        "unix:relative",
        "https://a:0",
        "https://[::1",
    ] {
        assert!(
            said(wrong, &["--fingerprint", &print]).contains("is no place of a manager: "),
            "{wrong}"
        );
    }
    let lab = kith("manager status --lab nolab").output().unwrap();
    assert_eq!(lab.status.code(), Some(2));
}

#[test]
fn the_address_in_invitations_is_the_operators_to_say() {
    let world = World::start();
    let set = world.good("manager set --host kith.acme.example --port 8443");
    assert_eq!(
        set,
        "members reach this manager at kith.acme.example:8443 from now on\n"
    );
    world.good("manager set --port 9443");
    let status = world.json("manager status");
    assert_eq!(
        (&status["host"], &status["port"]),
        (&"kith.acme.example".into(), &9443.into())
    );
    assert_eq!(status["fingerprint"], world.fingerprint());
    assert_eq!(world.bad("manager set").0, 2);
}
