//! The codec against the P4Info and against itself.

use super::*;
use crate::ids;
use crate::proto::config::{
    P4Info,
    match_field::{Match, MatchType},
};
use crate::proto::v1::field_match::{self, FieldMatchType};
use kith_pipeline::units::{CommunityIndex, PortIndex};
use kith_wire::ethernet::MacAddr;
use kith_wire::shim::PseudoIp;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}
fn community() -> impl Strategy<Value = CommunityIndex> {
    (1..=u16::MAX).prop_map(|number| CommunityIndex::new(number).unwrap())
}
fn pseudo() -> impl Strategy<Value = PseudoIp> {
    (1..=u32::MAX).prop_map(|bits| PseudoIp::new(bits).unwrap())
}
fn port() -> impl Strategy<Value = PortIndex> {
    any::<u8>().prop_map(PortIndex)
}
fn station() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}
fn ternary<T: Scalar + Ones + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Ternary<T>> {
    (value, any::<u64>()).prop_map(|(value, mask)| {
        let mask = mask & T::ONES.to_number();
        let value = T::from_number(value.to_number() & mask).unwrap();
        Ternary {
            value,
            mask: T::from_number(mask).unwrap(),
        }
    })
}
fn prefix() -> impl Strategy<Value = Prefix> {
    (any::<u32>(), 0..=32u8).prop_map(|(bits, length)| {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        Prefix::new(Ipv4Addr::from_bits(bits & mask), length).unwrap()
    })
}

/// Any entry of any table.
fn entry() -> impl Strategy<Value = Entry> {
    let endpoint = prop_oneof![
        (address(), any::<u16>())
            .prop_map(|(address, udp_port)| EndpointAction::Director { address, udp_port }),
        any::<u16>().prop_map(|udp_port| EndpointAction::Gateway { udp_port }),
        Just(EndpointAction::Nothing),
    ];
    let policy_key = (
        1..=i32::MAX as u32,
        ternary(any::<u16>()),
        (ternary(address()), ternary(address())),
        ternary(any::<u8>()),
        (ternary(any::<u16>()), ternary(any::<u16>())),
    )
        .prop_map(
            |(priority, community, (source, destination), protocol, (source_port, destination_port))| {
                PolicyKey {
                    priority,
                    community,
                    source,
                    destination,
                    protocol,
                    source_port,
                    destination_port,
                }
            },
        );
    let seal_to = (
        any::<u32>(),
        address(),
        any::<u16>(),
        address(),
        address(),
        any::<u16>(),
    )
        .prop_map(
            |(sa, address, port, director, pseudo, mtu)| MemberAction::SealTo {
                sa,
                address,
                port,
                director,
                pseudo,
                mtu,
            },
        );
    let hop = prop_oneof![
        port().prop_map(|port| RouteAction::OnLink { port }),
        (port(), address()).prop_map(|(port, gateway)| RouteAction::Via { port, gateway }),
    ];
    prop_oneof![
        endpoint.prop_map(|action| Entry::Endpoint(EndpointKey {}, action)),
        (port(), station(), address()).prop_map(|(port, station, address)| Entry::IngressPort(
            IngressPortKey { port },
            AcceptBy { station, address }
        )),
        (pseudo(), address(), any::<u16>(), community()).prop_map(
            |(source_member, address, port, community)| {
                Entry::Sender(
                    SenderKey { source_member },
                    Authorise {
                        address,
                        port,
                        community,
                    },
                )
            }
        ),
        (pseudo(), address(), any::<u16>(), community(), any::<u16>()).prop_map(
            |(destination_member, address, port, community, mtu)| {
                Entry::Session(
                    SessionKey { destination_member },
                    RelayTo {
                        address,
                        port,
                        community,
                        mtu,
                    },
                )
            }
        ),
        (port(), address(), community(), address()).prop_map(|(port, here, community, address)| {
            Entry::LocalDestination(
                LocalDestinationKey { port, address: here },
                ToVirtual { community, address },
            )
        }),
        (port(), address(), community(), address(), address(), address()).prop_map(
            |(port, here, community, address, director, pseudo)| {
                let key = LocalSourceKey {
                    port,
                    address: here,
                    community,
                };
                Entry::LocalSource(
                    key,
                    FromMember {
                        address,
                        director,
                        pseudo,
                    },
                )
            }
        ),
        (
            any::<u32>(),
            any::<u32>(),
            community(),
            address(),
            address(),
            any::<u16>()
        )
            .prop_map(|(spi, sa, community, source, destination, mtu)| {
                Entry::Association(
                    AssociationKey { spi },
                    OpenWith {
                        sa,
                        community,
                        source,
                        destination,
                        mtu,
                    },
                )
            }),
        (
            policy_key,
            prop_oneof![Just(PolicyAction::Allow), Just(PolicyAction::Deny)]
        )
            .prop_map(|(key, action)| Entry::Policy(key, action)),
        (
            community(),
            address(),
            address(),
            prop_oneof![seal_to, Just(MemberAction::AwaitKeys)]
        )
            .prop_map(|(community, source, destination, action)| {
                Entry::Member(
                    MemberKey {
                        community,
                        source,
                        destination,
                    },
                    action,
                )
            }),
        (community(), address(), port(), address()).prop_map(|(community, there, port, address)| {
            Entry::VirtualDestination(
                VirtualDestinationKey {
                    community,
                    address: there,
                },
                Deliver { port, address },
            )
        }),
        (port(), community(), address(), address()).prop_map(|(port, community, there, address)| {
            Entry::VirtualSource(
                VirtualSourceKey {
                    port,
                    community,
                    address: there,
                },
                StandIn { address },
            )
        }),
        (prefix(), hop).prop_map(|(destination, action)| Entry::Route(RouteKey { destination }, action)),
        (port(), address(), station()).prop_map(|(port, address, station)| Entry::Neighbor(
            NeighborKey { port, address },
            Resolve { station }
        )),
        (port(), station())
            .prop_map(|(port, station)| Entry::EgressPort(EgressPortKey { port }, LeaveBy { port, station })),
    ]
}

