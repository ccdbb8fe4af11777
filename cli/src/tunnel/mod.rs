//! `kith tunnel`: the keys with other members, as their agent has them.

mod explain;
mod list;
mod live;
mod show;

use crate::dataplane::Target;
use crate::error::Error;
use crate::lab::plan::Kind;
use crate::output::{self, Format};
use clap::{Args, Subcommand};
use kith_agent::status::{PeerStatus, Rekey, Status, query, rekey};
use serde::Serialize;

/// `kith tunnel …`
#[derive(Debug, Subcommand)]
pub enum TunnelCommand {
    /// All tunnels of a member: with whom, by which way, which keys, what is left of them
    List {
        /// Which agent.
        #[command(flatten)]
        target: Target,
        /// Goes on showing them; q ends
        #[arg(long)]
        live: bool,
    },
    /// Everything about the tunnel with one member
    Show(With),
    /// Why packets to a member go where they go, under which keys, and what would change that
    Explain(With),
    /// Replaces keys now; traffic goes on meanwhile
    Rekey {
        /// With whom.
        #[command(flatten)]
        with: With,
        /// The keys of the IKE SA too, not only those of packets
        #[arg(long)]
        ike: bool,
    },
}

/// One tunnel.
#[derive(Debug, Args)]
pub struct With {
    /// The other member: its full name, the first part of it, or its virtual address
    pub peer: String,
    /// Which agent.
    #[command(flatten)]
    pub target: Target,
}

/// One tunnel with both of its ends.
#[derive(Serialize)]
struct Both<'a> {
    own: &'a str,
    own_address: std::net::Ipv4Addr,
    peer: &'a PeerStatus,
}

/// Runs a `kith tunnel` command.
pub fn run(command: TunnelCommand, format: Format) -> Result<u8, Error> {
    match command {
        TunnelCommand::List { target, live } => {
            let socket = target.find(Kind::Member)?;
            let status = query(&socket)?;
            if live && format == Format::Table {
                return live::run(&socket, status);
            }
            output::show(format, &status.peers, |_| list::describe(&status))?;
        }
        TunnelCommand::Show(with) => {
            let (_, status) = with.status()?;
            let both = with.both(&status)?;
            output::show(format, &both, |both| show::describe(both.peer, &status))?;
        }
        TunnelCommand::Explain(with) => {
            let (_, status) = with.status()?;
            let both = with.both(&status)?;
            let lines = explain::lines(both.peer, &status);
            output::show(format, &lines, |lines| lines.join("\n") + "\n")?;
        }
        TunnelCommand::Rekey { with, ike } => {
            let (socket, status) = with.status()?;
            let peer = with.both(&status)?.peer.name.clone();
            rekey(
                &socket,
                Rekey {
                    peer: peer.clone(),
                    ike,
                },
            )?;
            let what = if ike { "the IKE SA" } else { "packets" };
            let begun = format!("new keys for {what} are being agreed with {peer}\n");
            output::show(format, &serde_json::json!({ "peer": peer, "ike": ike }), |_| {
                begun
            })?;
        }
    }
    Ok(0)
}

impl With {
    fn status(&self) -> Result<(std::path::PathBuf, Status), Error> {
        let socket = self.target.find(Kind::Member)?;
        let status = query(&socket)?;
        Ok((socket, status))
    }

