//! What the operator writes for a gateway, and what it becomes; every contradiction is told, at once.
//!
//! ```yaml
//! dataplane: unix:/run/kith/dataplane.sock        # P4Runtime; or HOST:PORT with tls: { ca, certificate, key }
//! community: 1                                    # its number in the dataplane's tables
//! wan: 0                                          # the port towards directors and public members
//! lan: 1                                          # the port that devices are at
//! status_socket: /run/kith/gateway.sock           # for `kith tunnel --socket`
//! members:                                        # remote ones, and how devices see them
//! - { name: alice.acme.example, address: 10.77.0.1, stand_in: 192.168.1.201, via: { director: "203.0.113.10:20202", pseudo: 240.0.0.1 } }
//! devices:
//! - name: printer.acme.example
//!   address: 10.77.0.20                           # virtual
//!   local: 192.168.1.20                           # on the LAN
//!   director: { address: "203.0.113.10:20202", key_id: 7, key: <64 hex digits> }     # or public: "203.0.113.30:20202"
//!   peers: [ { member: alice.acme.example, psk: <64 hex digits> } ]
//! policies:                                       # the first that matches decides, and none denies; without this list pairs speak freely
//! - { allow: true, protocol: 6, port: 631 }
//! ```

use crate::config::{Cipher, Director, Invalid, Mistake, Secret, Via};
use kith_esp::{Limits, Millis};
use kith_p4runtime::client::Address;
use kith_p4runtime::service::TlsFiles;
use kith_pipeline::units::{CommunityIndex, PortIndex};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// RFC 791: every host takes packets of 576 octets.
const MIN_PATH_MTU: u16 = 576;

const RANDOM: &str = "take a random secret: openssl rand -hex 32";

/// Entries of the dataplane's policy table.
const MAX_RULES: usize = 4096;

/// A gateway that can run.
pub struct GatewayConfig {
    /// The dataplane.
    pub dataplane: Address,
    /// Its number there.
    pub device_id: u64,
    /// The community, in the dataplane's tables.
    pub community: CommunityIndex,
    /// Where directors and public members are.
    pub wan: PortIndex,
    /// Where the devices are.
    pub lan: PortIndex,
    /// The encapsulation's UDP port.
    pub udp_port: u16,
    /// The largest outer packet.
    pub path_mtu: u16,
    /// What ESP keys are for.
    pub cipher: Cipher,
    /// How long they live.
    pub limits: Limits,
    /// Associations of each direction that the dataplane has room for.
    pub associations: u32,
    /// Where the status is asked for.
    pub status_socket: Option<PathBuf>,
    /// The remote members.
    pub members: Vec<Member>,
    /// The devices.
    pub devices: Vec<Device>,
    /// Rules; none: pairs speak freely.
    pub policies: Option<Vec<Policy>>,
}

/// A remote member.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its full name.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// The address that stands in for it on the LAN.
    pub stand_in: Ipv4Addr,
    /// Where its packets go, until it says otherwise.
    pub via: Via,
}

/// A device behind this gateway.
pub struct Device {
    /// Its full name as a member.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Its address on the LAN.
    pub local: Ipv4Addr,
    /// Where it is reached, if not through a director.
    pub public: Option<SocketAddrV4>,
    /// Its session at a director.
    pub director: Option<Director>,
    /// With whom it speaks: which of the members, and the secret shared with it.
    pub peers: Vec<(usize, Secret)>,
}

/// A rule about all pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// May it pass?
    pub allow: bool,
    /// The IP protocol; any if not given.
    #[serde(default)]
    pub protocol: Option<u8>,
    /// The TCP or UDP port of whoever is called; any if not given.
    #[serde(default)]
    pub port: Option<u16>,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is not what a configuration looks like.
    #[error("{0}: {1}")]
    Syntax(PathBuf, String),
    /// It contradicts itself.
    #[error("{0}: {1}")]
    Invalid(PathBuf, Invalid),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    dataplane: String,
    #[serde(default = "one")]
    device_id: u64,
    #[serde(default)]
    tls: Option<WrittenTls>,
    community: u16,
    #[serde(default)]
    wan: u8,
    lan: u8,
    #[serde(default = "udp_port")]
    udp_port: u16,
    #[serde(default = "path_mtu")]
    path_mtu: u16,
    #[serde(default)]
    cipher: Cipher,
    #[serde(default)]
    rekey: Rekey,
    #[serde(default = "associations")]
    associations: u32,
    #[serde(default)]
    status_socket: Option<PathBuf>,
    members: Vec<Member>,
    devices: Vec<WrittenDevice>,
    #[serde(default)]
    policies: Option<Vec<Policy>>,
}

