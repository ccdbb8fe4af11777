//! P1: the empty worker loop against DPDK's own forwarder.
//!
//! Two `net_null` ports, packets cross from each to the other: receive a burst, take up the newest tables, count, send,
//! free what the port does not take. `dpdk-testpmd` does the same in its `io` mode on two devices of the same kind, with
//! as many buffers, on the same CPU; the two take turns. Each is measured by the CPU time it had and the packets it
//! moved, because nothing else can be seen of another process: so this figure includes what other load does to caches.

use crate::BenchError;
use crate::measure::{Plan, Summary, thread_cpu};
use crate::overlay::which;
use crate::port::{Bench, NullPort};
use crate::report::{Goal, Row};
use crate::testpmd::Testpmd;
use kith_dpdk::{Burst, Mbuf};
use kith_pipeline::counters::Counters;
use kith_pipeline::table::snapshot::{Publisher, Reader};
use std::time::{Duration, Instant};

/// Octets of the packets, which is what `net_null` gives unless told otherwise.
const FRAME: usize = 64;

/// Measures P1.
pub fn run(bench: &mut Bench, plan: &Plan) -> Result<Vec<Row>, BenchError> {
    let what = "empty worker loop ÷ dpdk-testpmd io, two net_null ports";
    if which("dpdk-testpmd").is_none() {
        return Ok(vec![Row::not_run(
            "P1",
            what,
            "install dpdk-dev: it has dpdk-testpmd",
        )]);
    }
    let mut testpmd = Testpmd::start(bench.cpu(), bench.huge_pages())?;
    let [mut left, mut right] = bench.null_ports(FRAME)?;
    let tables = Publisher::new(());
    let mut worker = Worker {
        tables: tables.reader(),
        counters: Counters::default(),
    };
    worker.verify(&mut left, &mut right)?;
    worker.slice(plan.slice / 4, &mut left, &mut right);
    testpmd.slice(plan.slice / 4)?;
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.pairs {
        let our = worker.slice(plan.slice, &mut left, &mut right);
        let their = testpmd.slice(plan.slice)?;
        ratios.push(our / their);
        ours.push(our);
        theirs.push(their);
    }
    let cycles = |nanoseconds: Vec<f64>| Summary::of(nanoseconds).median * kith_dpdk::tsc_hz() as f64 / 1e9;
    let row = Row::measured("P1", what, "", Summary::of(ratios))
        .goal(Goal::AtMost {
            reach: 1.05,
            then: Some(1.0),
        })
        .note(format!(
            "ours {:.1}, testpmd {:.1} cycles of CPU time a packet",
            cycles(ours),
            cycles(theirs)
        ));
    Ok(vec![row])
}

struct Worker {
    tables: Reader<()>,
    counters: Counters,
}

impl Worker {
    /// What a worker does when there is nothing to do with packets.
    #[inline(always)]
    fn turn(&mut self, from: &mut NullPort, to: &mut NullPort, burst: &mut Burst) -> u64 {
        let received = from.rx.rx_burst(burst);
        if received == 0 {
            self.counters.idle_polls.add(1);
            return 0;
        }
        let _newest = self.tables.load();
        self.counters.busy_polls.add(1);
        self.counters.received.add(received as u64);
        let sent = to.tx.tx_burst(burst);
        self.counters.transmitted.add(sent as u64);
        burst.clear();
        sent as u64
    }

    /// Nanoseconds of CPU time a packet.
    fn slice(&mut self, length: Duration, left: &mut NullPort, right: &mut NullPort) -> f64 {
        let mut burst = Burst::new();
        let mut packets = 0;
        let (begin, cpu) = (Instant::now(), thread_cpu());
        while begin.elapsed() < length {
            for _ in 0..256 {
                packets += self.turn(left, right, &mut burst);
                packets += self.turn(right, left, &mut burst);
            }
        }
        (thread_cpu() - cpu).as_nanos() as f64 / packets as f64
    }

    /// Every packet received is sent, and as long as it came.
    fn verify(&mut self, left: &mut NullPort, right: &mut NullPort) -> Result<(), BenchError> {
        let mut burst = Burst::new();
        left.rx.rx_burst(&mut burst);
        if burst.is_empty() || burst.iter().any(|packet: &Mbuf| packet.bytes().len() != FRAME) {
            return Err(BenchError::Idle("worker"));
        }
        burst.clear();
        for _ in 0..1000 {
            self.turn(left, right, &mut burst);
        }
        let (received, sent) = (self.counters.received.get(), self.counters.transmitted.get());
        if received != sent || received != 32_000 {
            let (expected, got) = (received.to_be_bytes(), sent.to_be_bytes());
            return Err(BenchError::wrong(
                "worker",
                "not as many packets",
                &expected,
                &got,
            ));
        }
        Ok(())
    }
}
