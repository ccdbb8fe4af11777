//! Any octets as an IKE message, as what was inside SK, and as a ticket: read or refused; what is read is written as it was meant.
#![no_main]

use kith_ike::codec::{Body, Payload, PayloadKind, Ticket, encode_chain, encode_clear, parse, parse_chain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(datagram) = parse(data)
        && let Body::Clear(payloads) = &datagram.body
        && all_written(payloads)
    {
        let again = encode_clear(&datagram.header, payloads);
        assert_eq!(
            parse(&again).map(|again| (again.header, again.body)),
            Ok((datagram.header, datagram.body))
        );
    }
    if let Some((first, chain)) = data.split_first()
        && let Ok(payloads) = parse_chain(PayloadKind(*first), chain)
        && all_written(&payloads)
    {
        let (first, again) = encode_chain(&payloads);
        assert_eq!(parse_chain(first, &again), Ok(payloads));
    }
    if let Ok(ticket) = Ticket::parse(data) {
        assert_eq!(ticket.encode().and_then(|data| Ticket::parse(&data)), Ok(ticket));
    }
});

/// Attributes that we do not know are not written again.
fn all_written(payloads: &[Payload]) -> bool {
    !payloads.iter().any(|payload| match payload {
        Payload::Sa(proposals) => proposals
            .iter()
            .flat_map(|p| &p.transforms)
            .any(|t| t.unknown_attribute),
        _ => false,
    })
}
