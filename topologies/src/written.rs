//! The topology as it is written. The comments here are the descriptions in `schema.json`: editors show them.
//!
//! `public`, `manager`, `sites`, `hosts`, and where devices sit, are the wiring: a lab needs it, a manager does not know it. A file has all of
//! it or none; `dependentRequired` says so to editors, and `check::wiring` to everybody.

use crate::{
    Fqdn, Name, Prefix,
    compiled::{Action, Level, Ports, Role},
    policy::{Selector, Service},
    read::{Field, written},
    scalars::{DirectorName, Flag, Line, Mail, Number, Period, PolicyId, Priority, Tag, Transport, Word},
};
use std::{net::Ipv4Addr, ops::Range};

written! {
    /// A Kith network: what is in it, where it sits, who belongs together.
    #[schemars(extend("dependentRequired" = {
        "public": ["name", "manager"], "manager": ["public"], "sites": ["public"], "hosts": ["public"]
    }))]
    pub(crate) struct Topology {
        /// The version of this format: 2.
        pub(crate) version: Field<Number<2, 2>>,
        /// The network's own name; a lab puts it before the names of its namespaces. A file without wiring needs none.
        pub(crate) name: Option<Field<Name>>,
        /// The UDP port that everybody speaks; 20202 if not given.
        pub(crate) udp_port: Option<Field<Number<1, 65535>>>,
        /// The network that all sites hang on. A lab needs it; without it, and without manager, sites and hosts, the file is what a manager is to
        /// know, for `kith topology plan` and `apply`.
        pub(crate) public: Option<Field<Public>>,
        /// The manager: who belongs to which community, where they are, and what they may do.
        pub(crate) manager: Option<Field<Manager>>,
        /// Route directors.
        #[schemars(default)]
        pub(crate) directors: Vec<Field<Director>>,
        /// Private networks behind NATs. They may use the same addresses.
        #[schemars(default)]
        pub(crate) sites: Vec<Field<Site>>,
        /// Virtual networks: a domain, pools of virtual addresses, policies.
        #[schemars(default)]
        pub(crate) communities: Vec<Field<Community>>,
        /// Computers that are members of communities.
        #[schemars(default)]
        pub(crate) devices: Vec<Field<Device>>,
        /// Computers that are no members.
        #[schemars(default)]
        pub(crate) hosts: Vec<Field<Host>>,
    }

    /// The public network.
    pub(crate) struct Public {
        /// Its addresses.
        pub(crate) prefix: Field<Prefix>,
        /// Largest IPv4 packet on it, in octets; 1500 if not given.
        pub(crate) mtu: Option<Field<Number<0, 65535>>>,
    }

    /// The manager's computer, in the public network.
    pub(crate) struct Manager {
        /// Its name.
        pub(crate) name: Field<Name>,
        /// Its address in the public network; the next free one if not given.
        pub(crate) address: Option<Field<Ipv4Addr>>,
    }

    /// A route director: relays packets into private networks.
    pub(crate) struct Director {
        /// Its name.
        pub(crate) name: Field<DirectorName>,
        /// What it does.
        pub(crate) role: Field<Role>,
        /// Its address in the public network, where members reach it from outside; in a lab the next free one if not given.
        pub(crate) address: Option<Field<Ipv4Addr>>,
        /// A private director's address inside its network.
        pub(crate) private_address: Option<Field<Ipv4Addr>>,
        /// Its port; the file's `udp_port` if not given.
        pub(crate) port: Option<Field<Number<1, 65535>>>,
        /// What it takes sessions over; [udp] if not given.
        #[schemars(default)]
        pub(crate) transports: Vec<Field<Transport>>,
        /// Sites whose members it serves.
        #[schemars(default)]
        pub(crate) sites: Vec<Field<Tag>>,
        /// Public addresses of NATs whose members it serves.
        #[schemars(default)]
        pub(crate) nat_addresses: Vec<Field<Ipv4Addr>>,
        /// How many sessions the manager has it take; its limit of sessions if not given.
        pub(crate) capacity: Option<Field<Number<0, 4_294_967_295>>>,
        /// Whether it gets no new sessions.
        pub(crate) draining: Option<Field<Flag>>,
        /// Where it takes pseudo addresses from; 240.0.0.0/12 if not given.
        pub(crate) pseudo_pool: Option<Field<Prefix>>,
        /// How many cores forward; 1 if not given.
        pub(crate) workers: Option<Field<Number<1, 64>>>,
        /// How long a session lives without a keep-alive; 120s if not given.
        pub(crate) session_lifetime: Option<Field<Period>>,
        /// How often members are told to send a keep-alive; 20s if not given. Less than half of every NAT's UDP timeout.
        pub(crate) keep_alive: Option<Field<Period>>,
        /// What it refuses beyond.
        pub(crate) limits: Option<Field<Limits>>,
    }

    /// A director's limits.
    pub(crate) struct Limits {
        /// Most sessions at once; 65536, or as many as the pool has addresses, if not given.
        pub(crate) sessions: Option<Field<Number<1, 1_048_576>>>,
        /// Control messages per second over all senders.
        pub(crate) requests_per_second: Option<Field<Number<1, 1_000_000>>>,
        /// Relayed packets per second of each session; no limit if not given.
        pub(crate) packets_per_second: Option<Field<Number<1, 100_000_000>>>,
    }

    /// A private network behind a NAT router.
    pub(crate) struct Site {
        /// Its name.
        pub(crate) name: Field<Name>,
        /// Its addresses; other sites may use the same.
        pub(crate) lan: Field<Prefix>,
        /// The NAT router's address inside; the next free one, which is the first, if not given.
        pub(crate) gateway: Option<Field<Ipv4Addr>>,
        /// How the NAT behaves.
        pub(crate) nat: Field<Nat>,
        /// Largest IPv4 packet between the NAT and the public network; the public network's MTU if not given.
        pub(crate) wan_mtu: Option<Field<Number<0, 65535>>>,
    }

    /// A NAT.
    pub(crate) struct Nat {
        /// Its address in the public network; the next free one if not given.
        pub(crate) address: Option<Field<Ipv4Addr>>,
        /// How long it remembers an idle UDP flow.
        pub(crate) udp_timeout: Field<Period>,
        /// What it does to source ports.
        pub(crate) ports: Field<Ports>,
    }

    /// A community: a virtual network. Its members' virtual addresses and keys are the manager's affair.
    pub(crate) struct Community {
        /// Its domain; members' names end in it.
        pub(crate) domain: Field<Fqdn>,
        /// Where virtual addresses come from, in this order.
        #[schemars(length(min = 1))]
        pub(crate) pools: Vec<Field<Prefix>>,
        /// What it is for.
        pub(crate) description: Option<Field<Line>>,
        /// Whether members may only do what a policy allows; without it they may do all that none denies.
        pub(crate) deny_by_default: Option<Field<Flag>>,
        /// How long tickets are good, from 1m to 24h; as the manager has it if not given.
        pub(crate) ticket_lifetime: Option<Field<Period>>,
        /// Directors where its members may have their sessions; all that the manager has if not given.
        #[schemars(default)]
        pub(crate) directors: Vec<Field<Word>>,
        /// What its members may do.
        #[schemars(default)]
        pub(crate) policies: Vec<Field<Policy>>,
    }

    /// A policy: what may pass between whom.
    pub(crate) struct Policy {
        /// Its name in the community.
        pub(crate) id: Field<PolicyId>,
        /// What becomes of what it is about.
        pub(crate) action: Field<Action>,
        /// Who begins the conversation: `any`, `user:NAME`, `machine:FULL.NAME` or `tag:WORD`; `any` if not given.
        pub(crate) from: Option<Field<Selector>>,
        /// Who is asked, in the same words; `any` if not given.
        pub(crate) to: Option<Field<Selector>>,
        /// Services, as `tcp/22`, `udp/53`, `tcp`, `udp`, `icmp`; all if not given.
        #[schemars(default)]
        pub(crate) services: Vec<Field<Service>>,
        /// When it is asked: machine before user before domain; as `from` and `to` say if not given.
        pub(crate) level: Option<Field<Level>>,
        /// Of one level, higher ones are asked first; 0 if not given.
        pub(crate) priority: Option<Field<Priority>>,
        /// Why it is there.
        pub(crate) comment: Option<Field<Line>>,
    }

    /// A computer that is a member of one or several communities. It sits in a site, or in the public network if none is given.
    #[schemars(extend("anyOf" = [
        { "required": ["email"] }, { "required": ["user"], "properties": { "user": { "pattern": "@" } } }
    ]))]
    pub(crate) struct Device {
        /// Its name; what stands before the first dot of its first full name if not given.
        pub(crate) name: Option<Field<Name>>,
        /// The site it sits in; the public network if not given.
        pub(crate) site: Option<Field<Word>>,
        /// Its own address there; the next free one if not given.
        pub(crate) address: Option<Field<Ipv4Addr>>,
        /// Its full names, each in another community's domain.
        #[schemars(length(min = 1))]
        pub(crate) members: Vec<Field<Membership>>,
        /// Where invitations and confirmation codes are mailed; `user` if that is a mail address and nothing is given here.
        pub(crate) email: Option<Field<Mail>>,
        /// To whom it belongs, for policies; the mail address if not given.
        pub(crate) user: Option<Field<Line>>,
        /// What kind of computer it is, until it enrols and says so itself.
        pub(crate) platform: Option<Field<Line>>,
        /// Words that policies select it by.
        #[schemars(default)]
        pub(crate) tags: Vec<Field<Tag>>,
    }

    /// A full name, and the virtual address that is kept for it.
    pub(crate) struct Reserved {
        /// Its full name.
        pub(crate) name: Field<Fqdn>,
        /// It gets this virtual address, and nobody else does.
        pub(crate) address: Field<Ipv4Addr>,
    }

    /// A computer that is no member. It sits in a site, or in the public network if none is given.
    pub(crate) struct Host {
        /// Its name.
        pub(crate) name: Field<Name>,
        /// The site it sits in; the public network if not given.
        pub(crate) site: Option<Field<Word>>,
        /// Its own address there; the next free one if not given.
        pub(crate) address: Option<Field<Ipv4Addr>>,
    }
}

/// A full name of a device: alone, or with the virtual address that is kept for it.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) name: Field<Fqdn>,
    pub(crate) address: Option<Field<Ipv4Addr>>,
}

impl Device {
    /// Its full names, with a hole for each that could not be read.
    pub(crate) fn names(&self) -> impl Iterator<Item = Option<&Field<Fqdn>>> {
        self.members.iter().map(|member| Some(&member.get()?.name))
    }

    /// What it is called: its own name, or its first full name's first label. With the place of that.
    pub(crate) fn called(&self) -> Option<(&str, Range<usize>)> {
        match &self.name {
            Some(name) => name.at().map(|(name, span)| (name.as_str(), span)),
            None => self
                .names()
                .next()??
                .at()
                .map(|(fqdn, span)| (fqdn.first_label(), span)),
        }
    }

    /// Where to point at when it is about the whole of it.
    pub(crate) fn span(&self) -> Range<usize> {
        let name = self.name.as_ref().map(|name| name.span.clone());
        name.or_else(|| self.members.first().map(|member| member.span.clone()))
            .or_else(|| self.email.as_ref().map(|email| email.span.clone()))
            .unwrap_or_default()
    }
}
