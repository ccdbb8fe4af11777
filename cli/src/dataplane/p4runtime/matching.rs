//! Keys of entries as text.
//!
//! | kind     | written as                                                        |
//! |----------|-------------------------------------------------------------------|
//! | exact    | `VALUE`                                                           |
//! | lpm      | `VALUE/LENGTH`, `VALUE`, `*`                                      |
//! | ternary  | `VALUE&&&MASK`, `VALUE/LENGTH`, `VALUE`, `*`                      |
//! | range    | `LOW..HIGH`, `VALUE`, `*`                                         |
//! | optional | `VALUE`, `*`                                                      |
//!
//! `*` matches everything, as leaving the field out does.

use super::entry::Word;
use super::schema::{Field, match_word};
use super::value::{self, ValueError, ones, prefix_mask};
use kinds::FieldMatchType;
use kith_p4runtime::proto::config::match_field::MatchType;
use kith_p4runtime::proto::v1::{FieldMatch, field_match as kinds};

/// Why a word is no match of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// The value.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The form.
    #[error("`{word}` is no {kind} match; write {expected}")]
    Form {
        /// What was written.
        word: String,
        /// How the field is matched.
        kind: &'static str,
        /// What can be written.
        expected: &'static str,
    },
    /// Bits outside the mask or behind the prefix.
    #[error("`{word}` has bits set that its mask or prefix leaves out; clear them")]
    Unmasked {
        /// What was written.
        word: String,
    },
    /// A prefix longer than the field, or a range the wrong way round.
    #[error("`{word}` is impossible in {bits} bits")]
    Impossible {
        /// What was written.
        word: String,
        /// The field's width.
        bits: u32,
    },
    /// A kind of match that P4Runtime knows no form of.
    #[error("fields of this kind cannot be written from here")]
    Other,
}

/// Whether leaving the field out means nothing: an exact field.
pub(super) fn needs_value(field: Field<'_>) -> bool {
    matches!(field.matched, Some(MatchType::Exact) | None)
}

/// Reads a match; `None` if it matches everything.
pub(super) fn parse(field: Field<'_>, word: &str) -> Result<Option<FieldMatch>, MatchError> {
    let kind = field.matched.unwrap_or(MatchType::Exact);
    if word == "*" && !needs_value(field) {
        return Ok(None);
    }
    let value = |text: &str| value::parse(text, field.bits);
    let form = |expected| MatchError::Form {
        word: word.to_owned(),
        kind: match_word(kind),
        expected,
    };
    let matched = match kind {
        MatchType::Exact if word == "*" || word.contains('/') || word.contains("&&&") => {
            return Err(form("VALUE"));
        }
        MatchType::Exact => FieldMatchType::Exact(kinds::Exact { value: value(word)? }),
        MatchType::Optional => FieldMatchType::Optional(kinds::Optional { value: value(word)? }),
        MatchType::Lpm => {
            let (text, len) = prefix(field, word).ok_or_else(|| form("VALUE/LENGTH"))??;
            if len == 0 {
                return Ok(None);
            }
            masked(value(text)?, prefix_mask(len, field.bits), word)?;
            let prefix_len = i32::try_from(len).unwrap_or(i32::MAX);
            FieldMatchType::Lpm(kinds::Lpm {
                value: value(text)?,
                prefix_len,
            })
        }
        MatchType::Ternary => {
            let (text, mask) = match word.split_once("&&&") {
                Some((text, mask)) => (text, value::number(&value(mask)?).unwrap_or(0)),
                None => {
                    let (text, len) =
                        prefix(field, word).ok_or_else(|| form("VALUE&&&MASK or VALUE/LENGTH"))??;
                    (text, prefix_mask(len, field.bits))
                }
            };
            masked(value(text)?, mask, word)?;
            if mask == 0 {
                return Ok(None);
            }
            let mask = value::fit(mask, word, field.bits)?;
            FieldMatchType::Ternary(kinds::Ternary {
                value: value(text)?,
                mask,
            })
        }
        MatchType::Range => {
            let (low, high) = word.split_once("..").unwrap_or((word, word));
            let (low, high) = (value(low)?, value(high)?);
            let numbers = (value::number(&low), value::number(&high));
            if numbers.0 > numbers.1 {
                return Err(impossible(field, word));
            }
            if numbers == (Some(0), Some(ones(field.bits))) {
                return Ok(None);
            }
            FieldMatchType::Range(kinds::Range { low, high })
        }
        MatchType::Unspecified => return Err(MatchError::Other),
    };
    Ok(Some(FieldMatch {
        field_id: field.id,
        field_match_type: Some(matched),
    }))
}

