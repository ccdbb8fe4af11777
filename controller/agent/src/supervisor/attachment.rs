//! Looks after what the computer is attached to, and tells the membership when that changes.
//!
//! The system is asked every second: a look at its interfaces and at one route costs some ten microseconds, and serves wired, wireless and containers
//! alike.

use super::member::Message;
use crate::lans;
use crate::manager::Manager;
use crate::manager::membership::{Input, Network};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often the system is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long a manager's name stands for the same address, and how soon it is looked up again if it could not be.
const RESOLVED: Duration = Duration::from_secs(60);
const UNRESOLVED: Duration = Duration::from_secs(5);

/// A manager's name, looked up.
struct Resolved {
    until: Instant,
    address: Option<SocketAddrV4>,
}

/// Tells of the networks seen from this manager, until the membership ends. `adapter` is its own one, and does not count.
pub async fn watch(manager: Manager, adapter: String, inbox: mpsc::Sender<Message>) {
    let own = [adapter];
    let mut known: Option<Option<Network>> = None;
    let mut resolved = resolve(&manager, None).await;
    loop {
        if Instant::now() >= resolved.until {
            resolved = resolve(&manager, resolved.address).await;
        }
        let seen = resolved
            .address
            .and_then(|address| lans::seen_from(address, &own).ok());
        if known.as_ref() != Some(&seen) {
            if inbox
                .send(Message::Input(Input::Network(seen.clone())))
                .await
                .is_err()
            {
                return;
            }
            known = Some(seen);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The address of its name. While it cannot be looked up, the last one serves: only the route there matters.
async fn resolve(manager: &Manager, before: Option<SocketAddrV4>) -> Resolved {
    let host = manager.host.trim_matches(['[', ']']);
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        let until = Instant::now() + Duration::from_secs(86_400);
        return Resolved {
            until,
            address: Some(SocketAddrV4::new(address, manager.port)),
        };
    }
    let found = tokio::net::lookup_host((host, manager.port)).await;
    let first = found.ok().and_then(|mut found| {
        found.find_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        })
    });
    let wait = if first.is_some() { RESOLVED } else { UNRESOLVED };
    Resolved {
        until: Instant::now() + wait,
        address: first.or(before),
    }
}
