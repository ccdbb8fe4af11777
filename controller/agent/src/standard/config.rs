//! What the operator writes, and what it becomes: files read, names parsed, contradictions found.
//!
//! ```yaml
//! listen: 192.0.2.1                  # our address; UDP 500 and 4500 are bound there
//! adapter: kith-std0
//! address: 10.0.1.1                  # ours inside the tunnels
//! peers:
//! - name: branch
//!   remote: 198.51.100.1             # without it, only the peer can begin
//!   own_id: gateway.kith.example     # a domain name, an e-mail or an IPv4 address
//!   peer_id: branch.kith.example
//!   psk: "a long secret"             # or: certificate, key, authorities, as PEM files
//!   local: [10.0.1.0/24]
//!   remote_nets: [10.0.2.0/24]
//!   start: at-once                   # or on-traffic, or wait
//! ```

use crate::config::Prefix;
use kith_esp::{Bounds, Limits, Millis};
use kith_ike::auth::{Anchors, AuthError, OwnProof, PeerProof, SigningKey};
use kith_ike::codec::{Identity, Selector};
use kith_ike::suite::{Additional, EspPreferences, IkePreferences};
use kith_ike::{ChildTerms, Config, Mode, Nat, Terms, Timing};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Between the age at which a pair is to be replaced and that at which it is refused, milliseconds.
const TO_REPLACE: u64 = 60_000;
/// IPv4 and UDP headers around ESP.
const OUTER: u16 = 28;

/// What can run.
pub struct StandardConfig {
    /// Where UDP 500 and 4500 are bound.
    pub listen: Ipv4Addr,
    /// Name of the virtual adapter.
    pub adapter: String,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// The largest packet that it takes.
    pub mtu: u16,
    /// Where requests are answered.
    pub socket: Option<PathBuf>,
    /// For the IKE endpoint.
    pub ike: Config,
    /// How long a pair of ESP SAs lives.
    pub limits: Limits,
    /// At least one.
    pub peers: Vec<Peer>,
}

/// One peer.
pub struct Peer {
    /// What operators call it.
    pub name: String,
    /// Where it is, if we know.
    pub remote: Option<Ipv4Addr>,
    /// Who it says it is.
    pub id: Identity,
    /// Who we say we are, proofs, networks.
    pub terms: Arc<Terms>,
    /// Networks behind it.
    pub remote_nets: Vec<Prefix>,
    /// When to begin.
    pub start: Start,
}

/// When to begin with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// When the program starts, and again whenever the peer is lost.
    #[default]
    AtOnce,
    /// With the first packet for it.
    OnTraffic,
    /// Never: it begins.
    Wait,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is not YAML of this shape.
    #[error("{0}: {1}")]
    Syntax(PathBuf, String),
    /// It contradicts itself.
    #[error("{0}: {1}")]
    Field(String, &'static str),
    /// A key or certificate cannot be used.
    #[error("{0}: {1}")]
    Proof(PathBuf, AuthError),
    /// A file is no PEM of the kind that is wanted.
    #[error("{0}: {1}; a key is wanted as PKCS#8 (openssl pkcs8 -topk8 -nocrypt), certificates as PEM")]
    Pem(PathBuf, rustls_pki_types::pem::Error),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    listen: Ipv4Addr,
    #[serde(default = "default_adapter")]
    adapter: String,
    #[serde(default)]
    address: Option<Ipv4Addr>,
    /// The largest outer packet.
    #[serde(default = "default_path_mtu")]
    path_mtu: u16,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    encapsulation: Encapsulation,
    #[serde(default)]
    additional_exchange: bool,
    #[serde(default)]
    cookies_from: Option<usize>,
    /// Octets of the largest IKE datagram.
    #[serde(default)]
    fragment_size: Option<usize>,
    #[serde(default)]
    lifetimes: Lifetimes,
    peers: Vec<WrittenPeer>,
}

