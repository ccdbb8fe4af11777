//! The agent's configuration: written ([`AgentConfig`], YAML) → [`Validated`], with all mistakes reported at once.
//!
//! ```yaml
//! name: alice.acme.example
//! address: 10.77.0.1            # virtual
//! pool: 10.77.0.0/24            # the community's: routed into the adapter
//! location: { director: "203.0.113.10:20202", pseudo: 240.0.0.1 }   # or: { public: "203.0.113.30:20202" }
//! director: { address: "203.0.113.10:20202", key_id: 1, key: <64 hex digits> }
//! peers:
//! - { name: carol.acme.example, address: 10.77.0.3, via: { direct: "203.0.113.30:20202" }, psk: <64 hex digits> }
//! - { name: bob.acme.example, address: 10.77.0.2, via: { director: "203.0.113.10:20202", pseudo: 240.0.0.2 }, psk: … }
//! ```
//!
//! Everything that a manager will one day hand out (addresses, peers, keys) is reached through [`crate::directory`].

mod secret;
mod validate;

pub use secret::{BadSecret, Secret};
pub use validate::{Invalid, Mistake, Validated};

use crate::keying::Method;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The configuration as written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The member's full name.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// The community's virtual network.
    pub pool: Prefix,
    /// Name of the virtual adapter.
    #[serde(default = "default_tun")]
    pub tun: String,
    /// MTU of the virtual adapter; what fits the path MTU if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Where the agent listens, and sends from.
    #[serde(default)]
    pub udp: Udp,
    /// The largest outer IPv4 packet to begin with; learnt smaller values are kept per member.
    #[serde(default = "default_path_mtu")]
    pub path_mtu: u16,
    /// What the ESP keys are for.
    #[serde(default)]
    pub cipher: Cipher,
    /// How to agree on keys with others: `ike`, or `ticket` for a member that does without it. Both are answered.
    #[serde(default)]
    pub keying: Method,
    /// How others reach this member.
    pub location: Location,
    /// The director where this member has a session; not needed if all members have public addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub director: Option<Director>,
    /// Where to serve status, as a Unix socket.
    #[serde(default = "default_status_socket")]
    pub status_socket: PathBuf,
    /// The other members.
    #[serde(default)]
    pub peers: Vec<Peer>,
}

/// The agent's UDP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Udp {
    /// The address to bind; all if unspecified.
    #[serde(default = "default_bind")]
    pub address: Ipv4Addr,
    /// The port.
    #[serde(default = "default_port")]
    pub port: u16,
}

impl Default for Udp {
    fn default() -> Self {
        Self {
            address: default_bind(),
            port: default_port(),
        }
    }
}

/// AES-GCM with keys of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Cipher {
    /// 256 bits.
    #[default]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// 128 bits.
    #[serde(rename = "aes-128-gcm")]
    Aes128Gcm,
}

/// How a member is reached: directly, or by a pseudo address at a director.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a location is { public: \"ADDRESS:PORT\" } or { director: \"ADDRESS:PORT\", pseudo: ADDRESS }"
)]
pub enum Location {
    /// This member has a public address of its own.
    Public {
        /// Address and port that the others send to.
        public: SocketAddrV4,
    },
    /// This member is behind a NAT.
    Director {
        /// Address and port of its director.
        director: SocketAddrV4,
        /// The pseudo address it expects there; what the director really gives prevails.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pseudo: Option<Ipv4Addr>,
    },
}

/// The director where this member has a session.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Director {
    /// Where it is.
    pub address: SocketAddrV4,
    /// Which key at the director is this member's.
    pub key_id: u64,
    /// That key.
    pub key: Secret,
    /// Only send through it: this member is reached directly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sender_only: bool,
    /// Send keep-alives this often, instead of as often as the director says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive_ms: Option<u32>,
}

/// Another member.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its full name.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Where its packets go.
    pub via: Via,
    /// The secret that this pair of members shares. It authenticates key agreement; it never encrypts traffic.
    pub psk: Secret,
}

/// Where a member's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "via is { direct: \"ADDRESS:PORT\" } or { director: \"ADDRESS:PORT\", pseudo: ADDRESS }"
)]
pub enum Via {
    /// Straight there.
    Direct {
        /// Its public address and port.
        direct: SocketAddrV4,
    },
    /// Through its director.
    Director {
        /// Address and port of the director.
        director: SocketAddrV4,
        /// The member's pseudo address there.
        pseudo: Ipv4Addr,
    },
}

/// An IPv4 network: address/length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: Ipv4Addr,
    len: u8,
}

/// What is wrong with a written network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network is written 10.77.0.0/24: address, slash, length of 0 to 32, host bits zero")]
pub struct BadPrefix;

impl Prefix {
    /// The network of this address and length; no host bit may be set.
    pub fn new(address: Ipv4Addr, len: u8) -> Result<Self, BadPrefix> {
        let prefix = Self { address, len };
        if len > 32 || address.to_bits() & !prefix.mask() != 0 {
            return Err(BadPrefix);
        }
        Ok(prefix)
    }

    /// Its first address.
    #[must_use]
    pub fn network(self) -> Ipv4Addr {
        self.address
    }

