//! A site's NAT router: nftables rules and connection tracking times.
//!
//! ```text
//!   lan ──► forward: accept ──► postrouting: source becomes the router's public address, port rewritten ──► wan
//!   lan ◄── forward: only what belongs to a flow that began inside ◄────────────────────────────────────── wan
//! ```

use super::command::Command;
use kith_topologies::compiled::{Nat, Ports};

/// The rules, replacing whatever was there in one transaction.
#[must_use]
pub fn ruleset(ports: Ports) -> String {
    let masquerade = match ports {
        Ports::Random => "masquerade fully-random",
        Ports::Preserve => "masquerade",
    };
    format!(
        "flush ruleset
table ip kith {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname \"wan\" {masquerade}
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname \"lan\" oifname \"wan\" accept
    counter comment \"unsolicited\"
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname {{ \"lan\", \"lo\" }} accept
    counter comment \"unsolicited\"
  }}
}}
"
    )
}

/// What makes a namespace with interfaces `lan` and `wan` this NAT.
#[must_use]
pub fn commands(namespace: &str, nat: &Nat) -> Vec<Command> {
    // Conntrack counts whole seconds.
    let timeout = nat.udp_timeout.as_secs().max(1);
    vec![
        Command::inside(namespace, "nft -f -").reading(ruleset(nat.ports)),
        Command::inside(
            namespace,
            &format!(
                "sysctl -qw net.netfilter.nf_conntrack_udp_timeout={timeout} \
                 net.netfilter.nf_conntrack_udp_timeout_stream={timeout} net.ipv4.ip_forward=1"
            ),
        ),
    ]
}

/// What a restart of the router does to its flows: all forgotten. With random ports, the next packet of each gets a new port.
#[must_use]
pub fn forget(namespace: &str) -> Command {
    Command::inside(namespace, "conntrack -F")
}
