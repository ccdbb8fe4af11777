//! The configuration file of `kith-dataplane`: as written, and checked.
//!
//! ```yaml
//! name: nrd1
//! workers: 2
//! eal: { cores: [0, 1], huge_pages: auto, memory_mib: 256 }
//! ports:
//!   - { device: "net_af_packet0,iface=eth0,qpairs=2", address: 203.0.113.10/24, gateway: 203.0.113.1 }
//! sessions: { first: 240.0.0.1, count: 4096 }
//! associations: 8192                         # security associations of a gateway
//! p4runtime:
//!   unix: /run/kith/p4runtime.sock            # mode 0600
//!   device_id: 1
//!   tcp:                                      # mutual TLS; without it, there is no TCP
//!     { listen: 192.0.2.1:9559, certificate: dataplane.pem, key: dataplane.key, client_ca: controllers.pem }
//! stats_socket: /run/kith/dataplane.sock
//! ```
//!
//! It says what the machine has: devices, links, room. What the dataplane does with packets is written by a controller over
//! P4Runtime, and is not here. [`load`] gives a configuration that was read and checked, or every mistake at once. How files are read and mistakes collected is shared
//! with the other configuration of ours, kith-controller's.

mod check;
mod file;
mod mistake;
mod units;

pub use file::{ConfigError, checked, parse, private, read, read_private, write_private};
pub use mistake::{Checker, Mistake, is_host};
pub use units::Cidr;

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything that a dataplane is told at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it is called in listings and logs.
    pub name: String,
    /// How many workers. Each has a receive and a transmit queue of every port, and a CPU of [`Eal::cores`].
    #[serde(default = "one")]
    pub workers: u16,
    /// What DPDK gets of the machine.
    #[serde(default)]
    pub eal: Eal,
    /// The ports. Port 0 is the first.
    pub ports: Vec<Port>,
    /// Room for sessions.
    #[serde(default)]
    pub sessions: Sessions,
    /// Room for security associations of each direction, 0 to 1048576: what a gateway seals and opens with. A place takes 128 octets, and 16 more
    /// for each worker; one that is installed about 2 KiB.
    #[serde(default = "default_associations")]
    pub associations: u32,
    /// Where controllers write tables.
    #[serde(default)]
    pub p4runtime: P4Runtime,
    /// Where tools ask for statistics.
    #[serde(default = "default_socket")]
    pub stats_socket: PathBuf,
    /// What a worker does that finds nothing to do.
    #[serde(default)]
    pub idle: Idle,
}

/// What DPDK gets of the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Eal {
    /// CPUs: worker `i` is pinned to `cores[i % cores.len()]`. Empty: workers run wherever the system puts them.
    /// The slow path and all other threads are never pinned.
    pub cores: Vec<usize>,
    /// Where packet memory comes from.
    pub huge_pages: HugePages,
    /// How much of it, MiB.
    pub memory_mib: u32,
}

/// Where packet memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HugePages {
    /// Huge pages if enough of them are free, else ordinary ones.
    #[default]
    Auto,
    /// Ordinary pages: for virtual devices, not for NICs.
    Off,
    /// Huge pages or nothing.
    On,
}

/// A port and the network on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// A virtual device with its arguments (`net_af_packet0,iface=eth0,qpairs=2`), or a PCI address (`0000:00:05.0`).
    pub device: String,
    /// Its address and the network on the link, such as `203.0.113.10/24`.
    pub address: Cidr,
    /// Who takes what is not on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// The largest IPv4 packet, octets.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
}

/// Which pseudo addresses the tables of senders and sessions have room for: one contiguous range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// The first.
    pub first: Ipv4Addr,
    /// How many: 1 to 16777216. Each takes about 100 octets of memory, and 16 more for each worker.
    pub count: u32,
}

/// Where controllers write tables, and read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct P4Runtime {
    /// A Unix socket for programs of the same user.
    pub unix: PathBuf,
    /// TCP with mutual TLS, for controllers elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// The number by which controllers address this dataplane; not 0.
    pub device_id: u64,
}

/// TCP with mutual TLS. Files are PEM; relative paths begin at the folder of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// Address and port, such as `192.0.2.1:9559`.
    pub listen: SocketAddr,
    /// The dataplane's certificate, with those between it and what controllers trust.
    pub certificate: PathBuf,
    /// Its private key, readable by its owner only.
    pub key: PathBuf,
    /// Who signs the certificates of controllers.
    pub client_ca: PathBuf,
}

/// What a worker does that finds nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Idle {
    /// Poll on, or rest.
    pub mode: IdleMode,
    /// Resting begins after so many polls without a packet.
    pub empty_polls: u32,
    /// The first rest, microseconds; each further one is twice as long.
    pub min_sleep_us: u32,
    /// The longest rest, microseconds, which is the latency that resting can add.
    pub max_sleep_us: u32,
}

/// Whether a worker ever rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdleMode {
    /// Never: the CPU is the worker's own.
    Poll,
    /// When there is nothing to do, in short sleeps.
    #[default]
    Adaptive,
}

/// Reads a configuration and checks it. All mistakes in values are reported at once.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let mut config: Config = parse(path, &read(path)?.1)?;
    if let Some(tcp) = &mut config.p4runtime.tcp {
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut tcp.certificate, &mut tcp.key, &mut tcp.client_ca] {
            *file = folder.join(&*file);
        }
    }
    let mistakes = config.mistakes();
    checked(path, config, mistakes)
}

impl Config {
    /// A configuration of YAML text, not checked yet.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        parse(Path::new("configuration"), text)
    }

    /// The configuration as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }

    /// Everything that is wrong with the values; empty if they make a dataplane.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        check::check(self)
    }
}

fn one() -> u16 {
    1
}

fn default_associations() -> u32 {
    8192
}

fn default_mtu() -> u16 {
    1500
}

fn default_socket() -> PathBuf {
    "/run/kith/dataplane.sock".into()
}

impl Default for Eal {
    fn default() -> Self {
        Self {
            cores: Vec::new(),
            huge_pages: HugePages::Auto,
            memory_mib: 256,
        }
    }
}

impl Default for Sessions {
    /// Class E: no LAN can clash with it.
    fn default() -> Self {
        Self {
            first: Ipv4Addr::new(240, 0, 0, 1),
            count: 65_535,
        }
    }
}

impl Default for P4Runtime {
    fn default() -> Self {
        Self {
            unix: "/run/kith/p4runtime.sock".into(),
            tcp: None,
            device_id: 1,
        }
    }
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            mode: IdleMode::Adaptive,
            empty_polls: 256,
            min_sleep_us: 20,
            max_sleep_us: 500,
        }
    }
}

#[cfg(test)]
mod tests;