/// Is a message what the P4Info describes? Written against the P4Info alone.
fn conforms(info: &P4Info, given: &v1::TableEntry) -> Result<(), String> {
    let table = info
        .tables
        .iter()
        .find(|table| table.preamble.as_ref().unwrap().id == given.table_id);
    let table = table.ok_or("no such table")?;
    let fits = |bytes: &[u8], bits: i32| {
        let canonical = !bytes.is_empty() && (bytes.len() == 1 || bytes[0] != 0);
        let number = bytes
            .iter()
            .fold(0u128, |number, octet| number << 8 | u128::from(*octet));
        if canonical && number >> bits == 0 {
            Ok(())
        } else {
            Err(format!("{bytes:?} in {bits} bits"))
        }
    };
    let mut ternary = false;
    for field in &table.match_fields {
        let Some(Match::MatchType(kind)) = field.r#match else {
            return Err("an odd match".into());
        };
        let kind = MatchType::try_from(kind).unwrap();
        ternary |= kind == MatchType::Ternary;
        let mut found = given.r#match.iter().filter(|one| one.field_id == field.id);
        match (kind, found.next().and_then(|one| one.field_match_type.as_ref())) {
            (MatchType::Exact, Some(FieldMatchType::Exact(exact))) => fits(&exact.value, field.bitwidth)?,
            (MatchType::Exact, None) if given.is_default_action => {}
            (MatchType::Lpm, Some(FieldMatchType::Lpm(lpm))) => fits(&lpm.value, field.bitwidth)?,
            (MatchType::Ternary, Some(FieldMatchType::Ternary(one))) => {
                fits(&one.value, field.bitwidth)?;
                fits(&one.mask, field.bitwidth)?;
            }
            (MatchType::Lpm | MatchType::Ternary, None) => {}
            other => return Err(format!("{}: {other:?}", field.name)),
        }
    }
    if given
        .r#match
        .iter()
        .any(|one| !table.match_fields.iter().any(|field| field.id == one.field_id))
    {
        return Err("an unknown field".into());
    }
    if ternary != (given.priority > 0) {
        return Err("priority".into());
    }
    let Some(Type::Action(call)) = given.action.as_ref().and_then(|action| action.r#type.as_ref()) else {
        return Err("no action".into());
    };
    if !table.action_refs.iter().any(|one| one.id == call.action_id) {
        return Err("not the table's action".into());
    }
    let action = info
        .actions
        .iter()
        .find(|action| action.preamble.as_ref().unwrap().id == call.action_id)
        .unwrap();
    if action.params.len() != call.params.len() {
        return Err("number of parameters".into());
    }
    for param in &action.params {
        let given = call
            .params
            .iter()
            .find(|one| one.param_id == param.id)
            .ok_or("a parameter is missing")?;
        fits(&given.value, param.bitwidth)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_entry_comes_back_and_is_what_the_p4info_describes(one in entry()) {
        let message = encode(&one);
        prop_assert_eq!(decode(&message), Ok(one));
        prop_assert_eq!(decode_key(&message), Ok(one.key()));
        prop_assert_eq!(conforms(ids::p4info(), &message), Ok(()));
    }

    #[test]
    fn leading_zeros_change_nothing(one in entry(), zeros in 1..20usize) {
        let mut message = encode(&one);
        let pad = |bytes: &mut Vec<u8>| drop(bytes.splice(0..0, vec![0; zeros]));
        for field in &mut message.r#match {
            match field.field_match_type.as_mut().unwrap() {
                FieldMatchType::Exact(exact) => pad(&mut exact.value),
                FieldMatchType::Lpm(lpm) => pad(&mut lpm.value),
                FieldMatchType::Ternary(ternary) => { pad(&mut ternary.value); pad(&mut ternary.mask) }
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(decode(&message), Ok(one));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(
        table in prop_oneof![any::<u32>(), proptest::sample::select(Table::ALL).prop_map(Table::id)],
        fields in proptest::collection::vec((0..8u32, any::<Vec<u8>>(), any::<Vec<u8>>(), any::<i32>(), 0..4u8), 0..8),
        priority: i32,
    ) {
        let fields = fields.into_iter().map(|(field_id, value, mask, prefix_len, kind)| {
            let kind = match kind {
                0 => FieldMatchType::Exact(field_match::Exact { value }),
                1 => FieldMatchType::Ternary(field_match::Ternary { value, mask }),
                2 => FieldMatchType::Lpm(field_match::Lpm { value, prefix_len }),
                _ => FieldMatchType::Range(field_match::Range { low: value, high: mask }),
            };
            v1::FieldMatch { field_id, field_match_type: Some(kind) }
        });
        let message = v1::TableEntry { table_id: table, r#match: fields.collect(), priority, ..Default::default() };
        if let Ok(key) = decode_key(&message) {
            // Whatever is believed is believed in its canonical form too.
            prop_assert_eq!(decode_key(&encode_key(&key)), Ok(key));
        }
    }
}

#[test]
fn every_table_of_the_p4info_has_its_type_with_all_its_fields() {
    let info = ids::p4info();
    assert_eq!(info.tables.len(), Table::ALL.len());
    for table in &info.tables {
        let preamble = table.preamble.as_ref().unwrap();
        let ours = Table::from_id(preamble.id).unwrap();
        assert_eq!(ours.name(), preamble.alias);
        assert_eq!(ours.size() as i64, table.size);
        let (counter, meter) = (0x13, 0x15);
        let has = |prefix| table.direct_resource_ids.iter().any(|id| id >> 24 == prefix);
        assert_eq!(
            (ours.has_counter(), ours.has_meter()),
            (has(counter), has(meter)),
            "{}",
            ours.name()
        );
    }
}
