//! The tables of the P4 program, one declaration each: key and action, in the order of apply.
//!
//! `p4/kith/` says what each does with a packet. Names here are the P4 program's.

use super::codec::{call, find, param, params, ternary_priority, wrong_action};
use super::error::EntryError;
use super::matching::{self, MatchField, Prefix, Ternary};
use super::value::Scalar;
use crate::ids;
use crate::proto::v1;
use kith_pipeline::units::{CommunityIndex, PortIndex};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use std::net::Ipv4Addr;

key! {
    /// `endpoint` has no key: its default action says what the node is.
    endpoint EndpointKey {}
}
action! {
    /// What the node is.
    endpoint: EndpointAction {
        /// A route director.
        act_as_director ACT_AS_DIRECTOR Director {
            /// The address that shims name as director.
            address: Ipv4Addr = ADDRESS,
            /// The UDP port of the encapsulation.
            udp_port: u16 = UDP_PORT,
        }
        /// A group agent's gateway.
        act_as_gateway ACT_AS_GATEWAY Gateway {
            /// The UDP port of the encapsulation.
            udp_port: u16 = UDP_PORT,
        }
        /// Nothing yet: all that is not for the slow path is dropped.
        act_as_nothing ACT_AS_NOTHING Nothing
    }
}

key! {
    /// A port that receives.
    ingress_port IngressPortKey {
        /// The port.
        port: PortIndex = PORT,
    }
}
action! {
    /// What the port answers to.
    ingress_port: accept_by ACCEPT_BY AcceptBy {
        /// Its station address.
        station: MacAddr = STATION,
        /// Its IPv4 address.
        address: Ipv4Addr = ADDRESS,
    }
}

key! {
    /// A member that sends through this director.
    sender SenderKey {
        /// Its pseudo address.
        source_member: PseudoIp = SOURCE_MEMBER,
    }
}
action! {
    /// Where its packets must come from.
    sender: authorise AUTHORISE Authorise {
        /// The address, as its NAT shows it.
        address: Ipv4Addr = ADDRESS,
        /// The UDP port.
        port: u16 = PORT,
        /// Its community.
        community: CommunityIndex = COMMUNITY,
    }
}

key! {
    /// A member that is reached through this director.
    session SessionKey {
        /// Its pseudo address.
        destination_member: PseudoIp = DESTINATION_MEMBER,
    }
}
action! {
    /// Where it is.
    session: relay_to RELAY_TO RelayTo {
        /// The address, as its NAT shows it.
        address: Ipv4Addr = ADDRESS,
        /// The UDP port.
        port: u16 = PORT,
        /// Its community.
        community: CommunityIndex = COMMUNITY,
        /// The largest outer IPv4 packet on the way there, octets.
        mtu: u16 = MTU,
    }
}

key! {
    /// An address that stands in for a remote member on a LAN.
    local_destination LocalDestinationKey {
        /// The LAN's port.
        port: PortIndex = PORT,
        /// The address.
        address: Ipv4Addr = ADDRESS,
    }
}
action! {
    /// Which member that is.
    local_destination: to_virtual TO_VIRTUAL ToVirtual {
        /// Its community.
        community: CommunityIndex = COMMUNITY,
        /// Its virtual address.
        address: Ipv4Addr = ADDRESS,
    }
}

key! {
    /// A device that this gateway stands in for.
    local_source LocalSourceKey {
        /// The LAN's port.
        port: PortIndex = PORT,
        /// The device's address.
        address: Ipv4Addr = ADDRESS,
        /// The community it speaks in.
        community: CommunityIndex = COMMUNITY,
    }
}
action! {
    /// Which member the device is.
    local_source: from_member FROM_MEMBER FromMember {
        /// Its virtual address.
        address: Ipv4Addr = ADDRESS,
        /// Its director.
        director: Ipv4Addr = DIRECTOR,
        /// Its pseudo address there; 0.0.0.0 if it has none.
        pseudo: Ipv4Addr = PSEUDO,
    }
}

