//! Security associations of the crypto block as Rust types ⇄ `ExternEntry` messages (specification 1.4, section 9.8).
//!
//! Problem: the P4 program names a security association by its index and knows nothing of keys, which have to come from the
//! controller all the same, and must not stay behind anywhere on their way. Idea: an extern instance, `security_associations`,
//! as PNA's `ipsec_accelerator` is one; its entries hold `kith.v1.SecurityAssociation`.
//!
//! ```text
//!  INSERT ExternEntry { Any { direction, index, spi, cipher, key, salt, soft, hard } }      Update::InstallAssociation
//!  DELETE ExternEntry { Any { direction, index } }                                          Update::RemoveAssociation
//!  READ   ExternEntry { Any { direction?, index? } }  ─► all of it but key and salt         AssociationState
//! ```
//!
//! Keys: both messages wipe themselves when they are dropped, and print nothing of what is inside. What HTTP/2 and the kernel keep in
//! their buffers is theirs.

use crate::entry::EntryError;
use crate::ids::externs;
use crate::proto::{kith, v1};
use kith_esp::{Bounds, Limits, Millis, SaKeys, Spi};
use kith_pipeline::units::SaIndex;
use prost::Message;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The extern instance's name.
pub const NAME: &str = "security_associations";
const TYPE_URL: &str = "type.googleapis.com/kith.v1.SecurityAssociation";

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Sealed, under entries of `member`.
    Outbound,
    /// Opened, under entries of `association`.
    Inbound,
}

/// What names an association. The two directions have a numbering each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssociationKey {
    /// Which way.
    pub direction: Direction,
    /// The number that entries name it by.
    pub index: SaIndex,
}

/// What seals, with how long a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-128-GCM with an ICV of 16 octets (RFC 4106).
    Aes128Gcm16,
    /// The same with AES-256.
    Aes256Gcm16,
}

/// An association to install. Clones share the keys, which are wiped with the last of them, and never printed.
#[derive(Clone)]
pub struct Association {
    /// Where.
    pub key: AssociationKey,
    /// What its packets carry.
    pub spi: Spi,
    /// How long it may serve.
    pub limits: Limits,
    keys: Arc<SaKeys>,
}

/// An association as it is now, without keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssociationState {
    /// Where.
    pub key: AssociationKey,
    /// What its packets carry.
    pub spi: Spi,
    /// With what they are sealed.
    pub cipher: Cipher,
    /// How long it may serve.
    pub limits: Limits,
    /// Packets sealed, or opened with a good tag.
    pub packets: u64,
    /// Their octets: payload, padding, trailer.
    pub octets: u64,
    /// Their AES blocks.
    pub blocks: u64,
    /// Packets opened that were dummies (RFC 4303 section 2.6): the other side is alive.
    pub dummies: u64,
    /// Since it was installed.
    pub age: Millis,
    /// A soft limit is reached: a successor is due.
    pub soft: bool,
    /// A hard limit is reached: nothing goes any more.
    pub hard: bool,
    /// Whose it is.
    pub worker: u16,
}

/// What a read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssociationFilter {
    /// Of this direction; none: of both.
    pub direction: Option<Direction>,
    /// With this number; none: all.
    pub index: Option<SaIndex>,
}

impl Association {
    /// An association to install. The keys are taken: they serve once.
    #[must_use]
    pub fn new(key: AssociationKey, spi: Spi, keys: SaKeys, limits: Limits) -> Self {
        let keys = Arc::new(keys);
        Self {
            key,
            spi,
            limits,
            keys,
        }
    }

    /// With what its packets are sealed.
    #[must_use]
    pub fn cipher(&self) -> Cipher {
        // Four octets are the salt.
        match self.keys.keymat().len() {
            20 => Cipher::Aes128Gcm16,
            _ => Cipher::Aes256Gcm16,
        }
    }

    /// Key and salt for the one who installs it.
    #[must_use]
    pub fn keys(&self) -> SaKeys {
        let keys = SaKeys::from_keymat(&self.keys.keymat());
        keys.unwrap_or_else(|_| unreachable!("the octets are those of such keys"))
    }

    /// The key alone, to be recognised should it come again.
    pub(crate) fn secret(&self) -> Zeroizing<Vec<u8>> {
        let mut keymat = self.keys.keymat();
        let len = keymat.len().saturating_sub(4);
        keymat[len..].zeroize();
        keymat.truncate(len);
        keymat
    }

    /// As a message.
    #[must_use]
    pub fn encode(&self) -> v1::ExternEntry {
        let keymat = self.keys.keymat();
        let (key, salt) = keymat.split_at(keymat.len() - 4);
        let mut message = self.key.message();
        message.spi = self.spi.get();
        message.cipher = self.cipher().number();
        message.key = key.to_vec();
        message.salt = salt.to_vec();
        message.soft = Some(limits_message(self.limits.soft()));
        message.hard = Some(limits_message(self.limits.hard()));
        wrap(&message)
    }

