//! Frames from text: one header a line, fields that matter are said, the rest follows.
//!
//! ```text
//!  ethernet destination=02:00:00:00:00:10
//!  ipv4 source=203.0.113.21 destination=203.0.113.10 ttl=2
//!  udp source=40001 destination=20202 checksum=right
//!  shim destination_director=203.0.113.10 source_member=240.0.0.1 destination_member=240.0.0.2
//!  ipv4 source=10.77.0.1 destination=10.77.0.2
//!  udp source=9 destination=9
//!  octets 18
//! ```
//!
//! Lengths, checksums and what says what follows are right unless a value is given. `octets N` is N counted octets, `hex …` these,
//! `padding N` N zeroes that no length knows of; of the finished frame `cut N` takes N octets off the end, and then `flip N` inverts
//! a bit of the N-th octet from the end.

use crate::layout::{self, Default, Header, IPV4};

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No header or content has that name.
    #[error(
        "`{0}` is no header: ethernet, arp, ipv4, udp, tcp, icmp, shim, esp, octets, hex, padding, cut or flip"
    )]
    Header(String),
    /// The header has no such field.
    #[error("`{0}` has no field `{1}`")]
    Field(&'static str, String),
    /// A value does not read as a number, an address or a station.
    #[error("`{0}` is no value for `{1}`")]
    Value(String, String),
}

/// A piece of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// A header, and the values that were said; `None`: to be made right.
    Header(&'static Header, Vec<(&'static str, Option<u64>)>),
    Content(Vec<u8>),
    Padding(usize),
    Cut(usize),
    Flip(usize),
}

/// Builds a frame from lines.
pub fn build<'t>(lines: impl IntoIterator<Item = &'t str>) -> Result<Vec<u8>, FrameError> {
    let pieces: Vec<Piece> = lines.into_iter().map(piece).collect::<Result<_, _>>()?;
    Ok(assemble(&pieces))
}

fn piece(line: &str) -> Result<Piece, FrameError> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or("");
    let count = |words: &mut std::str::SplitWhitespace<'_>| {
        let word = words.next().unwrap_or("");
        word.parse()
            .map_err(|_| FrameError::Value(word.to_owned(), name.to_owned()))
    };
    Ok(match name {
        "octets" => Piece::Content((0..count(&mut words)?).map(|n: usize| n as u8).collect()),
        "padding" => Piece::Padding(count(&mut words)?),
        "cut" => Piece::Cut(count(&mut words)?),
        "flip" => Piece::Flip(count(&mut words)?),
        "hex" => Piece::Content(hex(&words.collect::<String>())?),
        _ => {
            let header = layout::named(name).ok_or_else(|| FrameError::Header(name.to_owned()))?;
            let said = words.map(|word| said(header, word)).collect::<Result<_, _>>()?;
            Piece::Header(header, said)
        }
    })
}

fn said(header: &'static Header, word: &str) -> Result<(&'static str, Option<u64>), FrameError> {
    let (name, text) = word.split_once('=').unwrap_or((word, ""));
    let field = header.fields.iter().find(|field| field.name == name);
    let field = field.ok_or_else(|| FrameError::Field(header.name, name.to_owned()))?;
    if text == "right" {
        return Ok((field.name, None));
    }
    let wrong = || FrameError::Value(text.to_owned(), word.to_owned());
    let value = value(text).ok_or_else(wrong)?;
    let fits = field.len == 8 || value >> (8 * field.len) == 0;
    if fits {
        Ok((field.name, Some(value)))
    } else {
        Err(wrong())
    }
}

/// A number, an IPv4 address or a station.
#[must_use]
pub fn value(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else if text.contains(':') {
        let octets: Vec<u8> = text
            .split(':')
            .map(|octet| u8::from_str_radix(octet, 16))
            .collect::<Result<_, _>>()
            .ok()?;
        (octets.len() == 6).then(|| {
            octets
                .iter()
                .fold(0, |value, octet| value << 8 | u64::from(*octet))
        })
    } else if text.contains('.') {
        text.parse::<std::net::Ipv4Addr>()
            .ok()
            .map(|address| address.to_bits().into())
    } else {
        text.parse().ok()
    }
}

/// Octets from hexadecimal digits, blanks allowed.
pub fn hex(text: &str) -> Result<Vec<u8>, FrameError> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let wrong = || FrameError::Value(text.to_owned(), "hex".to_owned());
    if !digits.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let octet = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).map_err(|_| wrong());
    digits.chunks(2).map(octet).collect()
}

