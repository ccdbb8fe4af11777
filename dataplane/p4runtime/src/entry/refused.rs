//! What the standard calls wrong, one by one.

use super::*;
use crate::ids;
use crate::proto::v1::field_match::{self, FieldMatchType};
use kith_pipeline::units::CommunityIndex;
use kith_wire::shim::PseudoIp;
use std::net::Ipv4Addr;
use tonic::Code;

fn code(base: Entry, change: impl FnOnce(&mut v1::TableEntry)) -> Code {
    let mut message = encode(&base);
    change(&mut message);
    let error = decode(&message).unwrap_err();
    assert!(error.to_string().len() > 20, "an error speaks: {error}");
    error.code()
}

fn session() -> Entry {
    let key = SessionKey {
        destination_member: PseudoIp::new(5).unwrap(),
    };
    let community = CommunityIndex::new(7).unwrap();
    Entry::Session(
        key,
        RelayTo {
            address: Ipv4Addr::LOCALHOST,
            port: 9,
            community,
            mtu: 1400,
        },
    )
}

fn rule() -> Entry {
    let any = Ternary::any();
    let key = PolicyKey {
        priority: 3,
        community: Ternary::exact(7),
        source: Ternary::any(),
        destination: Ternary::any(),
        protocol: Ternary::any(),
        source_port: any,
        destination_port: any,
    };
    Entry::Policy(key, PolicyAction::Allow)
}

fn route() -> Entry {
    let destination = Prefix::new(Ipv4Addr::new(10, 0, 0, 0), 8).unwrap();
    Entry::Route(
        RouteKey { destination },
        RouteAction::OnLink { port: PortIndex(1) },
    )
}

fn call(entry: &mut v1::TableEntry) -> &mut v1::Action {
    match entry.action.as_mut().unwrap().r#type.as_mut().unwrap() {
        Type::Action(action) => action,
        other => panic!("{other:?}"),
    }
}

fn exact(value: &[u8]) -> Option<FieldMatchType> {
    Some(FieldMatchType::Exact(field_match::Exact {
        value: value.to_vec(),
    }))
}

#[test]
fn keys() {
    assert_eq!(
        code(session(), |it| it.table_id = 1),
        Code::NotFound,
        "an unknown table"
    );
    assert_eq!(
        code(session(), |it| it.r#match[0].field_id = 2),
        Code::InvalidArgument,
        "an unknown field"
    );
    assert_eq!(
        code(session(), |it| it.r#match.clear()),
        Code::InvalidArgument,
        "a missing exact field"
    );
    assert_eq!(
        code(session(), |it| it.r#match.push(it.r#match[0].clone())),
        Code::InvalidArgument,
        "a field given twice"
    );
    let wide = |it: &mut v1::TableEntry| it.r#match[0].field_match_type = exact(&[1, 0, 0, 0, 0]);
    assert_eq!(code(session(), wide), Code::OutOfRange, "33 bits in 32");
    assert_eq!(
        code(session(), |it| it.r#match[0].field_match_type = exact(&[])),
        Code::OutOfRange,
        "no octet"
    );
    assert_eq!(
        code(session(), |it| it.r#match[0].field_match_type = exact(&[0])),
        Code::OutOfRange,
        "no address"
    );
    assert_eq!(
        code(rule(), |it| it.r#match[0].field_match_type = exact(&[7])),
        Code::InvalidArgument,
        "exact"
    );
}

#[test]
fn priorities() {
    assert_eq!(
        code(session(), |it| it.priority = 1),
        Code::InvalidArgument,
        "on an exact table"
    );
    assert_eq!(
        code(rule(), |it| it.priority = 0),
        Code::InvalidArgument,
        "none on a ternary table"
    );
    assert_eq!(code(rule(), |it| it.priority = -1), Code::InvalidArgument);
}

#[test]
fn masks_and_prefixes() {
    let ternary = |value: &[u8], mask: &[u8]| {
        let one = field_match::Ternary {
            value: value.to_vec(),
            mask: mask.to_vec(),
        };
        code(rule(), |it| {
            it.r#match[0].field_match_type = Some(FieldMatchType::Ternary(one))
        })
    };
    assert_eq!(
        ternary(&[0], &[0]),
        Code::InvalidArgument,
        "matches everything: leave it out"
    );
    assert_eq!(
        ternary(&[3], &[2]),
        Code::InvalidArgument,
        "a bit beside the mask"
    );
    assert_eq!(ternary(&[1, 0, 0], &[1, 0, 0]), Code::OutOfRange);
    let lpm = |value: &[u8], prefix_len| {
        let one = field_match::Lpm {
            value: value.to_vec(),
            prefix_len,
        };
        code(route(), |it| {
            it.r#match[0].field_match_type = Some(FieldMatchType::Lpm(one))
        })
    };
    assert_eq!(
        lpm(&[0], 0),
        Code::InvalidArgument,
        "matches everything: leave it out"
    );
    assert_eq!(
        lpm(&[10, 0, 0, 1], 8),
        Code::InvalidArgument,
        "a bit behind the prefix"
    );
    assert_eq!(lpm(&[10, 0, 0, 0], 33), Code::InvalidArgument);
    assert_eq!(lpm(&[10, 0, 0, 0], -1), Code::InvalidArgument);
    let everything = {
        let mut message = encode(&route());
        message.r#match.clear();
        decode(&message).unwrap()
    };
    assert_eq!(
        everything.key(),
        Key::Route(RouteKey {
            destination: Prefix::new([0; 4].into(), 0).unwrap()
        })
    );
}

#[test]
fn actions() {
    assert_eq!(code(session(), |it| it.action = None), Code::InvalidArgument);
    let profile = Some(v1::TableAction {
        r#type: Some(Type::ActionProfileMemberId(1)),
    });
    assert_eq!(code(session(), |it| it.action = profile), Code::InvalidArgument);
    assert_eq!(
        code(session(), |it| call(it).action_id = ids::action::VIA),
        Code::InvalidArgument,
        "another's"
    );
    assert_eq!(
        code(session(), |it| call(it).action_id = ids::action::NOACTION),
        Code::PermissionDenied,
        "only a default"
    );
    assert_eq!(
        code(session(), |it| drop(call(it).params.pop())),
        Code::InvalidArgument,
        "one is missing"
    );
    assert_eq!(
        code(session(), |it| call(it).params[0].param_id = 9),
        Code::InvalidArgument,
        "one is unknown"
    );
    let twice = |it: &mut v1::TableEntry| call(it).params[1].param_id = 1;
    assert_eq!(
        code(session(), twice),
        Code::InvalidArgument,
        "one is there twice"
    );
    assert_eq!(
        code(session(), |it| call(it).params[1].value = vec![1, 0, 0]),
        Code::OutOfRange
    );
    assert_eq!(
        code(session(), |it| call(it).params[2].value = vec![0]),
        Code::OutOfRange,
        "community 0"
    );
    assert_eq!(
        code(route(), |it| call(it).params[0].value = vec![1, 0]),
        Code::OutOfRange,
        "port 256"
    );
}

#[test]
fn default_actions() {
    let of_session = |it: &mut v1::TableEntry| it.is_default_action = true;
    assert_eq!(
        code(session(), of_session),
        Code::PermissionDenied,
        "a constant one"
    );
    let endpoint = Entry::Endpoint(EndpointKey {}, EndpointAction::Gateway { udp_port: 1 });
    assert_eq!(
        code(endpoint, |it| it.is_default_action = false),
        Code::InvalidArgument,
        "an entry without key"
    );
}