    /// From a message.
    ///
    /// # Errors
    /// If it makes no association.
    pub fn decode(given: &v1::ExternEntry) -> Result<Self, EntryError> {
        let given = unwrap(given)?.ok_or(invalid(
            "the entry is missing; send a kith.v1.SecurityAssociation",
        ))?;
        let key = AssociationKey::of(&given)?;
        let spi = Spi::new(given.spi).map_err(|_| {
            invalid("spi is below 256, which RFC 4303 section 2.1 reserves; take a higher one")
        })?;
        let len = match kith::Cipher::try_from(given.cipher) {
            Ok(kith::Cipher::Aes128Gcm16) => 16,
            Ok(kith::Cipher::Aes256Gcm16) => 32,
            _ => {
                return Err(invalid(
                    "cipher is unknown; take AES_128_GCM_16 or AES_256_GCM_16",
                ));
            }
        };
        if given.key.len() != len {
            let what = "key is not as long as the cipher's; send 16 octets for AES_128_GCM_16, 32 for AES_256_GCM_16";
            return Err(invalid(what));
        }
        if given.salt.len() != 4 {
            return Err(invalid("salt is not 4 octets long, as RFC 4106 section 4 has it"));
        }
        if given.state.is_some() {
            return Err(invalid("state is the dataplane's to say; leave it out"));
        }
        let keymat = Zeroizing::new([&given.key[..], &given.salt[..]].concat());
        let keys = SaKeys::from_keymat(&keymat).map_err(|_| invalid("key is of no cipher's length"))?;
        let limits = limits(given.soft.as_ref(), given.hard.as_ref())?;
        Ok(Self::new(key, spi, keys, limits))
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("key", &self.key)
            .field("spi", &self.spi)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Keys are compared in constant time.
impl PartialEq for Association {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
            && self.spi == other.spi
            && self.limits == other.limits
            && bool::from(self.keys.keymat().ct_eq(&other.keys.keymat()))
    }
}

impl Eq for Association {}

impl AssociationKey {
    /// As a message that names the association and no more.
    #[must_use]
    pub fn encode(self) -> v1::ExternEntry {
        wrap(&self.message())
    }

    /// From a message; only the name counts.
    ///
    /// # Errors
    /// If it names none.
    pub fn decode(given: &v1::ExternEntry) -> Result<Self, EntryError> {
        let given = unwrap(given)?.ok_or(invalid("the entry is missing; send direction and index"))?;
        Self::of(&given)
    }

    fn of(given: &kith::SecurityAssociation) -> Result<Self, EntryError> {
        let direction =
            direction(given.direction)?.ok_or(invalid("direction is missing; take OUTBOUND or INBOUND"))?;
        let index = given.index.ok_or(invalid("index is missing; 0 is one as well"))?;
        Ok(Self {
            direction,
            index: SaIndex(index),
        })
    }

    fn message(self) -> kith::SecurityAssociation {
        named(Some(self.direction), Some(self.index))
    }
}

impl std::fmt::Display for AssociationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.direction, self.index.0)
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        })
    }
}

impl std::fmt::Display for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
        })
    }
}

impl Cipher {
    fn number(self) -> i32 {
        match self {
            Self::Aes128Gcm16 => kith::Cipher::Aes128Gcm16.into(),
            Self::Aes256Gcm16 => kith::Cipher::Aes256Gcm16.into(),
        }
    }
}

impl AssociationState {
    /// As a message.
    #[must_use]
    pub fn encode(&self) -> v1::ExternEntry {
        let mut message = self.key.message();
        message.spi = self.spi.get();
        message.cipher = self.cipher.number();
        message.soft = Some(limits_message(self.limits.soft()));
        message.hard = Some(limits_message(self.limits.hard()));
        message.state = Some(kith::State {
            packets: self.packets,
            octets: self.octets,
            dummies: self.dummies,
            age_ms: self.age.0,
            soft: self.soft,
            hard: self.hard,
            worker: self.worker.into(),
            blocks: self.blocks,
        });
        wrap(&message)
    }

    /// From a message.
    ///
    /// # Errors
    /// If it is no answer to a read.
    pub fn decode(given: &v1::ExternEntry) -> Result<Self, EntryError> {
        let given = unwrap(given)?.ok_or(invalid("the entry is missing"))?;
        let state = given.state.as_ref().ok_or(invalid("state is missing"))?;
        let cipher = match kith::Cipher::try_from(given.cipher) {
            Ok(kith::Cipher::Aes128Gcm16) => Cipher::Aes128Gcm16,
            Ok(kith::Cipher::Aes256Gcm16) => Cipher::Aes256Gcm16,
            _ => return Err(invalid("cipher is unknown")),
        };
        Ok(Self {
            key: AssociationKey::of(&given)?,
            spi: Spi::new(given.spi).map_err(|_| invalid("spi is below 256"))?,
            cipher,
            limits: limits(given.soft.as_ref(), given.hard.as_ref())?,
            packets: state.packets,
            octets: state.octets,
            blocks: state.blocks,
            dummies: state.dummies,
            age: Millis(state.age_ms),
            soft: state.soft,
            hard: state.hard,
            worker: u16::try_from(state.worker).unwrap_or(u16::MAX),
        })
    }
}

