//! From what was written to what can run: every contradiction, at once.

use super::{AgentConfig, Location, Via};
use kith_pipeline::host::virtual_mtu;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;

/// A configuration without contradictions. Only [`AgentConfig::validate`] makes one.
pub struct Validated(AgentConfig);

/// One contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Which field, as a path.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// All contradictions of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<Mistake>);

impl std::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistake(s)", self.0.len())?;
        for mistake in &self.0 {
            write!(f, "\n  {}: {}", mistake.field, mistake.message)?;
        }
        Ok(())
    }
}

impl Deref for Validated {
    type Target = AgentConfig;

    fn deref(&self) -> &AgentConfig {
        &self.0
    }
}

impl Validated {
    /// MTU of the virtual adapter.
    #[must_use]
    pub fn adapter_mtu(&self) -> u16 {
        self.0.mtu.unwrap_or(virtual_mtu(self.0.path_mtu))
    }
}

/// RFC 791: every network takes packets of 68 octets, every host of 576; below that nothing sensible runs.
const MIN_PATH_MTU: u16 = 576;

impl AgentConfig {
    /// Checks all fields against each other.
    pub fn validate(self) -> Result<Validated, Invalid> {
        let mut mistakes = Vec::new();
        let mut wrong = |field: &str, message: String| {
            mistakes.push(Mistake {
                field: field.into(),
                message,
            });
        };
        self.check_own(&mut wrong);
        self.check_director(&mut wrong);
        self.check_peers(&mut wrong);
        if mistakes.is_empty() {
            Ok(Validated(self))
        } else {
            Err(Invalid(mistakes))
        }
    }

    fn check_own(&self, wrong: &mut impl FnMut(&str, String)) {
        if self.name.is_empty() {
            wrong(
                "name",
                "give the member's full name, like alice.acme.example".into(),
            );
        }
        if !self.pool.has_host(self.address) {
            wrong(
                "address",
                format!("{} is no host address of the pool {}", self.address, self.pool),
            );
        }
        // IFNAMSIZ with its final zero.
        let letters = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
        if self.tun.is_empty() || self.tun.len() > 15 || !self.tun.chars().all(letters) {
            wrong(
                "tun",
                "an adapter name has 1 to 15 letters, digits, dashes".into(),
            );
        }
        if self.udp.port == 0 {
            wrong("udp.port", "give a port; 20202 is usual".into());
        }
        if self.path_mtu < MIN_PATH_MTU {
            wrong("path_mtu", format!("{} is below {MIN_PATH_MTU}", self.path_mtu));
        } else if let Some(mtu) = self.mtu
            && !(MIN_PATH_MTU - 102..=virtual_mtu(self.path_mtu)).contains(&mtu)
        {
            let (least, most) = (MIN_PATH_MTU - 102, virtual_mtu(self.path_mtu));
            wrong(
                "mtu",
                format!(
                    "{mtu} must be {least} to {most} for a path MTU of {}",
                    self.path_mtu
                ),
            );
        }
        if let Location::Public { public } = self.location
            && (public.ip().is_unspecified() || public.port() == 0)
        {
            wrong(
                "location.public",
                "give the address and port that others send to".into(),
            );
        }
    }

    fn check_director(&self, wrong: &mut impl FnMut(&str, String)) {
        match (self.location, &self.director) {
            (Location::Director { director, .. }, None) => wrong(
                "director",
                format!("location says behind {director}: give the session there (address, key_id, key)"),
            ),
            (Location::Director { director, .. }, Some(session)) => {
                if director != session.address {
                    let there = session.address;
                    wrong(
                        "location.director",
                        format!("{director} is not where the session is: {there}"),
                    );
                }
                if session.sender_only {
                    wrong(
                        "director.sender_only",
                        "a member behind a NAT must be reached: remove it".into(),
                    );
                }
            }
            (Location::Public { .. }, _) => {}
        }
        if let Some(director) = &self.director {
            if director.key.is_trivial() {
                wrong(
                    "director.key",
                    "take a random secret: openssl rand -hex 32".into(),
                );
            }
            if director.keep_alive_ms.is_some_and(|ms| ms < 100) {
                wrong("director.keep_alive_ms", "at least 100".into());
            }
        }
    }

    fn check_peers(&self, wrong: &mut impl FnMut(&str, String)) {
        let mut seen = HashMap::from([(self.address, "this member")]);
        for (at, peer) in self.peers.iter().enumerate() {
            let field = |name: &str| format!("peers[{at}].{name} ({})", peer.name);
            if !self.pool.has_host(peer.address) {
                wrong(
                    &field("address"),
                    format!("{} is no host address of the pool {}", peer.address, self.pool),
                );
            }
            if let Some(other) = seen.insert(peer.address, &peer.name) {
                wrong(&field("address"), format!("{} is taken by {other}", peer.address));
            }
            if peer.psk.is_trivial() {
                wrong(&field("psk"), "take a random secret: openssl rand -hex 32".into());
            }
            if let Via::Director { director, .. } = peer.via {
                match &self.director {
                    Some(session) if session.address == director => {}
                    // A director relays only for those who have a session there.
                    _ => wrong(
                        &field("via.director"),
                        format!("this member has no session at {director}: add one under director:"),
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::EXAMPLE;

    fn mistakes(changes: &[(&str, &str)]) -> Vec<String> {
        let mut text = EXAMPLE.to_string();
        for (from, to) in changes {
            assert!(text.contains(from));
            text = text.replacen(from, to, 1);
        }
        let written: AgentConfig = serde_saphyr::from_str(&text).unwrap();
        let invalid = written
            .validate()
            .err()
            .map_or_else(Vec::new, |invalid| invalid.0);
        invalid.into_iter().map(|mistake| mistake.field).collect()
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let found = mistakes(&[
            ("address: 10.77.0.1", "address: 10.78.0.1"),
            ("address: 10.77.0.3", "address: 10.77.0.2"),
            ("pool:", "path_mtu: 500\npool:"),
        ]);
        assert_eq!(
            found,
            ["address", "path_mtu", "peers[1].address (bob.acme.example)"]
        );
    }

    #[test]
    fn a_peer_behind_a_director_without_session_is_refused() {
        let found = mistakes(&[(
            "via: { director: \"203.0.113.10:20202\"",
            "via: { director: \"203.0.113.11:20202\"",
        )]);
        assert_eq!(found, ["peers[1].via.director (bob.acme.example)"]);
    }

    #[test]
    fn trivial_secrets_are_refused() {
        let found = mistakes(&[(
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef0",
            &"ab".repeat(32),
        )]);
        assert_eq!(found, ["peers[0].psk (carol.acme.example)"]);
    }

    #[test]
    fn the_adapter_mtu_is_what_the_path_takes() {
        let written: AgentConfig = serde_saphyr::from_str(EXAMPLE).unwrap();
        assert_eq!(written.validate().map(|c| c.adapter_mtu()).unwrap(), 1398);
    }
}
