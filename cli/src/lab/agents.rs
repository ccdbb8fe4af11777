//! A member of a topology as a `kith-agent`.

use super::daemons::Health;
use crate::error::Error;
use kith_agent::config::{AgentConfig, Cipher, Director, Location, Peer, Prefix, Secret, Udp, Via};
use kith_agent::status::{SessionState, query};
use kith_topologies::compiled::{self, Topology};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

/// The agent's configuration, as YAML. It holds keys.
pub fn config(topology: &Topology, node: &str, socket: &Path) -> Result<String, Error> {
    let fail = |why: String| Error::Config {
        node: node.to_owned(),
        why,
    };
    let member = topology
        .members
        .iter()
        .find(|member| member.node.as_str() == node);
    let member = member.ok_or_else(|| fail("the topology has no such member".into()))?;
    let mut config = compile(topology, member).map_err(fail)?;
    config.status_socket = socket.to_owned();
    config.to_yaml().map_err(|error| fail(error.to_string()))
}

fn compile(topology: &Topology, member: &compiled::Member) -> Result<AgentConfig, String> {
    let port = topology.udp_port;
    let pool = Prefix::new(member.pool.network(), member.pool.len()).map_err(|error| error.to_string())?;
    let public = member.location.site().is_none();
    let location = if public {
        Location::Public {
            public: SocketAddrV4::new(member.location.address(), port),
        }
    } else {
        Location::Director {
            director: member.director_address,
            pseudo: Some(member.pseudo),
        }
    };
    Ok(AgentConfig {
        name: member.fqdn.to_string(),
        address: member.virtual_ip,
        pool,
        tun: "kith0".into(),
        mtu: None,
        udp: Udp {
            address: Ipv4Addr::UNSPECIFIED,
            port,
        },
        path_mtu: topology.public.mtu,
        cipher: Cipher::default(),
        location,
        director: Some(Director {
            address: member.director_address,
            key_id: member.key_id.0,
            key: Secret::new(*member.director_key.expose()),
            sender_only: public,
            keep_alive_ms: None,
        }),
        status_socket: "/run/kith/agent.sock".into(),
        peers: member.peers.iter().map(peer).collect(),
    })
}

fn peer(peer: &compiled::Peer) -> Peer {
    let via = match peer.via {
        compiled::Via::Direct { address, .. } => Via::Direct { direct: address },
        compiled::Via::Director { address, pseudo, .. } => Via::Director {
            director: address,
            pseudo,
        },
    };
    Peer {
        name: peer.fqdn.to_string(),
        address: peer.virtual_ip,
        via,
        psk: Secret::new(*peer.psk.expose()),
    }
}

/// Whether an agent answers at this socket and has its session.
pub fn health(socket: &Path) -> Health {
    let status = match query(socket) {
        Ok(status) => status,
        Err(error) => return Health::bad(error.to_string()),
    };
    let Some(director) = status.director else {
        return Health::good("up, no director");
    };
    let mut health = match director.state {
        SessionState::Up => Health::good("bound"),
        SessionState::Requesting => Health::bad("asking its director for an address"),
        SessionState::Left => Health::bad("has left"),
    };
    health.pseudo = director.pseudo;
    health
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstarts_members_are_good_agents() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let topology = kith_topologies::load(&file).unwrap().topology;
        for member in &topology.members {
            compile(&topology, member)
                .unwrap()
                .validate()
                .unwrap_or_else(|wrong| panic!("{}: {wrong}", member.fqdn));
        }
    }
}
