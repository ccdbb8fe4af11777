//! systemd-resolved: each adapter is told which domains are its, and where to ask for them.
//!
//! `resolvectl` speaks to it over D-Bus; what it was told of an adapter it forgets by itself when the adapter goes.

use super::super::zones::{Zone, Zones};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::sync::oneshot;

/// It is running.
const SOCKET: &str = "/run/systemd/resolve/io.systemd.Resolve";
const PROGRAM: &str = "resolvectl";
/// Longer than this it takes only if it hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does systemd-resolved run here, and can it be told?
#[must_use]
pub fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Path::new(SOCKET).exists() && std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file())
}

/// Tells it of every change, until stopped.
pub async fn run(listen: SocketAddrV4, zones: Zones, mut stop: oneshot::Receiver<()>) {
    let mut changes = zones.changes();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let wanted = domains(&zones.all());
        for (adapter, domains) in &wanted {
            if told.get(adapter) != Some(domains) {
                tell(listen, adapter, domains).await;
            }
        }
        for adapter in told.keys().filter(|adapter| !wanted.contains_key(*adapter)) {
            resolvectl(&["revert", adapter]).await;
        }
        told = wanted;
        tokio::select! {
            _ = &mut stop => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    for adapter in told.keys() {
        resolvectl(&["revert", adapter]).await;
    }
}

async fn tell(listen: SocketAddrV4, adapter: &str, domains: &[String]) {
    let server = if listen.port() == 53 {
        listen.ip().to_string()
    } else {
        listen.to_string()
    };
    let mut with_domains = vec!["domain", adapter];
    with_domains.extend(domains.iter().map(String::as_str));
    // First that it is not for all names: else they would come here for a moment.
    let tellings: [&[&str]; 4] = [
        &["default-route", adapter, "no"],
        &["dnssec", adapter, "no"],
        &with_domains,
        &["dns", adapter, &server],
    ];
    for telling in tellings {
        resolvectl(telling).await;
    }
}

async fn resolvectl(arguments: &[&str]) {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let shown = arguments.join(" ");
    let run = tokio::task::spawn_blocking(move || {
        std::process::Command::new(PROGRAM)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
    });
    let failed = match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(Ok(output))) if output.status.success() => return,
        Ok(Ok(Ok(output))) => io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Ok(Ok(Err(error))) => error,
        Ok(Err(error)) => io::Error::other(error),
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    tracing::warn!(error = %failed, "resolvectl {shown}");
}

/// Which domains are whose: a tilde makes one for routing only, never to complete short names with.
fn domains(zones: &[Zone]) -> BTreeMap<String, Vec<String>> {
    let mut by_adapter = BTreeMap::new();
    for zone in zones {
        let mut domains = vec![format!("~{}", zone.domain)];
        let networks = zone.networks.iter();
        let reverse = networks.flat_map(|network| reverse(network.network().octets(), network.prefix_len()));
        domains.extend(reverse.map(|domain| format!("~{domain}")));
        by_adapter.insert(zone.adapter.clone(), domains);
    }
    by_adapter
}

/// The reverse domains of a network. They end at octets: a network that does not is several domains, or a part of one.
fn reverse(octets: [u8; 4], length: u8) -> Vec<String> {
    // More than 64 domains nobody wants in a list. Then the larger one serves, for the stub knows what is whose.
    let (labels, steps) = match (length / 8, length % 8) {
        (whole, 0) => (whole, 1),
        (3.., _) => (3, 1),
        (whole @ 1.., 1) => (whole, 1),
        (whole, bits) => (whole + 1, 1 << (8 - bits)),
    };
    let labels = usize::from(labels.clamp(1, 3));
    (0..steps)
        .map(|step: u8| {
            let mut octets = octets;
            octets[labels - 1] = octets[labels - 1].saturating_add(step);
            let labels: Vec<String> = octets[..labels].iter().rev().map(ToString::to_string).collect();
            format!("{}.in-addr.arpa", labels.join("."))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_domains_cover_the_network() {
        assert_eq!(reverse([10, 77, 0, 0], 24), ["0.77.10.in-addr.arpa"]);
        assert_eq!(reverse([10, 77, 0, 0], 16), ["77.10.in-addr.arpa"]);
        assert_eq!(reverse([10, 0, 0, 0], 8), ["10.in-addr.arpa"]);
        assert_eq!(
            reverse([10, 77, 4, 0], 22),
            [
                "4.77.10.in-addr.arpa",
                "5.77.10.in-addr.arpa",
                "6.77.10.in-addr.arpa",
                "7.77.10.in-addr.arpa"
            ]
        );
        assert_eq!(reverse([10, 77, 0, 128], 25), ["0.77.10.in-addr.arpa"]);
        assert_eq!(reverse([100, 64, 0, 0], 10).len(), 64);
        assert_eq!(reverse([10, 0, 0, 0], 9), ["10.in-addr.arpa"]);
    }
}
