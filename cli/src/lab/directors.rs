//! A director of a topology as a `kith-dataplane`: the machine's part. What it does with packets, its controller writes.

use super::controllers;
use super::daemons::Health;
use super::record::Record;
use crate::error::Error;
use kith_api::client::Client;
use kith_api::config::{Cidr, Config, Eal, Idle, P4Runtime, Port, Sessions};
use kith_topologies::compiled::{self, Topology};
use std::path::{Path, PathBuf};

/// The number by which every dataplane of a lab knows itself: each has a socket of its own.
pub const DEVICE_ID: u64 = 1;

/// Where a director's dataplane takes P4Runtime connections.
#[must_use]
pub fn p4runtime_socket(record: &Record, node: &str) -> PathBuf {
    record.file(&format!("{node}.p4"))
}

/// The dataplane's configuration, as YAML. Nothing in it is secret.
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
    config.p4runtime.unix = p4runtime_socket(record, node);
    config.to_yaml().map_err(|error| Error::Config {
        node: node.to_owned(),
        why: error.to_string(),
    })
}

fn compile(topology: &Topology, director: &compiled::Director) -> Config {
    let workers = director.workers;
    let pool = controllers::pool(director);
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
        sessions: Sessions {
            first: pool.first,
            count: pool.count,
        },
        // A director seals nothing.
        associations: 0,
        p4runtime: P4Runtime {
            device_id: DEVICE_ID,
            tcp: None,
            ..P4Runtime::default()
        },
        stats_socket: "/run/kith/dataplane.sock".into(),
        idle: Idle::default(),
    }
}

/// Whether a dataplane answers at this socket. It forwards with or without its controller.
pub fn health(socket: &Path) -> Health {
    let answer = Client::connect(socket).and_then(|mut client| client.status());
    match answer {
        Ok(status) if status.ports.iter().any(|port| !port.link_up) => Health::bad("a link is down"),
        Ok(status) => {
            let alone = if status.controller { "" } else { ", no controller" };
            Health::good(format!("forwarding, {} sessions{alone}", status.sessions))
        }
        Err(error) => Health::bad(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstarts_director_is_a_good_dataplane() {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let topology = kith_topologies::load(&file).unwrap().topology;
        let config = compile(&topology, &topology.directors[0]);
        assert_eq!(config.mistakes(), []);
        assert_eq!(config.ports[0].device, "net_af_packet0,iface=eth0,qpairs=2");
        let text = config.to_yaml().unwrap();
        let again = Config::from_yaml(&text).unwrap();
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
        for (_, member) in topology.members() {
            let fqdn = member.fqdn.as_str();
            assert!(!text.contains(fqdn), "{fqdn} is the controller's affair");
        }
    }
}