    /// The tunnel that is meant; a first part of a name must be one member's only.
    fn both<'a>(&self, status: &'a Status) -> Result<Both<'a>, Error> {
        let named = |peer: &&PeerStatus| peer.name == self.peer || peer.address.to_string() == self.peer;
        let short = |peer: &&PeerStatus| peer.name.split('.').next() == Some(self.peer.as_str());
        let mut all = status.peers.iter().filter(short);
        let only = all.next().filter(|_| all.next().is_none());
        let peer = status.peers.iter().find(named).or(only);
        let peer = peer.ok_or_else(|| Error::NoTunnel {
            peer: self.peer.clone(),
            known: status.peers.iter().map(|peer| peer.name.clone()).collect(),
        })?;
        Ok(Both {
            own: &status.name,
            own_address: status.address,
            peer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_agent::keying::Method;
    use kith_agent::status::{DirectorStatus, KeyState, Packets, Pair, Room, SessionState, Tunnel};
    use std::collections::BTreeMap;

    fn room(ms: u64, blocks: u64) -> Room {
        Room {
            ms,
            packets: blocks / 2,
            blocks,
        }
    }

    fn pair(spi: u32, age_ms: u64, sending: bool) -> Pair {
        Pair {
            spi_in: spi,
            spi_out: spi + 1,
            suite: "AES-256-GCM, extended sequence numbers".into(),
            initiator: sending,
            sending,
            age_ms,
            rekey: room(120_000u64.saturating_sub(age_ms), 1 << 35),
            ends: room(180_000u64.saturating_sub(age_ms), (1 << 36) - 1),
        }
    }

    fn peer(name: &str, host: u8, keys: KeyState) -> PeerStatus {
        let up = keys == KeyState::Up;
        let tunnel = Tunnel {
            initiator: true,
            up_ms: 754_000,
            suite: "AES-256-GCM, HMAC-SHA-256, X25519 + ML-KEM-768".into(),
            ike_age_ms: 754_000,
            ike_rekey_ms: 1_046_000,
            ike_ends_ms: 1_646_000,
            pairs: vec![pair(0x8a00_0100, 121_000, false), pair(0x9b00_0102, 4_000, true)],
        };
        PeerStatus {
            name: format!("{name}.acme.example"),
            address: [10, 77, 0, host].into(),
            endpoint: "203.0.113.10:20202".parse().unwrap(),
            pseudo: (host != 4).then(|| [240, 0, 0, host].into()),
            keys,
            method: up.then_some(Method::Ike),
            tunnel: up.then_some(tunnel),
            keys_age_ms: up.then_some(4_000),
            spi_out: None,
            spi_in: None,
            agreements: u64::from(up) * 7,
            rtt_ms: up.then_some(1.9),
            heard_ms: up.then_some(300),
            path_mtu: 1500,
            tx_packets: 1_234,
            tx_bytes: 123_456,
            rx_packets: 1_200,
            rx_bytes: 120_000,
        }
    }

    fn status() -> Status {
        Status {
            name: "alice.acme.example".into(),
            address: [10, 77, 0, 2].into(),
            tun: "kith0".into(),
            mtu: 1400,
            uptime_ms: 800_000,
            director: Some(DirectorStatus {
                address: "203.0.113.10:20202".parse().unwrap(),
                state: SessionState::Up,
                pseudo: Some([240, 0, 0, 2].into()),
                observed: Some("198.51.100.1:20202".parse().unwrap()),
                since_ms: Some(790_000),
            }),
            peers: vec![
                peer("bob", 3, KeyState::Up),
                peer("carol", 4, KeyState::Agreeing),
                peer("dave", 5, KeyState::None),
            ],
            drops: BTreeMap::new(),
            packets: Packets::default(),
            refusals: BTreeMap::new(),
        }
    }

    fn with(peer: &str) -> With {
        With {
            peer: peer.into(),
            target: Target::default(),
        }
    }

    #[test]
    fn tunnels_read_like_this() {
        insta::assert_snapshot!("list", list::describe(&status()));
        insta::assert_snapshot!("show", show::describe(&status().peers[0], &status()));
        let all: Vec<String> = status()
            .peers
            .iter()
            .map(|peer| explain::lines(peer, &status()).join("\n"))
            .collect();
        insta::assert_snapshot!("explain", all.join("\n\n"));
    }

    #[test]
    fn a_member_is_named_in_full_in_short_or_by_address_and_never_by_chance() {
        let mut status = status();
        for name in ["bob.acme.example", "bob", "10.77.0.3"] {
            assert_eq!(with(name).both(&status).unwrap().peer.name, "bob.acme.example");
        }
        status.peers[1].name = "bob.other.example".into();
        let error = with("bob").both(&status).err().unwrap().to_string();
        assert!(error.contains("bob.acme.example, bob.other.example"), "{error}");
        status.peers.clear();
        let error = with("bob").both(&status).err().unwrap().to_string();
        assert!(error.contains("send that member something first"), "{error}");
    }
}
