//! Where each member is and how large packets to it may be; from both follow the tables of the packet path.
//!
//! Reports that packets were too large are not authenticated. So they lower a path MTU to [`FLOOR`] at worst, for ten minutes,
//! for the one member whose packet they quote; or, if they quote too little, for those reached through that endpoint.

use crate::directory::Record;
use crate::keying::Whereabouts;
use kith_esp::Millis;
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_wire::shim::{DataType, Shim};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::network_endian::U32;

/// No report lowers a path MTU below this (RFC 791: every host takes 576 octets).
pub const FLOOR: u16 = 576;
/// After so long a lowered path MTU is tried at full size again (RFC 1191 section 6.3).
pub const FORGET: Millis = Millis(600_000);

/// All members, in the order of their [`MemberIndex`].
pub struct Members {
    own: Ipv4Addr,
    path_mtu: u16,
    /// Our session: the director, and our pseudo address there.
    session: Option<(SocketAddrV4, Ipv4Addr)>,
    director: Option<SocketAddrV4>,
    all: Vec<One>,
}

struct One {
    address: Ipv4Addr,
    location: Whereabouts,
    path_mtu: u16,
    lowered: Option<Millis>,
}

impl Members {
    /// As the directory says; `path_mtu` to begin with, `director` where our session will be.
    #[must_use]
    pub fn new(own: Ipv4Addr, path_mtu: u16, director: Option<SocketAddrV4>, records: &[Record]) -> Self {
        let one = |record: &Record| One {
            address: record.address,
            location: record.location,
            path_mtu,
            lowered: None,
        };
        Self {
            own,
            path_mtu,
            session: None,
            director,
            all: records.iter().map(one).collect(),
        }
    }

    /// The tables that follow.
    #[must_use]
    pub fn tables(&self) -> HostTables {
        let member = |one: &One| Member {
            address: one.address,
            endpoint: endpoint(one.location),
            shim: self.shim(one.location),
            path_mtu: one.path_mtu,
        };
        HostTables::new(self.own, self.all.iter().map(member).collect())
    }

    /// Our session began, moved or ended.
    pub fn set_session(&mut self, pseudo: Option<Ipv4Addr>) {
        self.session = self.director.zip(pseudo);
    }

    /// Can packets reach the member now? Not through a director without a session there.
    #[must_use]
    pub fn is_reachable(&self, member: MemberIndex) -> bool {
        self.all
            .get(member.0 as usize)
            .is_some_and(|one| match one.location {
                Whereabouts::Public(_) => true,
                Whereabouts::Director { director, .. } => {
                    self.session.is_some_and(|(ours, _)| ours == director)
                }
            })
    }

    /// The member says authentically where it is. False if that changes nothing, or it is where we cannot send.
    pub fn moved(&mut self, member: MemberIndex, to: Whereabouts) -> bool {
        if let Whereabouts::Director { director, .. } = to
            && self.director != Some(director)
        {
            return false;
        }
        let Some(one) = self.all.get_mut(member.0 as usize) else {
            return false;
        };
        let changed = one.location != to;
        if changed {
            // Another way, another MTU.
            (one.location, one.path_mtu, one.lowered) = (to, self.path_mtu, None);
        }
        changed
    }

    /// A report: packets to `to` may have `mtu` octets, 0 if the router does not say. True if something changed.
    pub fn too_big(&mut self, now: Millis, to: SocketAddrV4, member: Option<MemberIndex>, mtu: u16) -> bool {
        let mut changed = false;
        for (index, one) in (0u32..).zip(&mut self.all) {
            // A report must at least name the way that the member's packets take.
            if endpoint(one.location) != to || member.is_some_and(|member| member.0 != index) {
                continue;
            }
            let told = if mtu == 0 { one.path_mtu / 4 * 3 } else { mtu };
            let told = told.max(FLOOR);
            if told < one.path_mtu {
                (one.path_mtu, one.lowered) = (told, Some(now));
                changed = true;
            }
        }
        changed
    }

    /// Forgets old reports. True if something changed.
    pub fn forget_reports(&mut self, now: Millis) -> bool {
        let mut changed = false;
        for one in &mut self.all {
            if one.lowered.is_some_and(|at| now.0 >= at.0 + FORGET.0) {
                (one.path_mtu, one.lowered) = (self.path_mtu, None);
                changed = true;
            }
        }
        changed
    }