/// A match as text, or as a number if it is one.
pub(super) fn show(field: Option<Field<'_>>, given: &FieldMatch) -> Word {
    let word = |octets: &[u8]| Word::of(field, octets);
    let bits = field.map_or(0, |field| field.bits);
    match &given.field_match_type {
        Some(FieldMatchType::Exact(exact)) => word(&exact.value),
        Some(FieldMatchType::Optional(optional)) => word(&optional.value),
        Some(FieldMatchType::Lpm(lpm)) => Word::Text(format!("{}/{}", word(&lpm.value), lpm.prefix_len)),
        Some(FieldMatchType::Ternary(ternary)) => {
            let mask = value::number(&ternary.mask).unwrap_or(0);
            let prefix = (0..bits).find(|&len| mask == prefix_mask(len, bits));
            match prefix {
                _ if mask == ones(bits) => word(&ternary.value),
                // Only addresses have prefixes that people think in.
                Some(len) if bits >= 32 => Word::Text(format!("{}/{len}", word(&ternary.value))),
                _ => Word::Text(format!("{}&&&{mask:#x}", word(&ternary.value))),
            }
        }
        Some(FieldMatchType::Range(range)) => {
            Word::Text(format!("{}..{}", word(&range.low), word(&range.high)))
        }
        Some(FieldMatchType::Other(_)) | None => Word::Text("?".into()),
    }
}

/// Value and length; the whole width if no length is written. `None` if the length is no number.
fn prefix<'a>(field: Field<'_>, word: &'a str) -> Option<Result<(&'a str, u32), MatchError>> {
    let Some((text, len)) = word.split_once('/') else {
        return Some(Ok((word, field.bits)));
    };
    let len: u32 = len.parse().ok()?;
    Some(if len <= field.bits {
        Ok((text, len))
    } else {
        Err(impossible(field, word))
    })
}

fn masked(octets: Vec<u8>, mask: u128, word: &str) -> Result<(), MatchError> {
    let outside = value::number(&octets).unwrap_or(0) & !mask;
    let word = word.to_owned();
    if outside == 0 {
        Ok(())
    } else {
        Err(MatchError::Unmasked { word })
    }
}

fn impossible(field: Field<'_>, word: &str) -> MatchError {
    MatchError::Impossible {
        word: word.to_owned(),
        bits: field.bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, bits: u32, kind: MatchType) -> Field<'_> {
        Field {
            id: 1,
            name,
            bits,
            matched: Some(kind),
        }
    }

    #[test]
    fn every_form_is_shown_as_it_is_written() {
        let address = |kind| field("address", 32, kind);
        let port = |kind| field("source_port", 16, kind);
        for (field, word) in [
            (address(MatchType::Exact), "10.0.0.1"),
            (address(MatchType::Lpm), "10.0.0.0/8"),
            (address(MatchType::Lpm), "10.0.0.1/32"),
            (address(MatchType::Ternary), "10.1.0.0/16"),
            (address(MatchType::Ternary), "10.0.0.1"),
            (address(MatchType::Ternary), "10.0.0.1&&&0xff0000ff"),
            (port(MatchType::Ternary), "53"),
            (port(MatchType::Ternary), "8000&&&0xffc0"),
            (port(MatchType::Range), "1024..2047"),
            (port(MatchType::Optional), "443"),
        ] {
            let matched = parse(field, word).unwrap().unwrap();
            assert_eq!(show(Some(field), &matched).to_string(), word);
        }
    }

    #[test]
    fn what_matches_everything_is_left_out() {
        for (kind, word) in [
            (MatchType::Lpm, "*"),
            (MatchType::Lpm, "0.0.0.0/0"),
            (MatchType::Ternary, "0&&&0"),
            (MatchType::Ternary, "*"),
            (MatchType::Range, "0..0xffffffff"),
            (MatchType::Optional, "*"),
        ] {
            assert_eq!(parse(field("address", 32, kind), word), Ok(None), "{word}");
        }
    }

    #[test]
    fn what_a_field_does_not_take_is_refused() {
        let wrong = |kind, word| parse(field("address", 32, kind), word).unwrap_err();
        assert!(matches!(wrong(MatchType::Exact, "*"), MatchError::Form { .. }));
        assert!(matches!(
            wrong(MatchType::Exact, "10.0.0.0/8"),
            MatchError::Form { .. }
        ));
        assert!(matches!(
            wrong(MatchType::Lpm, "10.0.0.1/8"),
            MatchError::Unmasked { .. }
        ));
        assert!(matches!(
            wrong(MatchType::Lpm, "10.0.0.0/33"),
            MatchError::Impossible { .. }
        ));
        assert!(matches!(
            wrong(MatchType::Lpm, "10.0.0.0/x"),
            MatchError::Form { .. }
        ));
        assert!(matches!(
            wrong(MatchType::Ternary, "3&&&2"),
            MatchError::Unmasked { .. }
        ));
        assert!(matches!(
            wrong(MatchType::Range, "2..1"),
            MatchError::Impossible { .. }
        ));
        assert!(matches!(
            wrong(MatchType::Optional, "x"),
            MatchError::Value(ValueError::Form(_))
        ));
    }
}
