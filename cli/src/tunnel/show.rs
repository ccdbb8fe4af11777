//! One tunnel, from its ends to what is left of its keys.

use super::list::way;
use crate::output::{self, age, scaled};
use kith_agent::status::{KeyState, Pair, PeerStatus, Room, Status};

pub(super) fn describe(peer: &PeerStatus, status: &Status) -> String {
    let mut out = format!(
        "{} at {}  ⇄  {} at {}\n\n",
        status.name, status.address, peer.name, peer.address
    );
    let mut line = |what: &str, text: String| out += &format!("{what:<10}{text}\n");
    line(
        "path",
        format!("{}, packets of {} octets fit", way(peer), peer.path_mtu),
    );
    line("keys", keys(peer));
    line(
        "heard",
        peer.heard_ms
            .map_or("nothing yet".into(), |ms| format!("{} ago", age(ms))),
    );
    line(
        "sent",
        format!(
            "{} packets, {} octets",
            peer.tx_packets,
            scaled(peer.tx_bytes as f64)
        ),
    );
    line(
        "received",
        format!(
            "{} packets, {} octets",
            peer.rx_packets,
            scaled(peer.rx_bytes as f64)
        ),
    );
    line(
        "agreed",
        match peer.rtt_ms {
            Some(rtt) => format!("{} times, round trip {rtt:.1} ms", peer.agreements),
            None => format!("{} times", peer.agreements),
        },
    );
    let Some(tunnel) = &peer.tunnel else { return out };
    line("IKE", tunnel.suite.clone());
    line(
        "",
        format!(
            "begun by {}, up for {}; keys {} old, replaced in {}, end in {}",
            if tunnel.initiator {
                &status.name
            } else {
                &peer.name
            },
            age(tunnel.up_ms),
            age(tunnel.ike_age_ms),
            left(tunnel.ike_rekey_ms),
            left(tunnel.ike_ends_ms)
        ),
    );
    let rows: Vec<Vec<String>> = tunnel.pairs.iter().map(|pair| row(pair, status, peer)).collect();
    let headers = [
        "ESP in",
        "ESP out",
        "suite",
        "asked by",
        "use",
        ">age",
        ">rekey in",
        ">ends in",
        ">packets left",
        ">blocks left",
    ];
    out + "\n" + &output::table(&headers, &rows)
}

fn row(pair: &Pair, status: &Status, peer: &PeerStatus) -> Vec<String> {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    vec![
        format!("{:#010x}", pair.spi_in),
        format!("{:#010x}", pair.spi_out),
        pair.suite.clone(),
        short(if pair.initiator { &status.name } else { &peer.name }),
        if pair.sending { "both ways" } else { "opens" }.into(),
        age(pair.age_ms),
        left(pair.rekey.ms),
        left(pair.ends.ms),
        power(pair.ends.packets),
        blocks(&pair.rekey),
    ]
}

fn blocks(room: &Room) -> String {
    power(room.blocks)
}

/// How keys stand, in a word or two.
pub(super) fn keys(peer: &PeerStatus) -> String {
    let state = match peer.keys {
        KeyState::None => return "none".into(),
        KeyState::Agreeing => return "being agreed".into(),
        KeyState::Up => "up",
        KeyState::Rekeying => "being replaced",
    };
    let by = peer
        .method
        .map_or_else(String::new, |method| format!(", {method}"));
    format!("{state}{by}")
}

/// Milliseconds that are left.
pub(super) fn left(ms: u64) -> String {
    if ms == 0 { "now".into() } else { age(ms) }
}

/// A count of which only the size matters.
fn power(count: u64) -> String {
    if count < 1_000_000 {
        count.to_string()
    } else {
        format!("2^{:.1}", (count as f64).log2())
    }
}
