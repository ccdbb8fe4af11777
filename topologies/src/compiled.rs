//! The compiled topology: what programs run. Everything is resolved, every key derived, nothing is optional by accident.
//!
//! Only [`crate::parse`] and its kin make one, so whoever holds a [`Topology`] need not check it again:
//! names are unique, references exist, addresses lie in their networks, key ids differ.

use crate::{Fqdn, Name, Prefix, Secret};
use serde::Serialize;
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

/// A whole network.
#[derive(Debug, Clone, Serialize)]
pub struct Topology {
    /// The network's own name; a lab puts it before the names of its namespaces.
    pub name: Name,
    /// The UDP port that everybody speaks.
    pub udp_port: u16,
    /// The network that all sites hang on.
    pub public: Network,
    /// Route directors, in the order of the file.
    pub directors: Vec<Director>,
    /// Private networks behind NATs, in the order of the file.
    pub sites: Vec<Site>,
    /// Members, in the order of the file.
    pub members: Vec<Member>,
    /// Computers that are no members.
    pub hosts: Vec<Host>,
}

/// The public network.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Network {
    /// Its addresses.
    pub prefix: Prefix,
    /// Largest IPv4 packet on it, in octets.
    pub mtu: u16,
}

/// What a director does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Network route director: sits in the public network.
    Network,
}

/// A route director.
#[derive(Debug, Clone, Serialize)]
pub struct Director {
    /// Its name, unique among all nodes.
    pub name: Name,
    /// What it does.
    pub role: Role,
    /// Its public address.
    pub address: Ipv4Addr,
    /// Where pseudo addresses come from.
    pub pseudo_pool: Prefix,
    /// How many cores forward.
    pub workers: u16,
    /// How long a session lives without a keep-alive.
    #[serde(serialize_with = "seconds")]
    pub session_lifetime: Duration,
    /// How often members are told to send a keep-alive.
    #[serde(serialize_with = "seconds")]
    pub keep_alive: Duration,
    /// What it refuses beyond.
    pub limits: Limits,
    /// Who may have a session; sorted by key id.
    pub grants: Vec<Grant>,
}

/// A director's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Most sessions at once.
    pub sessions: u32,
    /// Control messages per second, over all senders; `None` for the director's own default.
    pub requests_per_second: Option<u32>,
    /// Relayed packets per second of each session; `None` for no limit.
    pub packets_per_second: Option<u32>,
}

/// The right of one member to have a session at a director.
#[derive(Debug, Clone, Serialize)]
pub struct Grant {
    /// Names the key in control messages.
    pub key_id: KeyId,
    /// Authenticates control messages.
    pub key: Secret,
    /// The community: sessions of different communities never reach each other.
    pub community: Fqdn,
    /// The pseudo address kept for this member.
    pub pseudo: Ipv4Addr,
    /// Who it is.
    pub member: Fqdn,
}

/// A private network behind a NAT router.
#[derive(Debug, Clone, Serialize)]
pub struct Site {
    /// Its name, unique among all nodes; the NAT router's too.
    pub name: Name,
    /// The private network.
    pub lan: Prefix,
    /// The NAT router's address inside.
    pub gateway: Ipv4Addr,
    /// The NAT.
    pub nat: Nat,
    /// Largest IPv4 packet between the NAT and the public network; the public network's where the file says nothing.
    pub wan_mtu: u16,
}

/// How a NAT behaves.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Nat {
    /// Its public address.
    pub address: Ipv4Addr,
    /// How long it remembers an idle UDP flow.
    #[serde(serialize_with = "seconds")]
    pub udp_timeout: Duration,
    /// What it does to source ports.
    pub ports: Ports,
}

/// What a NAT does to source ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ports {
    /// Every flow gets a random one.
    Random,
    /// They stay if they are free.
    Preserve,
}

/// Where a node sits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// In the public network.
    Public {
        /// Its public address.
        address: Ipv4Addr,
    },
    /// Behind the NAT of a site.
    Site {
        /// The site's name.
        site: Name,
        /// Its private address, meaningful only inside that site.
        address: Ipv4Addr,
    },
}

impl Location {
    /// The node's own address, public or private.
    pub fn address(&self) -> Ipv4Addr {
        match self {
            Self::Public { address } | Self::Site { address, .. } => *address,
        }
    }

    /// The site it sits in, if any.
    pub fn site(&self) -> Option<&Name> {
        match self {
            Self::Public { .. } => None,
            Self::Site { site, .. } => Some(site),
        }
    }
}

/// A computer that is no member.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    /// Its name, unique among all nodes.
    pub name: Name,
    /// Where it sits.
    pub location: Location,
}

/// A member of a community.
#[derive(Debug, Clone, Serialize)]
pub struct Member {
    /// Its name in the community.
    pub fqdn: Fqdn,
    /// The name of its computer (by default the first label of `fqdn`), unique among all nodes.
    pub node: Name,
    /// The community's domain.
    pub community: Fqdn,
    /// Its address in the community.
    pub virtual_ip: Ipv4Addr,
    /// All addresses of the community.
    pub pool: Prefix,
    /// Where it sits.
    pub location: Location,
    /// Its director's name.
    pub director: Name,
    /// Where its director listens.
    pub director_address: SocketAddrV4,
    /// Names `director_key`.
    pub key_id: KeyId,
    /// What it authenticates itself with at its director.
    pub director_key: Secret,
    /// The pseudo address that its director keeps for it.
    pub pseudo: Ipv4Addr,
    /// All other members of its community, in the order of the file.
    pub peers: Vec<Peer>,
}

/// Another member, as one member sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Peer {
    /// Its name.
    pub fqdn: Fqdn,
    /// Its address in the community.
    pub virtual_ip: Ipv4Addr,
    /// How it is reached.
    pub via: Via,
    /// The pair's pre-shared key: authenticates their key exchange and never encrypts traffic itself.
    pub psk: Secret,
}

/// How a member is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// It has a public address.
    Direct {
        /// Where it listens.
        address: SocketAddrV4,
        /// Its pseudo address: names it in the shim.
        pseudo: Ipv4Addr,
    },
    /// It sits behind a NAT, with a session at its director.
    Director {
        /// The director's name.
        director: Name,
        /// Where the director listens.
        address: SocketAddrV4,
        /// The peer's pseudo address there.
        pseudo: Ipv4Addr,
    },
}

/// Names a member's director key: the first eight octets of the SHA-256 of the member's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

// As text: readers of JSON that hold numbers as doubles would round it.
impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

fn seconds<S: serde::Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(value.as_secs_f64())
}