/// Whether ESP is in UDP even where no translator needs it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Encapsulation {
    /// The peer is told so: everything works, whatever the peer would do else.
    #[default]
    Always,
    /// Only if one of both finds a translator. A peer that would send ESP bare is not understood.
    Detect,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Lifetimes {
    /// Milliseconds until a pair of ESP SAs is replaced, 120,000 at most.
    child_ms: Option<u64>,
    /// Milliseconds until the IKE SA is replaced.
    ike_ms: Option<u64>,
    /// Nothing heard for so long: the peer is asked.
    liveness_ms: Option<u64>,
    /// Repetitions before it is given up.
    tries: Option<u32>,
}

/// A shared secret as text; wiped when dropped.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
struct Psk(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPeer {
    name: String,
    #[serde(default)]
    remote: Option<Ipv4Addr>,
    own_id: String,
    peer_id: String,
    #[serde(default)]
    psk: Option<Psk>,
    #[serde(default)]
    certificate: Option<PathBuf>,
    #[serde(default)]
    key: Option<PathBuf>,
    #[serde(default)]
    authorities: Vec<PathBuf>,
    local: Vec<Prefix>,
    remote_nets: Vec<Prefix>,
    #[serde(default)]
    start: Start,
}

impl StandardConfig {
    /// Reads a file, and the files that it names.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(path: &Path) -> Result<Self, Invalid> {
        let text =
            Zeroizing::new(std::fs::read_to_string(path).map_err(|error| Invalid::Read(path.into(), error))?);
        // Without a snippet of the text around the place: that may hold a secret.
        let written: Written = serde_saphyr::from_str(&text)
            .map_err(|error| Invalid::Syntax(path.into(), error.without_snippet().to_string()))?;
        written.validate()
    }
}

impl Written {
    fn validate(self) -> Result<StandardConfig, Invalid> {
        let wrong = |field: &str, what| Err(Invalid::Field(field.into(), what));
        if self.listen.is_unspecified() {
            return wrong(
                "listen",
                "give the address itself: it is part of what finds translators",
            );
        }
        let letters = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
        if self.adapter.is_empty() || self.adapter.len() > 15 || !self.adapter.chars().all(letters) {
            return wrong("adapter", "an adapter name has 1 to 15 letters, digits, dashes");
        }
        if self.path_mtu < 576 {
            return wrong("path_mtu", "at least 576");
        }
        if self.peers.is_empty() {
            return wrong("peers", "name at least one");
        }
        if self.fragment_size.is_some_and(|size| size < 300) {
            return wrong("fragment_size", "at least 300");
        }
        let limits = self.lifetimes.limits()?;
        let mut config = Config::new(self.preferences(), self.encapsulation.into());
        config.timing = self.lifetimes.timing();
        config.cookies_from = self.cookies_from.unwrap_or(config.cookies_from);
        config.max_datagram = self.fragment_size.unwrap_or(config.max_datagram);
        let mut authorities = Vec::new();
        let mut peers: Vec<Peer> = Vec::with_capacity(self.peers.len());
        for written in self.peers {
            let field = written.name.clone();
            let peer = written.validate(&mut authorities)?;
            if peers
                .iter()
                .any(|other| other.name == peer.name || other.id.same(&peer.id))
            {
                return wrong(&field, "another peer has this name or identity");
            }
            peers.push(peer);
        }
        if !authorities.is_empty() {
            let all = Anchors::from_der(&authorities);
            let all = all.map_err(|error| Invalid::Proof("authorities".into(), error))?;
            config.authorities = Some(Arc::new(all));
        }
        Ok(StandardConfig {
            listen: self.listen,
            adapter: self.adapter,
            address: self.address,
            mtu: inner_mtu(self.path_mtu),
            socket: self.socket,
            ike: config,
            limits,
            peers,
        })
    }

    fn preferences(&self) -> IkePreferences {
        IkePreferences {
            additional: if self.additional_exchange {
                Additional::Offer
            } else {
                Additional::Off
            },
            ..IkePreferences::default()
        }
    }
}

impl From<Encapsulation> for Nat {
    fn from(encapsulation: Encapsulation) -> Self {
        match encapsulation {
            Encapsulation::Always => Self::Pretend,
            Encapsulation::Detect => Self::Detect,
        }
    }
}

