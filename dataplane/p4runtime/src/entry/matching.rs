//! Match fields: exact, ternary, longest prefix (specification 1.4, section 9.1.1).

use super::error::{EntryError, ValueError};
use super::value::{Scalar, from_bytes, to_bytes};
use crate::ids::Field;
use crate::proto::v1::{FieldMatch, field_match as kinds, field_match::FieldMatchType};
use std::net::Ipv4Addr;

/// Some bits of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ternary<T> {
    /// What the bits must be; no bit is set that the mask leaves out.
    pub value: T,
    /// Which bits count.
    pub mask: T,
}

/// An IPv4 prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: Ipv4Addr,
    length: u8,
}

/// A type that a match field can have.
pub trait MatchField: Sized {
    /// The match, or nothing if everything matches.
    fn encode(&self, field: Field) -> Option<FieldMatch>;

    /// Reads the match.
    ///
    /// # Errors
    /// If it is not what the field takes.
    fn decode(table: &'static str, field: Field, given: Option<&FieldMatch>) -> Result<Self, EntryError>;
}

impl<T: Scalar> Ternary<T> {
    /// Matches this value only, in a field of `T`'s whole width.
    #[must_use]
    pub fn exact(value: T) -> Self
    where
        T: Ones,
    {
        Self { value, mask: T::ONES }
    }

    /// Matches everything.
    ///
    /// # Panics
    /// Never: every type with [`Ones`] has a zero.
    #[must_use]
    pub fn any() -> Self
    where
        T: Ones,
    {
        Self {
            value: T::ZERO,
            mask: T::ZERO,
        }
    }

    /// Does this value match?
    #[must_use]
    pub fn matches(&self, value: T) -> bool {
        value.to_number() & self.mask.to_number() == self.value.to_number()
    }
}

/// A type whose every bit pattern is a value.
pub trait Ones {
    /// No bit set.
    const ZERO: Self;
    /// Every bit set.
    const ONES: Self;
}

macro_rules! ones {
    ($($kind:ty: $zero:expr, $ones:expr;)*) => { $(
        impl Ones for $kind {
            const ZERO: Self = $zero;
            const ONES: Self = $ones;
        }
    )* };
}
ones! {
    u8: 0, u8::MAX;
    u16: 0, u16::MAX;
    u32: 0, u32::MAX;
    Ipv4Addr: Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST;
}

impl Prefix {
    /// A prefix; `None` if it is longer than 32 bits or has bits set behind it.
    #[must_use]
    pub fn new(address: Ipv4Addr, length: u8) -> Option<Self> {
        let prefix = Self { address, length };
        (length <= 32 && address.to_bits() & !prefix.mask() == 0).then_some(prefix)
    }

    /// The network address.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// How many bits count.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0)
    }
}

impl<T: Scalar> MatchField for T {
    fn encode(&self, field: Field) -> Option<FieldMatch> {
        let value = to_bytes(self.to_number());
        Some(of(field, FieldMatchType::Exact(kinds::Exact { value })))
    }

    fn decode(table: &'static str, field: Field, given: Option<&FieldMatch>) -> Result<Self, EntryError> {
        let given = given.ok_or(EntryError::Missing {
            place: table,
            field: field.name,
        })?;
        match &given.field_match_type {
            Some(FieldMatchType::Exact(exact)) => scalar(table, field, &exact.value),
            _ => Err(EntryError::MatchKind {
                table,
                field: field.name,
                expected: "an exact",
            }),
        }
    }
}

impl<T: Scalar + Ones> MatchField for Ternary<T> {
    fn encode(&self, field: Field) -> Option<FieldMatch> {
        let (value, mask) = (self.value.to_number(), self.mask.to_number());
        let ternary = kinds::Ternary {
            value: to_bytes(value),
            mask: to_bytes(mask),
        };
        (mask != 0).then(|| of(field, FieldMatchType::Ternary(ternary)))
    }

