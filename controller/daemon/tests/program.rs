//! The program at its edges, and beside a P4Runtime service with tables in memory. Needs no network.

mod common;

use common::{Dataplane, KEY, MEMBERS, Running, command, said, standing, status, until, write};
use kith_controller::status::{Client, Part, Standing};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let grants: String = (0..MEMBERS)
        .map(|index| {
            format!("  - {{ name: m{index}, key_id: {index}, key: \"{KEY}\", community: {{ index: 1, name: acme }} }}\n")
        })
        .collect();
    format!(
        "name: office\nstate_dir: {folder}/state\nstatus_socket: {folder}/socket\ndirectors:\n- name: nrd1\n  \
         dataplane: {{ address: \"unix:{folder}/p4runtime\" }}\n  address: 203.0.113.10\n  \
         pseudo_pool: {{ first: 240.0.0.1, count: 100 }}\n  grants:\n{grants}"
    )
}

#[test]
fn a_wrong_configuration_ends_with_2_and_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let good = configuration(folder.path());
    write(
        folder.path(),
        &good
            .replace("count: 100", "count: 0")
            .replace("203.0.113.10", "0.0.0.0"),
    );
    let output = command(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output);
    for what in [
        "2 values are wrong",
        "directors[0].address:",
        "directors[0].pseudo_pool:",
    ] {
        assert!(text.contains(what), "{what}: {text}");
    }
    write(folder.path(), &good);
    let output = command(folder.path()).arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("good"));
}

#[test]
fn the_service_manager_hears_ready_watchdog_and_stopping_and_a_second_instance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &configuration(folder.path()));
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut program = command(folder.path());
    program
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "600000");
    let mut running = Running(program.spawn().unwrap());
    let hear = || {
        let mut buffer = [0; 256];
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).trim().to_owned()
    };
    assert_eq!(hear(), "READY=1", "before there is a dataplane");
    assert_eq!(hear(), "WATCHDOG=1");
    assert_eq!(status(folder.path()).unwrap().pid, running.0.id());
    let socket = fs::metadata(folder.path().join("socket")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let second = command(folder.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("runs already"), "{}", said(&second));
    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    while hear() != "STOPPING=1" {}
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    assert!(!folder.path().join("socket").exists());
}

#[test]
fn a_controller_killed_again_and_again_takes_nothing_from_the_tables_and_logs_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &configuration(folder));
    let mut controller = Running::start(folder);
    let away = standing(folder, Standing::Away);
    assert!(away.directors[0].why.is_some());
    let dataplane = Dataplane::start(folder);
    standing(folder, Standing::Serving);
    println!("{MEMBERS} members joined in {:?}", dataplane.join());
    let tables = dataplane.tables();
    assert_eq!(
        standing(folder, Standing::Serving).directors[0].sessions,
        u64::from(MEMBERS)
    );
    for _ in 0..5 {
        controller.kill();
        assert_eq!(dataplane.tables(), tables, "the dataplane goes on alone");
        controller = Running::start(folder);
        let status = standing(folder, Standing::Serving);
        assert_eq!(status.directors[0].restored, u64::from(MEMBERS));
        let updates = status.directors[0]
            .dataplane_side
            .iter()
            .find(|one| one.name == "updates")
            .unwrap();
        assert_eq!(updates.count, 0, "there was nothing to write");
        assert_eq!(dataplane.tables(), tables);
    }
    // The dataplane is killed instead: it gets everything back.
    drop(dataplane);
    standing(folder, Standing::Away);
    let began = Instant::now();
    let dataplane = Dataplane::start(folder);
    standing(folder, Standing::Serving);
    println!("an empty dataplane was filled after {:?}", began.elapsed());
    let part = Part::default();
    let listed = Client::connect(folder.join("socket"))
        .unwrap()
        .sessions(part)
        .unwrap();
    assert_eq!(listed.total, u64::from(MEMBERS));
    until("its tables are as they were", || {
        (dataplane.tables() == tables).then_some(())
    });
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("session opened"));
    assert!(
        !log.contains(&KEY[..16]) && !log.contains("7, 7, 7, 7"),
        "a key is in the log"
    );
}
