//! Narrowing: the responder takes of the offered traffic what its terms allow (RFC 7296 section 2.9).

use crate::codec::Selector;

/// Selectors kept at most; more are of no use to anybody.
const MOST: usize = 16;

/// What is in both lists. Empty: TS_UNACCEPTABLE.
pub(crate) fn narrow(offered: &[Selector], allowed: &[Selector]) -> Vec<Selector> {
    let mut out: Vec<Selector> = Vec::new();
    for offer in offered {
        for allow in allowed {
            let Some(both) = offer.intersect(allow) else {
                continue;
            };
            if out.len() < MOST && !out.iter().any(|known| contains(known, &both)) {
                out.retain(|known| !contains(&both, known));
                out.push(both);
            }
        }
    }
    out
}

/// Is all of `inner` in `outer`? What a responder answers must be within what was offered.
pub(crate) fn within(inner: &[Selector], outer: &[Selector]) -> bool {
    !inner.is_empty()
        && inner
            .iter()
            .all(|one| outer.iter().any(|whole| contains(whole, one)))
}

fn contains(outer: &Selector, inner: &Selector) -> bool {
    outer.intersect(inner).is_some_and(|both| both == *inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Range;
    use std::slice::from_ref;

    fn narrowed(offered: &[&Selector], allowed: &Selector) -> Vec<Selector> {
        let offered: Vec<Selector> = offered.iter().copied().cloned().collect();
        narrow(&offered, from_ref(allowed))
    }

    fn v4(from: &str, to: &str, protocol: u8, ports: (u16, u16)) -> Selector {
        Selector {
            protocol,
            ports,
            addresses: Range::V4(from.parse().unwrap(), to.parse().unwrap()),
        }
    }

    #[test]
    fn what_both_want_is_taken_and_nothing_else() {
        let all = v4("0.0.0.0", "255.255.255.255", 0, (0, 65535));
        let net = v4("10.1.0.0", "10.1.255.255", 0, (0, 65535));
        let web = v4("10.1.2.3", "10.1.2.3", 6, (80, 80));
        assert_eq!(narrowed(&[&all], &net), *from_ref(&net));
        assert_eq!(
            narrowed(&[&web, &all], &net),
            *from_ref(&net),
            "one is within the other"
        );
        assert_eq!(narrowed(&[&net], &web), *from_ref(&web));
        let others = [
            v4("10.2.0.0", "10.2.0.1", 0, (0, 65535)),
            v4("10.1.2.3", "10.1.2.3", 17, (80, 80)),
            v4("10.1.2.3", "10.1.2.3", 6, (81, 90)),
        ];
        assert!(narrow(&others, &[web]).is_empty());
    }

    #[test]
    fn an_answer_must_be_within_the_offer() {
        let net = v4("10.1.0.0", "10.1.255.255", 0, (0, 65535));
        let one = v4("10.1.2.3", "10.1.2.3", 0, (0, 65535));
        assert!(within(from_ref(&one), from_ref(&net)));
        assert!(!within(from_ref(&net), &[one]));
        assert!(!within(&[], &[net]), "no traffic at all is no answer");
    }
}
