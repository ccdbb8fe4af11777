//! A network as a topology file: version 2, without wiring.
//!
//! Written so that reading it gives the same network again, byte for byte the same every time: all in order of names, every default left out.
//! A text stands in quotes whenever YAML could take it for something else.

use kith_protocol::admin::{Community, Director, Invitee, Network, Policy};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A part of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// What somebody wrote.
    Text(String),
    /// Addresses and words of ours, which need no quotes.
    Word(String),
    Number(i64),
    Flag(bool),
    /// On one line.
    Row(Vec<Node>),
    /// An item a line, or several.
    List(Vec<Node>),
    Map(Vec<(&'static str, Node)>),
}

/// The file that says this network.
pub(super) fn document(network: &Network) -> Node {
    let mut directors: Vec<&Director> = network.directors.iter().collect();
    directors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut communities: Vec<&Community> = network.communities.iter().collect();
    communities.sort_by(|a, b| a.domain.cmp(&b.domain));
    let mut members: Vec<&Invitee> = network.members.iter().collect();
    members.sort_by(|a, b| a.fqdn.cmp(&b.fqdn));
    let communities = communities
        .into_iter()
        .map(|one| community(one, &network.policies));
    let mut map = Entries(vec![("version", Node::Number(2))]);
    map.list("directors", directors.into_iter().map(director).collect());
    map.list("communities", communities.collect());
    map.list("devices", members.into_iter().map(device).collect());
    Node::Map(map.0)
}

fn director(director: &Director) -> Node {
    let mut map = Entries(vec![("name", text(&director.name))]);
    map.put("role", word(if director.private { "private" } else { "network" }));
    map.put("address", word(&director.address));
    map.word("private_address", &director.private_address);
    map.put("port", Node::Number(director.port.into()));
    let transports = [("udp", director.udp), ("tcp", director.tcp)];
    let transports = transports.iter().filter(|(_, takes)| *takes);
    map.row("transports", transports.map(|(name, _)| word(name)).collect());
    map.row("sites", director.sites.iter().map(|site| text(site)).collect());
    map.row(
        "nat_addresses",
        director
            .nat_addresses
            .iter()
            .map(|address| word(address))
            .collect(),
    );
    map.put("capacity", Node::Number(director.capacity.into()));
    map.flag("draining", director.draining);
    Node::Map(map.0)
}

fn community(community: &Community, policies: &[Policy]) -> Node {
    let mut map = Entries(vec![("domain", text(&community.domain))]);
    map.row("pools", community.pools.iter().map(|pool| word(pool)).collect());
    map.text("description", &community.description);
    map.flag("deny_by_default", community.deny_by_default);
    let mut directors = community.directors.clone();
    directors.sort();
    map.row("directors", directors.iter().map(|name| text(name)).collect());
    if community.ticket_lifetime_s != 0 {
        map.put(
            "ticket_lifetime",
            word(&format!("{}s", community.ticket_lifetime_s)),
        );
    }
    let mut own: Vec<&Policy> = policies
        .iter()
        .filter(|policy| policy.community == community.domain)
        .collect();
    own.sort_by(|a, b| a.id.cmp(&b.id));
    map.list("policies", own.into_iter().map(policy).collect());
    Node::Map(map.0)
}

fn policy(policy: &Policy) -> Node {
    let mut map = Entries(vec![("id", text(&policy.id))]);
    map.put("action", word(if policy.allow { "allow" } else { "deny" }));
    map.selector("from", &policy.from);
    map.selector("to", &policy.to);
    if policy.services.iter().any(|service| service != "any") {
        map.row(
            "services",
            policy.services.iter().map(|service| word(service)).collect(),
        );
    }
    if !policy.level.is_empty() && policy.level != natural_level(policy) {
        map.word("level", &policy.level);
    }
    if policy.priority != 0 {
        map.put("priority", Node::Number(policy.priority.into()));
    }
    map.text("comment", &policy.comment);
    Node::Map(map.0)
}

/// As narrow as the narrower end: what the manager takes where nothing is said.
fn natural_level(policy: &Policy) -> &'static str {
    let any = |kind: &str| policy.from.starts_with(kind) || policy.to.starts_with(kind);
    if any("machine:") {
        "machine"
    } else if any("user:") || any("tag:") {
        "user"
    } else {
        "domain"
    }
}

