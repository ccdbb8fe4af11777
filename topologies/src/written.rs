//! The topology as it is written. The comments here are the descriptions in `schema.json`: editors show them.

use crate::{
    Fqdn, Name, Prefix, Secret,
    compiled::{Ports, Role},
    read::{Field, written},
    scalars::{Number, Period, Word},
};
use std::net::Ipv4Addr;

written! {
    /// A Kith network: what is in it, where it sits, who belongs together.
    pub(crate) struct Topology {
        /// The version of this format: 1.
        pub(crate) version: Field<Number<1, 1>>,
        /// The network's own name; a lab puts it before the names of its namespaces.
        pub(crate) name: Field<Name>,
        /// The UDP port that everybody speaks; 20202 if not given.
        pub(crate) udp_port: Option<Field<Number<1, 65535>>>,
        /// The network that all sites hang on.
        pub(crate) public: Field<Public>,
        /// Route directors.
        #[schemars(default)]
        pub(crate) directors: Vec<Field<Director>>,
        /// Private networks behind NATs. They may use the same addresses.
        #[schemars(default)]
        pub(crate) sites: Vec<Field<Site>>,
        /// Virtual networks: one domain, one pool of virtual addresses.
        #[schemars(default)]
        pub(crate) communities: Vec<Field<Community>>,
        /// Members of the communities.
        #[schemars(default)]
        pub(crate) members: Vec<Field<Member>>,
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

    /// A route director: relays packets into private networks.
    pub(crate) struct Director {
        /// Its name.
        pub(crate) name: Field<Name>,
        /// What it does.
        pub(crate) role: Field<Role>,
        /// Its address in the public network.
        pub(crate) address: Field<Ipv4Addr>,
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
        /// The NAT router's address inside.
        pub(crate) gateway: Field<Ipv4Addr>,
        /// How the NAT behaves.
        pub(crate) nat: Field<Nat>,
        /// Largest IPv4 packet between the NAT and the public network; the public network's MTU if not given.
        pub(crate) wan_mtu: Option<Field<Number<0, 65535>>>,
    }

    /// A NAT.
    pub(crate) struct Nat {
        /// Its address in the public network.
        pub(crate) address: Field<Ipv4Addr>,
        /// How long it remembers an idle UDP flow.
        pub(crate) udp_timeout: Field<Period>,
        /// What it does to source ports.
        pub(crate) ports: Field<Ports>,
    }

    /// A community: a virtual network.
    pub(crate) struct Community {
        /// Its domain; members' names end in it.
        pub(crate) domain: Field<Fqdn>,
        /// Its virtual addresses.
        pub(crate) pool: Field<Prefix>,
        /// What the pre-shared keys of all pairs of members are derived from.
        pub(crate) secret: Field<Secret>,
        /// Pairs whose pre-shared key is not derived but given.
        #[schemars(default)]
        pub(crate) pairs: Vec<Field<Pair>>,
    }

    /// A pair of members with a pre-shared key of its own.
    pub(crate) struct Pair {
        /// The full names of the two members.
        #[schemars(length(equal = 2))]
        pub(crate) members: Vec<Field<Word>>,
        /// Their pre-shared key.
        pub(crate) secret: Field<Secret>,
    }

    /// A member. It sits in a site (`site` and `address`) or in the public network (`public`).
    pub(crate) struct Member {
        /// Its full name, in a community's domain.
        pub(crate) name: Field<Fqdn>,
        /// The name of its computer; the first label of `name` if not given.
        pub(crate) node: Option<Field<Name>>,
        /// Its virtual address, in the community's pool.
        pub(crate) virtual_ip: Field<Ipv4Addr>,
        /// The site it sits in.
        pub(crate) site: Option<Field<Word>>,
        /// Its address in that site.
        pub(crate) address: Option<Field<Ipv4Addr>>,
        /// Its address in the public network.
        pub(crate) public: Option<Field<Ipv4Addr>>,
        /// The director where it has its session.
        pub(crate) director: Field<Word>,
        /// What it authenticates itself with there.
        pub(crate) director_key: Field<Secret>,
        /// The pseudo address kept for it there; the next free one if not given.
        pub(crate) pseudo: Option<Field<Ipv4Addr>>,
    }

    /// A computer that is no member. It sits in a site (`site` and `address`) or in the public network (`public`).
    pub(crate) struct Host {
        /// Its name.
        pub(crate) name: Field<Name>,
        /// The site it sits in.
        pub(crate) site: Option<Field<Word>>,
        /// Its address in that site.
        pub(crate) address: Option<Field<Ipv4Addr>>,
        /// Its address in the public network.
        pub(crate) public: Option<Field<Ipv4Addr>>,
    }
}
