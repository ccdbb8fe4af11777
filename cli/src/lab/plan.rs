//! From a topology to the commands that build it. Nothing is run here.
//!
//! ```text
//!   kith-LAB-nrd1 eth0 ──┐                       ┌── eth0 kith-LAB-carol
//!                    0.nrd1   kith-LAB-net    3.carol
//!                        └─── br.public ─────────┘
//!                              1.site-a
//!                                 │
//!                                wan  kith-LAB-site-a  NAT
//!                                lan (bridge)
//!                              0.alice
//!                                 │
//!                                eth0 kith-LAB-alice
//! ```
//!
//! Every link is made inside its namespaces; nothing ever exists in the host's own. The bridges' names and ports have a dot, which
//! names of nodes cannot have, so no topology can clash with them. The controller is the manager too: it has the
//! manager's name and address; the dataplanes it reaches over their Unix sockets.
//!
//! **A narrow site.** `wan_mtu` is the MTU of the router's routes, both to the public network and to its LAN, not of an interface: a
//! router that is handed a packet too big for the next route answers with ICMP fragmentation-needed, where a virtual Ethernet link
//! would drop it in silence.

use super::{command::Command, nat};
use kith_topologies::compiled::{Location, Topology};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::net::Ipv4Addr;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The public network itself.
    Network,
    /// A route director's dataplane.
    Director,
    /// The controller: the manager of all communities, who decides for the dataplanes too.
    Controller,
    /// A site's NAT router.
    Router,
    /// A member's computer.
    Member,
    /// A computer that is no member.
    Host,
}

/// A node of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its network namespace.
    pub namespace: String,
    /// Its own address, public or private.
    pub address: Option<Ipv4Addr>,
    /// The site it sits in.
    pub site: Option<String>,
    /// A device's full names.
    pub members: Vec<String>,
}

/// Some commands under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What they do.
    pub title: String,
    /// The commands, in order.
    pub commands: Vec<Command>,
}

/// All that a lab is made of, but for its daemons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// How the namespaces are built.
    pub steps: Vec<Step>,
    /// The file that names resolve with inside.
    pub hosts_file: String,
    /// What a device's resolv.conf is before its agent writes itself into it.
    pub resolv_conf: String,
}

const BRIDGE: &str = "br.public";

/// The network namespace of a node.
#[must_use]
pub fn namespace(lab: &str, node: &str) -> String {
    format!("kith-{lab}-{node}")
}

/// Plans a lab under this name.
#[must_use]
pub fn plan(lab: &str, topology: &Topology) -> Plan {
    // A node may be called `net` too; the dot, which names cannot have, tells ours from it then.
    let network = if has_node(topology, "net") { "net." } else { "net" };
    let mut builder = Builder {
        lab,
        topology,
        network,
        public: namespace(lab, network),
        ports: 0,
        plan: Plan {
            nodes: Vec::new(),
            steps: Vec::new(),
            hosts_file: hosts_file(topology),
            resolv_conf: resolv_conf(topology),
        },
    };
    builder.network();
    builder.directors();
    builder.controller();
    builder.sites();
    builder.devices();
    builder.hosts();
    builder.plan
}

fn has_node(topology: &Topology, name: &str) -> bool {
    let names = topology.directors.iter().map(|d| &d.name);
    let names = names.chain(topology.sites.iter().map(|s| &s.name));
    let names = names.chain(topology.devices.iter().map(|d| &d.name));
    let names = names.chain([&topology.manager.name]);
    let mut names = names.chain(topology.hosts.iter().map(|h| &h.name));
    names.any(|known| known.as_str() == name)
}

/// The manager, directors and public hosts by name. A private address means something inside its site only, so other hosts of sites have
/// no line; members' names are the manager's affair.
fn hosts_file(topology: &Topology) -> String {
    let mut out = String::from("127.0.0.1 localhost\n");
    let mut line = |address: Ipv4Addr, names: &str| {
        // Writing to a String does not fail.
        let _infallible = writeln!(out, "{address} {names}");
    };
    line(topology.manager.address, topology.manager.name.as_str());
    for director in &topology.directors {
        line(director.address, director.name.as_str());
    }
    for host in &topology.hosts {
        if let Location::Public { address } = host.location {
            line(address, host.name.as_str());
        }
    }
    out
}

/// Names outside every community go to the manager's computer, where nobody answers them: they end at once, and can be seen.
fn resolv_conf(topology: &Topology) -> String {
    format!(
        "nameserver {}\noptions timeout:2 attempts:1\n",
        topology.manager.address
    )
}

