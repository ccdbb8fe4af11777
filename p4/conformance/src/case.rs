//! Cases as text: a world, frames by name, and what becomes of packets.
//!
//! ```text
//!  world director
//!    endpoint act_as_director address=203.0.113.10 udp_port=20202
//!    ingress_port port=0 accept_by station=02:00:00:00:00:10 address=203.0.113.10
//!
//!  frame relayed port=0
//!    ethernet destination=02:00:00:00:00:10
//!    ipv4 source=203.0.113.21 destination=203.0.113.10
//!
//!  case no hop is left
//!    in director
//!    like relayed
//!    ipv4 ttl=1
//!    expect drop ttl_expired
//! ```
//!
//! A case may add entries to its world (`limit`, `sa` and entries), and may have several packets: each `like` or `port` begins one, and `expect`
//! ends it. A header that is named again changes what is there; `inner` and `inner_udp` are the second `ipv4` and `udp`. `until HEADER` takes
//! off all behind the last header of that name, `add LINE` puts a line behind all others. Lines behind a `sealed` line are what an
//! ESP packet holds.
//!
//! ```text
//!  limit sender 240.0.0.1 burst=2          limit arp burst=1
//!  sa open 1 spi=0x1001 key=7 packets=3    sa seal 2 spi=0x2002 key=9
//!  expect send 1 | up neighbor_miss | drop ttl_expired | nothing
//!  times 3                                 the same packet three times
//!  without ENTRY                           the world, but for the entry with that key
//!  only hex 0200…                          a packet that is these octets
//! ```

use crate::entry::{EntryError, Program};
use crate::frame::{self, FrameError, value};
use crate::world::{Association, Direction, Input, Limit, World};
use kith_pipeline::reason::PuntReason;
use std::collections::BTreeMap;

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it stands: file and line.
    pub place: String,
    /// What both sides are given.
    pub world: World,
    /// What comes, and what is to become of it.
    pub packets: Vec<(Input, Expected)>,
}

/// What a case says becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It leaves by this port.
    Send(u32),
    /// It goes up for this reason.
    Up(String),
    /// It is dropped for this reason.
    Drop(String),
    /// It ends, and is not counted as dropped.
    Nothing,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct CaseError {
    /// File and line.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// Worlds and frames that files before this one have named.
#[derive(Debug, Default)]
pub struct Book {
    worlds: BTreeMap<String, World>,
    frames: BTreeMap<String, (u8, Vec<String>)>,
}

impl Book {
    /// Reads a file: takes its worlds and frames, gives its cases.
    pub fn read(&mut self, program: &Program, file: &str, text: &str) -> Result<Vec<Case>, CaseError> {
        let mut cases = Vec::new();
        for section in sections(file, text) {
            let (kind, name) = section.head.split_once(' ').unwrap_or((&section.head, ""));
            match kind {
                "world" => {
                    let world = self.world(program, &section)?;
                    self.worlds.insert(name.to_owned(), world);
                }
                "frame" => {
                    let (name, port) = name.split_once(" port=").unwrap_or((name, "0"));
                    let port = port
                        .parse()
                        .map_err(|_| wrong(&section.place, "a port is a number"))?;
                    let lines = section.lines.iter().map(|(_, line)| line.clone()).collect();
                    self.frames.insert(name.to_owned(), (port, lines));
                }
                "case" => cases.push(self.case(program, &section, name)?),
                other => {
                    return Err(wrong(
                        &section.place,
                        &format!("`{other}` is neither world, frame nor case"),
                    ));
                }
            }
        }
        Ok(cases)
    }

    /// The world of this name.
    #[must_use]
    pub fn world_named(&self, name: &str) -> Option<&World> {
        self.worlds.get(name)
    }

    fn world(&self, program: &Program, section: &Section) -> Result<World, CaseError> {
        let mut world = World::default();
        for (place, line) in &section.lines {
            match line.strip_prefix("like ") {
                Some(name) => {
                    world = self
                        .worlds
                        .get(name)
                        .cloned()
                        .ok_or_else(|| wrong(place, "no such world"))?
                }
                None => add(program, &mut world, place, line)?,
            }
        }
        Ok(world)
    }

    fn case(&self, program: &Program, section: &Section, name: &str) -> Result<Case, CaseError> {
        let mut world = World::default();
        let mut packets = Vec::new();
        let (mut port, mut lines, mut times) = (0, Vec::<String>::new(), 1);
        for (place, line) in &section.lines {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "in" => {
                    world = self
                        .worlds
                        .get(rest)
                        .cloned()
                        .ok_or_else(|| wrong(place, "no such world"))?
                }
                "like" => {
                    let (from, like) = self
                        .frames
                        .get(rest)
                        .ok_or_else(|| wrong(place, "no such frame"))?;
                    (port, lines, times) = (*from, like.clone(), 1);
                }
                "port" => {
                    port = rest.parse().map_err(|_| wrong(place, "a port is a number"))?;
                }
                "only" => (lines, times) = (vec![rest.to_owned()], 1),
                "without" => {
                    let entry = program
                        .entry(rest)
                        .map_err(|why| wrong(place, &why.to_string()))?;
                    world
                        .entries
                        .retain(|is| is.key != entry.key || is.table != entry.table);
                }
                "times" => times = rest.parse().map_err(|_| wrong(place, "how many times?"))?,
                "expect" => {
                    let expected = expected(rest)
                        .ok_or_else(|| wrong(place, "expect send PORT, up REASON, drop REASON or nothing"))?;
                    let frame = build(&world, lines.iter().map(String::as_str))
                        .map_err(|why| wrong(place, &why.to_string()))?;
                    packets.extend(std::iter::repeat_n((Input { port, frame }, expected), times));
                }
                _ if program.has_table(word) || ["limit", "sa"].contains(&word) => {
                    add(program, &mut world, place, line)?
                }
                _ => change(&mut lines, line),
            }
        }
        Ok(Case {
            name: name.to_owned(),
            place: section.place.clone(),
            world,
            packets,
        })
    }
}