    /// Where a member is.
    #[must_use]
    pub fn location(&self, member: MemberIndex) -> Option<Whereabouts> {
        self.all.get(member.0 as usize).map(|one| one.location)
    }

    fn shim(&self, location: Whereabouts) -> Shim {
        let mut shim = Shim::new(DataType::Virtual);
        if let Whereabouts::Director { director, pseudo } = location {
            shim.destination_director = U32::new(director.ip().to_bits());
            shim.destination_member = U32::new(pseudo.to_bits());
            // Without a session the director drops what we send: it does not know us.
            if let Some((director, pseudo)) = self.session {
                shim.source_director = U32::new(director.ip().to_bits());
                shim.source_member = U32::new(pseudo.to_bits());
            }
        }
        shim
    }
}

/// Where packets go.
fn endpoint(location: Whereabouts) -> SocketAddrV4 {
    match location {
        Whereabouts::Public(at) => at,
        Whereabouts::Director { director, .. } => director,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    const DIRECTOR: &str = "203.0.113.10:20202";

    fn members() -> Members {
        let behind = |last: u8| Record {
            name: format!("m{last}"),
            address: Ipv4Addr::new(10, 77, 0, last),
            location: Whereabouts::Director {
                director: DIRECTOR.parse().unwrap(),
                pseudo: Ipv4Addr::new(240, 0, 0, last),
            },
            psk: Secret::new([last; 32]),
        };
        let mut public = behind(4);
        public.location = Whereabouts::Public("203.0.113.30:20202".parse().unwrap());
        let records = [behind(2), behind(3), public];
        Members::new(
            Ipv4Addr::new(10, 77, 0, 1),
            1500,
            Some(DIRECTOR.parse().unwrap()),
            &records,
        )
    }

    fn mtus(members: &Members) -> Vec<u16> {
        members
            .tables()
            .members()
            .iter()
            .map(|member| member.path_mtu)
            .collect()
    }

    #[test]
    fn a_report_that_names_the_member_lowers_that_member_alone() {
        let mut members = members();
        let director = DIRECTOR.parse().unwrap();
        assert!(members.too_big(Millis(1), director, Some(MemberIndex(1)), 1400));
        assert_eq!(mtus(&members), [1500, 1400, 1500]);
        assert!(
            !members.too_big(Millis(1), director, Some(MemberIndex(2)), 1000),
            "another way"
        );
        assert!(members.too_big(Millis(2), director, None, 1300));
        assert_eq!(mtus(&members), [1300, 1300, 1500]);
        assert!(
            !members.too_big(Millis(2), director, None, 1400),
            "never raised by a report"
        );
    }

    #[test]
    fn a_forged_report_lowers_to_the_floor_and_is_forgotten() {
        let mut members = members();
        let public = "203.0.113.30:20202".parse().unwrap();
        assert!(members.too_big(Millis(5), public, None, 1));
        assert_eq!(mtus(&members), [1500, 1500, FLOOR]);
        assert!(!members.forget_reports(Millis(FORGET.0 + 4)));
        assert!(members.forget_reports(Millis(FORGET.0 + 5)));
        assert_eq!(mtus(&members), [1500; 3]);
    }

    #[test]
    fn shims_name_both_ends_once_there_is_a_session() {
        let mut members = members();
        assert!(!members.is_reachable(MemberIndex(0)) && members.is_reachable(MemberIndex(2)));
        members.set_session(Some(Ipv4Addr::new(240, 0, 0, 9)));
        assert!(members.is_reachable(MemberIndex(0)));
        let tables = members.tables();
        let shim = tables.members()[0].shim;
        assert_eq!(shim.source_member.get(), 0xf000_0009);
        assert_eq!(shim.destination_member.get(), 0xf000_0002);
        assert_eq!(tables.members()[2].shim, Shim::new(DataType::Virtual));
    }

    #[test]
    fn a_member_moves_only_to_where_we_can_send() {
        let mut members = members();
        let to = |director: &str| Whereabouts::Director {
            director: director.parse().unwrap(),
            pseudo: Ipv4Addr::new(240, 0, 0, 77),
        };
        assert!(!members.moved(MemberIndex(0), to("198.51.100.1:20202")));
        assert!(members.moved(MemberIndex(0), to(DIRECTOR)));
        assert!(!members.moved(MemberIndex(0), to(DIRECTOR)));
        assert_eq!(
            members.tables().members()[0].shim.destination_member.get(),
            0xf000_004d
        );
    }
}
