//! Looks after what the computer is attached to, and tells the membership when that changes.
//!
//! The kernel says when an address, a link or a route has changed ([`super::netlink`]); then, when all that belongs together has come, and
//! every half minute in case it said nothing, the system is looked at: its interfaces and one route, some ten microseconds.

use super::member::Message;
use super::netlink::{Changed, Changes};
use crate::lans;
use crate::manager::Manager;
use crate::manager::membership::{Input, Network};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often the system is looked at though nothing is said; and if nothing ever will be.
const EVERY: Duration = Duration::from_secs(30);
const EVERY_WITHOUT: Duration = Duration::from_secs(1);
/// An address goes, another comes, routes follow: all within this time.
const SETTLED: Duration = Duration::from_millis(20);
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
    let changes = Changes::open().inspect_err(
        |error| tracing::warn!(%error, "the kernel does not tell of changes: the network is looked at every second"),
    );
    let mut changes = changes.ok();
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
        let changed = changed(&mut changes, resolved.until).await;
        let rerouted = changed.is_some_and(|changed| changed.default_route);
        if rerouted && inbox.send(Message::Rerouted).await.is_err() {
            return;
        }
    }
}

/// Waits until something has changed, or it is time to look all the same.
async fn changed(changes: &mut Option<Changes>, until: Instant) -> Option<Changed> {
    let Some(telling) = changes else {
        tokio::time::sleep(EVERY_WITHOUT).await;
        return None;
    };
    let at_most = EVERY.min(until.saturating_duration_since(Instant::now()));
    let first = tokio::time::timeout(at_most, telling.next()).await.ok()?;
    tokio::time::sleep(SETTLED).await;
    let both = first.and_then(|first| Ok((first, telling.so_far()?.unwrap_or_default())));
    match both {
        Ok((first, then)) => Some(Changed {
            default_route: first.default_route || then.default_route,
        }),
        Err(error) => {
            tracing::warn!(%error, "the kernel tells of no changes any more: the network is looked at every second");
            *changes = None;
            None
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use std::process::Command;

    fn ip(words: &str) {
        let done = Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(done.success(), "ip {words}");
    }

    async fn next(inbox: &mut mpsc::Receiver<Message>) -> Option<Message> {
        tokio::time::timeout(Duration::from_millis(900), inbox.recv())
            .await
            .ok()?
    }

    /// Changes that follow each other closely may be told in one or in two.
    async fn until_local(inbox: &mut mpsc::Receiver<Message>, wanted: Option<Ipv4Addr>) -> bool {
        while let Some(message) = next(inbox).await {
            if let Message::Input(Input::Network(network)) = message
                && network.map(|network| network.local) == wanted
            {
                return true;
            }
        }
        false
    }

    #[test]
    fn another_address_and_another_default_route_are_told_at_once() {
        let there = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; it takes root");
            ip("link add wan type veth peer name far");
            ip("link set far up");
            ip("addr add 192.0.2.1/24 dev wan");
            ip("link set wan up");
            ip("route add default via 192.0.2.254");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let manager = Manager {
                    host: "203.0.113.5".into(),
                    port: 443,
                    fingerprint: [0; 32],
                };
                let (sender, mut inbox) = mpsc::channel(64);
                let watching = tokio::spawn(watch(manager, "kith0".into(), sender));
                assert!(until_local(&mut inbox, Some(Ipv4Addr::new(192, 0, 2, 1))).await);
                // In the order of those who move from one network to another.
                ip("addr del 192.0.2.1/24 dev wan");
                assert!(until_local(&mut inbox, None).await, "no way to the manager");
                ip("addr add 198.51.100.1/24 dev wan");
                ip("route add default via 198.51.100.254");
                assert!(until_local(&mut inbox, Some(Ipv4Addr::new(198, 51, 100, 1))).await);
                // The same address, another way out.
                while next(&mut inbox).await.is_some() {}
                ip("route replace default via 198.51.100.253");
                assert!(matches!(next(&mut inbox).await, Some(Message::Rerouted)));
                watching.abort();
            });
        });
        there.join().unwrap();
    }
}