impl Lifetimes {
    fn limits(&self) -> Result<Limits, Invalid> {
        let loosest = Limits::default();
        let soft = self.child_ms.map_or(loosest.soft().age, Millis);
        let age = |bounds: Bounds, age| Bounds { age, ..bounds };
        // The peer seals with the old pair until it is closed: there must be time to agree on a new one and hand over.
        let hard = Millis(soft.0.saturating_add(TO_REPLACE).min(loosest.hard().age.0));
        Limits::new(age(loosest.soft(), soft), age(loosest.hard(), hard))
            .map_err(|_| Invalid::Field("lifetimes.child_ms".into(), "at most 120000"))
    }

    fn timing(&self) -> Timing {
        let mut timing = Timing::default();
        if let Some(soft) = self.ike_ms {
            timing.ike_soft = soft;
            timing.ike_hard = soft.saturating_mul(2);
        }
        timing.liveness = self.liveness_ms.unwrap_or(timing.liveness);
        timing.repeat_tries = self.tries.unwrap_or(timing.repeat_tries);
        timing
    }
}

impl WrittenPeer {
    /// `all`: authorities of all peers.
    fn validate(self, all: &mut Vec<Vec<u8>>) -> Result<Peer, Invalid> {
        let wrong = |field: &str, what| Err(Invalid::Field(format!("{}.{field}", self.name), what));
        if self.local.is_empty() || self.remote_nets.is_empty() {
            return wrong("local, remote_nets", "name at least one network on each side");
        }
        if self.remote.is_none() && self.start != Start::Wait {
            return wrong("remote", "say where it is, or start: wait");
        }
        let (Some(own), Some(id)) = (identity(&self.own_id), identity(&self.peer_id)) else {
            return wrong(
                "own_id, peer_id",
                "a domain name, an e-mail address or an IPv4 address",
            );
        };
        let files = (&self.certificate, &self.key, self.authorities.as_slice());
        let (proof, peer_proof) = match (&self.psk, files) {
            (Some(psk), (None, None, [])) if psk.0.len() >= 16 => {
                let secret = || Zeroizing::new(psk.0.as_bytes().to_vec());
                (OwnProof::Psk(secret()), PeerProof::Psk(secret()))
            }
            (Some(_), (None, None, [])) => return wrong("psk", "take a random secret: openssl rand -hex 32"),
            (None, (Some(certificate), Some(key), [_, ..])) => {
                signature(certificate, key, &self.authorities, all)?
            }
            _ => return wrong("psk", "give psk, or certificate, key and authorities"),
        };
        let selectors = |nets: &[Prefix]| nets.iter().copied().map(selector).collect();
        let child = ChildTerms {
            suites: EspPreferences::default(),
            mode: Mode::Tunnel,
            local: selectors(&self.local),
            remote: selectors(&self.remote_nets),
        };
        let terms = Terms {
            own,
            proof,
            peer_proof,
            child,
        };
        Ok(Peer {
            name: self.name,
            remote: self.remote,
            id,
            terms: Arc::new(terms),
            remote_nets: self.remote_nets,
            start: self.start,
        })
    }
}

fn signature(
    certificate: &Path,
    key: &Path,
    authorities: &[PathBuf],
    all: &mut Vec<Vec<u8>>,
) -> Result<(OwnProof, PeerProof), Invalid> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |error| Invalid::Pem(path, error)
    };
    let secret = PrivatePkcs8KeyDer::from_pem_file(key).map_err(pem(key))?;
    let signing = SigningKey::from_pkcs8(secret.secret_pkcs8_der())
        .map_err(|error| Invalid::Proof(key.into(), error))?;
    let read = |path: &Path| -> Result<Vec<Vec<u8>>, Invalid> {
        let all = CertificateDer::pem_file_iter(path).map_err(pem(path))?;
        all.map(|one| one.map(|der| der.to_vec()).map_err(pem(path)))
            .collect()
    };
    let chain = read(certificate)?;
    let mut anchors = Vec::new();
    for path in authorities {
        anchors.extend(read(path)?);
    }
    all.extend_from_slice(&anchors);
    let anchors =
        Anchors::from_der(&anchors).map_err(|error| Invalid::Proof(authorities[0].clone(), error))?;
    let own = OwnProof::Signature {
        key: Arc::new(signing),
        chain,
    };
    Ok((own, PeerProof::Certificate(Arc::new(anchors))))
}

