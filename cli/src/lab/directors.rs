//! A director of a topology as a `kith-dataplane`.

use super::daemons::Health;
use super::record::Record;
use crate::error::Error;
use kith_api::client::Client;
use kith_api::config::{
    Cidr, Community, Config, Director, Eal, Grant, Idle, Limits, Port, PseudoPool, Rate, SecretKey, Span,
};
use kith_topologies::compiled::{self, Topology};
use std::path::Path;

/// The dataplane's configuration, as YAML. It holds keys.
pub fn config(record: &Record, topology: &Topology, node: &str, socket: &Path) -> Result<String, Error> {
    let director = topology
        .directors
        .iter()
        .find(|director| director.name.as_str() == node);
    let director = director.ok_or_else(|| Error::UnknownNode {
        lab: record.name.clone(),
        node: node.to_owned(),
        known: topology
            .directors
            .iter()
            .map(|director| director.name.to_string())
            .collect(),
    })?;
    let mut config = compile(topology, director);
    config.stats_socket = socket.to_owned();
    config.state_dir = Some(record.file(&format!("{node}.state")));
    config.to_yaml().map_err(|error| Error::Config {
        node: node.to_owned(),
        why: error.to_string(),
    })
}

fn compile(topology: &Topology, director: &compiled::Director) -> Config {
    let workers = director.workers;
    Config {
        name: director.name.to_string(),
        workers,
        // No worker is pinned: members' agents and their programs run on the same cores.
        eal: Eal::default(),
        ports: vec![Port {
            device: format!("net_af_packet0,iface=eth0,qpairs={workers}"),
            address: Cidr {
                address: director.address,
                prefix_len: topology.public.prefix.len(),
            },
            gateway: None,
            mtu: topology.public.mtu,
        }],
        director: Director {
            address: None,
            udp_port: topology.udp_port,
            pseudo_pool: pool(director),
            session_lifetime: Span(director.session_lifetime),
            keep_alive: Span(director.keep_alive),
            quarantine: Span(director.session_lifetime),
            max_sessions_per_community: None,
            limits: limits(director),
            grants: grants(director),
            grants_file: None,
        },
        sender_rate: director.limits.packets_per_second.map(rate),
        stats_socket: "/run/kith/dataplane.sock".into(),
        state_dir: None,
        idle: Idle::default(),
    }
}

/// As many addresses as there may be sessions, but up to the last one that is kept for somebody.
fn pool(director: &compiled::Director) -> PseudoPool {
    let first = director.pseudo_pool.network().to_bits().saturating_add(1);
    let last_kept = director.grants.iter().map(|grant| grant.pseudo.to_bits()).max();
    let kept = last_kept.map_or(1, |last| last.saturating_sub(first).saturating_add(1));
    let hosts = u32::try_from(director.pseudo_pool.hosts()).unwrap_or(u32::MAX);
    PseudoPool {
        first: first.into(),
        count: director.limits.sessions.max(kept).min(hosts),
    }
}

fn limits(director: &compiled::Director) -> Limits {
    let defaults = Limits::default();
    Limits {
        strangers: director
            .limits
            .requests_per_second
            .map_or(defaults.strangers, rate),
        ..defaults
    }
}

/// So many a second, and a tenth of a second's worth at once.
fn rate(per_second: u32) -> Rate {
    Rate {
        per_second,
        burst: (per_second / 10).max(32),
    }
}

fn grants(director: &compiled::Director) -> Vec<Grant> {
    // Numbers of communities mean something at this director only.
    let mut communities: Vec<&str> = director
        .grants
        .iter()
        .map(|grant| grant.community.as_str())
        .collect();
    communities.sort_unstable();
    communities.dedup();
    let number = |name: &str| communities.binary_search(&name).map_or(0, |at| at as u16 + 1);
    director
        .grants
        .iter()
        .map(|grant| Grant {
            name: grant.member.to_string(),
            key_id: grant.key_id.0,
            key: SecretKey::new(*grant.key.expose()),
            community: Community {
                index: number(grant.community.as_str()),
                name: grant.community.to_string(),
            },
            pseudo: Some(grant.pseudo),
        })
        .collect()
}

/// Whether a dataplane answers at this socket.
pub fn health(socket: &Path) -> Health {
    let answer = Client::connect(socket).and_then(|mut client| client.status());
    match answer {
        Ok(status) if status.ports.iter().any(|port| !port.link_up) => Health::bad("a link is down"),
        Ok(status) => Health::good(format!("forwarding, {} sessions", status.sessions)),
        Err(error) => Health::bad(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_quickstarts_director_is_a_good_dataplane() {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let topology = kith_topologies::load(&file).unwrap().topology;
        let config = compile(&topology, &topology.directors[0]);
        assert_eq!(config.mistakes(), []);
        assert_eq!(config.ports[0].device, "net_af_packet0,iface=eth0,qpairs=2");
        assert_eq!(config.director.grants.len(), 3);
        assert!(
            config
                .director
                .grants
                .iter()
                .all(|grant| grant.community.index == 1)
        );
        let again = Config::from_yaml(&config.to_yaml().unwrap()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }
}
