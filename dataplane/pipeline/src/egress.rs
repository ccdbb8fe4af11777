//! Out: which port, which stations.

use crate::Verdict;
use crate::reason::{DropReason, PuntReason};
use crate::table::neighbor::OnLink;
use crate::tables::Tables;
use crate::units::PortIndex;
use kith_wire::ethernet::MacAddr;
use std::net::Ipv4Addr;

/// The way a packet leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// By this port,
    pub(crate) port: PortIndex,
    /// whose station this is,
    pub(crate) station: MacAddr,
    /// to the next one.
    pub(crate) next: MacAddr,
}

/// The way of the packet before: bursts go through few next hops, so nearly all look-ups are one comparison.
#[derive(Debug, Default)]
pub(crate) struct LastWay(Option<(OnLink, Way)>);

impl LastWay {
    /// The way to an address anywhere.
    #[inline(always)]
    pub(crate) fn to(&mut self, tables: &Tables, address: Ipv4Addr) -> Result<Way, Verdict> {
        let next = tables
            .route
            .next(address)
            .ok_or(Verdict::Drop(DropReason::RouteUnknown))?;
        let hop = OnLink {
            port: next.port,
            address: next.hop,
        };
        self.on_link(tables, hop)
    }

    /// The way to an address on a link.
    #[inline(always)]
    pub(crate) fn on_link(&mut self, tables: &Tables, hop: OnLink) -> Result<Way, Verdict> {
        match self.0 {
            Some((last, way)) if last == hop => Ok(way),
            _ => {
                let way = look_up(tables, hop)?;
                self.0 = Some((hop, way));
                Ok(way)
            }
        }
    }
}

fn look_up(tables: &Tables, hop: OnLink) -> Result<Way, Verdict> {
    let next = tables.neighbor.get(hop);
    let next = *next.ok_or(Verdict::Punt(PuntReason::NeighborMiss))?;
    let leave_by = tables.egress_port.get(hop.port);
    let station = leave_by.ok_or(Verdict::Drop(DropReason::RouteUnknown))?.station;
    Ok(Way {
        port: hop.port,
        station,
        next,
    })
}
