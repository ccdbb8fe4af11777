//! Both ways to agree on keys, whichever an end begins with.

use crate::assert_conserved;
use crate::common::{ADDRESS, Net, privileged};
use kith_agent::keying::Method;
use kith_agent::status::{self, KeyState, PeerStatus, Rekey};
use std::time::Duration;

/// Both ends come to say that the keys in use were agreed on in this way, and that nothing else is under way.
fn assert_method(net: &Net, by: Method) {
    net.until("both use such keys", Duration::from_secs(10), |net| {
        let peers = [0, 1].map(|which| net.status(which).peers.remove(0));
        let wanted = (KeyState::Up, Some(by), by == Method::Ike);
        let is_so = |peer: &PeerStatus| (peer.keys, peer.method, peer.tunnel.is_some()) == wanted;
        peers.iter().all(is_so)
    });
}

/// Has one end replace the keys, and waits until both use others.
fn replace(net: &Net, which: usize) {
    let spis = |net: &Net| [0, 1].map(|end| net.status(end).peers[0].spi_out);
    let before = spis(net);
    let what = Rekey {
        own: None,
        peer: ADDRESS[1 - which].into(),
        ike: false,
    };
    status::rekey(&net.socket(which), what).unwrap();
    net.until("both seal with other keys", Duration::from_secs(10), |net| {
        let now = spis(net);
        now.iter().zip(&before).all(|(now, before)| now != before)
    });
}

#[test]
fn members_that_do_without_ike_ping_fetch_files_and_replace_their_keys() {
    if !privileged() {
        return;
    }
    let mut net = Net::with_keying(1500, ["ticket"; 2]);
    net.until("packets pass", Duration::from_secs(5), |net| net.pings(0));
    net.good(1, &format!("ping -c 3 -i 0.2 -W 1 {}", ADDRESS[0]));
    assert_method(&net, Method::Ticket);
    for which in 0..2 {
        assert_eq!(net.status(which).peers[0].agreements, 1, "one exchange is enough");
    }
    for which in 0..2 {
        net.serve(which, 10);
        net.fetch(1 - which);
        replace(&net, which);
        net.fetch(1 - which);
    }
    assert_method(&net, Method::Ticket);
    for which in 0..2 {
        assert_conserved(|| net.status(which));
    }
}

#[test]
fn who_begins_with_one_method_is_answered_by_who_begins_with_the_other() {
    if !privileged() {
        return;
    }
    for (first, by) in [(0, Method::Ticket), (1, Method::Ike)] {
        let mut net = Net::with_keying(1500, ["ticket", "ike"]);
        net.until("packets pass", Duration::from_secs(5), |net| net.pings(first));
        assert!(net.pings(1 - first));
        assert_method(&net, by);
        net.serve(first, 5);
        net.fetch(1 - first);
        // Keys are replaced in the way of those in use, by whichever end.
        for which in 0..2 {
            replace(&net, which);
            assert_method(&net, by);
            net.fetch(1 - first);
        }
        for which in 0..2 {
            assert_conserved(|| net.status(which));
        }
    }
}