key! {
    /// A security association that opens packets.
    association AssociationKey {
        /// Its SPI.
        spi: u32 = SPI,
    }
}
action! {
    /// Between whom it is.
    association: open_with OPEN_WITH OpenWith {
        /// The crypto block's index of it.
        sa: u32 = SA,
        /// The community.
        community: CommunityIndex = COMMUNITY,
        /// The virtual address that packets must come from.
        source: Ipv4Addr = SOURCE,
        /// The virtual address that packets must go to.
        destination: Ipv4Addr = DESTINATION,
        /// What the MSS of an opened TCP SYN is clamped to, as an IPv4 packet's octets.
        mtu: u16 = MTU,
    }
}

key! {
    /// A rule; of those that match, the one with the highest priority counts.
    policy PolicyKey {
        [
            /// Above 0 and at most 2^31 - 1; the higher one wins.
            priority
        ]
        /// The community.
        community: Ternary<u16> = COMMUNITY,
        /// The virtual source address.
        source: Ternary<Ipv4Addr> = SOURCE,
        /// The virtual destination address.
        destination: Ternary<Ipv4Addr> = DESTINATION,
        /// The IP protocol.
        protocol: Ternary<u8> = PROTOCOL,
        /// The TCP or UDP source port, else 0.
        source_port: Ternary<u16> = SOURCE_PORT,
        /// The TCP or UDP destination port, else 0.
        destination_port: Ternary<u16> = DESTINATION_PORT,
    }
}
action! {
    /// May the packet pass?
    policy: PolicyAction {
        /// Yes.
        allow ALLOW Allow
        /// No; it is also what happens when no rule matches.
        deny DENY Deny
    }
}

key! {
    /// A pair of members, one behind this gateway.
    member MemberKey {
        /// Their community.
        community: CommunityIndex = COMMUNITY,
        /// Our member's virtual address.
        source: Ipv4Addr = SOURCE,
        /// The remote member's virtual address.
        destination: Ipv4Addr = DESTINATION,
    }
}
action! {
    /// How to reach it.
    member: MemberAction {
        /// Seal and send there.
        seal_to SEAL_TO SealTo {
            /// The crypto block's index of the security association.
            sa: u32 = SA,
            /// The outer destination address.
            address: Ipv4Addr = ADDRESS,
            /// The outer destination port.
            port: u16 = PORT,
            /// The director that the shim names; 0.0.0.0 for none.
            director: Ipv4Addr = DIRECTOR,
            /// The member's pseudo address there; 0.0.0.0 for none.
            pseudo: Ipv4Addr = PSEUDO,
            /// The largest outer IPv4 packet on the way there, octets.
            mtu: u16 = MTU,
        }
        /// No keys yet: packets go up to the controller.
        await_keys AWAIT_KEYS AwaitKeys
    }
}

key! {
    /// A member behind this gateway.
    virtual_destination VirtualDestinationKey {
        /// Its community.
        community: CommunityIndex = COMMUNITY,
        /// Its virtual address.
        address: Ipv4Addr = ADDRESS,
    }
}
action! {
    /// Which device it is.
    virtual_destination: deliver DELIVER Deliver {
        /// The LAN's port.
        port: PortIndex = PORT,
        /// The device's address.
        address: Ipv4Addr = ADDRESS,
    }
}

key! {
    /// A remote member, as seen from a LAN.
    virtual_source VirtualSourceKey {
        /// The LAN's port.
        port: PortIndex = PORT,
        /// The community.
        community: CommunityIndex = COMMUNITY,
        /// The member's virtual address.
        address: Ipv4Addr = ADDRESS,
    }
}
action! {
    /// The address that stands in for it there.
    virtual_source: stand_in STAND_IN StandIn {
        /// The address.
        address: Ipv4Addr = ADDRESS,
    }
}

key! {
    /// A network; the longest prefix counts.
    route RouteKey {
        /// Its prefix.
        destination: Prefix = DESTINATION,
    }
}
action! {
    /// The way there.
    route: RouteAction {
        /// It is on this port's link.
        on_link ON_LINK OnLink {
            /// The port.
            port: PortIndex = PORT,
        }
        /// A gateway knows.
        via VIA Via {
            /// The port.
            port: PortIndex = PORT,
            /// The gateway, on that port's link.
            gateway: Ipv4Addr = GATEWAY,
        }
    }
}

key! {
    /// A neighbour on a link.
    neighbor NeighborKey {
        /// The link's port.
        port: PortIndex = PORT,
        /// The neighbour's address.
        address: Ipv4Addr = ADDRESS,
    }
}
action! {
    /// Its station.
    neighbor: resolve RESOLVE Resolve {
        /// The station address.
        station: MacAddr = STATION,
    }
}

