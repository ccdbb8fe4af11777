//! Where each member is and how large packets to it may be; from both follow the tables of the packet path.
//!
//! Reports that packets were too large are not authenticated. So they lower a path MTU to [`FLOOR`] at worst, for ten minutes,
//! for the one member whose packet they quote; or, if they quote too little, for those reached through that endpoint.
//!
//! With a manager, members come and go. A place that somebody left is vacant only when both threads of the datapath have wiped what they had
//! of it, so that no packet of one member ever meets keys of another:
//!
//! ```text
//!  vacant ──add──► taken ──remove──► wiping, until both threads dropped their receipts ──► vacant
//! ```

mod place;

pub use place::{Grant, One, Standing};

use crate::datapath::shared::Receipt;
use crate::directory::Record;
use crate::keying::Whereabouts;
use kith_esp::Millis;
use kith_pipeline::host::tables::{HostTables, Member, MemberIndex};
use kith_pipeline::table::policy::PolicyTable;
use kith_wire::shim::{DataType, Shim};
use place::{Place, endpoint};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::network_endian::U32;

/// No report lowers a path MTU below this (RFC 791: every host takes 576 octets).
pub const FLOOR: u16 = 576;
/// After so long a lowered path MTU is tried at full size again (RFC 1191 section 6.3).
pub const FORGET: Millis = Millis(600_000);

/// All members, by their [`MemberIndex`].
pub struct Members {
    own: Ipv4Addr,
    path_mtu: u16,
    /// Our session: the director, and our pseudo address there.
    session: Option<Seat>,
    director: Option<SocketAddrV4>,
    places: Vec<Place>,
    /// Where the search for a vacant place begins: places rest as long as possible.
    next: usize,
    /// What may pass, if a manager says so.
    policy: Option<PolicyTable>,
}

/// A session: the director, and our pseudo address there.
pub type Seat = (SocketAddrV4, Ipv4Addr);

impl Members {
    /// As the directory says; `path_mtu` to begin with, `director` where our session will be.
    #[must_use]
    pub fn new(own: Ipv4Addr, path_mtu: u16, director: Option<SocketAddrV4>, records: &[Record]) -> Self {
        let one = |record: &Record| One {
            name: record.name.clone(),
            address: record.address,
            standing: Standing::Configured,
            location: record.location,
            path_mtu,
            lowered: None,
        };
        Self {
            own,
            path_mtu,
            session: None,
            director,
            places: records
                .iter()
                .map(|record| Place::Taken(Box::new(one(record))))
                .collect(),
            next: 0,
            policy: None,
        }
    }

    /// Nobody yet, room for so many, and nothing passes.
    #[must_use]
    pub fn managed(places: usize, path_mtu: u16) -> Self {
        Self {
            own: Ipv4Addr::UNSPECIFIED,
            path_mtu,
            session: None,
            director: None,
            places: (0..places).map(|_| Place::Vacant).collect(),
            next: 0,
            policy: Some(PolicyTable::default()),
        }
    }

    /// The tables that follow.
    #[must_use]
    pub fn tables(&self) -> HostTables {
        let member = |one: &One| Member {
            address: one.address,
            endpoint: endpoint(one.location),
            shim: shim(self.session, one.location),
            path_mtu: one.path_mtu,
        };
        match &self.policy {
            None => HostTables::new(self.own, self.iter().map(|(_, one)| member(one)).collect()),
            Some(policy) => {
                let places = self.places.iter().map(|place| place.one().map(member));
                HostTables::managed(self.own, places.collect(), policy.clone())
            }
        }
    }

    /// Our own virtual address; unspecified while there is none.
    #[must_use]
    pub fn own(&self) -> Ipv4Addr {
        self.own
    }

    /// Our own virtual address is this from now on.
    pub fn set_own(&mut self, own: Ipv4Addr) {
        self.own = own;
    }

    /// What may pass from now on.
    pub fn set_policy(&mut self, policy: PolicyTable) {
        self.policy = Some(policy);
    }

    /// Our session is at this director from now on, once there is one.
    pub fn set_director(&mut self, director: Option<SocketAddrV4>) {
        (self.director, self.session) = (director, None);
    }

    /// Lets somebody in; `None` if no place is vacant.
    pub fn add(
        &mut self,
        name: String,
        address: Ipv4Addr,
        location: Whereabouts,
        standing: Standing,
    ) -> Option<MemberIndex> {
        let count = self.places.len();
        let mut order = (0..count).map(|step| (self.next + step) % count);
        let at = order.find(|at| self.places[*at].is_vacant())?;
        self.next = at + 1;
        self.places[at] = Place::Taken(Box::new(One {
            name,
            address,
            standing,
            location,
            path_mtu: self.path_mtu,
            lowered: None,
        }));
        u32::try_from(at).ok().map(MemberIndex)
    }

    /// Lets somebody go. Each thread that knows the place is given a copy of the receipt; the place is vacant when all are dropped.
    pub fn remove(&mut self, member: MemberIndex) -> Option<Receipt> {
        let place = self.places.get_mut(member.0 as usize)?;
        place.one()?;
        let receipt = Receipt::default();
        *place = Place::Wiping(receipt.clone());
        Some(receipt)
    }

    /// The member with this virtual address.
    #[must_use]
    pub fn find(&self, address: Ipv4Addr) -> Option<MemberIndex> {
        self.iter()
            .find(|(_, one)| one.address == address)
            .map(|(index, _)| index)
    }

