//! P12: one change, and how soon those whom it concerns are told; and that nobody else is.
//!
//! Every member has a TLS connection of its own with a stream of changes. The clock starts before the operator's request is sent and stops for
//! each member when its update has been decoded here, so the operator's way, the commit to disk, the manager's work and this process' own are
//! all in it. Three kinds of change:
//!
//! ```text
//!  a policy between the members of one tag ──► the hundred who have it     (their rules are others)
//!  a member is revoked ──────────────────────► the ten who deal with it, and itself
//!  a policy for everybody ───────────────────► everybody
//! ```
//!
//! Who is told must be exactly who is concerned, here and by the manager's own count.

use super::members::{self, GROUP, Member};
use super::process::World;
use super::{Options, failed};
use crate::BenchError;
use crate::measure::{Plan, Summary, quantile};
use crate::report::{Goal, Row};
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::admin::{Policy, RevokeRequest};
use kith_protocol::member::Update;
use kith_protocol::member::members_client::MembersClient;
use kith_protocol::member::update::Change;
use kith_protocol::tls::Fingerprint;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tonic::Streaming;
use tonic::transport::Channel;

pub const WHAT: &str = "a change for 100 members of one tag: p99 of being told";
/// Who comes at a time.
const AT_ONCE: usize = 32;
/// Who deals with each member that is revoked.
const FRIENDS: u32 = 10;
/// Members are heard of so often, in place of heartbeats through the tunnel.
const SIGN: Duration = Duration::from_secs(25);
/// An update that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// What should not come has this long to come all the same.
const QUIET: Duration = Duration::from_millis(100);

/// Why streams ended that should not have.
type Broken = Arc<Mutex<Vec<String>>>;

/// Everybody, with their streams.
pub struct Crowd {
    told: mpsc::UnboundedReceiver<(u32, Instant)>,
    /// Those of the first group may be asked for more.
    first: Vec<Arrived>,
    broken: Broken,
    _lives: JoinSet<()>,
}

/// A member that has joined, and its connection.
#[derive(Clone)]
struct Arrived {
    member: Arc<Member>,
    client: MembersClient<Channel>,
}

/// What one change came to.
struct Outcome {
    /// Milliseconds, for each who was told.
    times: Vec<f64>,
    cpu_ms: f64,
    /// By the manager's count.
    pushed: u64,
    concerned: u64,
    /// Told though it did not concern them, told twice, or never told.
    wrong: u64,
}

pub fn run(plan: &Plan, options: &Options, world: &mut World) -> Result<Vec<Row>, BenchError> {
    members::found(world, options.members)?;
    let fingerprint = members::fingerprint(world)?;
    let (count, began) = (options.members, Instant::now());
    let mut crowd = world.runtime.block_on(Crowd::come(fingerprint, count))?;
    eprintln!(
        "{count} members joined and watching after {:.0?}",
        began.elapsed()
    );
    let pairs = plan.pairs as u32;
    let mut changes = |kinds: Vec<Kind>| {
        let each = kinds
            .into_iter()
            .map(|kind| change(world, &mut crowd, kind, count));
        each.collect::<Result<Vec<Outcome>, BenchError>>()
    };
    // The last group is for those who are revoked.
    let groups = count / GROUP - 1;
    let tags = changes(
        (0..pairs * 4)
            .map(|number| Kind::Tag(number % groups, number))
            .collect(),
    )?;
    let all = changes((0..pairs).map(Kind::All).collect())?;
    let victims: Vec<u32> = (count - pairs.min(GROUP)..count).collect();
    let introduced = victims
        .iter()
        .map(|victim| crowd_introduces(world, &crowd, *victim));
    introduced.collect::<Result<(), BenchError>>()?;
    let mut changes = |kinds: Vec<Kind>| {
        let each = kinds
            .into_iter()
            .map(|kind| change(world, &mut crowd, kind, count));
        each.collect::<Result<Vec<Outcome>, BenchError>>()
    };
    let revoked = changes(victims.into_iter().map(Kind::Revoke).collect())?;
    if let Some(why) = crowd
        .broken
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .first()
    {
        return Err(failed(format!("lost members who should have stayed: {why}")));
    }
    Ok(rows(count, &tags, &revoked, &all))
}

