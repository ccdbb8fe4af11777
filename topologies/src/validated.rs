//! The topology once nothing is wrong with it: plain values, defaults filled in, references turned into indexes.
//!
//! Only [`crate::check`] makes one.

use crate::{
    Fqdn, Name, Prefix, Secret,
    compiled::{Host, Limits, Location, Network, Role, Site},
};
use std::{net::Ipv4Addr, time::Duration};

pub(crate) struct Topology {
    pub(crate) name: Name,
    pub(crate) udp_port: u16,
    pub(crate) public: Network,
    pub(crate) directors: Vec<Director>,
    pub(crate) sites: Vec<Site>,
    pub(crate) communities: Vec<Community>,
    pub(crate) members: Vec<Member>,
    pub(crate) hosts: Vec<Host>,
}

pub(crate) struct Director {
    pub(crate) name: Name,
    pub(crate) role: Role,
    pub(crate) address: Ipv4Addr,
    pub(crate) pseudo_pool: Prefix,
    pub(crate) workers: u16,
    pub(crate) session_lifetime: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) limits: Limits,
}

pub(crate) struct Community {
    pub(crate) domain: Fqdn,
    pub(crate) pool: Prefix,
    pub(crate) secret: Secret,
    /// Members by index, the smaller first.
    pub(crate) pairs: Vec<((usize, usize), Secret)>,
}

pub(crate) struct Member {
    pub(crate) fqdn: Fqdn,
    pub(crate) node: Name,
    pub(crate) community: usize,
    pub(crate) virtual_ip: Ipv4Addr,
    pub(crate) location: Location,
    pub(crate) director: usize,
    pub(crate) director_key: Secret,
    /// Reserved in the file.
    pub(crate) pseudo: Option<Ipv4Addr>,
}
