//! Durations as people write them, moments as people read them.

use kith_protocol::letter;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A duration: `90s`, `2h`, `7d`, `1h30m`. In whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub u64);

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a number and a unit: 90s, 15m, 2h, 7d, 2w, or 1h30m")]
pub struct NoSpan;

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let mut seconds: u64 = 0;
        let mut number: Option<u64> = None;
        for letter in text.trim().chars() {
            if let Some(digit) = letter.to_digit(10) {
                let before = number.unwrap_or(0).checked_mul(10).ok_or(NoSpan)?;
                number = Some(before.checked_add(digit.into()).ok_or(NoSpan)?);
                continue;
            }
            let unit = match letter {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                'w' => 7 * 86_400,
                _ => return Err(NoSpan),
            };
            let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or(NoSpan)?;
            seconds = seconds.checked_add(part).ok_or(NoSpan)?;
        }
        match (number, seconds) {
            (None, 1..) => Ok(Self(seconds)),
            _ => Err(NoSpan),
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// "2026-03-01 12:00:07", UTC. For lines that are many.
pub(super) fn stamp(ms: u64) -> String {
    let minute = letter::date(ms);
    format!("{}:{:02}", minute.trim_end_matches(" UTC"), ms / 1000 % 60)
}

/// "2026-03-01 12:00 UTC"; `-` for never.
pub(super) fn date(ms: u64) -> String {
    if ms == 0 { "-".into() } else { letter::date(ms) }
}

/// "3m20s ago"; `-` for never.
pub(super) fn ago(now: u64, ms: u64) -> String {
    if ms == 0 {
        return "-".into();
    }
    crate::output::age(now.saturating_sub(ms)) + " ago"
}

/// "2026-03-01 12:00 UTC, 3m20s ago"; nothing for never.
pub(super) fn since(now: u64, ms: u64) -> String {
    if ms == 0 {
        return String::new();
    }
    format!("{}, {}", date(ms), ago(now, ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units() {
        let of = |text: &str| text.parse::<Span>().map(|span| span.0);
        assert_eq!(
            ["90s", "15m", "2h", "7d", "2w", "1h30m"].map(of),
            [90, 900, 7200, 604_800, 1_209_600, 5400].map(Ok)
        );
        for wrong in [
            "",
            "0s",
            "7",
            "d",
            "1h30",
            "-1s",
            "1.5h",
            "1 h",
            "1y",
            "99999999999999999999s",
            "18446744073709551615w",
        ] {
            assert_eq!(of(wrong), Err(NoSpan), "{wrong:?}");
        }
    }

    #[test]
    fn moments_are_in_utc_and_never_is_a_dash() {
        let noon = 1_772_366_407_000;
        assert_eq!(stamp(noon), "2026-03-01 12:00:07");
        assert_eq!(since(noon + 200_000, noon), "2026-03-01 12:00 UTC, 3m20s ago");
        assert_eq!(
            (date(0), ago(noon, 0), since(noon, 0)),
            ("-".into(), "-".into(), String::new())
        );
        // A manager's clock may be ahead of ours.
        assert_eq!(ago(noon, noon + 5), "0ms ago");
    }
}