struct Section {
    place: String,
    head: String,
    lines: Vec<(String, String)>,
}

fn sections(file: &str, text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or("").trim_end();
        let place = format!("{file}:{}", number + 1);
        if content.trim().is_empty() {
            continue;
        }
        match sections.last_mut() {
            Some(section) if content.starts_with(' ') => {
                section.lines.push((place, content.trim().to_owned()))
            }
            _ => sections.push(Section {
                place,
                head: content.trim().to_owned(),
                lines: Vec::new(),
            }),
        }
    }
    sections
}

fn wrong(place: &str, what: &str) -> CaseError {
    CaseError {
        place: place.to_owned(),
        what: what.to_owned(),
    }
}

fn expected(text: &str) -> Option<Expected> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match word {
        "send" => Expected::Send(rest.parse().ok()?),
        "up" => Expected::Up(rest.to_owned()),
        "drop" => Expected::Drop(rest.to_owned()),
        "nothing" => Expected::Nothing,
        _ => return None,
    })
}

/// Adds an entry, a limit or a security association; an entry with the key of an earlier one replaces it.
fn add(program: &Program, world: &mut World, place: &str, line: &str) -> Result<(), CaseError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let said = |name: &str| {
        words
            .iter()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .and_then(value)
    };
    let number = |name: &str| {
        said(name)
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| wrong(place, &format!("wants {name}=NUMBER")))
    };
    match words.as_slice() {
        ["limit", "sender", pseudo, ..] => {
            let pseudo = value(pseudo).and_then(|value| u32::try_from(value).ok());
            let limit = Limit {
                burst: number("burst")?,
                per_second: 1,
            };
            world
                .senders
                .push((pseudo.ok_or_else(|| wrong(place, "whose limit?"))?, limit));
        }
        ["limit", reason, ..] => {
            let reason = PuntReason::ALL.iter().find(|is| is.name() == *reason);
            let limit = Limit {
                burst: number("burst")?,
                per_second: 1,
            };
            world
                .punts
                .push((*reason.ok_or_else(|| wrong(place, "no such reason"))?, limit));
        }
        ["sa", direction @ ("seal" | "open"), sa, ..] => world.associations.push(Association {
            direction: if *direction == "seal" {
                Direction::Seal
            } else {
                Direction::Open
            },
            sa: sa
                .parse()
                .map_err(|_| wrong(place, "an association has a number"))?,
            spi: number("spi")?,
            key: u8::try_from(number("key")?).map_err(|_| wrong(place, "key=OCTET"))?,
            packets: said("packets"),
        }),
        _ => {
            let entry = program
                .entry(line)
                .map_err(|why: EntryError| wrong(place, &why.to_string()))?;
            let same = |is: &crate::entry::Entry| {
                is.table == entry.table && is.key == entry.key && is.priority == entry.priority
            };
            world.entries.retain(|is| !same(is));
            world.entries.push(entry);
        }
    }
    Ok(())
}

