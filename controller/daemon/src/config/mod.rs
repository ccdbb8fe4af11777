//! The configuration file of `kith-controller`: as written, and checked.
//!
//! ```yaml
//! name: office
//! directors:
//!   - name: nrd1
//!     dataplane: { address: "unix:/run/kith/p4runtime.sock" }
//!     address: 203.0.113.10
//!     pseudo_pool: { first: 240.0.0.1, count: 4096 }     # as many as the dataplane has places for
//!     grants_file: /etc/kith/grants.yaml                 # mode 0600
//!   - name: nrd2
//!     dataplane:
//!       address: "https://192.0.2.7:9559"
//!       tls: { ca: ca.pem, certificate: controller.pem, key: controller.key }
//!     address: 198.51.100.7
//! status_socket: /run/kith/controller.sock
//! state_dir: /var/lib/kith-controller
//! ```
//!
//! A `remote_manager:` section says which manager elsewhere grants sessions at these directors: see [`RemoteManager`].
//! A `manager:` section makes it a manager as well, or a manager alone: see [`Manager`]. Without a file it is a manager with
//! all defaults. [`load`] gives a configuration that was read, completed with its grants and checked, or every mistake at once.

mod check;
mod check_manager;
mod file;
mod manager;
mod remote;
mod secret;
mod units;

pub use file::{grants_to_yaml, load, load_or_default};
pub use kith_api::config::{ConfigError, Mistake, write_private};
pub use manager::{LocalUser, Mail, Manager, ManagerLimits, STATE, Smtp, SmtpTls};
pub use remote::RemoteManager;
pub use secret::{NotAKey, SecretKey};
pub use units::Span;

use kith_wire::shim::DEFAULT_PORT;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// Everything that a controller is told at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it is called in listings and logs.
    pub name: String,
    /// The manager, if this controller is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
    /// The manager in another process that grants sessions at the directors here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_manager: Option<RemoteManager>,
    /// The directors, one for each dataplane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directors: Vec<Director>,
    /// Where tools ask.
    #[serde(default = "default_socket")]
    pub status_socket: PathBuf,
    /// Where sessions are kept across a restart, in a folder for each director. Without it a restart forgets them, and
    /// members ask again. The manager's store is there too, `store.db`; its own default is `/var/lib/kith-controller`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Decides which of several controllers is primary: the highest. Without it, the time of the start in microseconds:
    /// whoever starts last takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election_id: Option<u64>,
}

/// A route director, and the dataplane it decides for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Director {
    /// What it is called in listings and logs, and its folder in `state_dir`: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Where its dataplane takes P4Runtime connections.
    pub dataplane: Dataplane,
    /// Its public address, as members name it.
    pub address: Ipv4Addr,
    /// The encapsulation port.
    #[serde(default = "default_udp_port")]
    pub udp_port: u16,
    /// The largest outer packet to a member until a router says otherwise: the smallest MTU of the dataplane's ports.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// The pseudo addresses it gives out. The dataplane must have places for them.
    #[serde(default)]
    pub pseudo_pool: PseudoPool,
    /// How long a session lasts without a keep-alive.
    #[serde(default = "default_lifetime")]
    pub session_lifetime: Span,
    /// How often members are told to send keep-alives.
    #[serde(default = "default_keep_alive")]
    pub keep_alive: Span,
    /// How long a freed pseudo address rests before somebody else gets it.
    #[serde(default = "default_quarantine")]
    pub quarantine: Span,
    /// Sessions of one community at a time; without it, as many as the pool has addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions_per_community: Option<u32>,
    /// How much work it does for whom.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// How many packets each member may send; without it, as many as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_rate: Option<Rate>,
    /// Who may have a session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// A file with more grants, a YAML list, readable by its owner only. A relative path begins at the folder of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants_file: Option<PathBuf>,
    /// With `remote_manager`: the file with this director's token, readable by its owner only, if there are several directors. A relative path
    /// begins at the folder of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Where a dataplane takes P4Runtime connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataplane {
    /// `unix:/path`, or `https://host:port`.
    pub address: Address,
    /// Which device behind that address.
    #[serde(default = "default_device_id")]
    pub device_id: u64,
    /// For `https`: who this controller is, and whom it believes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A P4Runtime address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host and its TCP port, with mutual TLS.
    Https {
        /// A name or an address.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// Files for mutual TLS, PEM. The dataplane's certificate must be for the host of its address. Relative paths begin at the folder of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificates of those who may sign the dataplane's.
    pub ca: PathBuf,
    /// This controller's certificate, with those in between.
    pub certificate: PathBuf,
    /// Its key, readable by its owner only.
    pub key: PathBuf,
}

