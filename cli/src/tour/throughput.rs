//! iperf3, TCP at full speed and UDP at a fixed rate, in every direction.

use super::{Check, Tour};
use crate::error::Error;
use serde_json::Value;

const UDP_MBIT: u32 = 50;
/// Of UDP at that rate. Both ends, their NATs and the director share the same few cores: a burst may find a queue full.
const LOSS_PERCENT: f64 = 1.0;

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let pairs = tour.pairs();
    let mut check = Check::of(format!(
        "iperf3 TCP for 2 s and UDP at {UDP_MBIT} Mbit/s for 1 s, {} ordered pairs",
        pairs.len()
    ));
    let rate = format!("{UDP_MBIT}M");
    for (from, to) in &pairs {
        let (a, b) = (from.node.as_str(), to.node.as_str());
        let tcp = measure(tour, a, b, &to.virtual_ip.to_string(), &["-t", "2"])?;
        let mbit = tcp["end"]["sum_received"]["bits_per_second"]
            .as_f64()
            .map(|bits| bits / 1e6);
        check.expect(mbit.is_some_and(|mbit| mbit > 1.0), || {
            format!("{a} to {b}: no TCP: {}", tcp["error"])
        });
        tour.figures.pair(a, b).tcp_mbit = mbit;
        let udp = measure(
            tour,
            a,
            b,
            &to.virtual_ip.to_string(),
            &["-u", "-b", &rate, "-l", "1200", "-w", "2M", "-t", "1"],
        )?;
        let sum = &udp["end"]["sum"];
        let loss = sum["lost_percent"].as_f64();
        let pair = tour.figures.pair(a, b);
        pair.udp_loss_percent = loss;
        pair.udp_mbit = sum["bits_per_second"]
            .as_f64()
            .map(|bits| bits / 1e6 * (1.0 - loss.unwrap_or(0.0) / 100.0));
        check.expect(loss.is_some_and(|loss| loss <= LOSS_PERCENT), || match loss {
            Some(loss) => format!("{a} to {b}: {loss:.2} % of UDP lost, {LOSS_PERCENT} % allowed"),
            None => format!("{a} to {b}: no UDP: {}", udp["error"]),
        });
    }
    let all: Vec<_> = tour.figures.pairs.values().flat_map(|row| row.values()).collect();
    let speeds = all.iter().filter_map(|pair| pair.tcp_mbit);
    let losses = all.iter().filter_map(|pair| pair.udp_loss_percent);
    check.measure(format!(
        "TCP {:.0} to {:.0} Mbit/s; UDP loss at most {:.2} %",
        speeds.clone().fold(f64::MAX, f64::min).min(1e6),
        speeds.fold(0.0, f64::max),
        losses.fold(0.0, f64::max)
    ));
    Ok(check)
}

/// One run: a server for one test on `to`, a client on `from`; what the client reports.
fn measure(tour: &Tour, from: &str, to: &str, address: &str, options: &[&str]) -> Result<Value, Error> {
    let log = format!("iperf3-{to}.log");
    let _server = tour.background(to, &log, &["iperf3", "-s", "-1", "-B", address])?;
    if !tour.wait_listen(to, 5201)? {
        return Ok(serde_json::json!({ "error": format!("the server did not start: {}", tour.log(&log)) }));
    }
    let argv: Vec<&str> = ["iperf3", "-J", "-c", address]
        .iter()
        .chain(options)
        .copied()
        .collect();
    let ran = tour.on(from, 15, &argv)?;
    let report: Option<Value> = serde_json::from_str(&ran.out).ok();
    Ok(report.unwrap_or_else(|| serde_json::json!({ "error": ran.said() })))
}
