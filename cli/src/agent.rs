//! `kith agent`: asks a running `kith-agent` how it is.

use crate::dataplane::Target;
use crate::error::Error;
use crate::lab::plan::Kind;
use crate::output::{self, Format, age};
use clap::Subcommand;
use kith_agent::status::{KeyState, SessionState, Status, query};

/// `kith agent …`
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Its session, the other members, and what became of packets
    Status(Target),
}

/// Runs a `kith agent` command.
pub fn run(command: AgentCommand, format: Format) -> Result<u8, Error> {
    let AgentCommand::Status(target) = command;
    let status = query(&target.find(Kind::Member)?)?;
    output::show(format, &status, describe)?;
    Ok(0)
}

fn describe(status: &Status) -> String {
    let mut out = format!(
        "{} at {}, adapter {} with MTU {}, up {}\n",
        status.name,
        status.address,
        status.tun,
        status.mtu,
        age(status.uptime_ms)
    );
    out += &match &status.director {
        None => "no director\n".into(),
        Some(director) => {
            let state = match director.state {
                SessionState::Requesting => "asking for an address",
                SessionState::Up => "session up",
                SessionState::Left => "has left",
            };
            let part = |before: &str, value: Option<String>| {
                value.map_or_else(String::new, |v| format!(", {before} {v}"))
            };
            format!(
                "director {}: {state}{}{}{}\n",
                director.address,
                part("pseudo address", director.pseudo.map(|pseudo| pseudo.to_string())),
                part("seen as", director.observed.map(|observed| observed.to_string())),
                part("for", director.since_ms.map(age)),
            )
        }
    };
    let peers: Vec<Vec<String>> = status
        .peers
        .iter()
        .map(|peer| {
            let keys = match peer.keys {
                KeyState::None => "none",
                KeyState::Agreeing => "agreeing",
                KeyState::Up => "up",
                KeyState::Rekeying => "rekeying",
            };
            let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
            vec![
                peer.name.clone(),
                peer.address.to_string(),
                peer.endpoint.to_string(),
                or_dash(peer.pseudo.map(|pseudo| pseudo.to_string())),
                keys.into(),
                or_dash(peer.method.map(|method| method.to_string())),
                or_dash(peer.keys_age_ms.map(age)),
                or_dash(peer.heard_ms.map(age)),
                peer.path_mtu.to_string(),
                peer.tx_packets.to_string(),
                peer.rx_packets.to_string(),
            ]
        })
        .collect();
    let headers = [
        "peer",
        "virtual",
        "sent to",
        "pseudo",
        "keys",
        "by",
        ">age",
        ">heard",
        ">path mtu",
        ">sent",
        ">received",
    ];
    out += &format!("\n{}", output::table(&headers, &peers));
    let packets = &status.packets;
    out += &format!(
        "\n{} from the adapter, {} to it; {} to the network, {} from it; {} wait for keys; {} lost in a full socket buffer\n",
        packets.tun_rx, packets.tun_tx, packets.udp_tx, packets.udp_rx, packets.waiting, packets.udp_overflow
    );
    if !status.drops.is_empty() {
        let drops: Vec<Vec<String>> = status
            .drops
            .iter()
            .map(|(name, count)| vec![name.clone(), count.to_string()])
            .collect();
        out += &format!("\n{}", output::table(&["drop", ">packets"], &drops));
    }
    out
}
