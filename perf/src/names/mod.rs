//! DNS answers a second on one core: the manager's name service against NSD.
//!
//! ```text
//!   one CPU                                                    another CPU
//!   ours: recvmmsg ► dns::answer ► sendmmsg    ◄── loopback ──► client: keeps so many questions under way, counts and
//!   NSD:  server-count 1                       ◄── loopback ──►         checks what comes back
//!
//!   slices:  NSD │ ours │ ours, sealing │ NSD │ ours │ ours, sealing │ ...
//! ```
//!
//! The same questions go to both: A, EDNS with 1232 octets, random members out of [`MEMBERS`]. NSD answers with the address alone; ours says
//! where the member is and gives ticket and key beside it, some six times the octets. *Ours* takes them from a table, as the manager
//! does while a ticket is fresh; *ours, sealing* makes ticket and key anew for every answer.
//!
//! A rate is answers over the server's CPU time, so that it is one core's however much of it others take. The tunnel is no part of this:
//! both stand behind plain sockets.

mod client;
mod nsd;
mod server;

use crate::BenchError;
use crate::measure::{Plan, Summary};
use crate::pin::{allowed, other_cpu, pin, set_of};
use crate::report::{Goal, Row};
use client::Client;
use nsd::Nsd;
use server::{Server, Tickets};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Members in the community.
const MEMBERS: u32 = 10_000;
const DOMAIN: &str = "acme.example";

/// Measures with the servers on this CPU and the client on another.
pub fn run(plan: &Plan, cpu: usize) -> Result<Vec<Row>, BenchError> {
    let what = "DNS answers a CPU second, one core ÷ NSD";
    if nsd::program().is_none() {
        return Ok(vec![Row::not_run(
            "P14",
            what,
            "no nsd: tests/setup bench installs it",
        )]);
    }
    let Some(other) = other_cpu(cpu) else {
        return Ok(vec![Row::not_run(
            "P14",
            what,
            "server and client need a CPU each",
        )]);
    };
    // Threads and children are made on the servers' CPU and stay there; then the client moves away.
    let before = allowed()?;
    pin(&set_of(cpu)?)?;
    let nsd = Nsd::start()?;
    let kept = Server::start(Tickets::Kept)?;
    let sealing = Server::start(Tickets::Sealed)?;
    pin(&set_of(other)?)?;
    let measured = measure(plan, &nsd, &kept, &sealing);
    pin(&before)?;
    rows(what, &measured?)
}

/// What a server did in a slice.
#[derive(Clone, Copy)]
struct Slice {
    answers: u64,
    cpu: Duration,
    wall: Duration,
    octets: usize,
}

impl Slice {
    /// Answers a second of CPU time.
    fn rate(&self) -> f64 {
        self.answers as f64 / self.cpu.as_secs_f64()
    }
}

fn measure(plan: &Plan, nsd: &Nsd, kept: &Server, sealing: &Server) -> Result<Vec<[Slice; 3]>, BenchError> {
    let mut clients = [
        Client::connect("NSD", nsd.port)?,
        Client::connect("ours", kept.port)?,
        Client::connect("ours, sealing", sealing.port)?,
    ];
    let cpu = |which: usize| [nsd.cpu(), kept.cpu(), sealing.cpu()][which];
    let mut slice = |which: usize, length: Duration| -> Result<Slice, BenchError> {
        let client = &mut clients[which];
        client.verify()?;
        let before = cpu(which);
        let counted = client.run(length)?;
        Ok(Slice {
            answers: counted.answers,
            cpu: cpu(which).saturating_sub(before),
            wall: counted.wall,
            octets: client.verify()?,
        })
    };
    for which in 0..3 {
        slice(which, plan.slice / 4)?;
    }
    (0..plan.pairs)
        .map(|_| {
            Ok([
                slice(0, plan.slice)?,
                slice(1, plan.slice)?,
                slice(2, plan.slice)?,
            ])
        })
        .collect()
}

fn rows(what: &str, pairs: &[[Slice; 3]]) -> Result<Vec<Row>, BenchError> {
    let figure = |of: &dyn Fn(&[Slice; 3]) -> f64| Summary::of(pairs.iter().map(of).collect());
    let rate = |which: usize| figure(&|pair| pair[which].rate() / 1e3);
    let busy = |which: usize| {
        figure(&|pair| 100.0 * pair[which].cpu.as_secs_f64() / pair[which].wall.as_secs_f64()).median
    };
    let octets = |which: usize| pairs.last().map_or(0, |pair| pair[which].octets);
    let goal = Goal::AtLeast {
        reach: 0.5,
        then: Some(1.0),
    };
    let by_wall = figure(&|pair| {
        let rate = |slice: &Slice| slice.answers as f64 / slice.wall.as_secs_f64();
        rate(&pair[1]) / rate(&pair[0])
    });
    Ok(vec![
        Row::measured("P14", what, "", figure(&|pair| pair[1].rate() / pair[0].rate()))
            .goal(goal)
            .note(format!(
                "facts, ticket and key beside the address: {} octets, NSD {}; by the clock on the wall {:.2}",
                octets(1),
                octets(0),
                by_wall.median
            )),
        Row::measured(
            "P14",
            "the same, ticket and key sealed anew",
            "",
            figure(&|pair| pair[2].rate() / pair[0].rate()),
        ),
        Row::measured("P14", "NSD", "k/s", rate(0)).note(format!("{:.0} % of the core", busy(0))),
        Row::measured("P14", "ours", "k/s", rate(1)).note(format!("{:.0} % of the core", busy(1))),
        Row::measured("P14", "ours, sealing", "k/s", rate(2)).note(format!("{:.0} % of the core", busy(2))),
    ])
}

/// The name of a member.
fn name(member: u32) -> String {
    format!("m{member:05}.{DOMAIN}")
}

/// Its address.
fn address(member: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a4d_0000 + 2 + member)
}