    /// Its length.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.len
    }

    /// Is this address inside, and neither the network's own nor its broadcast address?
    #[must_use]
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        let host = address.to_bits() & !self.mask();
        let inside = address.to_bits() & self.mask() == self.address.to_bits();
        inside && (self.len >= 31 || (host != 0 && host != !self.mask()))
    }

    fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.len.min(32)))
            .unwrap_or(0)
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let (address, len) = text.split_once('/').ok_or(BadPrefix)?;
        Self::new(
            address.parse().map_err(|_| BadPrefix)?,
            len.parse().map_err(|_| BadPrefix)?,
        )
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not YAML of this shape. The message gives line and column.
    #[error("{path}: {message}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What the reader says.
        message: String,
    },
    /// It can be read, but contradicts itself.
    #[error("{path}: {invalid}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// All that is wrong.
        invalid: Invalid,
    },
    /// It cannot be written as YAML.
    #[error("cannot write the configuration as YAML: {0}")]
    Write(String),
}

impl AgentConfig {
    /// Reads and validates a file.
    pub fn load(path: &Path) -> Result<Validated, ConfigError> {
        let text =
            zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.into(),
                source,
            })?);
        let written: Self = serde_saphyr::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.into(),
            // Without a snippet of the text around the place: that may hold a secret.
            message: error.without_snippet().to_string(),
        })?;
        written.validate().map_err(|invalid| ConfigError::Invalid {
            path: path.into(),
            invalid,
        })
    }

    /// The YAML to write to a file, secrets included.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_saphyr::to_string(self).map_err(|error| ConfigError::Write(error.to_string()))
    }
}

fn default_tun() -> String {
    "kith0".into()
}

fn default_bind() -> Ipv4Addr {
    Ipv4Addr::UNSPECIFIED
}

fn default_port() -> u16 {
    kith_wire::shim::DEFAULT_PORT
}

fn default_path_mtu() -> u16 {
    1500
}

fn default_status_socket() -> PathBuf {
    "/run/kith/agent.sock".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const EXAMPLE: &str = r#"
name: alice.acme.example
address: 10.77.0.1
pool: 10.77.0.0/24
location: { director: "203.0.113.10:20202", pseudo: 240.0.0.1 }
director:
  address: "203.0.113.10:20202"
  key_id: 1
  key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
peers:
- name: carol.acme.example
  address: 10.77.0.3
  via: { direct: "203.0.113.30:20202" }
  psk: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeef0
- name: bob.acme.example
  address: 10.77.0.2
  via: { director: "203.0.113.10:20202", pseudo: 240.0.0.2 }
  psk: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeef1
"#;

    #[test]
    fn the_example_reads_and_writes_the_same() {
        let read: AgentConfig = serde_saphyr::from_str(EXAMPLE).unwrap();
        assert_eq!(
            (read.tun.as_str(), read.udp.port, read.path_mtu),
            ("kith0", 20202, 1500)
        );
        let again: AgentConfig = serde_saphyr::from_str(&read.to_yaml().unwrap()).unwrap();
        assert_eq!(again.to_yaml().unwrap(), read.to_yaml().unwrap());
        assert_eq!(again.peers[1].via, read.peers[1].via);
        assert_eq!(again.peers[0].psk.expose()[31], 0xf0);
        read.validate().unwrap();
    }

    #[test]
    fn a_wrong_secret_is_named_by_its_line_and_never_shown() {
        let text = EXAMPLE.replace("ddeef1", "ddeeg1");
        let error = serde_saphyr::from_str::<AgentConfig>(&text).err().unwrap();
        let message = error.without_snippet().to_string();
        assert!(message.contains("line 18"), "{message}");
        assert!(!message.contains("0011"), "{message}");
    }

    #[test]
    fn a_location_of_neither_kind_is_told_how_to_write_one() {
        let text = EXAMPLE.replace(
            "{ director: \"203.0.113.10:20202\", pseudo: 240.0.0.1 }",
            "{ here: 1 }",
        );
        let error = serde_saphyr::from_str::<AgentConfig>(&text).err().unwrap();
        let message = error.without_snippet().to_string();
        assert!(
            message.contains("{ public: ") && message.contains("line 5"),
            "{message}"
        );
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let text = EXAMPLE.replace("pool:", "pol:");
        assert!(serde_saphyr::from_str::<AgentConfig>(&text).is_err());
    }

    #[test]
    fn prefixes_have_no_host_bits_and_know_their_hosts() {
        assert!("10.77.0.1/24".parse::<Prefix>().is_err() && "10.77.0.0/33".parse::<Prefix>().is_err());
        let pool: Prefix = "10.77.0.0/24".parse().unwrap();
        let host = |text: &str| pool.has_host(text.parse().unwrap());
        assert!(host("10.77.0.1") && !host("10.77.0.0") && !host("10.77.0.255") && !host("10.77.1.1"));
        assert!(
            "0.0.0.0/0"
                .parse::<Prefix>()
                .unwrap()
                .has_host(Ipv4Addr::new(1, 2, 3, 4))
        );
    }
}
