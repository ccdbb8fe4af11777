//! Backup and restore.

use crate::world::World;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_backup_restores_what_was_there() {
    let mut world = World::acme();
    let print = world.fingerprint();
    let copy = world.file("copy.db");
    let words = format!("manager backup {}", copy.display());
    let said = world.good(&words);
    assert!(
        said.contains(" kB, with every key of the manager in it"),
        "{said}"
    );
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
    let (status, err) = world.bad(&words);
    assert_eq!(status, 1);
    assert!(
        err.ends_with("copy.db: it is there already; a backup overwrites nothing\n"),
        "{err}"
    );

    world.good("member delete printer.acme.example");
    let restore = format!(
        "manager restore {} --state-dir {}",
        copy.display(),
        world.folder.path().display()
    );
    let (status, err) = world.bad(&restore);
    assert_eq!(status, 1);
    assert!(err.contains(" is running\n  help: stop it first"), "{err}");
    world.stop();
    assert!(world.good(&restore).contains("store.db: restored, at revision "));
    world.restart();
    assert_eq!(world.fingerprint(), print);
    assert_eq!(world.json("member list")[0]["fqdn"], "printer.acme.example");
}

#[test]
fn who_may_not_copy_leaves_no_file() {
    let world = World::start();
    let token = world.run("credential create ci --role operator").out;
    let token = world.private("token", &token);
    let copy = world.file("copy.db");
    let print = world.fingerprint();
    let ran = world.remote(
        &format!("manager backup {}", copy.display()),
        &["--fingerprint", &print, "--token-file", &token],
    );
    assert_eq!(ran.status, 1);
    assert_eq!(
        ran.err,
        "kith: manager.backup needs the role admin; token ci has operator\n"
    );
    let left = fs::read_dir(world.folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().contains("copy"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
