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
use kith_agent::status::{PeerStatus, Rekey, Status, query_all, rekey};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// `kith tunnel …`
#[derive(Debug, Subcommand)]
pub enum TunnelCommand {
    /// All tunnels of a device: as which member, with whom, by which way, which keys, what is left of them
    List {
        /// Which agent.
        #[command(flatten)]
        own: Own,
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
    pub own: Own,
}

/// One end.
#[derive(Debug, Args)]
pub struct Own {
    /// Which agent.
    #[command(flatten)]
    pub target: Target,
    /// As which of the device's members; needed if several of them know the other one
    #[arg(long = "as", value_name = "FQDN")]
    pub member: Option<String>,
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
        TunnelCommand::List { own, live } => {
            let socket = own.target.find(Kind::Member)?;
            let all = own.statuses(&socket)?;
            if live && format == Format::Table {
                return live::run(all, || own.statuses(&socket));
            }
            let tunnels = all.iter().flat_map(|status| {
                let tunnel = |peer| Both::of(status, peer);
                status.peers.iter().map(tunnel)
            });
            let tunnels: Vec<Both<'_>> = tunnels.collect();
            output::show(format, &tunnels, |_| list::describe(&all))?;
        }
        TunnelCommand::Show(with) => {
            let (_, all) = with.statuses()?;
            let (status, both) = with.both(&all)?;
            output::show(format, &both, |both| show::describe(both.peer, status))?;
        }
        TunnelCommand::Explain(with) => {
            let (_, all) = with.statuses()?;
            let (status, both) = with.both(&all)?;
            let lines = explain::lines(both.peer, status);
            output::show(format, &lines, |lines| lines.join("\n") + "\n")?;
        }
        TunnelCommand::Rekey { with, ike } => {
            let (socket, all) = with.statuses()?;
            let (status, both) = with.both(&all)?;
            let peer = both.peer.name.clone();
            rekey(
                &socket,
                Rekey {
                    peer: peer.clone(),
                    ike,
                    own: Some(status.name.clone()),
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

impl Own {
    /// The members of this device that are meant.
    fn statuses(&self, socket: &Path) -> Result<Vec<Status>, Error> {
        let mut all = query_all(socket)?;
        if let Some(member) = &self.member {
            let known = all.iter().map(|status| status.name.clone()).collect();
            all.retain(|status| status.name == *member);
            if all.is_empty() {
                let member = member.clone();
                return Err(Error::NoMembership { member, known });
            }
        }
        Ok(all)
    }
}

impl With {
    fn statuses(&self) -> Result<(PathBuf, Vec<Status>), Error> {
        let socket = self.own.target.find(Kind::Member)?;
        let all = self.own.statuses(&socket)?;
        Ok((socket, all))
    }

    /// The tunnel that is meant; an address or a first part of a name must be one member's only.
    fn both<'a>(&self, all: &'a [Status]) -> Result<(&'a Status, Both<'a>), Error> {
        let peers = || {
            all.iter()
                .flat_map(|status| status.peers.iter().map(move |peer| (status, peer)))
        };
        let named = |peer: &PeerStatus| peer.name == self.peer || peer.address.to_string() == self.peer;
        let short = |peer: &PeerStatus| peer.name.split('.').next() == Some(self.peer.as_str());
        let only = |is_meant: &dyn Fn(&PeerStatus) -> bool| {
            let mut meant = peers().filter(|(_, peer)| is_meant(peer));
            meant.next().filter(|_| meant.next().is_none())
        };
        let (status, peer) = only(&named)
            .or_else(|| only(&short))
            .ok_or_else(|| Error::NoTunnel {
                peer: self.peer.clone(),
                known: peers()
                    .map(|(status, peer)| match all.len() {
                        1 => peer.name.clone(),
                        _ => format!("{} as {}", peer.name, status.name),
                    })
                    .collect(),
            })?;
        Ok((status, Both::of(status, peer)))
    }
}

impl<'a> Both<'a> {
    fn of(status: &'a Status, peer: &'a PeerStatus) -> Self {
        Self {
            own: &status.name,
            own_address: status.address,
            peer,
        }
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
            own: Own {
                target: Target::default(),
                member: None,
            },
        }
    }

    #[test]
    fn tunnels_read_like_this() {
        insta::assert_snapshot!("list", list::describe(&[status()]));
        insta::assert_snapshot!("show", show::describe(&status().peers[0], &status()));
        let all: Vec<String> = status()
            .peers
            .iter()
            .map(|peer| explain::lines(peer, &status()).join("\n"))
            .collect();
        insta::assert_snapshot!("explain", all.join("\n\n"));
    }

    #[test]
    fn a_device_with_two_members_shows_the_tunnels_of_both() {
        let mut other = status();
        (other.name, other.peers) = ("carol.other.example".into(), Vec::new());
        insta::assert_snapshot!("two", list::describe(&[status(), other]));
    }

    #[test]
    fn a_member_is_named_in_full_in_short_or_by_address_and_never_by_chance() {
        let mut all = [status()];
        for name in ["bob.acme.example", "bob", "10.77.0.3"] {
            assert_eq!(with(name).both(&all).unwrap().1.peer.name, "bob.acme.example");
        }
        all[0].peers[1].name = "bob.other.example".into();
        let error = with("bob").both(&all).err().unwrap().to_string();
        assert!(error.contains("bob.acme.example, bob.other.example"), "{error}");
        all[0].peers.clear();
        let error = with("bob").both(&all).err().unwrap().to_string();
        assert!(error.contains("send that member something first"), "{error}");
        // Two members of this device know somebody at that address.
        let mut two = [status(), status()];
        two[1].name = "carol.other.example".into();
        let error = with("10.77.0.3").both(&two).err().unwrap().to_string();
        assert!(
            error.contains("bob.acme.example as carol.other.example"),
            "{error}"
        );
    }
}