    /// The member in this place.
    #[must_use]
    pub fn get(&self, member: MemberIndex) -> Option<&One> {
        self.places.get(member.0 as usize)?.one()
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, member: MemberIndex) -> Option<&mut One> {
        match self.places.get_mut(member.0 as usize)? {
            Place::Taken(one) => Some(one),
            Place::Vacant | Place::Wiping(_) => None,
        }
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = (MemberIndex, &One)> {
        let places = (0u32..).map(MemberIndex).zip(&self.places);
        places.filter_map(|(index, place)| Some((index, place.one()?)))
    }

    /// How many places are not vacant.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.places
            .iter()
            .filter(|place| !matches!(place, Place::Vacant))
            .count()
    }

    /// Our session began, moved or ended.
    pub fn set_session(&mut self, pseudo: Option<Ipv4Addr>) {
        self.session = self.director.zip(pseudo);
    }

    /// Can packets reach the member now? Not through a director without a session there.
    #[must_use]
    pub fn is_reachable(&self, member: MemberIndex) -> bool {
        self.get(member).is_some_and(|one| self.reaches(one.location))
    }

    /// The member says authentically where it is. False if that changes nothing, or it is where we cannot send.
    pub fn moved(&mut self, member: MemberIndex, to: Whereabouts) -> bool {
        if let Whereabouts::Director { director, .. } = to
            && self.director != Some(director)
        {
            return false;
        }
        self.relocate(member, to)
    }

    /// The manager says where the member is. False if that changes nothing.
    pub fn relocate(&mut self, member: MemberIndex, to: Whereabouts) -> bool {
        let path_mtu = self.path_mtu;
        let Some(one) = self.get_mut(member) else {
            return false;
        };
        let changed = one.location != to;
        if changed {
            // Another way, another MTU.
            (one.location, one.path_mtu, one.lowered) = (to, path_mtu, None);
        }
        changed
    }

    /// A report: packets to `to` may have `mtu` octets, 0 if the router does not say. True if something changed.
    pub fn too_big(&mut self, now: Millis, to: SocketAddrV4, member: Option<MemberIndex>, mtu: u16) -> bool {
        let mut changed = false;
        for (index, place) in (0u32..).map(MemberIndex).zip(&mut self.places) {
            let Place::Taken(one) = place else { continue };
            // A report must at least name the way that the member's packets take.
            if endpoint(one.location) != to || member.is_some_and(|member| member != index) {
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
        for place in &mut self.places {
            if let Place::Taken(one) = place
                && one.lowered.is_some_and(|at| now.0 >= at.0 + FORGET.0)
            {
                (one.path_mtu, one.lowered) = (self.path_mtu, None);
                changed = true;
            }
        }
        changed
    }

    /// How packets reach somebody there; `None` if they cannot now.
    #[must_use]
    pub fn way(&self, there: Whereabouts) -> Option<(Shim, SocketAddrV4)> {
        way(self.session, there)
    }

    fn reaches(&self, there: Whereabouts) -> bool {
        reaches(self.session, there)
    }
}

/// How packets reach somebody there from where we have this session; `None` if they cannot now.
#[must_use]
pub fn way(session: Option<Seat>, there: Whereabouts) -> Option<(Shim, SocketAddrV4)> {
    reaches(session, there).then(|| (shim(session, there), endpoint(there)))
}

fn reaches(session: Option<Seat>, there: Whereabouts) -> bool {
    match there {
        Whereabouts::Public(_) => true,
        Whereabouts::Director { director, .. } => session.is_some_and(|(ours, _)| ours == director),
    }
}

fn shim(session: Option<Seat>, location: Whereabouts) -> Shim {
    let mut shim = Shim::new(DataType::Virtual);
    if let Whereabouts::Director { director, pseudo } = location {
        shim.destination_director = U32::new(director.ip().to_bits());
        shim.destination_member = U32::new(pseudo.to_bits());
        // Without a session the director drops what we send: it does not know us.
        if let Some((director, pseudo)) = session {
            shim.source_director = U32::new(director.ip().to_bits());
            shim.source_member = U32::new(pseudo.to_bits());
        }
    }
    shim
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

    #[test]
    fn a_place_is_vacant_only_when_all_receipts_are_dropped() {
        let mut members = Members::managed(2, 1500);
        let add = |members: &mut Members, last: u8| {
            let there = Whereabouts::Public("203.0.113.30:20202".parse().unwrap());
            members.add(
                format!("m{last}"),
                Ipv4Addr::new(10, 77, 0, last),
                there,
                Standing::Configured,
            )
        };
        let (first, second) = (add(&mut members, 2).unwrap(), add(&mut members, 3).unwrap());
        assert_eq!(add(&mut members, 4), None, "full");
        let receipt = members.remove(first).unwrap();
        let (outbound, inbound) = (receipt.clone(), receipt);
        assert!(members.find(Ipv4Addr::new(10, 77, 0, 2)).is_none());
        assert!(members.tables().member(first).is_none());
        assert_eq!(
            members.tables().find(Ipv4Addr::new(10, 77, 0, 3)).unwrap().0,
            second
        );
        drop(outbound);
        assert_eq!(add(&mut members, 4), None, "the other thread may still have keys");
        drop(inbound);
        assert_eq!(add(&mut members, 4), Some(first));
    }
}