key! {
    /// A port that sends.
    egress_port EgressPortKey {
        /// The port.
        port: PortIndex = PORT,
    }
}
action! {
    /// How frames leave.
    egress_port: leave_by LEAVE_BY LeaveBy {
        /// The same port as in the key.
        port: PortIndex = PORT,
        /// The source station of frames.
        station: MacAddr = STATION,
    }
}

/// Expands a macro with the list of tables: P4 name, id, variant, key, action.
macro_rules! for_each_table {
    ($expand:ident) => {
        $expand! {
            endpoint ENDPOINT Endpoint EndpointKey EndpointAction,
            ingress_port INGRESS_PORT IngressPort IngressPortKey AcceptBy,
            sender SENDER Sender SenderKey Authorise,
            session SESSION Session SessionKey RelayTo,
            local_destination LOCAL_DESTINATION LocalDestination LocalDestinationKey ToVirtual,
            local_source LOCAL_SOURCE LocalSource LocalSourceKey FromMember,
            association ASSOCIATION Association AssociationKey OpenWith,
            policy POLICY Policy PolicyKey PolicyAction,
            member MEMBER Member MemberKey MemberAction,
            virtual_destination VIRTUAL_DESTINATION VirtualDestination VirtualDestinationKey Deliver,
            virtual_source VIRTUAL_SOURCE VirtualSource VirtualSourceKey StandIn,
            route ROUTE Route RouteKey RouteAction,
            neighbor NEIGHBOR Neighbor NeighborKey Resolve,
            egress_port EGRESS_PORT EgressPort EgressPortKey LeaveBy,
        }
    };
}

macro_rules! entry {
    ($( $table:ident $ID:ident $Variant:ident $Key:ident $Action:ident, )*) => {
        /// A table of the program, in the order of apply.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Table { $( #[doc = concat!("`", stringify!($table), "`")] $Variant, )* }

        /// What identifies an entry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Key { $( #[doc = concat!("Of table `", stringify!($table), "`.")] $Variant($Key), )* }

        /// An entry: key and action.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Entry { $( #[doc = concat!("Of table `", stringify!($table), "`.")] $Variant($Key, $Action), )* }

        impl Table {
            /// All of them, in the order of apply.
            pub const ALL: &'static [Self] = &[ $( Self::$Variant, )* ];

            /// The table with this id.
            #[must_use]
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $( ids::table::$ID => Some(Self::$Variant), )* _ => None }
            }

            /// Its id.
            #[must_use]
            pub fn id(self) -> u32 {
                match self { $( Self::$Variant => ids::table::$ID, )* }
            }

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$Variant => stringify!($table), )* }
            }

            /// How many entries it has room for.
            #[must_use]
            pub fn size(self) -> usize {
                match self { $( Self::$Variant => ids::size::$ID, )* }
            }
        }

        impl Key {
            /// Its table.
            #[must_use]
            pub fn table(&self) -> Table {
                match self { $( Self::$Variant(_) => Table::$Variant, )* }
            }

            pub(super) fn parts(&self) -> (Vec<v1::FieldMatch>, i32) {
                match self { $( Self::$Variant(key) => key.encode(), )* }
            }

            pub(super) fn of(table: Table, given: &v1::TableEntry) -> Result<Self, EntryError> {
                Ok(match table { $( Table::$Variant => Self::$Variant($Key::decode(&given.r#match, given.priority)?), )* })
            }
        }

        impl Entry {
            /// Its key.
            #[must_use]
            pub fn key(&self) -> Key {
                match self { $( Self::$Variant(key, _) => Key::$Variant(*key), )* }
            }

            pub(super) fn action(&self) -> v1::Action {
                match self { $( Self::$Variant(_, action) => action.encode(), )* }
            }

            pub(super) fn of(key: Key, action: &v1::Action) -> Result<Self, EntryError> {
                Ok(match key { $( Key::$Variant(key) => Self::$Variant(key, $Action::decode(action)?), )* })
            }
        }

        $( impl From<($Key, $Action)> for Entry {
            fn from((key, action): ($Key, $Action)) -> Self {
                Self::$Variant(key, action)
            }
        } )*
    };
}
for_each_table!(entry);
