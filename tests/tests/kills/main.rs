//! The manager is killed two hundred times while everybody works with it.
//!
//! Problem: whatever the manager has acknowledged must survive `kill -9`, whole, and members who talk to each other must not notice. Idea:
//! the real program on a real disk, under all the load there is, killed at random moments and started again at once; a ledger of what
//! was asked for and what was acknowledged; and after kills the store is held against it.
//!
//! ```text
//!  operators ── descriptions, policies, networks as one ──► ┌─────────────────┐ ◄── invitations, registrations, codes, joins ── members
//!      │                                                    │ kith-controller │                                                │
//!      ▼                                                    └────────┬────────┘                                                ▼
//!   ledger: asked for, acknowledged ◄──── copy of the store ◄─── kill -9, 200 times                                          ledger
//!
//!  kith-agent ◄═════ a datagram every 10 ms, there and back: none is lost ═════► kith-agent
//! ```
//!
//! Three kills of four come up to a quarter of a second after the manager answers; the fourth comes while it starts. `KITH_KILL_SEED` runs
//! the moments of another run again (not its load: that is the computer's affair), `KITH_KILLS` chooses how many.

mod check;
mod ledger;
mod members;
mod net;
mod operators;
mod traffic;

use check::Found;
use kith_protocol::admin::{ApplyRequest, Empty, Invitation, Invitee, Network, Policy};
use kith_protocol::tls::unix;
use ledger::Ledger;
use net::{MANAGER, Net, in_namespace, until};
use operators::{Desk, community};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::{Builder, Runtime};
use traffic::Traffic;

const KILLS: u64 = 200;
/// After so many kills the store is copied and looked at, beside what the manager that is started again says.
const LOOK: u64 = 4;
/// A start takes no longer, however busy the computer is.
const START: Duration = Duration::from_secs(60);
/// Until the agents have found the manager again after the last kill: their pauses between attempts grow to 15 seconds.
const REJOIN: Duration = Duration::from_secs(60);
const PAIR: [&str; 2] = ["alice.pair.example", "bob.pair.example"];

#[test]
fn two_hundred_kills_lose_nothing_acknowledged_leave_nothing_half_done_and_stop_no_traffic() {
    let id = std::process::Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|id| id.stdout == b"0\n");
    assert!(root, "these tests make network namespaces: run them as root");
    let (seed, kills) = (number("KITH_KILL_SEED", now()), number("KITH_KILLS", KILLS));
    println!("KITH_KILL_SEED={seed}");
    let mut random = Random(seed);
    let mut world = World::start();
    let began = Instant::now();
    let (mut ready, mut looks) = (Vec::new(), Vec::new());
    for kill in 1..=kills {
        if kill % LOOK == 0 {
            // While it starts.
            sleep(Duration::from_millis(random.below(60)));
        } else {
            ready.push(world.ready());
            sleep(Duration::from_millis(20 + random.below(230)));
        }
        world.net.kill_manager();
        let look = kill % LOOK == 1 || kill == kills;
        let taken = look.then(|| {
            let to = world.net.file(&format!("copy-{kill}"));
            (
                world.desk.ledger.book(),
                check::copy(&world.net.file("state"), &to),
            )
        });
        world.net.start_manager();
        if let Some((book, path)) = taken {
            looks.push(std::thread::spawn(move || {
                let found = Found::read(&path);
                let wrong = found.check(&book);
                std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
                (kill, found.population(), wrong)
            }));
        }
    }
    let (killed, last_kill) = (began.elapsed(), Instant::now());
    let resolved = until("names resolve again at both agents", REJOIN, || {
        world.resolve() == [true; 2]
    });
    let counted = world.traffic.take().unwrap().stop();
    let mistakes = world.finish();
    let population = looks.into_iter().map(|look| {
        let (kill, population, wrong) = look.join().unwrap();
        assert!(
            wrong.is_empty(),
            "after kill {kill} of seed {seed}:\n{}",
            wrong.join("\n")
        );
        population
    });
    let population = population.last();
    let book = world.desk.ledger.book();
    ready.sort_unstable();
    println!(
        "{kills} kills in {killed:.1?}; started again after {:.0?} (median; at most {:.0?}); {} steps acknowledged, {} members, revision \
         {}; names again after {:.1?}; {counted}; all in {:.1?}",
        ready[ready.len() / 2],
        ready[ready.len() - 1],
        book.acknowledged(),
        population.unwrap_or_default(),
        book.revision,
        resolved,
        last_kill.elapsed() + killed,
    );
    assert!(mistakes.is_empty(), "seed {seed}:\n{}", mistakes.join("\n"));
    assert!(book.acknowledged() > kills, "the load must have come to work");
    assert_eq!((counted.lost_there, counted.lost_back), (0, 0), "{counted:?}");
}

