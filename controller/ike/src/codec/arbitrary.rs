//! Any messages, for the property tests of this crate.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Any header.
pub(crate) fn header() -> impl Strategy<Value = Header> {
    (
        any::<u64>(),
        any::<u64>(),
        any::<u8>(),
        any::<bool>(),
        any::<bool>(),
        any::<u32>(),
    )
        .prop_map(
            |(initiator, responder, exchange, from_initiator, response, id)| Header {
                initiator_spi: IkeSpi(initiator),
                responder_spi: IkeSpi(responder),
                exchange: Exchange::from_u8(exchange),
                from_initiator,
                response,
                message_id: MessageId(id),
            },
        )
}

/// Any payloads that may stand in one chain.
pub(crate) fn payloads() -> impl Strategy<Value = Vec<Payload>> {
    vec(payload(), 0..8)
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..80)
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        vec(proposal(), 1..4).prop_map(Payload::Sa),
        (any::<u16>(), octets()).prop_map(|(group, data)| Payload::KeyExchange(KeyExchange { group, data })),
        identity().prop_map(Payload::IdInitiator),
        identity().prop_map(Payload::IdResponder),
        (any::<u8>(), octets()).prop_map(|(encoding, data)| Payload::Certificate { encoding, data }),
        (any::<u8>(), octets()).prop_map(|(encoding, data)| Payload::CertificateRequest { encoding, data }),
        (any::<u8>(), octets()).prop_map(|(method, data)| Payload::Auth { method, data }),
        vec(any::<u8>(), limits::NONCE).prop_map(Payload::Nonce),
        (protocol(), vec(any::<u8>(), 0..9), any::<u16>(), octets()).prop_map(
            |(protocol, spi, kind, data)| {
                Payload::Notify(Notify {
                    protocol,
                    spi,
                    kind: NotifyKind(kind),
                    data,
                })
            }
        ),
        Just(Payload::Delete(Delete::Ike)),
        vec(any::<u32>(), 0..=limits::SPIS).prop_map(|spis| Payload::Delete(Delete::Esp(spis))),
        vec(any::<u32>(), 0..3).prop_map(|spis| Payload::Delete(Delete::Ah(spis))),
        octets().prop_map(Payload::VendorId),
        vec(selector(), 0..4).prop_map(Payload::SelectorsInitiator),
        vec(selector(), 0..4).prop_map(Payload::SelectorsResponder),
        octets().prop_map(Payload::Configuration),
        octets().prop_map(Payload::Eap),
        (unknown_kind(), any::<bool>(), octets()).prop_map(|(kind, critical, data)| Payload::Unknown {
            kind,
            critical,
            data
        }),
    ]
}

fn unknown_kind() -> impl Strategy<Value = u8> {
    prop_oneof![1..33u8, 49..53u8, 54..=255u8]
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (
        any::<u8>(),
        protocol(),
        vec(any::<u8>(), 0..9),
        vec(transform(), 0..6),
    )
        .prop_map(|(number, protocol, spi, transforms)| Proposal {
            number,
            protocol,
            spi,
            transforms,
        })
}

fn transform() -> impl Strategy<Value = Transform> {
    (any::<u8>(), any::<u16>(), any::<Option<u16>>()).prop_map(|(kind, id, key_bits)| Transform {
        key_bits,
        ..Transform::new(TransformKind(kind), id)
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    any::<u8>().prop_map(Protocol::from_u8)
}

fn identity() -> impl Strategy<Value = Identity> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|address| Identity::Ipv4(address.into())),
        any::<[u8; 16]>().prop_map(|address| Identity::Ipv6(address.into())),
        "[a-z0-9.]{1,30}".prop_map(Identity::Fqdn),
        "[a-z]{1,9}@[a-z.]{1,20}".prop_map(Identity::Email),
        octets().prop_map(Identity::DerDn),
        octets().prop_map(Identity::KeyId),
        (12..=255u8, octets()).prop_map(|(kind, value)| Identity::Other(kind, value)),
    ]
}

fn selector() -> impl Strategy<Value = Selector> {
    let ports = any::<(u16, u16)>();
    prop_oneof![
        (any::<u8>(), ports, any::<[[u8; 4]; 2]>()).prop_map(|(protocol, ports, [a, b])| Selector {
            protocol,
            ports,
            addresses: Range::V4(a.into(), b.into())
        }),
        (any::<u8>(), ports, any::<[[u8; 16]; 2]>()).prop_map(|(protocol, ports, [a, b])| Selector {
            protocol,
            ports,
            addresses: Range::V6(a.into(), b.into())
        }),
        (any::<u8>(), 9..=255u8, octets()).prop_map(|(protocol, kind, data)| Selector {
            protocol,
            ports: (0, 0),
            addresses: Range::Other(kind, data)
        }),
    ]
}

/// A message in the clear of which some octets were changed.
pub(super) fn changed_message() -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (header(), payloads(), changes).prop_map(|(header, payloads, changes)| {
        let mut octets = encode_clear(&header, &payloads);
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        octets
    })
}
