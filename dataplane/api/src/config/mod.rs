//! The configuration file of `kith-dataplane`: as written, and checked.
//!
//! ```yaml
//! name: nrd1
//! workers: 2
//! eal: { cores: [0, 1], huge_pages: auto, memory_mib: 256 }
//! ports:
//!   - { device: "net_af_packet0,iface=eth0,qpairs=2", address: 203.0.113.10/24, gateway: 203.0.113.1 }
//! director:
//!   pseudo_pool: { first: 240.0.0.1, count: 4096 }
//!   grants_file: /etc/kith/grants.yaml        # mode 0600
//! stats_socket: /run/kith/dataplane.sock
//! state_dir: /var/lib/kith
//! ```
//!
//! [`load`] gives a configuration that was read, completed with its grants and checked, or every mistake at once.

mod check;
mod secret;
mod units;

pub use check::Mistake;
pub use secret::SecretKey;
pub use units::{Cidr, Span};

use kith_wire::shim::DEFAULT_PORT;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

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
    /// The route director.
    pub director: Director,
    /// How much each member may send; without it, as much as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_rate: Option<Rate>,
    /// Where tools ask for statistics.
    #[serde(default = "default_socket")]
    pub stats_socket: PathBuf,
    /// Where sessions are kept across a restart. Without it a restart forgets them, and members ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
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

/// The route director.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Director {
    /// Its public address; without it, that of the first port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The encapsulation port.
    #[serde(default = "default_udp_port")]
    pub udp_port: u16,
    /// The pseudo addresses it gives out.
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
    /// Who may have a session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// A file with more grants, a YAML list, readable by its owner only. A relative path begins at the folder of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants_file: Option<PathBuf>,
}

/// A contiguous range of pseudo addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PseudoPool {
    /// The first.
    pub first: Ipv4Addr,
    /// How many: 1 to 16777216. Each takes about 60 octets of memory, and 16 more for each worker.
    pub count: u32,
}

/// Rates of the director's control side; see its documentation for what each guards.
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

/// A community at this director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Community {
    /// Its number at this director: 1 to 65535. Members of one number reach each other.
    pub index: u16,
    /// What listings call it.
    pub name: String,
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

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not YAML of this shape.
    #[error("{path}:{place}{what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and column, as `3:7: `, if known.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// Others may read the keys.
    #[error("{path} holds keys and can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The values make no dataplane.
    #[error("{path}: {} wrong:{}", count(.mistakes), list(.mistakes))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        mistakes: Vec<Mistake>,
    },
}

/// Reads a configuration and its grants file, and checks both. All mistakes in values are reported at once.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let (mode, text) = read(path)?;
    let mut config: Config = parse(path, &text)?;
    if !config.director.grants.is_empty() {
        private(path, mode)?;
    }
    if let Some(grants) = &config.director.grants_file {
        let grants = path.parent().unwrap_or(Path::new("")).join(grants);
        let (mode, text) = read(&grants)?;
        private(&grants, mode)?;
        config
            .director
            .grants
            .append(&mut parse::<Vec<Grant>>(&grants, &text)?);
        config.director.grants_file = None;
    }
    let mistakes = config.mistakes();
    if mistakes.is_empty() {
        Ok(config)
    } else {
        let path = path.to_owned();
        Err(ConfigError::Invalid { path, mistakes })
    }
}

impl Config {
    /// A configuration of YAML text, not checked yet.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        parse(Path::new("configuration"), text)
    }

    /// The configuration as YAML. It holds the keys of its grants in clear.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }

    /// Everything that is wrong with the values; empty if they make a dataplane.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        check::check(self)
    }

    /// The director's public address.
    #[must_use]
    pub fn director_address(&self) -> Ipv4Addr {
        let first_port = self.ports.first().map(|port| port.address.address);
        self.director
            .address
            .or(first_port)
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }
}

/// Grants as the text of a grants file.
pub fn grants_to_yaml(grants: &[Grant]) -> Result<Zeroizing<String>, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(&grants).map(Zeroizing::new)
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Keys are for their owner's eyes only.
fn private(path: &Path, mode: u32) -> Result<(), ConfigError> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(ConfigError::Exposed {
        path: path.to_owned(),
        mode: mode & 0o7777,
    })
}

fn read(path: &Path) -> Result<(u32, Zeroizing<String>), ConfigError> {
    let fail = |error| ConfigError::Read {
        path: path.to_owned(),
        error,
    };
    // The permissions of the file that is read, not of one put in its place afterwards.
    let mut file = File::open(path).map_err(fail)?;
    let about = file.metadata().map_err(fail)?;
    let mut text = Zeroizing::new(String::with_capacity(about.len() as usize + 1));
    file.read_to_string(&mut text).map_err(fail)?;
    Ok((about.permissions().mode(), text))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error
            .location()
            .map_or_else(String::new, |at| format!("{}:{}: ", at.line(), at.column()));
        // Without the lines around the mistake: they may hold keys.
        let what = error.without_snippet().to_string();
        let what = what
            .rsplit_once(" at line ")
            .map_or(what.as_str(), |(what, _)| what)
            .to_owned();
        let path = path.to_owned();
        ConfigError::Syntax { path, place, what }
    })
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // A file that was there keeps its old mode otherwise.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

fn count(mistakes: &[Mistake]) -> String {
    match mistakes.len() {
        1 => "1 value is".into(),
        more => format!("{more} values are"),
    }
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}

fn one() -> u16 {
    1
}

fn default_mtu() -> u16 {
    1500
}

fn default_udp_port() -> u16 {
    DEFAULT_PORT
}

fn default_socket() -> PathBuf {
    "/run/kith/dataplane.sock".into()
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

impl Default for Eal {
    fn default() -> Self {
        Self {
            cores: Vec::new(),
            huge_pages: HugePages::Auto,
            memory_mib: 256,
        }
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