fn rows(members: u32, tags: &[Outcome], revoked: &[Outcome], all: &[Outcome]) -> Vec<Row> {
    let row = |what: String, changes: &[Outcome]| {
        let p99 = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            quantile(&times, 0.99)
        };
        let every = || changes.iter().flat_map(|change| change.times.iter().copied());
        let single = Summary::of(changes.iter().map(|change| p99(change.times.clone())).collect());
        let half = Summary::of(every().collect()).median;
        let cpu = Summary::of(changes.iter().map(|change| change.cpu_ms).collect()).median;
        let figure = Summary {
            median: p99(every().collect()),
            ..single
        };
        Row::measured("P12", what, "ms", figure)
            .goal(Goal::AtMost {
                reach: 100.0,
                then: None,
            })
            .note(format!(
                "p99 over all of {} changes, in brackets over one; median {half:.1} ms; CPU of the manager {cpu:.1} ms a change",
                changes.len()
            ))
    };
    let every = || tags.iter().chain(revoked).chain(all);
    let sent: u64 = every().map(|change| change.pushed).sum();
    let concerned: u64 = every().map(|change| change.concerned).sum();
    let wrong = every().map(|change| change.wrong.max(change.pushed.abs_diff(change.concerned)) as f64);
    vec![
        row(format!("{WHAT}; {members} online, a TLS connection each"), tags),
        row(
            format!("a member is revoked: p99 of {FRIENDS} who deal with it, and itself, being told"),
            revoked,
        ),
        row(
            format!("a change for everybody: p99 of all {members} being told"),
            all,
        ),
        Row::measured(
            "P12",
            "updates of a change too many, too few or to others",
            "",
            Summary::of(wrong.collect()),
        )
        .goal(Goal::AtMost {
            reach: 0.0,
            then: None,
        })
        .note(format!(
            "{sent} sent by the manager's count, {concerned} members concerned"
        )),
    ]
}

/// What an operator does.
#[derive(Clone, Copy)]
enum Kind {
    Tag(u32, u32),
    Revoke(u32),
    All(u32),
}

impl Kind {
    /// Whom it concerns.
    fn concerned(self, members: u32) -> BTreeSet<u32> {
        match self {
            Self::Tag(group, _) => (group * GROUP..(group + 1) * GROUP).collect(),
            Self::Revoke(victim) => friends(victim).chain([victim]).collect(),
            Self::All(_) => (0..members).collect(),
        }
    }

    async fn act(self, admin: &mut AdminClient<Channel>) -> Result<(), tonic::Status> {
        match self {
            Self::Tag(group, number) => admin
                .put_policy(policy(&format!("tag:g{group}"), number))
                .await
                .map(drop),
            Self::All(number) => admin.put_policy(policy("any", number)).await.map(drop),
            Self::Revoke(victim) => {
                let request = RevokeRequest {
                    fqdn: members::name(victim),
                    reason: "lost".into(),
                };
                admin.revoke_member(request).await.map(drop)
            }
        }
    }
}

fn policy(whom: &str, number: u32) -> Policy {
    Policy {
        id: format!("bench-{}", whom.replace(':', "-")),
        community: members::DOMAIN.into(),
        level: "domain".into(),
        allow: true,
        from: whom.into(),
        to: whom.into(),
        services: vec![format!("tcp/{}", 1000 + number)],
        ..Policy::default()
    }
}

/// Who deals with one that will be revoked: ten of the first group.
fn friends(victim: u32) -> impl Iterator<Item = u32> {
    (0..FRIENDS).map(move |number| (victim * 7 + number * 9) % GROUP)
}

/// Its friends ask where it is.
fn crowd_introduces(world: &World, crowd: &Crowd, victim: u32) -> Result<(), BenchError> {
    friends(victim).try_for_each(|friend| {
        let Arrived { member, mut client } = crowd.first[friend as usize].clone();
        world.runtime.block_on(member.locate(&mut client, victim))
    })
}