/// As operators write it. A name of the other kinds (a distinguished name, a key identifier) has no form here.
fn identity(text: &str) -> Option<Identity> {
    if let Ok(address) = text.parse() {
        return Some(Identity::Ipv4(address));
    }
    let good = !text.is_empty() && text.len() <= 253 && !text.contains(['=', ' ', ':']);
    good.then(|| match text.contains('@') {
        true => Identity::Email(text.into()),
        false => Identity::Fqdn(text.into()),
    })
}

fn selector(prefix: Prefix) -> Selector {
    let first = prefix.network().to_bits();
    let host = u32::MAX.checked_shr(prefix.prefix_len().into()).unwrap_or(0);
    Selector::v4(prefix.network(), Ipv4Addr::from_bits(first | host))
}

/// What fits in ESP in UDP in an outer packet: padding makes whole words of it and its two octets of trailer.
fn inner_mtu(path_mtu: u16) -> u16 {
    let around = (kith_esp::HEADER_LEN + kith_esp::ICV_LEN) as u16;
    ((path_mtu - OUTER - around) & !3) - 2
}

fn default_adapter() -> String {
    "kith-std0".into()
}

fn default_path_mtu() -> u16 {
    1500
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "
listen: 192.0.2.1
address: 10.0.1.1
peers:
- name: branch
  remote: 198.51.100.1
  own_id: gateway.kith.example
  peer_id: branch@kith.example
  psk: correct horse battery staple
  local: [10.0.1.0/24]
  remote_nets: [10.0.2.0/24, 0.0.0.0/0]
";

    fn load(text: &str) -> Result<StandardConfig, String> {
        let written: Written = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        written.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_is_good() {
        let config = load(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
        let peer = &config.peers[0];
        assert_eq!(peer.start, Start::AtOnce);
        assert_eq!(peer.id, Identity::Email("branch@kith.example".into()));
        let first = |from: &str, to: &str| Selector::v4(from.parse().unwrap(), to.parse().unwrap());
        assert_eq!(
            peer.terms.child.remote,
            [
                first("10.0.2.0", "10.0.2.255"),
                first("0.0.0.0", "255.255.255.255")
            ]
        );
    }

    #[test]
    fn contradictions_are_found() {
        for (from, to, told) in [
            ("listen: 192.0.2.1", "listen: 0.0.0.0", "listen"),
            ("psk: correct horse battery staple", "psk: short", "branch.psk"),
            ("  psk: correct horse battery staple\n", "", "branch.psk"),
            ("  remote: 198.51.100.1\n", "", "branch.remote"),
            ("local: [10.0.1.0/24]", "local: []", "branch.local"),
            (
                "own_id: gateway.kith.example",
                "own_id: CN=gateway",
                "branch.own_id",
            ),
            (
                "address:",
                "lifetimes: { child_ms: 120001 }\naddress:",
                "lifetimes",
            ),
            ("address:", "path_mtu: 500\naddress:", "path_mtu"),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = load(&EXAMPLE.replacen(from, to, 1)).err().unwrap_or_default();
            assert!(error.starts_with(told), "{to}: {error}");
        }
    }

    #[test]
    fn what_the_adapter_takes_fits_the_path_once_sealed() {
        for path_mtu in 576..=1600 {
            let inner = usize::from(inner_mtu(path_mtu));
            let outer = |len: usize| len + kith_esp::sealed_overhead(len) + usize::from(OUTER);
            assert!(outer(inner) <= path_mtu.into() && outer(inner + 4) > path_mtu.into());
        }
    }
}
