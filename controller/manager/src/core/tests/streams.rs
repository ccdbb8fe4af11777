//! A stream may end between any two words: who watches again is told what it missed, whatever it was.

use super::world::compile;
use super::*;
use kith_protocol::member::{Location, Rule};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// A policy about the member is put.
    Policy { id: u8, allow: bool },
    /// The member that it deals with is elsewhere.
    Move(u16),
    /// The oldest transaction reaches the disk.
    Commit,
    /// So many words of the stream arrive.
    Hear(usize),
    /// The stream ends, with all that was on its way; another begins.
    Break,
    /// The manager dies with what is not on disk.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, any::<bool>()).prop_map(|(id, allow)| Step::Policy { id, allow }),
        3 => (1000..1010u16).prop_map(Step::Move),
        6 => Just(Step::Commit),
        5 => (1..4usize).prop_map(Step::Hear),
        4 => Just(Step::Break),
        1 => Just(Step::Crash),
    ]
}

/// What a member believes, as far as it matters here: `kith-agent` takes changes in the same way.
struct Watcher {
    agent: Agent,
    revision: u64,
    resyncing: bool,
    rules: Vec<Rule>,
    /// Where the other one is.
    port: Option<u32>,
}

impl Watcher {
    fn joins(world: &mut World, mut agent: Agent) -> Self {
        let ack = agent.try_up(world).expect("joins");
        let mut this = Self {
            agent,
            revision: ack.revision,
            resyncing: false,
            rules: ack.policy.unwrap().rules,
            port: None,
        };
        this.watch(world);
        this
    }

    fn watch(&mut self, world: &mut World) {
        self.resyncing = self.revision == 0;
        self.agent.watch(world, self.revision);
    }

    /// The first words that have come; what is behind them is still under way.
    fn hear(&mut self, world: &mut World, words: usize, other: &Agent) {
        let mut heard = world.heard(&self.agent).into_iter();
        for update in heard.by_ref().take(words) {
            if !self.resyncing || matches!(update.change, Some(Change::Synced(_))) {
                self.revision = self.revision.max(update.revision);
            }
            match update.change {
                Some(Change::Policy(policy)) => self.rules = policy.rules,
                Some(Change::Peer(peer)) => self.port = peer.location.map(|location| location.port),
                Some(Change::Synced(_)) if std::mem::take(&mut self.resyncing) => {
                    let asked = self.agent.locate(&other.fqdn);
                    self.asks(world, asked);
                }
                Some(Change::Resync(_)) => {
                    assert!(!self.resyncing, "who asks for everything gets everything");
                    self.revision = 0;
                    return self.watch(world);
                }
                _ => {}
            }
        }
        let stream = self.agent.stream.unwrap();
        let left: Vec<_> = heard.map(|update| (stream, update)).collect();
        world.pushes.splice(0..0, left);
    }

    /// Where the other one is; the answer waits for the disk.
    fn asks(&mut self, world: &mut World, asked: Envelope) {
        let token = world.send(self.agent.from, Call::Locate, asked);
        while !world.commits.is_empty() {
            world.commit();
            world.settle();
        }
        if let Some(Answer::Locate(peer)) = world.answers.remove(&token) {
            self.port = peer.location.map(|location| location.port);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_a_broken_stream_swallows_is_told_again(steps in vec(step(), 1..40)) {
        let mut world = World::new();
        let other = world.joined("m1.acme.example");
        let agent = world.registered("m0.acme.example");
        let mut member = Watcher::joins(&mut world, agent);
        let asked = member.agent.locate(&other.fqdn);
        member.asks(&mut world, asked);
        world.quick_disk = false;
        for step in steps {
            match step {
                Step::Policy { id, allow } => world.policy(&format!("p{id}"), allow, "any", "machine:m0.acme.example"),
                Step::Move(port) => {
                    let location = Location { address: other.from.into(), port: port.into(), ..Location::default() };
                    world.send(other.from, Call::Move, other.moved(location));
                }
                Step::Commit if world.commits.is_empty() => {}
                Step::Commit => {
                    world.commit();
                    world.settle();
                }
                Step::Hear(words) => member.hear(&mut world, words, &other),
                Step::Break => {
                    let stream = member.agent.stream.unwrap();
                    world.input(Input::StreamClosed { stream });
                    member.watch(&mut world);
                }
                Step::Crash => {
                    world.restart();
                    world.answers.clear();
                    member.watch(&mut world);
                }
            }
        }
        // Whatever is on its way arrives: at most a resync, and what follows it.
        for _ in 0..4 {
            while !world.commits.is_empty() {
                world.commit();
                world.settle();
            }
            member.hear(&mut world, usize::MAX, &other);
        }
        prop_assert_eq!(&member.rules, &compile(world.manager.state(), member.agent.id));
        prop_assert_eq!(member.port, Some(u32::from(world.session(&other).location.port)));
        prop_assert!(!member.resyncing);
    }
}