    fn decode(table: &'static str, field: Field, given: Option<&FieldMatch>) -> Result<Self, EntryError> {
        let Some(given) = given else {
            return Ok(Self::any());
        };
        let Some(FieldMatchType::Ternary(ternary)) = &given.field_match_type else {
            return Err(EntryError::MatchKind {
                table,
                field: field.name,
                expected: "a ternary",
            });
        };
        let (value, mask) = (
            number(table, field, &ternary.value)?,
            number(table, field, &ternary.mask)?,
        );
        if mask == 0 {
            return Err(EntryError::MatchesAll {
                table,
                field: field.name,
            });
        }
        if value & !mask != 0 {
            return Err(EntryError::UnmaskedBits {
                table,
                field: field.name,
            });
        }
        let scalar = |number| T::from_number(number).map_err(wrong(table, field));
        Ok(Self {
            value: scalar(value)?,
            mask: scalar(mask)?,
        })
    }
}

impl MatchField for Prefix {
    fn encode(&self, field: Field) -> Option<FieldMatch> {
        let value = to_bytes(u64::from(self.address.to_bits()));
        let lpm = kinds::Lpm {
            value,
            prefix_len: i32::from(self.length),
        };
        (self.length != 0).then(|| of(field, FieldMatchType::Lpm(lpm)))
    }

    fn decode(table: &'static str, field: Field, given: Option<&FieldMatch>) -> Result<Self, EntryError> {
        let Some(given) = given else {
            return Ok(Self {
                address: Ipv4Addr::UNSPECIFIED,
                length: 0,
            });
        };
        let Some(FieldMatchType::Lpm(lpm)) = &given.field_match_type else {
            return Err(EntryError::MatchKind {
                table,
                field: field.name,
                expected: "a longest-prefix",
            });
        };
        let length = match u8::try_from(lpm.prefix_len) {
            Ok(0) => {
                return Err(EntryError::MatchesAll {
                    table,
                    field: field.name,
                });
            }
            Ok(length) if length <= 32 => length,
            _ => {
                let (length, bits) = (lpm.prefix_len, field.bits);
                return Err(EntryError::PrefixLength {
                    table,
                    field: field.name,
                    length,
                    bits,
                });
            }
        };
        let address: Ipv4Addr = scalar(table, field, &lpm.value)?;
        Self::new(address, length).ok_or(EntryError::UnmaskedBits {
            table,
            field: field.name,
        })
    }
}

/// Every match given is one of `fields`, and none is there twice.
///
/// # Errors
/// If not.
pub(super) fn check(table: &'static str, fields: &[Field], given: &[FieldMatch]) -> Result<(), EntryError> {
    for (index, one) in given.iter().enumerate() {
        let Some(field) = fields.iter().find(|field| field.id == one.field_id) else {
            return Err(EntryError::UnknownField {
                table,
                id: one.field_id,
            });
        };
        // No table has more than a handful of fields, and what is unknown or repeated ends the walk.
        if given[..index]
            .iter()
            .any(|before| before.field_id == one.field_id)
        {
            return Err(EntryError::Repeated {
                place: table,
                field: field.name,
            });
        }
    }
    Ok(())
}

/// Reads a scalar of `field`'s width.
pub(crate) fn scalar<T: Scalar>(place: &'static str, field: Field, bytes: &[u8]) -> Result<T, EntryError> {
    T::from_number(number(place, field, bytes)?).map_err(wrong(place, field))
}

fn number(place: &'static str, field: Field, bytes: &[u8]) -> Result<u64, EntryError> {
    from_bytes(bytes, field.bits).map_err(wrong(place, field))
}

fn wrong(place: &'static str, field: Field) -> impl Fn(ValueError) -> EntryError {
    move |problem| EntryError::Value {
        place,
        field: field.name,
        problem,
    }
}

fn of(field: Field, kind: FieldMatchType) -> FieldMatch {
    FieldMatch {
        field_id: field.id,
        field_match_type: Some(kind),
    }
}