/// Changes the header that a line names, or appends the line.
fn change(lines: &mut Vec<String>, line: &str) {
    if let Some(line) = line.strip_prefix("add ") {
        lines.push(line.to_owned());
        return;
    }
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (header, nth) = match name {
        "inner" => ("ipv4", 1),
        "inner_udp" => ("udp", 1),
        _ => (name, 0),
    };
    // Content: what is said later stands instead of what was there.
    if ["octets", "hex"].contains(&header)
        && let Some(at) = lines
            .iter()
            .rposition(|is| is.starts_with("octets") || is.starts_with("hex"))
    {
        lines[at] = line.to_owned();
        return;
    }
    if let Some(last) = line.strip_prefix("until ") {
        // What is behind this header goes.
        if let Some(at) = lines.iter().rposition(|is| is.split(' ').next() == Some(last)) {
            lines.truncate(at + 1);
        }
        return;
    }
    let found = lines
        .iter_mut()
        .filter(|is| is.split(' ').next() == Some(header))
        .nth(nth);
    match found {
        // Later words win.
        Some(is) if !["padding", "cut", "flip"].contains(&header) => *is = merged(is, rest),
        _ => lines.push(if nth == 0 {
            line.to_owned()
        } else {
            format!("{header} {rest}")
        }),
    }
}

fn merged(line: &str, more: &str) -> String {
    let replaced = |word: &&str| {
        !more
            .split_whitespace()
            .any(|new| new.split('=').next() == word.split('=').next())
    };
    let kept: Vec<&str> = line.split_whitespace().filter(replaced).collect();
    format!("{} {more}", kept.join(" "))
}

/// Builds a frame that may hold a sealed part.
fn build<'t>(world: &World, lines: impl Iterator<Item = &'t str>) -> Result<Vec<u8>, FrameError> {
    let lines: Vec<&str> = lines.collect();
    let Some(at) = lines.iter().position(|line| line.starts_with("sealed")) else {
        return frame::build(lines);
    };
    let tail = |line: &&&str| {
        ["cut", "flip", "padding"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let inside = lines[at + 1..].iter().filter(|line| !tail(line)).copied();
    let outside = lines[..at].iter().copied();
    let esp = crate::seal::sealed(world, lines[at], &frame::build(inside)?)?;
    let esp: String = esp.iter().map(|octet| format!("{octet:02x}")).collect();
    let content = format!("hex {esp}");
    let mut outside: Vec<String> = outside.map(str::to_owned).collect();
    // The header before says what follows, if the case does not.
    if let Some(ip) = outside.iter_mut().rfind(|line| line.starts_with("ipv4"))
        && !ip.contains("protocol=")
    {
        ip.push_str(" protocol=50");
    }
    outside.push(content);
    outside.extend(lines[at + 1..].iter().filter(tail).map(|line| (*line).to_owned()));
    frame::build(outside.iter().map(String::as_str))
}

/// A case as text: `world` was made from the world `like`, which has a name.
#[must_use]
pub fn written(name: &str, like: &World, world: &World, input: &Input) -> String {
    let mut text = format!("case found by the generator\n  in {name}\n");
    for entry in like.entries.iter().filter(|entry| !world.entries.contains(entry)) {
        text.push_str(&format!("  without {}\n", entry.text()));
    }
    for entry in world.entries.iter().filter(|entry| !like.entries.contains(entry)) {
        text.push_str(&format!("  {}\n", entry.text()));
    }
    let hex: String = input.frame.iter().map(|octet| format!("{octet:02x}")).collect();
    format!(
        "{text}  only hex {hex}\n  port {}\n  expect drop, send or up\n",
        input.port
    )
}