/// From the last piece to the first: each header sees all that is behind it.
fn assemble(pieces: &[Piece]) -> Vec<u8> {
    let mut frame: Vec<u8> = Vec::new();
    let (mut padding, mut cut, mut flipped) = (0, 0, Vec::new());
    for (number, piece) in pieces.iter().enumerate().rev() {
        match piece {
            Piece::Padding(n) => padding += n,
            Piece::Cut(n) => cut += n,
            Piece::Flip(n) => flipped.push(*n),
            Piece::Content(octets) => frame.splice(..0, octets.iter().copied()).for_each(drop),
            Piece::Header(header, said) => {
                let mut octets = vec![0; header.len()];
                for field in header.fields {
                    let given = said.iter().find(|(name, _)| *name == field.name);
                    let value = match (given, field.default) {
                        (Some((_, Some(value))), _) => *value,
                        (None, Default::Is(value)) => value,
                        _ => follows(header, field.name, &frame, pieces.get(number + 1)),
                    };
                    header.set(&mut octets, 0, field.name, value);
                }
                octets.extend(&frame);
                frame = octets;
                let to_be_right = |name: &str| match said.iter().find(|(is, _)| *is == name) {
                    Some((_, value)) => value.is_none(),
                    None => header
                        .fields
                        .iter()
                        .any(|field| field.name == name && field.default == Default::Follows),
                };
                if to_be_right("checksum") {
                    sum_up(header, &mut frame, pieces[..number].last());
                }
            }
        }
    }
    frame.extend(std::iter::repeat_n(0, padding));
    frame.truncate(frame.len().saturating_sub(cut));
    for n in flipped {
        let at = frame.len().checked_sub(n);
        if let Some(octet) = at.and_then(|at| frame.get_mut(at)) {
            *octet ^= 1;
        }
    }
    frame
}

/// What a field is because of what is behind it.
fn follows(header: &Header, field: &str, behind: &[u8], next: Option<&Piece>) -> u64 {
    let next = match next {
        Some(Piece::Header(header, _)) => header.name,
        _ => "",
    };
    match (header.name, field, next) {
        ("ethernet", "ethertype", "arp") => 0x0806,
        ("ethernet", "ethertype", _) => 0x0800,
        ("ipv4", "total_len", _) => (IPV4.len() + behind.len()) as u64,
        ("ipv4", "protocol", "icmp") => 1,
        ("ipv4", "protocol", "ipv4") => 4,
        ("ipv4", "protocol", "tcp") => 6,
        ("ipv4", "protocol", "esp") => 50,
        ("ipv4", "protocol", _) => 17,
        ("udp", "len", _) => (layout::UDP.len() + behind.len()) as u64,
        ("tcp", "data_offset", _) => 0x50,
        _ => 0,
    }
}

/// Puts the right checksum into a header at the beginning of `frame`. Pseudo headers are those of the IPv4 header before it.
fn sum_up(header: &Header, frame: &mut [u8], before: Option<&Piece>) {
    let covered = if header.name == "ipv4" {
        header.len().min(frame.len())
    } else {
        frame.len()
    };
    let mut sum = sum(&frame[..covered]);
    if let (Some(Piece::Header(ip, said)), "udp" | "tcp") = (before, header.name) {
        let address = |name: &str| {
            said.iter()
                .find(|(is, _)| *is == name)
                .and_then(|(_, value)| *value)
                .unwrap_or(0)
        };
        let protocol = if header.name == "udp" { 17 } else { 6 };
        for address in [address("source"), address("destination")] {
            sum += (address >> 16) + (address & 0xffff);
        }
        sum += protocol + frame.len() as u64;
        debug_assert_eq!(ip.name, "ipv4");
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let mut checksum = !sum & 0xffff;
    if checksum == 0 && header.name == "udp" {
        checksum = 0xffff;
    }
    header.set(frame, 0, "checksum", checksum);
}

fn sum(octets: &[u8]) -> u64 {
    octets
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_wire::ethernet::Ethernet;
    use kith_wire::ipv4::Ipv4;
    use kith_wire::shim::Shim;
    use kith_wire::udp::Udp;

    const RELAYED: [&str; 6] = [
        "ethernet destination=02:00:00:00:00:10",
        "ipv4 source=203.0.113.21 destination=203.0.113.10 ttl=2",
        "udp source=40001 destination=20202 checksum=right",
        "shim destination_director=203.0.113.10 source_member=240.0.0.1 destination_member=240.0.0.2",
        "ipv4 source=10.77.0.1 destination=10.77.0.2 protocol=50",
        "octets 33",
    ];

    #[test]
    fn a_frame_is_what_another_parser_takes() {
        let frame = build(RELAYED).unwrap();
        let (ethernet, rest) = Ethernet::parse(&frame).unwrap();
        assert_eq!(ethernet.ethertype.get(), 0x0800);
        let (ip, payload) = Ipv4::parse(rest).unwrap();
        assert_eq!(ip.ttl(), 2);
        let (udp, data) = Udp::parse(payload).unwrap();
        udp.verify(ip, data).unwrap();
        assert_ne!(udp.checksum(), 0);
        let (shim, body) = Shim::parse(data).unwrap();
        assert_eq!(shim.destination_member.get(), 0xf000_0002);
        let (inner, payload) = Ipv4::parse(body).unwrap();
        assert_eq!((inner.protocol(), payload.len()), (50, 33));
    }

    #[test]
    fn what_is_said_wins_over_what_is_right() {
        let frame = build([
            "ethernet",
            "ipv4 total_len=7 checksum=0xabcd",
            "padding 3",
            "cut 1",
        ])
        .unwrap();
        assert_eq!(frame.len(), 14 + 20 + 3 - 1);
        assert_eq!(
            (frame[16..18].to_vec(), frame[24..26].to_vec()),
            (vec![0, 7], vec![0xab, 0xcd])
        );
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(build(["ip"]), Err(FrameError::Header("ip".into())));
        assert_eq!(
            build(["ipv4 hops=1"]),
            Err(FrameError::Field("ipv4", "hops".into()))
        );
        assert_eq!(
            build(["ipv4 ttl=256"]),
            Err(FrameError::Value("256".into(), "ttl=256".into()))
        );
    }
}
