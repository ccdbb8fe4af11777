//! The topology once nothing is wrong with it: plain values, defaults filled in, references turned into indexes.
//!
//! Only [`crate::check`] makes one.

use crate::{
    Fqdn, Name,
    compiled::{Community, Director, Host, Location, Manager, Network, Site},
};

pub(crate) struct Topology {
    pub(crate) name: Name,
    pub(crate) udp_port: u16,
    pub(crate) public: Network,
    pub(crate) manager: Manager,
    pub(crate) directors: Vec<Director>,
    pub(crate) sites: Vec<Site>,
    pub(crate) communities: Vec<Community>,
    pub(crate) devices: Vec<Device>,
    pub(crate) hosts: Vec<Host>,
}

pub(crate) struct Device {
    pub(crate) name: Name,
    pub(crate) location: Location,
    /// Name and community.
    pub(crate) members: Vec<(Fqdn, usize)>,
    pub(crate) email: String,
    pub(crate) user: String,
    pub(crate) tags: Vec<String>,
}
