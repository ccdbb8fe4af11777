//! What holds for any message, and for any octets.

use super::super::arbitrary::{changed_message, header, payloads};
use super::super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was(header in header(), payloads in payloads()) {
        let octets = encode_clear(&header, &payloads);
        let datagram = parse(&octets);
        prop_assert_eq!(datagram, Ok(Datagram { header, body: Body::Clear(payloads.clone()), octets: &octets }));
        let (first, chain) = encode_chain(&payloads);
        prop_assert_eq!(parse_chain(first, &chain), Ok(payloads));
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..300), first: u8) {
        let _ = parse(&octets);
        let _ = parse_chain(PayloadKind(first), &octets);
        let _ = Ticket::parse(&octets);
    }

    /// Nearly right is where mistakes hide: whatever is taken after a change, is written and taken again as the same.
    #[test]
    fn a_changed_message_is_refused_or_means_what_it_says(
        octets in changed_message()
    ) {
        if let Ok(Datagram { header, body: Body::Clear(payloads), .. }) = parse(&octets) {
            let again = encode_clear(&header, &payloads);
            if !unknown_attributes(&payloads) {
                let datagram = parse(&again);
                prop_assert_eq!(datagram, Ok(Datagram { header, body: Body::Clear(payloads), octets: &again }));
            }
        }
    }
}

/// Attributes that we do not know are not written again.
fn unknown_attributes(payloads: &[Payload]) -> bool {
    payloads.iter().any(|payload| match payload {
        Payload::Sa(proposals) => proposals
            .iter()
            .flat_map(|p| &p.transforms)
            .any(|t| t.unknown_attribute),
        _ => false,
    })
}
