//! What a tour finds: checks, figures, and how they are shown.

use crate::error::Error;
use crate::output;
use serde::Serialize;
use std::collections::BTreeMap;

/// One step's outcome.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Check {
    /// The step's name.
    pub name: String,
    /// What was done, in a sentence.
    pub done: String,
    /// Why there was nothing to do, if so.
    pub skipped: Option<String>,
    /// What was measured.
    pub measured: Vec<String>,
    /// What is not as it should be; empty if all is.
    pub failures: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Check {
    /// A check of this deed, with nothing found yet.
    pub fn of(done: impl Into<String>) -> Self {
        Self {
            done: done.into(),
            ..Self::default()
        }
    }

    /// Nothing to do, for this reason.
    pub fn skip(why: impl Into<String>) -> Self {
        Self {
            skipped: Some(why.into()),
            ..Self::default()
        }
    }

    /// It could not even be tried.
    #[must_use]
    pub fn broken(error: &Error) -> Self {
        Self {
            failures: vec![error.to_string()],
            ..Self::of("broken off")
        }
    }

    /// Notes a figure.
    pub fn measure(&mut self, figure: impl Into<String>) {
        self.measured.push(figure.into());
    }

    /// Notes a failure unless `good`; `what` says what is wrong.
    pub fn expect(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.failures.push(what());
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    fn verdict(&self) -> &'static str {
        match (self.passed(), &self.skipped) {
            (false, _) => "FAIL",
            (true, Some(_)) => "skip",
            (true, None) => "pass",
        }
    }

    /// What is said as soon as it is over.
    #[must_use]
    pub fn lines(&self) -> String {
        let what = self.skipped.as_ref().unwrap_or(&self.done);
        let mut out = format!("  {}  {what} ({:.1} s)\n", self.verdict(), self.seconds);
        for figure in &self.measured {
            out += &format!("        {figure}\n");
        }
        for failure in &self.failures {
            out += &format!("      ✗ {}\n", failure.replace('\n', "\n        "));
        }
        out
    }
}

/// Figures about pairs of members and about nodes.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// Who reached whom, from and to.
    pub pairs: BTreeMap<String, BTreeMap<String, Pair>>,
    /// Drops by node and name.
    pub drops: BTreeMap<String, BTreeMap<String, u64>>,
    /// In words, whether each node's packets add up.
    pub conserved: BTreeMap<String, String>,
}

/// One member to another.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Pair {
    /// It was reached.
    pub reached: bool,
    /// Round-trip time, mean, milliseconds.
    pub rtt_ms: Option<f64>,
    /// A file over HTTP, Mbit/s.
    pub http_mbit: Option<f64>,
    /// TCP, Mbit/s.
    pub tcp_mbit: Option<f64>,
    /// UDP, Mbit/s received.
    pub udp_mbit: Option<f64>,
    /// UDP, lost, percent.
    pub udp_loss_percent: Option<f64>,
}

impl Figures {
    /// The figures of a pair, to be filled in.
    pub fn pair(&mut self, from: &str, to: &str) -> &mut Pair {
        let row = self.pairs.entry(from.to_owned()).or_default();
        row.entry(to.to_owned()).or_default()
    }
}