/// Everything that runs.
struct World {
    runtime: Runtime,
    desk: Desk,
    load: Option<std::thread::JoinHandle<()>>,
    traffic: Option<Traffic>,
    net: Net,
}

impl World {
    /// A manager with networks, a pair of members who talk, and everybody at work.
    fn start() -> Self {
        let mut net = Net::new();
        let desk = Desk {
            socket: net.file("admin.sock"),
            spool: net.file("state/spool"),
            ledger: Arc::new(Ledger::new()),
            stop: Arc::new(AtomicBool::new(false)),
        };
        net.start_manager();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut world = Self {
            runtime,
            desk,
            load: None,
            traffic: None,
            net,
        };
        world.ready();
        for (which, invitation) in world.found_networks().iter().enumerate() {
            world.net.start_agent(which + 1, &invitation.text);
        }
        until("both know each other's names", REJOIN, || {
            world.resolve() == [true; 2]
        });
        let bob = world.net.resolves(1, PAIR[1]).expect("it was resolved just now");
        world.traffic = Some(Traffic::start(&world.net, bob));
        world.load = Some(world.load());
        world
    }

    fn found_networks(&self) -> Vec<Invitation> {
        let domains = [
            "text.example",
            "rules.example",
            "pair.example",
            "come0.example",
            "come1.example",
            "come2.example",
        ];
        let invitee = |fqdn: &str| Invitee {
            fqdn: fqdn.to_owned(),
            email: fqdn.replacen('.', "@", 1),
            ..Invitee::default()
        };
        let network = Network {
            communities: (10..)
                .zip(domains)
                .map(|(second, domain)| community(domain, second, 0))
                .collect(),
            members: PAIR.map(invitee).into(),
            policies: vec![Policy {
                id: "all".into(),
                community: "pair.example".into(),
                level: "domain".into(),
                allow: true,
                from: "any".into(),
                to: "any".into(),
                services: vec!["any".into()],
                ..Policy::default()
            }],
            ..Network::default()
        };
        let request = ApplyRequest {
            network: Some(network),
            no_mail: true,
            ..ApplyRequest::default()
        };
        self.runtime.block_on(async {
            let mut admin = self.desk.admin().await.unwrap();
            admin.apply(request).await.unwrap().into_inner().invitations
        })
    }

    /// Everybody at work, in the manager's namespace.
    fn load(&self) -> std::thread::JoinHandle<()> {
        let desk = self.desk.clone();
        in_namespace(&self.net.namespace(0), move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut work = tokio::task::JoinSet::new();
                work.spawn(operators::describes(desk.clone(), "text.example".into(), 10));
                work.spawn(operators::decides(desk.clone(), "rules.example".into()));
                work.spawn(operators::applies(desk.clone(), "full.example".into(), 100, true));
                work.spawn(operators::applies(
                    desk.clone(),
                    "rule.example".into(),
                    101,
                    false,
                ));
                for lane in 0..3 {
                    work.spawn(members::come(
                        desk.clone(),
                        format!("come{lane}.example"),
                        MANAGER,
                    ));
                }
                while let Some(ended) = work.join_next().await {
                    ended.unwrap();
                }
            });
        })
    }

    /// Waits until the manager answers; what it shows is not older than what it showed before.
    fn ready(&mut self) -> Duration {
        let began = Instant::now();
        loop {
            let answer = self.runtime.block_on(async {
                let mut admin =
                    kith_protocol::admin::admin_client::AdminClient::new(unix(&self.desk.socket).await.ok()?);
                admin.get_status(Empty {}).await.ok()
            });
            if let Some(status) = answer {
                self.desk.ledger.revision(status.into_inner().revision);
                return began.elapsed();
            }
            assert!(
                began.elapsed() < START,
                "the manager does not start again:\n{}",
                self.net.log()
            );
            sleep(Duration::from_millis(2));
        }
    }

    /// Do names resolve at each of the two?
    fn resolve(&self) -> [bool; 2] {
        [(1, PAIR[1]), (2, PAIR[0])].map(|(which, name)| self.net.resolves(which, name).is_some())
    }

    /// Everybody ends; what the manager says and what is on disk is held against the ledger for the last time.
    fn finish(&mut self) -> Vec<String> {
        self.desk.stop.store(true, Ordering::Relaxed);
        self.load.take().unwrap().join().unwrap();
        self.ready();
        self.net.kill_manager();
        let path = check::copy(&self.net.file("state"), &self.net.file("last"));
        let mut wrong = self.desk.ledger.mistakes();
        wrong.extend(Found::read(&path).check(&self.desk.ledger.book()));
        wrong
    }
}

/// Good enough to choose moments: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}
