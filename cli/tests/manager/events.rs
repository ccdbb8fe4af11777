//! Events, as they happen, over a restart.

use crate::world::World;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A `kith events` whose lines can be waited for; ended with its value.
struct Watching {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Watching {
    fn start(world: &World, words: &str) -> Self {
        let mut command = world.command(words);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (
            lines(child.stdout.take().unwrap()),
            lines(child.stderr.take().unwrap()),
        );
        Self { child, out, err }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (put, take) = channel();
    std::thread::spawn(move || {
        BufReader::new(from)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| put.send(line))
    });
    take
}

fn next(from: &Receiver<String>) -> String {
    from.recv_timeout(Duration::from_secs(30)).expect("a line")
}

/// Makes events until one is seen: when the watch has begun only its first line tells.
fn until_seen(world: &World, watching: &Watching, mark: &str) -> String {
    for number in 0..100 {
        world.good(&format!(
            "community update acme.example --description {mark}{number}"
        ));
        if let Ok(line) = watching.out.recv_timeout(Duration::from_millis(300)) {
            return line;
        }
    }
    panic!("no event was seen");
}

#[test]
fn events_are_lines_and_go_on_after_a_restart() {
    let mut world = World::acme();
    let watching = Watching::start(&world, "events --community acme.example");
    let line = until_seen(&world, &watching, "a");
    assert!(
        line.contains("  community.changed   acme.example              description: "),
        "{line}"
    );

    world.restart();
    let lost = next(&watching.err);
    assert!(
        lost.starts_with("kith: 20") && lost.ends_with("; connecting again"),
        "{lost}"
    );
    let again = next(&watching.err);
    assert!(again.contains(": connected again; events of "), "{again}");
    while watching.out.try_recv().is_ok() {}
    assert!(until_seen(&world, &watching, "b").contains("acme.example"));
}

#[test]
fn as_json_an_event_is_a_line() {
    let world = World::acme();
    let watching = Watching::start(&world, "-o json events");
    let line = until_seen(&world, &watching, "a");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["kind"], &event["subject"]),
        (&"community.changed".into(), &"acme.example".into())
    );
}

#[test]
fn a_watch_that_nobody_reads_ends() {
    let world = World::acme();
    let mut watching = Watching::start(&world, "events");
    until_seen(&world, &watching, "a");
    // The reader's thread ends with its channel, and closes the pipe at the next line.
    watching.out = channel().1;
    for number in 0..100 {
        world.good(&format!("community update acme.example --description b{number}"));
        if let Some(status) = watching.child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
    }
    panic!("it goes on");
}