/// A whole tour.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The lab's name.
    pub lab: String,
    /// The topology's name.
    pub topology: String,
    /// Whether every check passed.
    pub passed: bool,
    /// How long it took.
    pub seconds: f64,
    /// Figures.
    pub figures: Figures,
    /// Checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// The summary.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        if !self.figures.pairs.is_empty() {
            out += "\nWho reached whom (round trip, from row to column)\n";
            out += &self.matrix(|pair| match (pair.reached, pair.rtt_ms) {
                (true, Some(rtt)) => format!("{rtt:.2} ms"),
                (true, None) => "yes".into(),
                (false, _) => "no".into(),
            });
            out += "\nThroughput\n";
            out += &self.throughput();
        }
        if !self.figures.drops.is_empty() {
            let rows = self.figures.drops.iter().flat_map(|(node, drops)| {
                drops
                    .iter()
                    .map(move |(name, count)| vec![node.clone(), name.clone(), count.to_string()])
            });
            out += &format!(
                "\n{}",
                output::table(&["node", "drop", ">packets"], &rows.collect::<Vec<_>>())
            );
        }
        if !self.figures.conserved.is_empty() {
            let rows = self
                .figures
                .conserved
                .iter()
                .map(|(node, words)| vec![node.clone(), words.clone()]);
            out += &format!(
                "\n{}",
                output::table(&["node", "packets"], &rows.collect::<Vec<_>>())
            );
        }
        let rows = self.checks.iter().map(|check| {
            let what = check
                .failures
                .first()
                .or(check.skipped.as_ref())
                .unwrap_or(&check.done);
            let what = what.lines().next().unwrap_or_default().to_owned();
            vec![
                check.name.clone(),
                check.verdict().into(),
                format!("{:.1} s", check.seconds),
                what,
            ]
        });
        out += &format!(
            "\n{}",
            output::table(&["check", "result", ">time", ""], &rows.collect::<Vec<_>>())
        );
        let failed = self.checks.iter().filter(|check| !check.passed()).count();
        out + &match failed {
            0 => format!("\nall {} passed in {:.0} s\n", self.checks.len(), self.seconds),
            n => format!("\n{n} of {} FAILED in {:.0} s\n", self.checks.len(), self.seconds),
        }
    }

    fn matrix(&self, cell: impl Fn(&Pair) -> String) -> String {
        let pairs = &self.figures.pairs;
        let mut columns: Vec<&String> = pairs.values().flat_map(|row| row.keys()).collect();
        columns.sort();
        columns.dedup();
        let rows: Vec<Vec<String>> = pairs
            .iter()
            .map(|(from, row)| {
                let cells = columns
                    .iter()
                    .map(|to| row.get(*to).map_or_else(|| "-".into(), &cell));
                std::iter::once(from.clone()).chain(cells).collect()
            })
            .collect();
        let headers: Vec<String> = std::iter::once(String::new())
            .chain(columns.iter().map(|to| format!(">{to}")))
            .collect();
        output::table(&headers, &rows)
    }

    fn throughput(&self) -> String {
        let figure =
            |value: Option<f64>, digits: usize| value.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"));
        let rows = self.figures.pairs.iter().flat_map(|(from, row)| {
            row.iter().map(move |(to, pair)| {
                vec![
                    from.clone(),
                    to.clone(),
                    figure(pair.http_mbit, 0),
                    figure(pair.tcp_mbit, 0),
                    figure(pair.udp_mbit, 1),
                    figure(pair.udp_loss_percent, 2),
                ]
            })
        });
        let headers = [
            "from",
            "to",
            ">HTTP Mbit/s",
            ">TCP Mbit/s",
            ">UDP Mbit/s",
            ">UDP loss %",
        ];
        output::table(&headers, &rows.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut figures = Figures::default();
        *figures.pair("alice", "bob") = Pair {
            reached: true,
            rtt_ms: Some(0.5),
            tcp_mbit: Some(812.4),
            ..Pair::default()
        };
        figures.pair("bob", "alice").reached = false;
        figures
            .drops
            .entry("nrd1".into())
            .or_default()
            .insert("source_unknown".into(), 20);
        let mut bad = Check::of("pinged");
        bad.name = "ping".into();
        bad.expect(false, || "bob did not reach alice".into());
        Report {
            lab: "t".into(),
            topology: "quickstart".into(),
            passed: false,
            seconds: 3.0,
            figures,
            checks: vec![
                bad,
                Check {
                    name: "idle".into(),
                    ..Check::skip("no NAT")
                },
            ],
        }
    }

    #[test]
    fn a_summary_reads_like_this() {
        assert_eq!(
            report().render(),
            "
Who reached whom (round trip, from row to column)
       ALICE      BOB
alice      -  0.50 ms
bob       no        -

Throughput
FROM   TO     HTTP MBIT/S  TCP MBIT/S  UDP MBIT/S  UDP LOSS %
alice  bob              -         812           -           -
bob    alice            -           -           -           -

NODE  DROP            PACKETS
nrd1  source_unknown       20

CHECK  RESULT   TIME
ping   FAIL    0.0 s  bob did not reach alice
idle   skip    0.0 s  no NAT

1 of 2 FAILED in 3 s
"
        );
    }
}
