//! The compiled topology: what programs run. Everything is resolved, every node has an address, nothing is optional by accident.
//!
//! Only [`crate::parse`] and its kin make one, so whoever holds a [`Topology`] need not check it again:
//! names are unique, references exist, addresses lie in their networks, a device's communities do not overlap.

use crate::{Fqdn, Name, Prefix, managed::Managed};
use serde::Serialize;
use std::{net::Ipv4Addr, time::Duration};

/// A whole network.
#[derive(Debug, Clone, Serialize)]
pub struct Topology {
    /// The network's own name; a lab puts it before the names of its namespaces.
    pub name: Name,
    /// The UDP port that everybody speaks.
    pub udp_port: u16,
    /// The network that all sites hang on.
    pub public: Network,
    /// The manager.
    pub manager: Manager,
    /// Route directors, in the order of the file.
    pub directors: Vec<Director>,
    /// Private networks behind NATs, in the order of the file.
    pub sites: Vec<Site>,
    /// Communities, in the order of the file.
    pub communities: Vec<Community>,
    /// Devices, in the order of the file.
    pub devices: Vec<Device>,
    /// Computers that are no members.
    pub hosts: Vec<Host>,
    /// What the manager is to know of it: the same communities, devices and directors in the manager's words.
    #[serde(skip)]
    pub managed: Managed,
}

impl Topology {
    /// Every membership with its device, in the order of the file.
    pub fn members(&self) -> impl Iterator<Item = (&Device, &Membership)> {
        let of = |device| move |membership| (device, membership);
        self.devices
            .iter()
            .flat_map(move |device: &Device| device.members.iter().map(of(device)))
    }

    /// The community of this domain.
    pub fn community(&self, domain: &Fqdn) -> Option<&Community> {
        self.communities
            .iter()
            .find(|community| community.domain == *domain)
    }
}

/// The manager's computer.
#[derive(Debug, Clone, Serialize)]
pub struct Manager {
    /// Its name, unique among all nodes.
    pub name: Name,
    /// Its public address.
    pub address: Ipv4Addr,
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
    /// Private route director: serves the members of a site. Not in labs.
    Private,
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

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Community {
    /// Its domain.
    pub domain: Fqdn,
    /// Where virtual addresses come from, in this order.
    pub pools: Vec<Prefix>,
    /// What it is for; may be empty.
    pub description: String,
    /// Members may only do what a policy allows.
    pub deny_by_default: bool,
    /// How long tickets are good, in seconds; as the manager has it without.
    pub ticket_lifetime_s: Option<u32>,
    /// Directors where its members may have their sessions; none for all.
    pub directors: Vec<String>,
    /// Its policies, in the order of the file.
    pub policies: Vec<Policy>,
}

/// What may pass between whom. The words are the manager's: selectors and services in their one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Its name in the community.
    pub id: String,
    /// What becomes of what it is about.
    pub action: Action,
    /// Who begins the conversation.
    pub from: String,
    /// Who is asked.
    pub to: String,
    /// Services; none for all.
    pub services: Vec<String>,
    /// When it is asked; as `from` and `to` say without.
    pub level: Option<Level>,
    /// Of one level, higher ones are asked first.
    pub priority: i32,
    /// Why it is there; may be empty.
    pub comment: String,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

/// When a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Last.
    Domain,
    /// Before those of the domain.
    User,
    /// First.
    Machine,
}

/// A computer that is a member of one or several communities.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// Its name, unique among all nodes.
    pub name: Name,
    /// Where it sits.
    pub location: Location,
    /// Its memberships, at least one, no two in one community.
    pub members: Vec<Membership>,
    /// Where invitations and confirmation codes are mailed.
    pub email: String,
    /// To whom it belongs; may be empty: then to the mail address.
    pub user: String,
    /// Words that policies select it by.
    pub tags: Vec<String>,
}

/// That a device is a member of a community.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// Its name in the community.
    pub fqdn: Fqdn,
    /// The community's domain.
    pub community: Fqdn,
}

fn seconds<S: serde::Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(value.as_secs_f64())
}
