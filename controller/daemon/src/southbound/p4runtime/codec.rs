//! The director's requests and P4Runtime's messages, one for one.

use crate::southbound::{Change, Entries, Refused, SenderEntry, SessionEntry, Update};
use kith_p4runtime::entry::{
    Authorise, EndpointAction, EndpointKey, Entry, Key, RelayTo, SenderKey, SessionKey, Table,
};
use kith_p4runtime::packet::{PacketOut, PacketOutMode};
use kith_p4runtime::proto::v1::{self, entity::Entity as Kind};
use kith_p4runtime::update::{self as p4, Extras, MeterConfig, Row};
use kith_pipeline::meter::Rate;
use kith_pipeline::units::{CommunityIndex, PortIndex};
use kith_wire::shim::PseudoIp;
use std::net::SocketAddrV4;
use tonic::Code;

/// As an update of the P4 program; `None` for values that it has no place for.
pub(super) fn update(update: &Update) -> Option<p4::Update> {
    match *update {
        Update::Endpoint { address, udp_port } => {
            let action = EndpointAction::Director { address, udp_port };
            Some(p4::Update::Modify(Entry::Endpoint(EndpointKey {}, action).into()))
        }
        Update::PuntRate { reason, rate } => {
            Some(p4::Update::Meter(Some(reason as usize), Some(meter(rate))))
        }
        Update::Sender { member, change } => {
            let key = SenderKey {
                source_member: PseudoIp::new(member)?,
            };
            Some(match change {
                Change::Insert(entry) => p4::Update::Insert(sender(key, entry)?),
                Change::Modify(entry) => p4::Update::Modify(sender(key, entry)?),
                Change::Delete => p4::Update::Delete(Key::Sender(key)),
            })
        }
        Update::Session { member, change } => {
            let key = SessionKey {
                destination_member: PseudoIp::new(member)?,
            };
            Some(match change {
                Change::Insert(entry) => p4::Update::Insert(session(key, entry)?),
                Change::Modify(entry) => p4::Update::Modify(session(key, entry)?),
                Change::Delete => p4::Update::Delete(Key::Session(key)),
            })
        }
    }
}

/// What asks for all that a director writes.
pub(super) fn everything() -> Vec<v1::Entity> {
    let all = |table: Table| {
        let entry = v1::TableEntry {
            table_id: table.id(),
            // Section 9.1.4.1: a field that is there is asked for.
            meter_config: table.has_meter().then(v1::MeterConfig::default),
            ..Default::default()
        };
        v1::Entity {
            entity: Some(Kind::TableEntry(entry)),
        }
    };
    vec![all(Table::Sender), all(Table::Session)]
}

/// What was read. Entries that are none of the program's are left where they are: nobody here can name them.
pub(super) fn entries(entities: &[v1::Entity]) -> Entries {
    let mut entries = Entries::default();
    for entity in entities {
        let Some(Kind::TableEntry(given)) = &entity.entity else {
            continue;
        };
        match Row::decode(given) {
            Ok(Row {
                entry: Entry::Sender(key, action),
                extras,
            }) => entries.senders.push((
                key.source_member.to_bits(),
                SenderEntry {
                    bound: SocketAddrV4::new(action.address, action.port),
                    community: action.community.get(),
                    rate: extras.meter.and_then(rate),
                },
            )),
            Ok(Row {
                entry: Entry::Session(key, action),
                ..
            }) => entries.sessions.push((
                key.destination_member.to_bits(),
                SessionEntry {
                    bound: SocketAddrV4::new(action.address, action.port),
                    community: action.community.get(),
                    mtu: action.mtu,
                },
            )),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the dataplane has an entry that makes no sense"),
        }
    }
    entries
}

/// Why an update did not happen, in the director's terms (specification 1.4, section 12.3).
pub(super) fn refused(code: Code) -> Refused {
    match code {
        Code::AlreadyExists => Refused::Exists,
        Code::NotFound => Refused::NotFound,
        Code::ResourceExhausted => Refused::Full,
        Code::OutOfRange | Code::InvalidArgument => Refused::OutOfRange,
        Code::PermissionDenied => Refused::NotPrimary,
        _ => Refused::Failed,
    }
}

pub(super) fn packet_out(egress_port: PortIndex, frame: Vec<u8>) -> PacketOut {
    PacketOut {
        egress_port,
        mode: PacketOutMode::Send,
        frame,
    }
}

fn sender(key: SenderKey, entry: SenderEntry) -> Option<Row> {
    let action = Authorise {
        address: *entry.bound.ip(),
        port: entry.bound.port(),
        community: CommunityIndex::new(entry.community)?,
    };
    let extras = Extras {
        meter: entry.rate.map(meter),
        ..Extras::default()
    };
    let entry = Entry::Sender(key, action);
    Some(Row { entry, extras })
}

fn session(key: SessionKey, entry: SessionEntry) -> Option<Row> {
    let action = RelayTo {
        address: *entry.bound.ip(),
        port: entry.bound.port(),
        community: CommunityIndex::new(entry.community)?,
        mtu: entry.mtu,
    };
    Some(Entry::Session(key, action).into())
}

/// One rate for both: nothing is yellow, and what is above is red.
fn meter(rate: Rate) -> MeterConfig {
    MeterConfig {
        cir: rate.per_second,
        cburst: rate.burst,
        pir: rate.per_second,
        pburst: rate.burst,
    }
}

/// The rate of a meter that [`meter`] made. Any other one is somebody else's, and replaced.
fn rate(config: MeterConfig) -> Option<Rate> {
    let rate = Rate {
        per_second: config.pir,
        burst: config.pburst,
    };
    // A rate that nobody configures stands for a meter that is not ours.
    let foreign = Rate {
        per_second: 0,
        burst: 0,
    };
    Some(if meter(rate) == config { rate } else { foreign })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 7,
        burst: 3,
    };

    fn entry(rate: Option<Rate>) -> SenderEntry {
        SenderEntry {
            bound: "203.0.113.21:4000".parse().unwrap(),
            community: 9,
            rate,
        }
    }

    fn read(update: &p4::Update) -> Entries {
        let (p4::Update::Insert(row) | p4::Update::Modify(row)) = update else {
            panic!("{update:?}")
        };
        let entity = Some(Kind::TableEntry(row.encode()));
        entries(&[v1::Entity { entity }])
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for rate in [None, Some(RATE)] {
            let change = Change::Insert(entry(rate));
            let written = update(&Update::Sender { member: 5, change }).unwrap();
            assert_eq!(read(&written).senders, [(5, entry(rate))]);
        }
        let session = SessionEntry {
            bound: "203.0.113.21:4000".parse().unwrap(),
            community: 9,
            mtu: 1400,
        };
        let change = Change::Modify(session);
        let written = update(&Update::Session { member: 5, change }).unwrap();
        assert_eq!(read(&written).sessions, [(5, session)]);
    }

    #[test]
    fn somebody_elses_meter_is_never_taken_for_ours() {
        let theirs = MeterConfig {
            cir: 1,
            ..meter(RATE)
        };
        assert_eq!(rate(meter(RATE)), Some(RATE));
        assert!(rate(theirs).is_some_and(|rate| rate.per_second == 0));
    }

    #[test]
    fn what_no_table_has_a_place_for_is_not_written() {
        let change = Change::Delete;
        assert!(update(&Update::Sender { member: 0, change }).is_none());
        let unnumbered = SenderEntry {
            community: 0,
            ..entry(None)
        };
        let change = Change::Insert(unnumbered);
        assert!(update(&Update::Sender { member: 5, change }).is_none());
    }
}
