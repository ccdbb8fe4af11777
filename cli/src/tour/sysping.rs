//! `kith dataplane ping` from everywhere: members behind NATs, members outside, and hosts that are no members.

use super::{Check, Tour};
use crate::error::Error;
use crate::lab::daemons;
use crate::lab::plan::Kind;
use serde_json::Value;

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let kith = daemons::find("kith")?.display().to_string();
    let mut check =
        Check::of("`kith dataplane ping` asks the director from every member and every other host");
    let nodes: Vec<String> = tour
        .record
        .nodes
        .iter()
        .filter(|node| matches!(node.kind, Kind::Member | Kind::Host))
        .map(|node| node.name.clone())
        .collect();
    for director in tour.topology.directors.clone() {
        let place = format!("{}:{}", director.address, tour.topology.udp_port);
        for node in &nodes {
            let argv = [
                &kith,
                "-o",
                "json",
                "dataplane",
                "ping",
                &place,
                "-c",
                "10",
                "-i",
                "0.02",
                "-s",
                "64",
            ];
            let ran = tour.on(node, 10, &argv)?;
            let value: Value = serde_json::from_str(&ran.out).unwrap_or(Value::Null);
            let (answered, wrong) = (value["answered"].as_u64(), value["wrong"].as_u64());
            check.expect(answered == Some(10) && wrong == Some(0), || {
                format!(
                    "{node} to {}: {} of 10 answered\n{}",
                    director.name,
                    answered.unwrap_or(0),
                    ran.err.trim()
                )
            });
            if let Some(avg) = value["rtt_ms"]["avg"].as_f64() {
                check.measure(format!(
                    "{node} to {}: mean round trip {avg:.2} ms",
                    director.name
                ));
            }
        }
    }
    Ok(check)
}