/// When keys are replaced, if earlier than they need to be.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rekey {
    #[serde(default)]
    seconds: Option<u64>,
    #[serde(default)]
    packets: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTls {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDevice {
    name: String,
    address: Ipv4Addr,
    local: Ipv4Addr,
    #[serde(default)]
    public: Option<SocketAddrV4>,
    #[serde(default)]
    director: Option<Director>,
    peers: Vec<WrittenPeer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPeer {
    member: String,
    psk: Secret,
}

fn one() -> u64 {
    1
}

fn udp_port() -> u16 {
    20202
}

fn path_mtu() -> u16 {
    1500
}

fn associations() -> u32 {
    4096
}

impl GatewayConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|error| LoadError::Read(path.into(), error))?;
        let text = Zeroizing::new(text);
        // Without a snippet of the text around the place: that may hold a secret.
        let written: Written = serde_saphyr::from_str(&text)
            .map_err(|error| LoadError::Syntax(path.into(), error.without_snippet().to_string()))?;
        written
            .validate()
            .map_err(|invalid| LoadError::Invalid(path.into(), invalid))
    }
}

impl Written {
    pub(super) fn validate(self) -> Result<GatewayConfig, Invalid> {
        let mut mistakes = Mistakes::default();
        let files = self.tls.map(|tls| TlsFiles {
            authority: tls.ca,
            certificate: tls.certificate,
            key: tls.key,
        });
        let dataplane = Address::parse(&self.dataplane, files);
        let dataplane = mistakes.take("dataplane", dataplane.map_err(|error| error.to_string()));
        let community = CommunityIndex::new(self.community).ok_or("a number from 1 to 65535".to_owned());
        let community = mistakes.take("community", community);
        if self.path_mtu < MIN_PATH_MTU {
            mistakes.say("path_mtu", format!("at least {MIN_PATH_MTU}"));
        }
        if self.udp_port == 0 {
            mistakes.say("udp_port", "a port from 1 to 65535".into());
        }
        if self.devices.is_empty() {
            mistakes.say("devices", "name at least one".into());
        }
        if self.lan == self.wan {
            mistakes.say("lan", "another port than wan".into());
        }
        let limits = mistakes.take("rekey", self.rekey.limits());
        let pairs: usize = self.devices.iter().map(|device| device.peers.len()).sum();
        // Each pair has one at least, and another one while that is replaced.
        if pairs.saturating_mul(2) > self.associations as usize {
            let what = format!(
                "{pairs} pairs need {}: raise it here and at the dataplane",
                pairs * 2
            );
            mistakes.say("associations", what);
        }
        let rules = self.policies.as_ref().map_or(1, Vec::len);
        if pairs.saturating_mul(rules).saturating_mul(4) > MAX_RULES {
            let what = format!(
                "{rules} rules for {pairs} pairs are more than the dataplane's {MAX_RULES} entries hold"
            );
            mistakes.say("policies", what);
        }
        let mut unique = Unique::default();
        let mut known = HashMap::new();
        for (index, member) in self.members.iter().enumerate() {
            let place = format!("members[{index}]");
            unique.name(&mut mistakes, &place, &member.name);
            unique.address(&mut mistakes, &format!("{place}.address"), member.address);
            unique.local(&mut mistakes, &format!("{place}.stand_in"), member.stand_in);
            known.insert(member.name.clone(), index);
        }
        let mut devices = Vec::with_capacity(self.devices.len());
        for (index, written) in self.devices.into_iter().enumerate() {
            let place = format!("devices[{index}]");
            unique.name(&mut mistakes, &place, &written.name);
            unique.address(&mut mistakes, &format!("{place}.address"), written.address);
            unique.local(&mut mistakes, &format!("{place}.local"), written.local);
            if written.public.is_some() == written.director.is_some() {
                let what = "it is reached by one of them: give either director or public";
                mistakes.say(&place, what.into());
            }
            if written
                .director
                .as_ref()
                .is_some_and(|director| director.key.is_trivial())
            {
                mistakes.say(&format!("{place}.director.key"), RANDOM.into());
            }
            let mut peers = Vec::with_capacity(written.peers.len());
            for (at, peer) in written.peers.into_iter().enumerate() {
                let place = format!("{place}.peers[{at}].member");
                match known.get(&peer.member) {
                    None => mistakes.say(&place, format!("{} is not among members", peer.member)),
                    Some(member) if peers.iter().any(|(other, _)| other == member) => {
                        mistakes.say(&place, format!("{} is there twice", peer.member));
                    }
                    Some(_) if peer.psk.is_trivial() => {
                        let place = place.replace(".member", ".psk");
                        mistakes.say(&place, RANDOM.into());
                    }
                    Some(member) => peers.push((*member, peer.psk)),
                }
            }
            devices.push(Device {
                name: written.name,
                address: written.address,
                local: written.local,
                public: written.public,
                director: written.director,
                peers,
            });
        }
        match (dataplane, community, limits) {
            (Some(dataplane), Some(community), Some(limits)) if mistakes.0.is_empty() => Ok(GatewayConfig {
                dataplane,
                device_id: self.device_id,
                community,
                wan: PortIndex(self.wan),
                lan: PortIndex(self.lan),
                limits,
                udp_port: self.udp_port,
                path_mtu: self.path_mtu,
                cipher: self.cipher,
                associations: self.associations,
                status_socket: self.status_socket,
                members: self.members,
                devices,
                policies: self.policies,
            }),
            _ => Err(Invalid(mistakes.0)),
        }
    }
}