/// A contiguous range of pseudo addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PseudoPool {
    /// The first.
    pub first: Ipv4Addr,
    /// How many: 1 to 16777216.
    pub count: u32,
}

/// Rates of the director; see its documentation for what each guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Messages of one member that carry proof of their source.
    pub member: Rate,
    /// Authenticators checked for senders without proof, all together.
    pub strangers: Rate,
    /// Messages without proof and pings, for each source address.
    pub source: Rate,
    /// Pings answered, all together.
    pub pings: Rate,
}

/// So many a second on average, so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// A second.
    pub per_second: u32,
    /// At once after a pause.
    pub burst: u32,
}

/// Leave for one member to have a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What listings call the member.
    pub name: String,
    /// How its messages name the key. Not secret.
    pub key_id: u64,
    /// The key they are authenticated with: 32 octets, as 64 hexadecimal digits or in base64.
    pub key: SecretKey,
    /// Which community it is of.
    pub community: Community,
    /// The pseudo address that only this member gets; without it, any free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudo: Option<Ipv4Addr>,
}

/// A community at one director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Community {
    /// Its number at this director: 1 to 65535. Members of one number reach each other.
    pub index: u16,
    /// What listings call it.
    pub name: String,
}

impl Config {
    /// A configuration of YAML text, not checked yet.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        kith_api::config::parse("configuration".as_ref(), text)
    }

    /// The configuration as YAML. It holds the keys of its grants in clear.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }

    /// A manager with all defaults and no directors.
    #[must_use]
    pub fn manager_alone() -> Self {
        Self {
            name: "kith-controller".into(),
            manager: Some(Manager::default()),
            remote_manager: None,
            directors: Vec::new(),
            status_socket: default_socket(),
            state_dir: Some(STATE.into()),
            election_id: None,
        }
    }

    /// Everything that is wrong with the values; empty if they make a controller.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        check::check(self)
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected unix:/path/of/socket or https://host:port";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(SHAPE),
            };
        }
        let place = text.strip_prefix("https://").ok_or(SHAPE)?;
        let (host, port) = place.trim_end_matches('/').rsplit_once(':').ok_or(SHAPE)?;
        let port: u16 = port.parse().map_err(|_| SHAPE)?;
        let odd = |c: char| c.is_whitespace() || c == '/' || c == '@';
        if host.is_empty() || host.contains(odd) || port == 0 {
            return Err(SHAPE);
        }
        Ok(Self::Https {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Https { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

kith_api::as_word!(Address);

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for PseudoPool {
    /// Class E: no LAN can clash with it.
    fn default() -> Self {
        Self {
            first: Ipv4Addr::new(240, 0, 0, 1),
            count: 65_535,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            member: rate(10, 20),
            strangers: rate(50_000, 5_000),
            source: rate(200, 400),
            pings: rate(20_000, 2_000),
        }
    }
}

fn default_mtu() -> u16 {
    1500
}

fn default_udp_port() -> u16 {
    DEFAULT_PORT
}

fn default_device_id() -> u64 {
    1
}

fn default_socket() -> PathBuf {
    "/run/kith/controller.sock".into()
}

fn default_lifetime() -> Span {
    Span::from_secs(60)
}

fn default_keep_alive() -> Span {
    Span::from_secs(15)
}

fn default_quarantine() -> Span {
    Span::from_secs(60)
}

#[cfg(test)]
mod tests;
