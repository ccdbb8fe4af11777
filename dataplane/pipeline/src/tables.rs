//! All tables of a dataplane: one generation.

use crate::meter::Rate;
use crate::reason::PuntReason;
use crate::table::association::{self, AssociationTable};
use crate::table::endpoint::Role;
use crate::table::exact::ExactTable;
use crate::table::local::{self, LocalDestinationTable, LocalSourceTable};
use crate::table::member::{self, MemberTable};
use crate::table::neighbor::{self, NeighborTable};
use crate::table::policy::PolicyTable;
use crate::table::port::{AcceptBy, LeaveBy, PortTable};
use crate::table::route::RouteTable;
use crate::table::sender::SenderTable;
use crate::table::session::SessionTable;
use crate::table::virtual_address::{self, VirtualDestinationTable, VirtualSourceTable};
use std::sync::Arc;

/// How many packets of each reason may go up, by [`PuntReason`] number, a worker.
pub type PuntRates = [Rate; PuntReason::COUNT];

/// One generation, in the order in which a packet meets the tables; fields have the names of [`crate::schema::TABLES`].
///
/// A clone shares what does not change: to make the next generation, clone, change and publish.
#[derive(Debug, Clone)]
pub struct Tables {
    /// What this node is.
    pub endpoint: Role,
    /// What is taken from ports.
    pub ingress_port: PortTable<AcceptBy>,
    /// Who may send through this director; shared by all generations, changed in place.
    pub sender: Arc<SenderTable>,
    /// Where members are reached; shared by all generations, changed in place.
    pub session: Arc<SessionTable>,
    /// Members that addresses on LANs stand for.
    pub local_destination: LocalDestinationTable,
    /// Members that devices on LANs are.
    pub local_source: LocalSourceTable,
    /// Whose packets SPIs name.
    pub association: AssociationTable,
    /// What may pass.
    pub policy: PolicyTable,
    /// Tunnels to members.
    pub member: MemberTable,
    /// Devices that members are.
    pub virtual_destination: VirtualDestinationTable,
    /// Addresses that stand in for remote members on LANs.
    pub virtual_source: VirtualSourceTable,
    /// Where packets go next.
    pub route: RouteTable,
    /// Known stations.
    pub neighbor: NeighborTable,
    /// What frames carry that leave.
    pub egress_port: PortTable<LeaveBy>,
    /// How much the slow path takes.
    pub punt_rates: PuntRates,
}

impl Tables {
    /// Tables without any entry, of a node that is nothing yet: every packet is dropped, and none goes up.
    #[must_use]
    pub fn new(sender: Arc<SenderTable>, session: Arc<SessionTable>) -> Self {
        let none = Rate {
            per_second: 0,
            burst: 0,
        };
        Self {
            endpoint: Role::Nothing,
            ingress_port: PortTable::new(),
            sender,
            session,
            local_destination: ExactTable::bounded(local::DESTINATION_SCHEMA.size),
            local_source: ExactTable::bounded(local::SOURCE_SCHEMA.size),
            association: AssociationTable::bounded(association::SCHEMA.size),
            policy: PolicyTable::default(),
            member: MemberTable::bounded(member::SCHEMA.size),
            virtual_destination: ExactTable::bounded(virtual_address::DESTINATION_SCHEMA.size),
            virtual_source: ExactTable::bounded(virtual_address::SOURCE_SCHEMA.size),
            route: RouteTable::default(),
            neighbor: ExactTable::bounded(neighbor::SCHEMA.size),
            egress_port: PortTable::new(),
            punt_rates: [none; PuntReason::COUNT],
        }
    }
}