impl Rekey {
    fn limits(&self) -> Result<Limits, String> {
        let latest = Limits::default();
        let mut soft = latest.soft();
        if let Some(seconds) = self.seconds {
            soft.age = Millis(seconds.saturating_mul(1000));
        }
        soft.packets = self.packets.unwrap_or(soft.packets);
        if soft.age.0 == 0 || soft.packets == 0 {
            return Err("at least 1".into());
        }
        Limits::new(soft, latest.hard()).map_err(|error| error.to_string())
    }
}

#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn say(&mut self, field: &str, message: String) {
        self.0.push(Mistake {
            field: field.into(),
            message,
        });
    }

    fn take<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.say(field, what)).ok()
    }
}

/// Names and addresses that nobody else may have.
#[derive(Default)]
struct Unique {
    names: HashSet<String>,
    addresses: HashSet<Ipv4Addr>,
    locals: HashSet<Ipv4Addr>,
}

impl Unique {
    fn name(&mut self, mistakes: &mut Mistakes, place: &str, name: &str) {
        if name.is_empty() || name.len() > 253 {
            mistakes.say(
                &format!("{place}.name"),
                "a full name of 1 to 253 characters".into(),
            );
        } else if !self.names.insert(name.to_owned()) {
            mistakes.say(&format!("{place}.name"), format!("{name} is there twice"));
        }
    }

    fn address(&mut self, mistakes: &mut Mistakes, place: &str, address: Ipv4Addr) {
        one_host(mistakes, place, address, &mut self.addresses);
    }

    fn local(&mut self, mistakes: &mut Mistakes, place: &str, address: Ipv4Addr) {
        one_host(mistakes, place, address, &mut self.locals);
    }
}

fn one_host(mistakes: &mut Mistakes, place: &str, address: Ipv4Addr, taken: &mut HashSet<Ipv4Addr>) {
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || address.is_broadcast() {
        mistakes.say(place, format!("{address} is no host's address"));
    } else if !taken.insert(address) {
        mistakes.say(place, format!("{address} is taken already"));
    }
}
