//! P15: what an agent holds in memory, and what the manager holds for each member.
//!
//! Resident octets as the system counts them. The manager's are differences, divided by members: first without any member, then with all
//! of them registered, then with all of them joined and no connection left, then with a connection and a stream each.

use super::members::{self, Member};
use super::process::{World, resident};
use super::push::Crowd;
use super::{Options, failed};
use crate::BenchError;
use crate::measure::Summary;
use crate::report::{Goal, Row};
use kith_protocol::admin::{Community, InviteRequest, Invitee};
use kith_protocol::tls::Fingerprint;
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub const WHAT: &str = "member agent, joined: resident";
const CONNECTIONS: u32 = 32;
/// Members with a stream: enough to divide by.
const STREAMS: u32 = 2_000;
/// Until an agent is joined.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until what ended connections held is given back.
const SETTLE: Duration = Duration::from_secs(2);
const MEMBER: &str = "solo.agent.example";

pub fn run(options: &Options, world: &mut World) -> Result<Vec<Row>, BenchError> {
    let agent = agent(options, world)?;
    world.stop()?;
    world.start()?;
    std::thread::sleep(SETTLE);
    let empty = world.resident()?;
    world.stop()?;
    members::found(world, options.members)?;
    let registered = world.resident()?;
    let fingerprint = members::fingerprint(world)?;
    world.runtime.block_on(join(fingerprint, options.members))?;
    std::thread::sleep(SETTLE);
    let joined = world.resident()?;
    // As it is after a restart, without what the joins left behind.
    world.stop()?;
    world.start()?;
    std::thread::sleep(SETTLE);
    let loaded = world.resident()?;
    let streams = STREAMS.min(options.members);
    let crowd = world.runtime.block_on(Crowd::come(fingerprint, streams))?;
    std::thread::sleep(SETTLE);
    let watched = world.resident()?;
    drop(crowd);

    let each = |more: u64, less: u64, members: u32| (more as f64 - less as f64) / f64::from(members);
    let row = |what: String, octets: f64| Row::measured("P15", what, "B", Summary::of(vec![octets]));
    let goal = |reach: f64| Goal::AtMost {
        reach,
        then: Some(reach / 2.0),
    };
    Ok(vec![
        Row::measured("P15", WHAT, "MB", Summary::of(vec![agent as f64 / 1e6])).goal(goal(24.0)),
        row(
            format!("manager, resident for each of {} joined members", options.members),
            each(joined, empty, options.members),
        )
        .goal(goal(2048.0))
        .note(format!(
            "no connection is open; after a restart {:.0} B; registered only {:.0} B; without members {:.1} MB",
            each(loaded, empty, options.members),
            each(registered, empty, options.members),
            empty as f64 / 1e6
        )),
        row(
            format!("manager, resident for each open TLS connection with a stream, {streams} of them"),
            each(watched, loaded, streams),
        )
        .note("in addition"),
    ])
}

/// All of them, over few connections that end then.
async fn join(fingerprint: Fingerprint, members: u32) -> Result<(), BenchError> {
    let mut lanes = JoinSet::new();
    for lane in 0..CONNECTIONS {
        lanes.spawn(async move {
            let mut client = members::connect(fingerprint).await?;
            for index in (lane..members).step_by(CONNECTIONS as usize) {
                Member::new(index).join(&mut client).await?;
            }
            Ok::<(), BenchError>(())
        });
    }
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|panic| failed(panic.to_string()))??;
    }
    Ok(())
}

/// Enrols and starts an agent; its resident octets once it is joined.
fn agent(options: &Options, world: &mut World) -> Result<u64, BenchError> {
    world.start()?;
    let invitation = world.runtime.block_on(invite(world.sockets.path()))?;
    let folder = world.sockets.path().to_owned();
    let (state, socket) = (folder.join("agent"), folder.join("agent.sock"));
    let program = fs::canonicalize(&options.agent).map_err(BenchError::io("the agent's program"))?;
    let io = |what: &'static str| BenchError::io(what);
    let mut enroll = Command::new(&program)
        .args(["enroll", &invitation, "--state-dir"])
        .arg(&state)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(io("the agent"))?;
    let code = code(&world.spool())?;
    if let Some(mut input) = enroll.stdin.take() {
        writeln!(input, "{code}").map_err(io("the agent's input"))?;
    }
    let status = enroll.wait().map_err(io("the agent"))?;
    if !status.success() {
        return Err(failed(format!("did not enrol an agent: {status}")));
    }
    let child = Command::new(&program)
        .args([
            "up",
            "--foreground",
            "--dns",
            "none",
            "--port",
            "20203",
            "--state-dir",
        ])
        .arg(&state)
        .arg("--socket")
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(io("the agent"))?;
    let running = Running(child);
    let began = Instant::now();
    while world.status()?.streams == 0 {
        if began.elapsed() > PATIENCE {
            return Err(failed("has no agent that joins"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // It has its adapter, its channel and its stream; what it sets up after that comes too.
    std::thread::sleep(SETTLE);
    let octets = resident(Pid::from_raw(running.0.id() as i32))?;
    drop(running);
    Ok(octets)
}

async fn invite(sockets: &Path) -> Result<String, BenchError> {
    let refused = |status: tonic::Status| failed(status.message());
    let mut admin = World::admin(sockets).await?;
    let domain = MEMBER.split_once('.').map_or("", |(_, domain)| domain).to_owned();
    let community = Community {
        domain: domain.clone(),
        pools: vec!["10.77.0.0/24".into()],
        ..Community::default()
    };
    admin.create_community(community).await.map_err(refused)?;
    let invitee = Invitee {
        fqdn: MEMBER.into(),
        email: "solo@agent.example".into(),
        ..Invitee::default()
    };
    let request = InviteRequest {
        community: domain,
        invitees: vec![invitee],
        no_mail: true,
        ..InviteRequest::default()
    };
    let invited = admin
        .invite(request)
        .await
        .map_err(refused)?
        .into_inner()
        .invitations;
    let first = invited.into_iter().next();
    first
        .map(|invitation| invitation.text)
        .ok_or_else(|| failed("gave no invitation"))
}

/// The code in the only letter there is, as 1234-5678 on a line of its own.
fn code(spool: &Path) -> Result<String, BenchError> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let letters = fs::read_dir(spool).into_iter().flatten().flatten();
        let texts = letters.filter_map(|file| fs::read_to_string(file.path()).ok());
        let found = texts.filter(|text| text.contains(MEMBER)).find_map(|text| {
            text.lines()
                .map(str::trim)
                .find(|line| is_code(line))
                .map(str::to_owned)
        });
        if let Some(code) = found {
            return Ok(code);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(failed("sent no code"))
}

fn is_code(line: &str) -> bool {
    let digits = |half: &str| half.len() == 4 && half.bytes().all(|octet| octet.is_ascii_digit());
    line.split_once('-')
        .is_some_and(|(one, other)| digits(one) && digits(other))
}

/// Ends when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}
