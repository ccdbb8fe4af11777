//! Any datagrams to a director, raw or sealed under a member's key: no answer longer than its request, and without a good
//! cookie no session.
#![no_main]

use kith_director::server::{Director, DirectorConfig, Grant, PoolRange};
use kith_director::{DirectorKey, Time};
use kith_wire::control::{self, Control, KeyId};
use kith_wire::shim::PseudoIp;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, SocketAddrV4};

fn director() -> Director {
    let first = PseudoIp::new(0xf000_0000).expect("not zero");
    let config = DirectorConfig::new(Ipv4Addr::new(203, 0, 113, 10), PoolRange { first, count: 16 });
    let Ok(mut director) = Director::new(config, [1; 32]) else { unreachable!("the default configuration is good") };
    let grant = Grant {
        key_id: KeyId(1),
        key: DirectorKey::new([2; 32]),
        community: 1,
        reserved: None,
        name: "alice".into(),
    };
    let Ok(()) = director.add_grant(Time::ZERO, grant) else { unreachable!("the first grant") };
    director
}

fuzz_target!(|data: &[u8]| {
    let mut director = director();
    let from = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), 40_000);
    for (at, chunk) in data.chunks(control::LEN).enumerate() {
        let now = Time::from_millis(at as u64);
        let mut raw = chunk.to_vec();
        let _verdict = director.datagram(now, from, &mut raw);
        assert_eq!(raw.len(), chunk.len());
        // The same fields under the member's key: authentic, but with a cookie nobody was given.
        if let Some(message) = Control::parse(chunk).ok().and_then(|read| read.authenticate(|_, _| true)) {
            let mut sealed = DirectorKey::new([2; 32]).seal(&Control { key_id: KeyId(1), ..message });
            let _verdict = director.datagram(now, from, &mut sealed);
        }
    }
    assert_eq!(director.occupancy().sessions, 0, "no cookie, no session");
});