fn device(member: &Invitee) -> Node {
    let name = text(&member.fqdn);
    let name = if member.address.is_empty() {
        name
    } else {
        Node::Map(vec![("name", name), ("address", word(&member.address))])
    };
    let mut map = Entries(vec![("members", Node::Row(vec![name]))]);
    map.text("email", &member.email);
    map.text("user", &member.user);
    map.text("platform", &member.platform);
    let mut tags = member.tags.clone();
    tags.sort();
    map.row("tags", tags.iter().map(|tag| text(tag)).collect());
    Node::Map(map.0)
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn word(word: &str) -> Node {
    Node::Word(word.to_owned())
}

/// Entries of a mapping; what is empty is left out.
struct Entries(Vec<(&'static str, Node)>);

impl Entries {
    fn put(&mut self, key: &'static str, node: Node) {
        self.0.push((key, node));
    }

    fn text(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.put(key, text(value));
        }
    }

    fn word(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.put(key, word(value));
        }
    }

    fn selector(&mut self, key: &'static str, value: &str) {
        if value != "any" {
            self.text(key, value);
        }
    }

    fn flag(&mut self, key: &'static str, value: bool) {
        if value {
            self.put(key, Node::Flag(true));
        }
    }

    fn row(&mut self, key: &'static str, items: Vec<Node>) {
        if !items.is_empty() {
            self.put(key, Node::Row(items));
        }
    }

    fn list(&mut self, key: &'static str, items: Vec<Node>) {
        if !items.is_empty() {
            self.put(key, Node::List(items));
        }
    }
}

impl Node {
    /// As YAML, ending in a new line.
    pub(super) fn yaml(&self) -> String {
        let mut out = String::new();
        self.block("", "", &mut out);
        out
    }

    /// `first` stands before the first line, `indent` before all others.
    fn block(&self, first: &str, indent: &str, out: &mut String) {
        match self {
            Self::Map(entries) => {
                let mut before = first;
                for (key, value) in entries {
                    out.push_str(before);
                    before = indent;
                    out.push_str(key);
                    out.push(':');
                    match value {
                        Self::List(items) => {
                            out.push('\n');
                            let (dash, deeper) = (format!("{indent}  - "), format!("{indent}    "));
                            items.iter().for_each(|item| item.block(&dash, &deeper, out));
                        }
                        one => {
                            out.push(' ');
                            one.line(out);
                            out.push('\n');
                        }
                    }
                }
            }
            one => {
                out.push_str(first);
                one.line(out);
                out.push('\n');
            }
        }
    }

    /// On one line.
    fn line(&self, out: &mut String) {
        match self {
            Self::Text(text) if is_plain(text) => out.push_str(text),
            Self::Text(text) => quoted(text, out),
            Self::Word(word) => out.push_str(word),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Row(items) | Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.line(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push_str("{ ");
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    out.push_str(key);
                    out.push_str(": ");
                    value.line(out);
                }
                out.push_str(" }");
            }
        }
    }
}

/// JSON is YAML: a reader of topologies takes this too.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) | Self::Word(text) => s.serialize_str(text),
            Self::Number(number) => s.serialize_i64(*number),
            Self::Flag(flag) => s.serialize_bool(*flag),
            Self::Row(items) | Self::List(items) => s.collect_seq(items),
            Self::Map(entries) => {
                let mut map = s.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// Whether every reader of YAML, of any version, takes it for this text: it begins with a letter, has nothing that means something, and is none
/// of the words for true, false and nothing.
fn is_plain(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '/');
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(good)
        && !words.contains(&text.to_ascii_lowercase().as_str())
}

/// In double quotes (YAML 1.2, section 5.7); what does not print is written as its number.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
}
