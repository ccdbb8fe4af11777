//! What the manager counts, for Prometheus.
//!
//! Counters are made once, with all their labels known in advance or bounded by what the protocol names: nobody outside can make a new
//! one. Counting is one atomic addition, and one hash probe where there is a label.

mod page;

pub use page::serve;

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::time::Duration;

/// Seconds of the store's histogram: from a fast disk's sync to one that hangs.
const SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0,
];

/// All counters.
pub struct Metrics {
    registry: Registry,
    calls: IntCounterVec,
    admin: IntCounterVec,
    joins: IntCounter,
    pushes: IntCounter,
    full: IntCounter,
    streams: IntGauge,
    sessions: IntGauge,
    members: IntGauge,
    communities: IntGauge,
    connections: IntGaugeVec,
    refused: IntCounterVec,
    commits: Histogram,
    commit_failures: IntCounter,
    reloads: IntCounter,
    mails: IntCounterVec,
    attendances: IntCounterVec,
    director_sessions: IntGaugeVec,
    director_healthy: IntGaugeVec,
    core: IntGaugeVec,
    inband: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new_custom(Some("kith_manager".into()), None).unwrap_or_default();
        let made = Maker(&registry);
        Self {
            calls: made.counters(
                "calls_total",
                "Members' calls by kind and outcome.",
                &["call", "outcome"],
            ),
            admin: made.counters(
                "admin_calls_total",
                "Operators' calls by method and outcome.",
                &["method", "outcome"],
            ),
            joins: made.counter("joins_total", "Joins that were granted."),
            pushes: made.counter("pushes_total", "Updates put on members' streams."),
            full: made.counter(
                "streams_full_total",
                "Times that a stream was too slow and was told to resync.",
            ),
            streams: made.gauge("streams", "Members' streams that are open."),
            sessions: made.gauge("sessions", "Members that are joined."),
            members: made.gauge("members", "Members, in any state."),
            communities: made.gauge("communities", "Communities."),
            connections: made.gauges(
                "connections",
                "Open TLS connections: strangers', and known ones.",
                &["room"],
            ),
            refused: made.counters(
                "connections_refused_total",
                "Connections closed at once, by reason.",
                &["why"],
            ),
            commits: made.histogram(
                "store_commit_seconds",
                "From a transaction's submission to its answer.",
            ),
            commit_failures: made.counter(
                "store_failures_total",
                "Transactions that the store did not take.",
            ),
            reloads: made.counter(
                "store_reloads_total",
                "Times that all was read again after such a failure.",
            ),
            mails: made.counters("mails_total", "Letters by outcome.", &["outcome"]),
            attendances: made.counters(
                "director_streams_total",
                "Streams of directors in other processes, by how they ended.",
                &["end"],
            ),
            director_sessions: made.gauges("director_sessions", "Sessions at a director.", &["director"]),
            director_healthy: made.gauges("director_healthy", "1 if a director serves.", &["director"]),
            inband: made.gauges(
                "inband",
                "Packets inside the tunnels since the start.",
                &["kind", "name"],
            ),
            core: made.gauges(
                "core",
                "What the core counts, by kind and outcome; since the start.",
                &["kind", "outcome"],
            ),
            registry,
        }
    }

    /// A member's call was answered.
    pub fn call(&self, call: &str, outcome: &str) {
        self.calls.with_label_values(&[call, outcome]).inc();
        if (call, outcome) == ("join", "granted") {
            self.joins.inc();
        }
    }

    /// An operator's call was answered.
    pub fn admin(&self, method: &str, outcome: &str) {
        self.admin.with_label_values(&[method, outcome]).inc();
    }

    /// An update was put on a stream.
    pub fn push(&self) {
        self.pushes.inc();
    }

    /// A stream was full.
    pub fn full(&self) {
        self.full.inc();
    }

    /// So many streams are open.
    pub fn streams(&self, open: usize) {
        self.streams.set(number(open));
    }

    /// So much is there.
    pub fn population(&self, communities: u64, members: u64, joined: u64) {
        self.communities.set(communities.cast_signed());
        self.members.set(members.cast_signed());
        self.sessions.set(joined.cast_signed());
    }

    /// So many connections are open.
    pub fn connections(&self, strangers: usize, known: usize) {
        self.connections
            .with_label_values(&["strangers"])
            .set(number(strangers));
        self.connections.with_label_values(&["known"]).set(number(known));
    }

    /// A connection was closed at once.
    pub fn connection_refused(&self, why: &str) {
        self.refused.with_label_values(&[why]).inc();
    }

    /// The store took a transaction, or did not.
    pub fn commit(&self, took: Duration, kept: bool) {
        self.commits.observe(took.as_secs_f64());
        if !kept {
            self.commit_failures.inc();
        }
    }

    /// Everything was read again.
    pub fn reload(&self) {
        self.reloads.inc();
    }

    /// A letter was sent, or not.
    pub fn mail(&self, sent: bool) {
        self.mails
            .with_label_values(&[if sent { "sent" } else { "failed" }])
            .inc();
    }

    /// The stream of a director in another process ended, or was refused.
    pub fn attendance(&self, end: &str) {
        self.attendances.with_label_values(&[end]).inc();
    }

    /// How a director does.
    pub fn director(&self, name: &str, healthy: bool, sessions: u64) {
        self.director_sessions
            .with_label_values(&[name])
            .set(sessions.cast_signed());
        self.director_healthy
            .with_label_values(&[name])
            .set(healthy.into());
    }

    /// A count of the core's.
    pub fn core(&self, kind: &str, outcome: &str, count: u64) {
        self.core
            .with_label_values(&[kind, outcome])
            .set(count.cast_signed());
    }

    /// A count of the hub's, inside the tunnels.
    pub fn inband(&self, kind: &str, name: &str, count: u64) {
        self.inband
            .with_label_values(&[kind, name])
            .set(count.cast_signed());
    }

    /// All of it in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Makes and registers. Names are literals of this file: a test has made them all.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: Result<C, prometheus::Error>,
    ) -> C {
        let collector = made.unwrap_or_else(|error| unreachable!("a metric's name is wrong: {error}"));
        if let Err(error) = self.0.register(Box::new(collector.clone())) {
            unreachable!("two metrics of one name: {error}");
        }
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        self.register(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_on_the_page() {
        let metrics = Metrics::new();
        metrics.call("join", "granted");
        metrics.call("join", "no_director");
        metrics.push();
        metrics.director("nrd1", true, 7);
        metrics.commit(Duration::from_millis(3), false);
        metrics.core("watch", "granted", 3);
        metrics.inband("dropped", "altered", 4);
        let text = metrics.text();
        for line in [
            r#"kith_manager_calls_total{call="join",outcome="no_director"} 1"#,
            "kith_manager_joins_total 1",
            "kith_manager_pushes_total 1",
            r#"kith_manager_director_sessions{director="nrd1"} 7"#,
            r#"kith_manager_core{kind="watch",outcome="granted"} 3"#,
            r#"kith_manager_inband{kind="dropped",name="altered"} 4"#,
            r#"kith_manager_store_commit_seconds_bucket{le="0.005"} 1"#,
            "kith_manager_store_failures_total 1",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} in\n{text}");
        }
    }
}