struct Builder<'a> {
    lab: &'a str,
    topology: &'a Topology,
    network: &'a str,
    public: String,
    ports: usize,
    plan: Plan,
}

impl Builder<'_> {
    fn network(&mut self) {
        let public = self.public.clone();
        let mut commands = born(&public);
        commands.push(ip(
            &public,
            &format!("link add {BRIDGE} type bridge mcast_snooping 0"),
        ));
        commands.push(ip(&public, &format!("link set {BRIDGE} up")));
        self.step("public network", commands);
        let node = self.node(self.network, Kind::Network);
        self.plan.nodes.push(node);
    }

    fn directors(&mut self) {
        for director in &self.topology.directors {
            let mut node = self.node(director.name.as_str(), Kind::Director);
            node.address = Some(director.address);
            let mut commands = born(&node.namespace);
            let port = self.attach_public(&mut commands, &node, "eth0");
            // The dataplane owns the address: the kernel has none here. Frames must reach it whole and with their checksums, so the
            // bridge's end of the link does what a network card would, in software, before they cross.
            commands.push(Command::inside(
                &self.public,
                &format!("ethtool -K {port} tx off sg off tso off gso off gro off tx-udp-segmentation off"),
            ));
            commands.push(ip(&node.namespace, "link set eth0 up"));
            self.step(&format!("director {}", node.name), commands);
            self.plan.nodes.push(node);
        }
    }

    /// It talks to the dataplanes over their sockets, to members over the public network.
    fn controller(&mut self) {
        let manager = &self.topology.manager;
        let node = self.node(manager.name.as_str(), Kind::Controller);
        let address = manager.address;
        self.computer(node, &Location::Public { address }, "manager");
    }

    fn sites(&mut self) {
        for site in &self.topology.sites {
            let mut node = self.node(site.name.as_str(), Kind::Router);
            node.address = Some(site.nat.address);
            let ns = node.namespace.clone();
            let mut commands = born(&ns);
            self.attach_public(&mut commands, &node, "wan");
            let (public, lan) = (self.topology.public.prefix, site.lan);
            commands.extend([
                ip(
                    &ns,
                    &format!("address add {}/{} dev wan", site.nat.address, public.len()),
                ),
                ip(&ns, "link set wan up"),
                ip(&ns, "link add lan type bridge mcast_snooping 0"),
                ip(
                    &ns,
                    &format!("address add {}/{} dev lan", site.gateway, lan.len()),
                ),
                ip(&ns, "link set lan up"),
            ]);
            if site.wan_mtu < self.topology.public.mtu {
                let (mtu, wan) = (site.wan_mtu, site.nat.address);
                for (prefix, device, source) in [(public, "wan", wan), (lan, "lan", site.gateway)] {
                    let route =
                        format!("{prefix} dev {device} proto kernel scope link src {source} mtu {mtu}");
                    commands.push(ip(&ns, &format!("route replace {route}")));
                }
            }
            commands.extend(nat::commands(&ns, &site.nat));
            self.step(&format!("site {}", node.name), commands);
            self.plan.nodes.push(node);
        }
    }

    fn devices(&mut self) {
        for device in &self.topology.devices {
            let mut node = self.node(device.name.as_str(), Kind::Member);
            node.members = device.members.iter().map(|m| m.fqdn.to_string()).collect();
            self.computer(node, &device.location, "device");
        }
    }

    fn hosts(&mut self) {
        for host in &self.topology.hosts {
            let node = self.node(host.name.as_str(), Kind::Host);
            self.computer(node, &host.location, "host");
        }
    }

    fn computer(&mut self, mut node: Node, location: &Location, what: &str) {
        let ns = node.namespace.clone();
        let mut commands = born(&ns);
        let site = location
            .site()
            .and_then(|name| self.topology.sites.iter().find(|site| site.name == *name));
        let address = location.address();
        node.address = Some(address);
        match site {
            None => {
                self.attach_public(&mut commands, &node, "eth0");
                let len = self.topology.public.prefix.len();
                commands.push(ip(&ns, &format!("address add {address}/{len} dev eth0")));
                commands.push(ip(&ns, "link set eth0 up"));
            }
            Some(site) => {
                node.site = Some(site.name.to_string());
                let router = namespace(self.lab, site.name.as_str());
                self.attach(&mut commands, &node, "eth0", &router, "lan");
                commands.push(ip(
                    &ns,
                    &format!("address add {address}/{} dev eth0", site.lan.len()),
                ));
                commands.push(ip(&ns, "link set eth0 up"));
                commands.push(ip(&ns, &format!("route add default via {}", site.gateway)));
            }
        }
        self.step(&format!("{what} {}", node.name), commands);
        self.plan.nodes.push(node);
    }

    fn attach_public(&mut self, commands: &mut Vec<Command>, node: &Node, interface: &str) -> String {
        let public = self.public.clone();
        self.attach(commands, node, interface, &public, BRIDGE)
    }

    /// A link from `interface` of `node` to a new port of a bridge; gives the port's name.
    fn attach(
        &mut self,
        commands: &mut Vec<Command>,
        node: &Node,
        interface: &str,
        to: &str,
        bridge: &str,
    ) -> String {
        let mut port = format!("{}.{}", self.ports, node.name);
        // IFNAMSIZ less its final zero. The number keeps what is cut unique.
        port.truncate(15);
        self.ports += 1;
        let (mtu, ns) = (self.topology.public.mtu, &node.namespace);
        commands.push(ip(
            to,
            &format!("link add name {port} mtu {mtu} type veth peer name {interface} mtu {mtu} netns {ns}"),
        ));
        commands.push(ip(to, &format!("link set {port} master {bridge} up")));
        port
    }

    fn node(&self, name: &str, kind: Kind) -> Node {
        Node {
            name: name.to_owned(),
            kind,
            namespace: namespace(self.lab, name),
            address: None,
            site: None,
            members: Vec::new(),
        }
    }

    fn step(&mut self, title: &str, commands: Vec<Command>) {
        self.plan.steps.push(Step {
            title: title.to_owned(),
            commands,
        });
    }
}

