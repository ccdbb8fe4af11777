//! A manager that is killed while a topology is applied: all of it is there afterwards, or nothing.

use crate::world::{self, World};
use std::env;
use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Set in a process that is to be a manager in this folder, and not to test.
const FOLDER: &str = "KITH_TEST_MANAGER_FOLDER";
/// How that process comes to `manage`: it runs the test below.
const TEST: &str = "killed::all_of_a_topology_is_applied_or_nothing_whenever_the_manager_dies";
const MEMBERS: usize = 60;
const KILLS: u32 = 12;

/// A manager until it is killed, or the test that started it has gone away without doing so.
fn manage(folder: &OsStr) {
    let runtime = Runtime::new().unwrap();
    let _server = runtime.block_on(world::serve(folder.as_ref()));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
}

/// Killed when it goes.
struct Manager(Child);

impl Manager {
    fn start(world: &World) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", TEST, "--nocapture"])
            .env(FOLDER, world.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let manager = Self(command.spawn().unwrap());
        let begun = Instant::now();
        while world.run("manager status").status != 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "no manager");
            std::thread::sleep(Duration::from_millis(20));
        }
        manager
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn network() -> String {
    let member = |n| {
        format!(
            "  - {{ members: [m{n:02}.acme.example], email: m@acme.example, tags: [t{}] }}\n",
            n % 7
        )
    };
    let policy = |n| format!("      - {{ id: p{n}, action: deny, to: \"tag:t{n}\" }}\n");
    format!(
        "version: 2\ncommunities:\n  - domain: acme.example\n    pools: [10.77.0.0/24]\n    policies:\n{}  - domain: globex.example\n    \
         pools: [10.78.0.0/24]\ndevices:\n{}",
        (0..7).map(policy).collect::<String>(),
        (0..MEMBERS).map(member).collect::<String>()
    )
}

#[test]
fn all_of_a_topology_is_applied_or_nothing_whenever_the_manager_dies() {
    if let Some(folder) = env::var_os(FOLDER) {
        return manage(&folder);
    }
    let mut whole = Duration::ZERO;
    let (mut nothing, mut all) = (0, 0);
    for kill in 0..=KILLS {
        let world = World {
            runtime: Runtime::new().unwrap(),
            server: None,
            folder: tempfile::tempdir().unwrap(),
        };
        let file = world.private("network.yaml", &network());
        let manager = Manager::start(&world);
        let begun = Instant::now();
        let mut apply = world.command(&format!("topology apply {file} --yes --no-mail"));
        let mut apply = apply
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let done = if kill == 0 {
            let status = apply.wait().unwrap();
            whole = begun.elapsed();
            status
        } else {
            // From before its connection until after its answer.
            std::thread::sleep(whole * kill * 11 / (KILLS * 10));
            drop(manager);
            apply.wait().unwrap()
        };

        let _again = Manager::start(&world);
        let plan = world.json(&format!("topology plan {file}"));
        let missing = plan["changes"].as_array().unwrap().len();
        let wanted = 2 + 7 + MEMBERS;
        assert!(
            missing == 0 || missing == wanted,
            "{missing} of {wanted} are missing after {kill}"
        );
        assert!(
            !done.success() || missing == 0,
            "what was said to be done is done"
        );
        if missing == 0 {
            all += 1;
        } else {
            nothing += 1;
        }
        world.good(&format!("topology apply {file} --yes --no-mail"));
        let plan = world.run(&format!("topology plan {file} --prune --exit-code"));
        assert_eq!((plan.status, plan.err.as_str()), (0, ""), "{}", plan.out);
    }
    println!("{all} times all, {nothing} times nothing");
    assert!(
        all >= 1 && nothing >= 1,
        "{all} times all, {nothing} times nothing"
    );
}
