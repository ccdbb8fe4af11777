//! The compiled P4 program, on DPDK's software pipeline.

use crate::crypto::Crypto;
use crate::entry::{Entry, Part};
use crate::world::{Counted, Input, Limit, Outcome, Side, World};
use kith_p4_runner::{self as runner, Match, Program, Rates, Runner, RunnerConfig, RunnerError, Update};
use kith_pipeline::reason::{DropReason, PuntReason};

/// The program with a world in its tables.
pub struct P4<'p> {
    runner: Runner<'p>,
    counted: Vec<runner::Entry>,
    drops: Vec<u64>,
}

impl<'p> P4<'p> {
    /// Loads the program and writes the world's entries.
    pub fn new(program: &'p Program, world: &World) -> Result<Self, RunnerError> {
        let config = RunnerConfig {
            // Enough for cases; memory is cleared for each.
            capacity: 64,
            packets: 8,
            ..RunnerConfig::default()
        };
        let mut runner = Runner::with(&runner::environment()?, program, config)?;
        let updates: Vec<Update> = world.entries.iter().map(update).collect();
        runner.write(&updates)?;
        for (pseudo, limit) in &world.senders {
            let sender = runner::Entry::of("sender").exact("source_member", u64::from(*pseudo));
            runner.set_direct_meter(&sender, Some(rates(*limit)))?;
        }
        for (reason, limit) in &world.punts {
            runner.set_meter("punt_meter", *reason as u32, Some(rates(*limit)))?;
        }
        runner.set_crypto(Box::new(Crypto::new(&world.associations)));
        let counted = |entry: &&Entry| ["session", "association", "member"].contains(&entry.table.as_str());
        Ok(Self {
            runner,
            counted: world.entries.iter().filter(counted).map(named).collect(),
            drops: vec![0; DropReason::COUNT],
        })
    }

    /// How many packets a table's entries matched so far, and how many none did.
    #[must_use]
    pub fn met(&self, table: &str) -> (u64, u64) {
        self.runner
            .table_stats(table)
            .map_or((0, 0), |stats| (stats.hits, stats.misses))
    }

    /// What became of a frame.
    fn outcome(&mut self, input: &Input) -> Result<Outcome, RunnerError> {
        let outputs = self.runner.send(u32::from(input.port), &input.frame)?;
        let drops = self.runner.counters("drops")?;
        let dropped = DropReason::ALL
            .iter()
            .find(|reason| drops[**reason as usize] != self.drops[**reason as usize]);
        self.drops = drops;
        Ok(match (outputs.as_slice(), dropped) {
            ([], Some(reason)) => Outcome::Dropped {
                reason: reason.name().to_owned(),
            },
            ([], None) => Outcome::Consumed,
            ([output], None) => match self.runner.packet_in(output) {
                None => Outcome::Sent {
                    port: output.port,
                    frame: output.bytes.clone(),
                },
                Some(up) => Outcome::Up {
                    reason: PuntReason::ALL
                        .get(usize::from(up.reason))
                        .map_or_else(|| up.reason.to_string(), |reason| reason.name().to_owned()),
                    ingress: u32::from(up.ingress_port),
                    frame: up.frame.to_vec(),
                },
            },
            // More than one thing happened to one packet: no outcome of the other side equals this.
            (outputs, dropped) => Outcome::Dropped {
                reason: format!("sent {} times and dropped for {dropped:?}", outputs.len()),
            },
        })
    }
}

impl Side for P4<'_> {
    fn process(&mut self, input: &Input) -> Outcome {
        self.outcome(input).unwrap_or_else(|why| Outcome::Dropped {
            reason: format!("runner: {why}"),
        })
    }

    fn counted(&mut self) -> Counted {
        let all = |name: &str| self.runner.counters(name).unwrap_or_default();
        let direct = self.counted.iter().map(|entry| {
            let (packets, octets) = self.runner.direct_counter(entry).unwrap_or((u64::MAX, u64::MAX));
            (entry.table.clone(), packets, octets)
        });
        Counted {
            drops: all("drops"),
            punts: all("punts"),
            direct: direct.collect(),
        }
    }
}

fn rates(limit: Limit) -> Rates {
    // Only the peak counts; the committed rate may not be above it.
    Rates {
        cir: 1,
        cbs: 1,
        pir: u64::from(limit.per_second),
        pbs: u64::from(limit.burst),
    }
}

fn update(entry: &Entry) -> Update {
    let deed = runner::Deed {
        action: entry.action.clone(),
        parameters: entry.parameters.clone(),
    };
    if entry.key.is_empty() {
        return Update::Default {
            table: entry.table.clone(),
            deed,
        };
    }
    Update::Insert(runner::Entry { deed, ..named(entry) })
}

/// The entry without what it does.
fn named(entry: &Entry) -> runner::Entry {
    let field = |part: &Part| {
        let how = match entry.table.as_str() {
            "policy" => Match::Masked {
                value: part.value,
                mask: part.mask,
            },
            "route" => Match::Prefix {
                value: part.value,
                length: part.mask.count_ones(),
            },
            _ => Match::Exact(part.value),
        };
        (part.name.clone(), how)
    };
    runner::Entry {
        table: entry.table.clone(),
        fields: entry.key.iter().map(field).collect(),
        priority: entry.priority,
        ..runner::Entry::default()
    }
}
