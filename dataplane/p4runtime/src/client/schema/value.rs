//! One value: words ⇄ byte string.
//!
//! Read is 192.0.2.1, 2001:db8::1, 02:00:00:00:00:01, 0x1f or 31 wherever it fits the width. How a value is shown the P4Info says with
//! `@format(IPV4_ADDRESS)`; where it does not, 48 bits are a station, 128 an IPv6 address, and 32 an IPv4 address if the name is one
//! of an address.

use super::{Field, SchemaError, Style};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The byte string of a value, the shortest.
///
/// # Errors
/// If the text is no value of the field's width.
pub fn parse(field: &Field, text: &str) -> Result<Vec<u8>, SchemaError> {
    if field.bits == 0 {
        return Ok(text.as_bytes().to_vec());
    }
    let octets = octets(text).filter(|octets| width(octets) <= field.bits);
    octets.ok_or_else(|| SchemaError::Value {
        field: field.name.clone(),
        text: text.to_owned(),
        bits: field.bits,
        advice: match field.style {
            Style::Ipv4 => "192.0.2.1, 0x1f or 31",
            Style::Ipv6 => "2001:db8::1, 0x1f or 31",
            Style::Mac => "02:00:00:00:00:01, 0x1f or 31",
            Style::Number => "0x1f or 31, or what fits",
        },
    })
}

/// A value in words.
#[must_use]
pub fn format(field: &Field, bytes: &[u8]) -> String {
    if field.bits == 0 {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let bytes = stripped(bytes);
    let number = (bytes.len() <= 16).then(|| {
        bytes
            .iter()
            .fold(0u128, |number, octet| number << 8 | u128::from(*octet))
    });
    let Some(number) = number else {
        return format!(
            "0x{}",
            bytes
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect::<String>()
        );
    };
    match (field.style, u32::try_from(number), u64::try_from(number)) {
        (Style::Ipv4, Ok(number), _) => Ipv4Addr::from_bits(number).to_string(),
        (Style::Ipv6, ..) => Ipv6Addr::from_bits(number).to_string(),
        (Style::Mac, _, Ok(number)) if number >> 48 == 0 => {
            let octets = number.to_be_bytes();
            octets[2..]
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect::<Vec<_>>()
                .join(":")
        }
        _ => number.to_string(),
    }
}

/// How a field is best shown.
pub(super) fn style(name: &str, bits: u32, annotations: &[String]) -> Style {
    let says = |word: &str| {
        annotations
            .iter()
            .any(|one| one.starts_with("@format(") && one.contains(word))
    };
    if says("IPV4") {
        return Style::Ipv4;
    }
    if says("IPV6") {
        return Style::Ipv6;
    }
    if says("MAC") {
        return Style::Mac;
    }
    const ADDRESSES: &[&str] = &[
        "address",
        "addr",
        "ip",
        "ipv4",
        "source",
        "src",
        "destination",
        "dst",
        "dip",
        "sip",
        "gateway",
        "nexthop",
        "member",
        "director",
        "pseudo",
        "srcaddr",
        "dstaddr",
    ];
    let last = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let mut words = last.split('_');
    match bits {
        48 => Style::Mac,
        128 => Style::Ipv6,
        32 if words.any(|word| ADDRESSES.contains(&word)) && !last.ends_with("port") => Style::Ipv4,
        _ => Style::Number,
    }
}

/// Big-endian, without leading zeros but for the last one.
fn octets(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let padded = if hex.len() % 2 == 0 {
            hex.to_owned()
        } else {
            format!("0{hex}")
        };
        let digits = padded
            .is_ascii()
            .then_some(padded.as_bytes())
            .filter(|digits| !digits.is_empty())?;
        let octet = |pair: &[u8]| {
            let digit = |one: u8| char::from(one).to_digit(16);
            u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()
        };
        let all = digits.chunks_exact(2).map(octet).collect::<Option<Vec<_>>>()?;
        return Some(stripped(&all).to_vec());
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(stripped(&address.octets()).to_vec());
    }
    if let Some(station) = station(text) {
        return Some(stripped(&station).to_vec());
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(stripped(&address.octets()).to_vec());
    }
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse::<u128>()
        .ok()
        .map(|number| stripped(&number.to_be_bytes()).to_vec())
}

fn station(text: &str) -> Option<Vec<u8>> {
    let octet = |one: &str| {
        (one.len() == 2)
            .then(|| u8::from_str_radix(one, 16).ok())
            .flatten()
    };
    let octets = text.split(':').map(octet).collect::<Option<Vec<_>>>()?;
    (octets.len() == 6).then_some(octets)
}

/// How many bits a number needs.
pub(super) fn width(octets: &[u8]) -> u32 {
    let octets = stripped(octets);
    let more = u32::try_from(octets.len().saturating_sub(1)).unwrap_or(u32::MAX);
    octets
        .first()
        .map_or(0, |first| 8 - first.leading_zeros())
        .saturating_add(more.saturating_mul(8))
}

fn stripped(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&octet| octet == 0).count();
    &bytes[zeros.min(bytes.len().saturating_sub(1))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, bits: u32) -> Field {
        Field {
            id: 1,
            name: name.to_owned(),
            bits,
            style: style(name, bits, &[]),
        }
    }

    #[test]
    fn values_come_back_as_they_are_best_read() {
        for (name, bits, text, bytes, shown) in [
            ("address", 32, "10.0.0.1", &[10, 0, 0, 1][..], "10.0.0.1"),
            ("address", 32, "0x0a000001", &[10, 0, 0, 1], "10.0.0.1"),
            ("port", 32, "7", &[7], "7"),
            ("port", 32, "0", &[0], "0"),
            (
                "station",
                48,
                "02:00:00:00:00:01",
                &[2, 0, 0, 0, 0, 1],
                "02:00:00:00:00:01",
            ),
            ("station", 48, "00:00:00:00:00:01", &[1], "00:00:00:00:00:01"),
            (
                "hdr.ipv6.dst",
                128,
                "2001:db8::1",
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                "2001:db8::1",
            ),
            ("vlan", 12, "0xfff", &[0xf, 0xff], "4095"),
            ("text", 0, "Ethernet0", b"Ethernet0", "Ethernet0"),
        ] {
            let field = field(name, bits);
            assert_eq!(parse(&field, text).as_deref(), Ok(bytes), "{name} {text}");
            assert_eq!(format(&field, bytes), shown, "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_advice() {
        for (bits, text) in [
            (8, "256"),
            (12, "0x1000"),
            (16, "10.0.0.1"),
            (32, "1.2.3"),
            (32, ""),
            (32, "0x"),
            (32, "-1"),
            (48, "02:00"),
            (8, "é0"),
        ] {
            let error = parse(&field("x", bits), text).unwrap_err();
            assert!(error.to_string().contains("write"), "{error}");
        }
    }

    #[test]
    fn a_program_may_say_how_its_values_are_shown() {
        assert_eq!(style("x", 32, &["@format(IPV4_ADDRESS)".to_owned()]), Style::Ipv4);
        assert_eq!(style("spi", 32, &[]), Style::Number);
        assert_eq!(style("source_port", 16, &[]), Style::Number);
        assert_eq!(style("hdr.ipv4.dstAddr", 32, &[]), Style::Ipv4);
    }
}
