//! The table of all tunnels.

use super::show::{keys, left};
use crate::output::{self, age};
use kith_agent::status::{PeerStatus, Status};

pub(super) const HEADERS: [&str; 9] = [
    "peer",
    "virtual",
    "by way of",
    "keys",
    "suite",
    ">age",
    ">rekey in",
    ">heard",
    ">path mtu",
];

pub(super) fn describe(all: &[Status]) -> String {
    let each: Vec<String> = all.iter().map(of_one).collect();
    if each.is_empty() {
        return "this device is in no community; `kith-agent status` says why\n".into();
    }
    each.join("\n")
}

fn of_one(status: &Status) -> String {
    let rows: Vec<Vec<String>> = status.peers.iter().map(row).collect();
    let head = format!("{} at {}\n\n", status.name, status.address);
    if rows.is_empty() {
        return head + "no tunnels: nothing was sent to anybody yet, and nobody sent anything\n";
    }
    head + &output::table(&HEADERS, &rows)
}

pub(super) fn row(peer: &PeerStatus) -> Vec<String> {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let tunnel = peer.tunnel.as_ref();
    let sending = tunnel.and_then(|tunnel| tunnel.pairs.iter().rev().find(|pair| pair.sending));
    vec![
        peer.name.clone(),
        peer.address.to_string(),
        way(peer),
        keys(peer),
        or_dash(tunnel.map(|tunnel| tunnel.suite.clone())),
        or_dash(peer.keys_age_ms.map(age)),
        or_dash(sending.map(|pair| left(pair.rekey.ms))),
        or_dash(peer.heard_ms.map(age)),
        peer.path_mtu.to_string(),
    ]
}

/// Where packets go.
pub(super) fn way(peer: &PeerStatus) -> String {
    match peer.pseudo {
        Some(pseudo) => format!("director {} as {pseudo}", peer.endpoint.ip()),
        None => format!("straight to {}", peer.endpoint),
    }
}