/// One change, and who is told of it when.
fn change(world: &World, crowd: &mut Crowd, kind: Kind, members: u32) -> Result<Outcome, BenchError> {
    let mut waiting = kind.concerned(members);
    let concerned = waiting.len() as u64;
    let (cpu, pushes) = (world.cpu(), world.pushes()?);
    let (mut times, mut wrong) = (Vec::with_capacity(waiting.len()), 0);
    world.runtime.block_on(async {
        let mut admin = World::admin(world.sockets.path()).await?;
        let began = Instant::now();
        let acts = tokio::spawn(async move { kind.act(&mut admin).await });
        while let Ok(Some((index, at))) = timeout(PATIENCE, crowd.told.recv()).await {
            if waiting.remove(&index) {
                times.push(at.duration_since(began).as_secs_f64() * 1e3);
            } else {
                wrong += 1;
            }
            if waiting.is_empty() {
                break;
            }
        }
        sleep(QUIET).await;
        while crowd.told.try_recv().is_ok() {
            wrong += 1;
        }
        let done = acts.await.map_err(gone)?;
        done.map_err(|status| failed(status.message()))
    })?;
    Ok(Outcome {
        times,
        cpu_ms: world.cpu().saturating_sub(cpu).as_secs_f64() * 1e3,
        pushed: world.pushes()? - pushes,
        concerned,
        wrong: wrong + waiting.len() as u64,
    })
}

impl Crowd {
    /// Everybody joins, each over a connection of its own, and watches.
    pub async fn come(fingerprint: Fingerprint, members: u32) -> Result<Self, BenchError> {
        let (tell, told) = mpsc::unbounded_channel();
        let (mut coming, mut lives) = (JoinSet::new(), JoinSet::new());
        let (broken, mut first) = (Broken::default(), Vec::new());
        let mut settle = |came: Result<Result<(Arrived, Streaming<Update>), BenchError>, JoinError>| {
            let (arrived, stream) = came.map_err(gone)??;
            if arrived.member.index < GROUP {
                first.push(arrived.clone());
            }
            lives.spawn(live(arrived, stream, tell.clone(), broken.clone()));
            Ok::<(), BenchError>(())
        };
        for index in 0..members {
            if coming.len() >= AT_ONCE
                && let Some(came) = coming.join_next().await
            {
                settle(came)?;
            }
            coming.spawn(arrive(fingerprint, index));
        }
        while let Some(came) = coming.join_next().await {
            settle(came)?;
        }
        first.sort_by_key(|arrived| arrived.member.index);
        Ok(Self {
            told,
            first,
            broken,
            _lives: lives,
        })
    }
}

async fn arrive(fingerprint: Fingerprint, index: u32) -> Result<(Arrived, Streaming<Update>), BenchError> {
    let mut client = members::connect(fingerprint).await?;
    let member = Arc::new(Member::new(index));
    let ack = member.join(&mut client).await?;
    let mut stream = member.watch(&mut client, ack.revision).await?;
    let synced = stream.message().await;
    let synced = synced.map_err(|status| failed(status.message()))?;
    match synced.and_then(|update| update.change) {
        Some(Change::Synced(_)) => Ok((Arrived { member, client }, stream)),
        _ => Err(failed("did not begin a stream with what is so already")),
    }
}

/// Hears of changes, and is heard of, until it is out.
async fn live(
    arrived: Arrived,
    mut stream: Streaming<Update>,
    tell: mpsc::UnboundedSender<(u32, Instant)>,
    broken: Broken,
) {
    let index = arrived.member.index;
    let breaks = |why: String| {
        let mut all = broken.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(why);
    };
    let mut signs = pin!(signs(arrived));
    // What the manager does not grant any more, if it was revoked meanwhile: then its stream says so.
    let mut trouble: Option<String> = None;
    loop {
        tokio::select! {
            update = timeout(PATIENCE, stream.message()) => {
                let at = Instant::now();
                let update = match update {
                    Ok(Ok(Some(update))) => update,
                    Ok(Ok(None)) => return breaks("a stream ended".into()),
                    Ok(Err(status)) => return breaks(format!("a stream ended: {status}")),
                    Err(_) => match trouble {
                        Some(why) => return breaks(why),
                        None => continue,
                    },
                };
                // Whoever measures may have ended.
                let _heard = tell.send((index, at));
                if matches!(update.change, Some(Change::Ended(_))) {
                    return;
                }
            }
            why = &mut signs, if trouble.is_none() => trouble = Some(why),
        }
    }
}

/// Gives signs of life until one is refused; why.
async fn signs(arrived: Arrived) -> String {
    let Arrived { member, mut client } = arrived;
    // Not all at once.
    let mut next = tokio::time::Instant::now() + SIGN / 1000 * (1 + member.index % 1000);
    loop {
        tokio::time::sleep_until(next).await;
        if let Err(error) = member.sign(&mut client).await {
            return error.to_string();
        }
        next = tokio::time::Instant::now() + SIGN;
    }
}

fn gone(panic: JoinError) -> BenchError {
    failed(panic.to_string())
}