/// A new namespace. IPv6 would send neighbour discovery on its own, which nobody here asked for.
fn born(namespace: &str) -> Vec<Command> {
    vec![
        Command::line(&format!("ip netns add {namespace}")),
        Command::inside(
            namespace,
            "sysctl -eqw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
        ),
        ip(namespace, "link set lo up"),
    ]
}

fn ip(namespace: &str, line: &str) -> Command {
    Command::line(&format!("ip -n {namespace} {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn quickstart() -> Plan {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        plan("quickstart", &kith_topologies::load(&file).unwrap().topology)
    }

    #[test]
    fn the_quickstart_is_built_like_this() {
        let text: String = quickstart()
            .steps
            .iter()
            .map(|step| {
                let commands: String = step.commands.iter().map(|c| format!("  {c}\n")).collect();
                format!("{}\n{commands}", step.title)
            })
            .collect();
        let expected = include_str!("../../snapshots/quickstart-plan.txt");
        assert_eq!(
            text, expected,
            "if this is meant, write the new text to snapshots/quickstart-plan.txt"
        );
    }

    #[test]
    fn every_command_works_inside_a_namespace_of_the_lab() {
        for command in quickstart().steps.iter().flat_map(|step| &step.commands) {
            let line = command.to_string();
            assert!(
                [
                    "ip -n kith-quickstart-",
                    "ip netns exec kith-quickstart-",
                    "ip netns add kith-quickstart-"
                ]
                .iter()
                .any(|start| line.starts_with(start)),
                "{line}"
            );
        }
    }

    #[test]
    fn a_node_may_be_called_net() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies/quickstart.yaml");
        let text = std::fs::read_to_string(file).unwrap().replace("mallory", "net");
        let plan = plan("a", &kith_topologies::parse("net.yaml", &text).unwrap().topology);
        let mut names: Vec<_> = plan.nodes.iter().map(|node| node.namespace.as_str()).collect();
        assert!(names.contains(&"kith-a-net") && names.contains(&"kith-a-net."));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), plan.nodes.len());
    }

    #[test]
    fn the_manager_sits_in_the_public_network() {
        let plan = quickstart();
        let managers: Vec<_> = plan
            .nodes
            .iter()
            .filter(|node| node.kind == Kind::Controller)
            .collect();
        let [manager] = managers.as_slice() else { panic!() };
        assert_eq!(
            (manager.name.as_str(), manager.site.as_deref()),
            ("manager", None)
        );
        assert_eq!(manager.address, Some(Ipv4Addr::new(203, 0, 113, 1)));
    }

    #[test]
    fn names_of_members_are_the_managers_affair() {
        assert_eq!(
            quickstart().hosts_file,
            "127.0.0.1 localhost\n203.0.113.1 manager\n203.0.113.2 nrd1\n203.0.113.6 mallory\n"
        );
    }
}
