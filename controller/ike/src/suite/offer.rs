//! What we like, as proposals (RFC 7296 3.3; RFC 9370 2.2.1).

use super::cipher::Cipher;
use super::group::Group;
use super::prf::Prf;
use crate::codec::{IkeSpi, Proposal, Protocol, Transform, TransformKind};
use kith_esp::Spi;
use std::fmt;

/// Algorithms of one IKE security association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeSuite {
    /// Protects messages.
    pub cipher: Cipher,
    /// Makes keys and proofs.
    pub prf: Prf,
    /// Makes the first secret.
    pub group: Group,
    /// Makes the second, in IKE_INTERMEDIATE or IKE_FOLLOWUP_KE.
    pub additional: Option<Group>,
}

/// Algorithms of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspSuite {
    /// Protects packets.
    pub cipher: Cipher,
    /// Sequence numbers of 64 bits.
    pub esn: bool,
    /// A secret of its own; none: its keys hang on those of the IKE security association alone.
    pub group: Option<Group>,
    /// And another, in IKE_FOLLOWUP_KE.
    pub additional: Option<Group>,
}

/// Whether an ML-KEM-768 exchange is to be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Additional {
    /// Neither offered nor taken.
    #[default]
    Off,
    /// Offered first, and taken where offered; without it if the peer has none.
    Offer,
    /// Not without it.
    Require,
}

/// What we accept for IKE, the best first in each list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkePreferences {
    /// At least one.
    pub ciphers: Vec<Cipher>,
    /// At least one.
    pub prfs: Vec<Prf>,
    /// At least one; the first is what an initiator tries.
    pub groups: Vec<Group>,
    /// An additional ML-KEM-768.
    pub additional: Additional,
}

/// What we accept for a child, the best first in each list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspPreferences {
    /// At least one.
    pub ciphers: Vec<Cipher>,
    /// Extended sequence numbers: `[true]` only with, `[true, false]` rather with.
    pub esn: Vec<bool>,
    /// For a secret of its own; empty: none is wanted, and none can be in IKE_AUTH.
    pub groups: Vec<Group>,
    /// An additional ML-KEM-768; only together with `groups`.
    pub additional: Additional,
}

impl Default for IkePreferences {
    fn default() -> Self {
        Self {
            ciphers: vec![Cipher::Aes256Gcm16, Cipher::Aes128Gcm16],
            prfs: vec![Prf::HmacSha256, Prf::HmacSha384],
            groups: vec![Group::X25519, Group::P256],
            additional: Additional::Off,
        }
    }
}

impl Default for EspPreferences {
    fn default() -> Self {
        Self {
            ciphers: vec![Cipher::Aes256Gcm16, Cipher::Aes128Gcm16],
            esn: vec![true, false],
            groups: vec![Group::X25519, Group::P256],
            additional: Additional::Off,
        }
    }
}

impl IkePreferences {
    /// As proposals; `spi` is ours, and is said when rekeying only (RFC 7296 3.3.1).
    #[must_use]
    pub fn proposals(&self, spi: Option<IkeSpi>) -> Vec<Proposal> {
        let spi = spi.map_or_else(Vec::new, |spi| spi.to_octets().to_vec());
        proposals(Protocol::Ike, &spi, &self.wanted())
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            kinds: vec![
                (
                    TransformKind::ENCR,
                    self.ciphers.iter().map(|&c| encryption(c)).collect(),
                ),
                (
                    TransformKind::PRF,
                    self.prfs
                        .iter()
                        .map(|p| Transform::new(TransformKind::PRF, p.id()))
                        .collect(),
                ),
                (TransformKind::KE, exchanges(&self.groups)),
            ],
            additional: self.additional,
        }
    }
}

impl EspPreferences {
    /// As proposals; `spi` is the one on which we shall receive.
    #[must_use]
    pub fn proposals(&self, spi: Spi) -> Vec<Proposal> {
        proposals(Protocol::Esp, &spi.get().to_be_bytes(), &self.wanted())
    }

    /// The same without a key exchange: for the child of IKE_AUTH, which cannot have one (RFC 7296 1.2).
    #[must_use]
    pub fn without_exchange(&self) -> Self {
        Self {
            groups: Vec::new(),
            additional: Additional::Off,
            ..self.clone()
        }
    }

    /// The same without the additional exchange, which in CREATE_CHILD_SA would need IKE_FOLLOWUP_KE (RFC 9370 2.2.4).
    #[must_use]
    pub fn without_additional(&self) -> Self {
        Self {
            additional: Additional::Off,
            ..self.clone()
        }
    }

    pub(super) fn wanted(&self) -> Wanted {
        let mut kinds = vec![(
            TransformKind::ENCR,
            self.ciphers.iter().map(|&c| encryption(c)).collect(),
        )];
        if !self.groups.is_empty() {
            kinds.push((TransformKind::KE, exchanges(&self.groups)));
        }
        let esn = self
            .esn
            .iter()
            .map(|&esn| Transform::new(TransformKind::ESN, u16::from(esn)))
            .collect();
        kinds.push((TransformKind::ESN, esn));
        let additional = if self.groups.is_empty() {
            Additional::Off
        } else {
            self.additional
        };
        Wanted { kinds, additional }
    }
}

/// Kinds of transforms and what we take of each, the best first.
pub(super) struct Wanted {
    pub(super) kinds: Vec<(TransformKind, Vec<Transform>)>,
    pub(super) additional: Additional,
}

/// The additional exchange, if it is one.
pub(super) fn additional() -> Transform {
    Transform::new(TransformKind::ADDKE1, Group::MlKem768.id())
}

/// With the additional exchange and without are two proposals: a peer that does not know the kind of a transform must refuse the
/// whole proposal (RFC 7296 3.3.6), and an answer without it would not be one of ours.
fn proposals(protocol: Protocol, spi: &[u8], wanted: &Wanted) -> Vec<Proposal> {
    let plain: Vec<Transform> = wanted
        .kinds
        .iter()
        .flat_map(|(_, transforms)| transforms)
        .copied()
        .collect();
    let with = || plain.iter().copied().chain([additional()]).collect();
    let lists = match wanted.additional {
        Additional::Off => vec![plain],
        Additional::Offer => vec![with(), plain],
        Additional::Require => vec![with()],
    };
    // RFC 7296 3.3.1: numbers from one on.
    (1..)
        .zip(lists)
        .map(|(number, transforms)| Proposal {
            number,
            protocol,
            spi: spi.to_vec(),
            transforms,
        })
        .collect()
}

/// RFC 7296 3.3.5, RFC 4106 8.4: with its key length, and one transform for each.
fn encryption(cipher: Cipher) -> Transform {
    Transform {
        key_bits: Some(cipher.key_bits()),
        ..Transform::new(TransformKind::ENCR, Cipher::ID)
    }
}

fn exchanges(groups: &[Group]) -> Vec<Transform> {
    groups
        .iter()
        .map(|group| Transform::new(TransformKind::KE, group.id()))
        .collect()
}

impl fmt::Display for IkeSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, {}",
            self.cipher.name(),
            self.prf.name(),
            self.group.name()
        )?;
        self.additional
            .map_or(Ok(()), |group| write!(f, " + {}", group.name()))
    }
}

impl fmt::Display for EspSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}-bit sequence",
            self.cipher.name(),
            if self.esn { 64 } else { 32 }
        )?;
        self.group
            .map_or(Ok(()), |group| write!(f, ", {}", group.name()))?;
        self.additional
            .map_or(Ok(()), |group| write!(f, " + {}", group.name()))
    }
}