impl AssociationFilter {
    /// Is this one asked for?
    #[must_use]
    pub fn passes(&self, key: AssociationKey) -> bool {
        self.direction.is_none_or(|direction| direction == key.direction)
            && self.index.is_none_or(|index| index == key.index)
    }

    /// As a message.
    #[must_use]
    pub fn encode(self) -> v1::ExternEntry {
        wrap(&named(self.direction, self.index))
    }

    /// From a message: no id and no entry ask for everything.
    ///
    /// # Errors
    /// If it asks for another extern, or for what cannot be asked for.
    pub fn decode(given: &v1::ExternEntry) -> Result<Self, EntryError> {
        let Some(given) = unwrap(given)? else {
            return Ok(Self::default());
        };
        Ok(Self {
            direction: direction(given.direction)?,
            index: given.index.map(SaIndex),
        })
    }
}

fn named(direction: Option<Direction>, index: Option<SaIndex>) -> kith::SecurityAssociation {
    let direction = match direction {
        None => kith::Direction::Unspecified,
        Some(Direction::Outbound) => kith::Direction::Outbound,
        Some(Direction::Inbound) => kith::Direction::Inbound,
    };
    kith::SecurityAssociation::new(direction, index.map(|index| index.0))
}

fn invalid(what: &'static str) -> EntryError {
    EntryError::Invalid { place: NAME, what }
}

fn wrap(message: &kith::SecurityAssociation) -> v1::ExternEntry {
    v1::ExternEntry::of(
        externs::IPSEC_ACCELERATOR,
        externs::SECURITY_ASSOCIATIONS,
        prost_types::Any {
            type_url: TYPE_URL.to_owned(),
            value: message.encode_to_vec(),
        },
    )
}

/// What is inside; none if nothing is.
fn unwrap(given: &v1::ExternEntry) -> Result<Option<kith::SecurityAssociation>, EntryError> {
    if given.extern_type_id != 0 && given.extern_type_id != externs::IPSEC_ACCELERATOR {
        let (what, id) = ("extern type", given.extern_type_id);
        return Err(EntryError::UnknownObject { what, id });
    }
    if given.extern_id != 0 && given.extern_id != externs::SECURITY_ASSOCIATIONS {
        let (what, id) = ("extern instance", given.extern_id);
        return Err(EntryError::UnknownObject { what, id });
    }
    let Some(any) = &given.entry else { return Ok(None) };
    if any.type_url != TYPE_URL {
        let what = "the entry is of another type; send type.googleapis.com/kith.v1.SecurityAssociation";
        return Err(invalid(what));
    }
    let read = kith::SecurityAssociation::decode(&any.value[..]);
    read.map(Some)
        .map_err(|_| invalid("the entry is no kith.v1.SecurityAssociation, although its type says so"))
}

fn direction(number: i32) -> Result<Option<Direction>, EntryError> {
    match kith::Direction::try_from(number) {
        Ok(kith::Direction::Unspecified) => Ok(None),
        Ok(kith::Direction::Outbound) => Ok(Some(Direction::Outbound)),
        Ok(kith::Direction::Inbound) => Ok(Some(Direction::Inbound)),
        Err(_) => Err(invalid("direction is unknown; take OUTBOUND or INBOUND")),
    }
}

fn limits_message(bounds: Bounds) -> kith::Limits {
    kith::Limits {
        milliseconds: bounds.age.0,
        packets: bounds.packets,
        blocks: bounds.blocks,
        octets: bounds.bytes,
    }
}

/// What is not said is as loose as it may be, a soft limit never looser than the hard one.
fn limits(soft: Option<&kith::Limits>, hard: Option<&kith::Limits>) -> Result<Limits, EntryError> {
    let (soft, hard) = (
        soft.copied().unwrap_or_default(),
        hard.copied().unwrap_or_default(),
    );
    let loosest = Limits::default();
    let or = |said: u64, else_: u64| if said == 0 { else_ } else { said };
    let bounds = |said: kith::Limits, is: Bounds| Bounds {
        packets: or(said.packets, is.packets),
        bytes: or(said.octets, is.bytes),
        blocks: or(said.blocks, is.blocks),
        age: Millis(or(said.milliseconds, is.age.0)),
    };
    let hard = bounds(hard, loosest.hard());
    let least = |of: fn(&Bounds) -> u64| of(&loosest.soft()).min(of(&hard));
    let unsaid = Bounds {
        packets: least(|bounds| bounds.packets),
        bytes: least(|bounds| bounds.bytes),
        blocks: least(|bounds| bounds.blocks),
        age: Millis(least(|bounds| bounds.age.0)),
    };
    Limits::new(bounds(soft, unsaid), hard).map_err(|_| {
        invalid("soft or hard is too loose, or soft above hard; 120 s and 2^35 blocks soft, 180 s and 2^36 - 1 blocks hard are the loosest")
    })
}

#[cfg(test)]
mod tests;
