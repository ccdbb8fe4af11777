//! Values as people write them, and as P4Runtime does: octets, the highest first, without leading zeros.
//!
//! A P4Info gives a value's name and width, not its meaning. The meaning is taken from both: 48 bits are a station, 32 or 128
//! bits whose name speaks of an address or a member are an IP address, an SPI is written as ESP's tools write it, everything
//! else is a number. Every form is read for every value, so a wrong guess costs looks only.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `02:00:00:00:00:01`
    Station,
    /// `203.0.113.10`
    Ipv4,
    /// `2001:db8::1`
    Ipv6,
    /// `0x1f`
    Hex,
    /// `31`
    Decimal,
}

/// Parts of names that tell an address from a number.
const ADDRESSES: [&str; 11] = [
    "address",
    "addr",
    "member",
    "gateway",
    "director",
    "pseudo",
    "source",
    "destination",
    "ip",
    "ipv4",
    "ipv6",
];
/// Parts of names that tell a number from an address, whatever else the name says: `source_port`.
const NUMBERS: [&str; 6] = ["port", "mtu", "id", "index", "length", "vlan"];

/// Why a word is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not one of the forms.
    #[error("`{0}` is no number, no address and no station")]
    Form(String),
    /// Too big.
    #[error("`{word}` needs more than {bits} bits")]
    TooWide {
        /// What was written.
        word: String,
        /// What there is room for.
        bits: u32,
    },
}

/// How the value of this name and width is shown.
pub(super) fn kind(name: &str, bits: u32) -> Kind {
    let last = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let any = |words: &[&str]| last.split('_').any(|part| words.contains(&part));
    match bits {
        48 => Kind::Station,
        32 if any(&ADDRESSES) && !any(&NUMBERS) => Kind::Ipv4,
        128 if any(&ADDRESSES) => Kind::Ipv6,
        _ if any(&["spi"]) || bits > 64 => Kind::Hex,
        _ => Kind::Decimal,
    }
}

/// The value as text.
pub(super) fn show(kind: Kind, octets: &[u8]) -> String {
    let Some(number) = number(octets) else {
        return hex(octets);
    };
    match kind {
        Kind::Station if number < 1 << 48 => {
            let parts: Vec<_> = (0..6)
                .rev()
                .map(|at| format!("{:02x}", number >> (8 * at) & 0xff))
                .collect();
            parts.join(":")
        }
        Kind::Ipv4 => u32::try_from(number).map_or_else(|_| hex(octets), |n| Ipv4Addr::from(n).to_string()),
        Kind::Ipv6 => Ipv6Addr::from(number).to_string(),
        Kind::Decimal => number.to_string(),
        Kind::Hex | Kind::Station => format!("{number:#x}"),
    }
}

/// The octets of a value of `bits` bits.
pub(super) fn parse(word: &str, bits: u32) -> Result<Vec<u8>, ValueError> {
    let number = read(word).ok_or_else(|| ValueError::Form(word.to_owned()))?;
    fit(number, word, bits)
}

/// The octets of a number, if it fits.
pub(super) fn fit(number: u128, word: &str, bits: u32) -> Result<Vec<u8>, ValueError> {
    if bits < 128 && number >> bits != 0 {
        let word = word.to_owned();
        return Err(ValueError::TooWide { word, bits });
    }
    let zeros = (number.leading_zeros() / 8).min(15) as usize;
    Ok(number.to_be_bytes()[zeros..].to_vec())
}

/// The number of octets, up to 128 bits.
pub(super) fn number(octets: &[u8]) -> Option<u128> {
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
    let rest = &octets[zeros..];
    (rest.len() <= 16).then(|| {
        rest.iter()
            .fold(0, |number, &octet| number << 8 | u128::from(octet))
    })
}

/// All bits set.
pub(super) fn ones(bits: u32) -> u128 {
    u128::MAX.checked_shr(128 - bits.min(128)).unwrap_or(0)
}

/// The first `len` of `bits` bits set.
pub(super) fn prefix_mask(len: u32, bits: u32) -> u128 {
    let rest = bits.saturating_sub(len);
    ones(bits) & u128::MAX.checked_shl(rest).unwrap_or(0)
}

fn read(word: &str) -> Option<u128> {
    if let Some(digits) = word.strip_prefix("0x") {
        return u128::from_str_radix(digits, 16).ok();
    }
    if let Ok(address) = word.parse::<Ipv4Addr>() {
        return Some(address.to_bits().into());
    }
    if let Some(station) = station(word) {
        return Some(station);
    }
    if let Ok(address) = word.parse::<Ipv6Addr>() {
        return Some(address.to_bits());
    }
    match word {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "esp" => Some(50),
        digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

fn station(word: &str) -> Option<u128> {
    let mut number = 0;
    let mut parts = 0;
    for part in word.split(':') {
        let two = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        number = number << 8 | u128::from(two.then(|| u8::from_str_radix(part, 16).ok()).flatten()?);
        parts += 1;
        if parts > 6 {
            return None;
        }
    }
    (parts == 6).then_some(number)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold("0x".to_owned(), |mut out, octet| {
        // Writing to a String does not fail.
        let _infallible = write!(out, "{octet:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_is_follows_from_its_name_and_width() {
        for (name, bits, expected) in [
            ("station", 48, Kind::Station),
            ("destination_member", 32, Kind::Ipv4),
            ("hdr.ipv4.dst_addr", 32, Kind::Ipv4),
            ("port", 32, Kind::Decimal),
            ("source_port", 32, Kind::Decimal),
            ("sa", 32, Kind::Decimal),
            ("spi", 32, Kind::Hex),
            ("community", 16, Kind::Decimal),
            ("source", 128, Kind::Ipv6),
            ("key", 128, Kind::Hex),
        ] {
            assert_eq!(kind(name, bits), expected, "{name}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for (kind, bits, text) in [
            (Kind::Station, 48, "02:00:00:00:00:01"),
            (Kind::Ipv4, 32, "240.0.0.7"),
            (Kind::Ipv6, 128, "2001:db8::1"),
            (Kind::Hex, 32, "0xdeadbeef"),
            (Kind::Decimal, 16, "20202"),
            (Kind::Decimal, 16, "0"),
        ] {
            assert_eq!(show(kind, &parse(text, bits).unwrap()), text);
        }
        assert_eq!(parse("0", 32).unwrap(), [0]);
        assert_eq!(parse("udp", 8).unwrap(), [17]);
        assert_eq!(show(Kind::Hex, &[1; 17]), format!("0x{}", "01".repeat(17)));
    }

    #[test]
    fn what_does_not_fit_or_is_nothing_is_refused() {
        let wide = |word: &str, bits| matches!(parse(word, bits), Err(ValueError::TooWide { .. }));
        assert!(wide("65536", 16) && wide("1.2.3.4", 16) && wide("0x1ff", 8));
        for word in [
            "",
            "-1",
            "1.2.3",
            "0x",
            "0xg",
            "02:00:00:00:00",
            "+1",
            "tcp4",
            "1 ",
        ] {
            assert!(matches!(parse(word, 128), Err(ValueError::Form(_))), "{word:?}");
        }
        assert!(parse(&"9".repeat(100), 128).is_err());
    }

    #[test]
    fn masks_have_as_many_ones_as_the_prefix_is_long() {
        assert_eq!(prefix_mask(24, 32), 0xffff_ff00);
        assert_eq!((prefix_mask(0, 32), prefix_mask(32, 32)), (0, 0xffff_ffff));
        assert_eq!(ones(128), u128::MAX);
    }
}
