//! Another member's facts as the character-strings of a DNS TXT record (source document 001, figure 15: "All the remaining information will be
//! transferred using a TXT-type resource record in an additional section").
//!
//! ```text
//!  "v=1"  "n=printer.acme.example"  "vip=10.77.0.3"  "at=240.0.0.7"  "rd=203.0.113.10:20202"  "join=1760000000000"
//!  "prog=kith-agent 0.1.0"  "nb=PRINTER"  "tk0=<base64>" "tk1=<base64>" …  "ky0=<base64>"
//! ```
//!
//! `at` has a port if the member has a public address; `rd` is its director. `tk0`, `tk1`, … are pieces of the ticket, `ky0`, … of the sealed key. Their
//! order does not matter, each may stand once, unknown ones are passed over. No string is longer than 255 octets (RFC 1035 section 3.3).

use crate::member::{Location, Peer};
use crate::names::Fqdn;
use crate::ticket::MAX_TICKET;
use data_encoding::BASE64_NOPAD;
use std::net::{Ipv4Addr, SocketAddrV4};
use thiserror::Error;

/// Strings of a record at most.
pub const MAX_STRINGS: usize = 32;
/// Octets of a string at most.
pub const MAX_STRING: usize = 255;
/// Characters of a program's name at most.
pub const MAX_PROGRAM: usize = 64;
/// Characters of a NetBIOS name at most.
pub const MAX_NETBIOS: usize = 16;
/// Octets of a sealed key at most.
const MAX_KEY: usize = 256;
/// Octets in a piece: 240 characters of base64.
const PIECE: usize = 180;

