//! A lab's controller: one `kith-controller` that is the manager of all communities, and decides for every director's dataplane.
//!
//! Members reach it at its own address in the public network; the dataplanes it reaches over their Unix sockets.

use super::daemons::Health;
use super::directors::{DEVICE_ID, p4runtime_socket};
use super::managers;
use super::plan::Kind;
use super::process::Process;
use super::record::Record;
use crate::error::Error;
use kith_controller::config::{
    Address, Config, Dataplane, Director, Limits, Mail, Manager, PseudoPool, Rate, Span,
};
use kith_controller::status::{Client, ClientError, Part, Session, Standing};
use kith_topologies::compiled::{self, Topology};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// The controller's configuration, as YAML. It holds keys.
pub fn config(record: &Record, topology: &Topology, node: &str, socket: &Path) -> Result<String, Error> {
    let mut config = compile(topology, |director| p4runtime_socket(record, director));
    config.status_socket = socket.to_owned();
    config.manager = Some(manager(record, topology));
    config.state_dir = Some(record.file(&format!("{node}.state")));
    config.to_yaml().map_err(|error| Error::Config {
        node: node.to_owned(),
        why: error.to_string(),
    })
}

fn compile(topology: &Topology, socket: impl Fn(&str) -> PathBuf) -> Config {
    let director = |director: &compiled::Director| Director {
        name: director.name.to_string(),
        dataplane: Dataplane {
            address: Address::Unix(socket(director.name.as_str())),
            device_id: DEVICE_ID,
            tls: None,
        },
        address: director.address,
        udp_port: topology.udp_port,
        mtu: topology.public.mtu,
        pseudo_pool: pool(director),
        session_lifetime: Span(director.session_lifetime),
        keep_alive: Span(director.keep_alive),
        quarantine: Span(director.session_lifetime),
        max_sessions_per_community: None,
        limits: limits(director),
        sender_rate: director.limits.packets_per_second.map(rate),
        grants: Vec::new(),
        grants_file: None,
        token_file: None,
    };
    Config {
        name: topology.name.to_string(),
        manager: None,
        remote_manager: None,
        directors: topology.directors.iter().map(director).collect(),
        status_socket: "/run/kith/controller.sock".into(),
        state_dir: None,
        // Whoever is started last decides: a controller that is started again takes its place again.
        election_id: None,
    }
}

fn manager(record: &Record, topology: &Topology) -> Manager {
    let address = topology.manager.address;
    Manager {
        listen: SocketAddrV4::new(address, 443),
        tunnel: SocketAddrV4::new(address, topology.udp_port),
        public_host: Some(address.to_string()),
        admin_socket: managers::admin_socket(record),
        mail: Mail {
            spool: Some(managers::spool(record)),
            ..Mail::default()
        },
        ..Manager::default()
    }
}

/// As many addresses as there may be sessions.
pub(super) fn pool(director: &compiled::Director) -> PseudoPool {
    let first = director.pseudo_pool.network().to_bits().saturating_add(1);
    let hosts = u32::try_from(director.pseudo_pool.hosts()).unwrap_or(u32::MAX);
    PseudoPool {
        first: first.into(),
        count: director.limits.sessions.min(hosts),
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

/// Whether a controller answers at this socket, and decides for its dataplanes.
pub fn health(socket: &Path) -> Health {
    let status = match Client::connect(socket).and_then(|mut client| client.status()) {
        Ok(status) => status,
        Err(error) => return Health::bad(error.to_string()),
    };
    let worst = status
        .directors
        .iter()
        .find(|director| director.standing != Standing::Serving);
    match worst {
        None => {
            let sessions: u64 = status.directors.iter().map(|director| director.sessions).sum();
            Health::good(format!(
                "deciding for {}, {sessions} sessions",
                status.directors.len()
            ))
        }
        Some(director) => Health::bad(format!(
            "{}: {}",
            director.name,
            match director.standing {
                Standing::Away => director.why.as_deref().unwrap_or("no connection"),
                Standing::Backup => "another controller decides",
                Standing::Comparing => "comparing its entries",
                Standing::Serving => "serving",
            }
        )),
    }
}

/// The program that is a lab's controller.
pub fn process(record: &Record) -> Result<&Process, Error> {
    let mut controllers = record
        .of(Kind::Controller)
        .filter_map(|node| record.process(&node.name));
    controllers
        .next()
        .ok_or(Error::NothingToAsk { what: "controller" })
}

/// Every session of a director, as its lab's controller has them, in as many answers as it takes.
pub fn sessions(record: &Record, director: &str) -> Result<Vec<Session>, Error> {
    Ok(sessions_at(&process(record)?.socket, Some(director))?)
}

/// How many messages to a director its lab's controller gave no answer to.
pub fn refused(record: &Record, director: &str) -> Result<u64, Error> {
    let status = Client::connect(&process(record)?.socket)?.status()?;
    let directors = status.directors.iter().filter(|known| known.name == director);
    let counts = directors.flat_map(|known| &known.dataplane_side);
    Ok(counts
        .filter(|named| named.name == "refused")
        .map(|named| named.count)
        .sum())
}

/// The same at a status socket; without a name, those of its only director.
pub fn sessions_at(socket: &Path, director: Option<&str>) -> Result<Vec<Session>, ClientError> {
    let mut client = Client::connect(socket)?;
    let mut all = Vec::new();
    loop {
        let part = client.sessions(Part {
            director: director.map(str::to_owned),
            offset: u32::try_from(all.len()).unwrap_or(u32::MAX),
            limit: 0,
        })?;
        if part.sessions.is_empty() {
            return Ok(all);
        }
        all.extend(part.sessions);
        if all.len() as u64 >= part.total {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstarts_controller_is_a_good_one() {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let topology = kith_topologies::load(&file).unwrap().topology;
        let config = compile(&topology, |director| format!("/run/kith/{director}.p4").into());
        assert_eq!(config.mistakes(), []);
        let director = &config.directors[0];
        assert_eq!(director.dataplane.address.to_string(), "unix:/run/kith/nrd1.p4");
        assert!(director.grants.is_empty(), "the manager gives them");
        let again = Config::from_yaml(&config.to_yaml().unwrap()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }
}
