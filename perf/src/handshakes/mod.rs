//! IKEv2 handshakes a CPU second, one core: our endpoint against strongSwan's charon, as responders.
//!
//! ```text
//!   one CPU                                       another CPU
//!   ours:   one socket ► Endpoint    ◄── loopback ──► client: keeps so many handshakes under way, counts those in which
//!   charon: its own                  ◄── loopback ──►         both ends have proved who they are, and closes each again
//!
//!   slices:  charon │ ours │ charon │ ours │ ...      same initiator, same suite, same secret
//! ```
//!
//! X25519, AES-256-GCM, HMAC-SHA-256, a shared secret: IKE_SA_INIT, IKE_AUTH, and the INFORMATIONAL that closes it. The responders refuse the traffic
//! that the client asks for, so that no kernel and no TUN adapter is part of it; both give an IKE SA without a pair of ESP SAs.
//!
//! A rate is handshakes over the server's CPU time. charon stands in a namespace of its own, on its loopback.

mod charon;
mod client;
mod server;

use crate::BenchError;
use crate::measure::{Plan, Summary};
use crate::pin::{allowed, other_cpu, pin, set_of};
use crate::report::{Goal, Row};
use charon::Charon;
use client::Client;
use kith_ike::auth::{OwnProof, PeerProof};
use kith_ike::codec::{Identity, Selector};
use kith_ike::suite::{Additional, Cipher, EspPreferences, Group, IkePreferences, Prf};
use kith_ike::{ChildTerms, Config, Mode, Nat, Terms};
use server::Server;
use std::net::Ipv4Addr;
use std::time::Duration;

const SECRET: &str = "correct horse battery staple";
const SERVER: &str = "server.kith.example";
/// Handshakes under way.
const SLOTS: usize = 32;
const WHAT: &str = "IKEv2 handshakes a CPU second, one core ÷ strongSwan";

/// Measures with the servers on this CPU and the client on another.
pub fn run(plan: &Plan, cpu: usize) -> Result<Vec<Row>, BenchError> {
    if charon::program().is_none() {
        let why = "no strongSwan: tests/setup bench installs it";
        return Ok(vec![Row::not_run("I1", WHAT, why)]);
    }
    let Some(other) = other_cpu(cpu) else {
        return Ok(vec![Row::not_run(
            "I1",
            WHAT,
            "server and client need a CPU each",
        )]);
    };
    // Threads and children are made on the servers' CPU and stay there; then the client moves away.
    let before = allowed()?;
    pin(&set_of(cpu)?)?;
    let charon = Charon::start()?;
    let ours = Server::start()?;
    pin(&set_of(other)?)?;
    let measured = measure(plan, &charon, &ours);
    pin(&before)?;
    Ok(rows(&measured?))
}

/// What a server did in a slice.
#[derive(Clone, Copy)]
struct Slice {
    handshakes: u64,
    failed: u64,
    cpu: Duration,
}

impl Slice {
    /// Handshakes a second of CPU time.
    fn rate(&self) -> f64 {
        self.handshakes as f64 / self.cpu.as_secs_f64()
    }
}

fn measure(plan: &Plan, charon: &Charon, ours: &Server) -> Result<Vec<[Slice; 2]>, BenchError> {
    let mut clients = [
        Client::new("charon", charon.socket()?, charon.address())?,
        Client::new("ours", server::loopback()?, ours.address())?,
    ];
    let cpu = |which: usize| [charon.cpu(), ours.cpu()][which];
    let mut slice = |which: usize, length: Duration| -> Result<Slice, BenchError> {
        let before = cpu(which);
        let (handshakes, failed) = clients[which].run(length)?;
        Ok(Slice {
            handshakes,
            failed,
            cpu: cpu(which).saturating_sub(before),
        })
    };
    for which in 0..2 {
        slice(which, plan.slice / 2)?;
    }
    (0..plan.pairs)
        .map(|_| Ok([slice(0, plan.slice)?, slice(1, plan.slice)?]))
        .collect()
}

fn rows(pairs: &[[Slice; 2]]) -> Vec<Row> {
    let figure = |of: &dyn Fn(&[Slice; 2]) -> f64| Summary::of(pairs.iter().map(of).collect());
    let total = |of: &dyn Fn(&Slice) -> u64| pairs.iter().flatten().map(of).sum::<u64>();
    let goal = Goal::AtLeast {
        reach: 1.0,
        then: None,
    };
    vec![
        Row::measured("I1", WHAT, "", figure(&|pair| pair[1].rate() / pair[0].rate()))
            .goal(goal)
            .note(format!(
                "X25519, AES-256-GCM, HMAC-SHA-256, PSK, closed again; {} handshakes, {} failed",
                total(&|slice| slice.handshakes),
                total(&|slice| slice.failed)
            )),
        Row::measured("I1", "strongSwan", "k/s", figure(&|pair| pair[0].rate() / 1e3)),
        Row::measured("I1", "ours", "k/s", figure(&|pair| pair[1].rate() / 1e3)),
    ]
}

/// The suite that both are held to.
fn config() -> Config {
    let ike = IkePreferences {
        ciphers: vec![Cipher::Aes256Gcm16],
        prfs: vec![Prf::HmacSha256],
        groups: vec![Group::X25519],
        additional: Additional::Off,
    };
    let mut config = Config::new(ike, Nat::Never);
    // Who is measured has nothing against many at once.
    (config.cookies_from, config.half_open_most) = (usize::MAX, usize::MAX);
    config
}

/// Terms under this name; `net` is the traffic that it allows on both sides.
fn terms(own: &str, net: Ipv4Addr) -> Terms {
    let secret = || SECRET.as_bytes().to_vec().into();
    Terms {
        own: Identity::Fqdn(own.to_owned()),
        proof: OwnProof::Psk(secret()),
        peer_proof: PeerProof::Psk(secret()),
        child: ChildTerms {
            suites: EspPreferences {
                groups: Vec::new(),
                esn: vec![false],
                ..EspPreferences::default()
            },
            mode: Mode::Tunnel,
            local: vec![Selector::v4(net, net)],
            remote: vec![Selector::v4(net, net)],
        },
    }
}