/// Why strings are no facts, or facts no strings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FactsError {
    /// Not our record: no "v=1".
    #[error("the TXT record has no \"v=1\": it is not of a kith manager of this version")]
    Version,
    /// Too many or too long.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// The same fact twice.
    #[error("{0:?} stands there twice")]
    Twice(&'static str),
    /// Cannot be read.
    #[error("{0:?} cannot be read")]
    Malformed(&'static str),
    /// Needed and not there.
    #[error("{0:?} is missing")]
    Missing(&'static str),
}

/// The strings, in a fixed order.
///
/// # Errors
/// If a fact is too long, or is nothing that [`parse`] would take.
pub fn encode(peer: &Peer) -> Result<Vec<String>, FactsError> {
    let location = peer.location.ok_or(FactsError::Missing("at"))?;
    if Fqdn::parse(&peer.fqdn).is_err() {
        return Err(FactsError::Malformed("n"));
    }
    let port = |port: u32, what| u16::try_from(port).map_err(|_| FactsError::Malformed(what));
    let address = Ipv4Addr::from_bits(location.address);
    let mut strings = vec!["v=1".to_owned(), format!("n={}", peer.fqdn)];
    strings.push(format!("vip={}", Ipv4Addr::from_bits(peer.virtual_address)));
    strings.push(match port(location.port, "at")? {
        0 => format!("at={address}"),
        port => format!("at={address}:{port}"),
    });
    if (location.director, location.director_port) != (0, 0) {
        let director = SocketAddrV4::new(
            Ipv4Addr::from_bits(location.director),
            port(location.director_port, "rd")?,
        );
        strings.push(format!("rd={director}"));
    }
    strings.push(format!("join={}", peer.joined_at_ms));
    for (key, value, most) in [
        ("prog", &peer.program, MAX_PROGRAM),
        ("nb", &peer.netbios_name, MAX_NETBIOS),
    ] {
        if !value.is_empty() {
            strings.push(format!("{key}={}", words(value, key, most)?));
        }
    }
    pieces("tk", &peer.ticket, MAX_TICKET, &mut strings)?;
    pieces("ky", &peer.sealed_key, MAX_KEY, &mut strings)?;
    Ok(strings)
}

/// The facts in the strings.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse<S: AsRef<[u8]>>(strings: &[S]) -> Result<Peer, FactsError> {
    if strings.len() > MAX_STRINGS {
        return Err(FactsError::TooLong("the record"));
    }
    let mut facts = Facts::default();
    for string in strings.iter().map(AsRef::as_ref) {
        if string.len() > MAX_STRING {
            return Err(FactsError::TooLong("a string"));
        }
        // What is not text of the form key=value is of somebody else (RFC 6763 section 6.4 is as lenient).
        if let Some((key, value)) = std::str::from_utf8(string)
            .ok()
            .and_then(|text| text.split_once('='))
        {
            facts.note(key, value)?;
        }
    }
    facts.peer()
}

#[derive(Default)]
struct Facts<'a> {
    plain: [Option<&'a str>; PLAIN.len()],
    ticket: [Option<&'a str>; 10],
    key: [Option<&'a str>; 10],
}

const PLAIN: [&str; 8] = ["v", "n", "vip", "at", "rd", "join", "prog", "nb"];

impl<'a> Facts<'a> {
    fn note(&mut self, key: &str, value: &'a str) -> Result<(), FactsError> {
        let piece = |prefix: &str| match key.strip_prefix(prefix)?.as_bytes() {
            [digit @ b'0'..=b'9'] => Some(usize::from(digit - b'0')),
            _ => None,
        };
        let (slot, name) = if let Some(at) = PLAIN.iter().position(|name| *name == key) {
            (&mut self.plain[at], PLAIN[at])
        } else if let Some(at) = piece("tk") {
            (&mut self.ticket[at], "tk")
        } else if let Some(at) = piece("ky") {
            (&mut self.key[at], "ky")
        } else {
            return Ok(());
        };
        if slot.replace(value).is_some() {
            Err(FactsError::Twice(name))
        } else {
            Ok(())
        }
    }

    fn peer(self) -> Result<Peer, FactsError> {
        let [
            version,
            fqdn,
            virtual_address,
            at,
            director,
            join,
            program,
            netbios,
        ] = self.plain;
        if version != Some("1") {
            return Err(FactsError::Version);
        }
        let fqdn = fqdn.ok_or(FactsError::Missing("n"))?;
        Fqdn::parse(fqdn).map_err(|_| FactsError::Malformed("n"))?;
        let virtual_address = virtual_address
            .ok_or(FactsError::Missing("vip"))?
            .parse::<Ipv4Addr>();
        let virtual_address = virtual_address.map_err(|_| FactsError::Malformed("vip"))?;
        let (address, port) = at
            .map(at_of)
            .ok_or(FactsError::Missing("at"))?
            .ok_or(FactsError::Malformed("at"))?;
        let director = director.map(|text| {
            text.parse::<SocketAddrV4>()
                .map_err(|_| FactsError::Malformed("rd"))
        });
        let director = director.transpose()?;
        let joined_at_ms = join.ok_or(FactsError::Missing("join"))?.parse();
        Ok(Peer {
            fqdn: fqdn.to_owned(),
            virtual_address: virtual_address.to_bits(),
            location: Some(Location {
                director: director.map_or(0, |director| director.ip().to_bits()),
                director_port: director.map_or(0, |director| director.port().into()),
                address: address.to_bits(),
                port: port.into(),
            }),
            joined_at_ms: joined_at_ms.map_err(|_| FactsError::Malformed("join"))?,
            program: words(program.unwrap_or_default(), "prog", MAX_PROGRAM)?.to_owned(),
            netbios_name: words(netbios.unwrap_or_default(), "nb", MAX_NETBIOS)?.to_owned(),
            ticket: whole("tk", &self.ticket, MAX_TICKET)?,
            sealed_key: whole("ky", &self.key, MAX_KEY)?,
        })
    }
}

fn at_of(text: &str) -> Option<(Ipv4Addr, u16)> {
    match text.split_once(':') {
        Some((address, port)) => Some((address.parse().ok()?, port.parse().ok()?)),
        None => Some((text.parse().ok()?, 0)),
    }
}

fn words<'a>(text: &'a str, name: &'static str, most: usize) -> Result<&'a str, FactsError> {
    if text.len() > most {
        Err(FactsError::TooLong(name))
    } else if text
        .bytes()
        .all(|octet| octet == b' ' || octet.is_ascii_graphic())
    {
        Ok(text)
    } else {
        Err(FactsError::Malformed(name))
    }
}

fn pieces(
    name: &'static str,
    octets: &[u8],
    most: usize,
    strings: &mut Vec<String>,
) -> Result<(), FactsError> {
    if octets.len() > most {
        return Err(FactsError::TooLong(name));
    }
    let pieces = octets.chunks(PIECE).enumerate();
    strings.extend(pieces.map(|(at, piece)| format!("{name}{at}={}", BASE64_NOPAD.encode(piece))));
    Ok(())
}

fn whole(name: &'static str, pieces: &[Option<&str>; 10], most: usize) -> Result<Vec<u8>, FactsError> {
    let count = pieces.iter().take_while(|piece| piece.is_some()).count();
    if pieces[count..].iter().any(Option::is_some) {
        return Err(FactsError::Missing(name));
    }
    let mut octets = Vec::new();
    for piece in pieces.iter().flatten() {
        octets.extend(
            BASE64_NOPAD
                .decode(piece.as_bytes())
                .map_err(|_| FactsError::Malformed(name))?,
        );
    }
    if octets.len() > most {
        Err(FactsError::TooLong(name))
    } else {
        Ok(octets)
    }
}
