//! Single values from nodes, with the message each gives when it cannot be read, and their JSON Schemas.

use crate::{
    Code, Fqdn, Name, Prefix,
    compiled::{Action, Level, Ports, Role},
    diagnostic::Sink,
    policy::{Selector, Service},
    read::{Field, Value, did_you_mean, scalar, short},
    scalars::{DirectorName, Flag, Line, Mail, Number, Period, PolicyId, Priority, Tag, Transport, Word},
    written::{Membership, Reserved},
    yaml::{Kind, Node},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::{borrow::Cow, net::Ipv4Addr};

fn bad(node: &Node<'_>, code: Code, message: String, help: impl Into<String>, sink: &mut Sink<'_>) {
    sink.error(node.span.clone(), code, message, help);
}

impl Value for Name {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let text = scalar(node, "a name", sink)?;
        let read = Self::parse(text).map_err(|why| {
            let help = "use a short word such as `site-a`: it names a network namespace too";
            bad(
                node,
                Code::BadName,
                format!("`{}` {why}", short(text)),
                help,
                sink,
            );
        });
        read.ok()
    }
}

impl Value for Fqdn {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let text = scalar(node, "a full name", sink)?;
        let read = Self::parse(text).map_err(|why| {
            bad(
                node,
                Code::BadName,
                format!("`{}` {why}", short(text)),
                "use a domain name such as `acme.example`",
                sink,
            );
        });
        read.ok()
    }
}

/// Names with a message behind the quoted text, and what to do.
macro_rules! names {
    ($($ty:ty;)*) => {$(
        impl Value for $ty {
            fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
                let text = scalar(node, "a name", sink)?;
                let read = Self::parse(text).map_err(|(why, help)| {
                    bad(node, Code::BadName, format!("`{}` {why}", short(text)), help, sink);
                });
                read.ok()
            }
        }
    )*};
}

names! {
    DirectorName;
    PolicyId;
    Tag;
}

/// A full name alone, or a mapping that keeps an address for it.
impl Value for Membership {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        if let Kind::Map(_) = node.kind {
            return Reserved::read(node, sink).map(|kept| Self {
                name: kept.name,
                address: Some(kept.address),
            });
        }
        Fqdn::read(node, sink).map(|fqdn| Self {
            name: Field {
                span: node.span.clone(),
                value: Some(fqdn),
            },
            address: None,
        })
    }
}

impl JsonSchema for Membership {
    fn schema_name() -> Cow<'static, str> {
        "Membership".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (name, kept) = (
            generator.subschema_for::<Fqdn>(),
            generator.subschema_for::<Reserved>(),
        );
        json_schema!({ "anyOf": [name, kept], "description": "A full name, alone or with the virtual address that is kept for it" })
    }
}

impl Value for Word {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        scalar(node, "a name", sink).map(|text| Self(text.into()))
    }
}

impl Value for Ipv4Addr {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let text = scalar(node, "an IPv4 address", sink)?;
        let read = text.parse().map_err(|_| {
            let help = "write four numbers from 0 to 255, like 203.0.113.10, without a prefix length";
            bad(
                node,
                Code::BadValue,
                format!("`{}` is not an IPv4 address", short(text)),
                help,
                sink,
            );
        });
        read.ok()
    }
}

impl Value for Prefix {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let text = scalar(node, "a prefix", sink)?;
        let read = Self::parse(text).map_err(|(why, help)| {
            bad(
                node,
                Code::BadPrefix,
                format!("`{}` {why}", short(text)),
                help,
                sink,
            )
        });
        read.ok()
    }
}

impl Value for Period {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let text = scalar(node, "a duration", sink)?;
        let read = Self::parse(text);
        if read.is_none() {
            let help = "write a whole number and a unit (ms, s, m or h), like `10s`";
            bad(
                node,
                Code::BadValue,
                format!("`{}` is not a duration", short(text)),
                help,
                sink,
            );
        }
        read
    }
}

impl<const MIN: u32, const MAX: u32> Value for Number<MIN, MAX> {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let text = scalar(node, "a number", sink)?;
        let plain = matches!(node.kind, Kind::Scalar { plain: true, .. });
        let bounds = if MIN == MAX {
            format!("write {MIN}")
        } else {
            format!("write a whole number from {MIN} to {MAX}")
        };
        let number = text
            .parse::<i64>()
            .ok()
            .filter(|_| plain && !text.starts_with('+'));
        match number.map(u32::try_from) {
            None => bad(
                node,
                Code::BadValue,
                format!("`{}` is not a whole number", short(text)),
                bounds,
                sink,
            ),
            Some(Ok(n)) if (MIN..=MAX).contains(&n) => return Some(Self(n)),
            Some(_) => bad(
                node,
                Code::OutOfRange,
                format!("{} is out of bounds", short(text)),
                bounds,
                sink,
            ),
        }
        None
    }
}

/// Reads text by a grammar whose refusal is a message (behind the quoted text) and what to do.
macro_rules! by_grammar {
    ($($ty:ty, $wanted:literal;)*) => {$(
        impl Value for $ty {
            fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
                let text = scalar(node, $wanted, sink)?;
                let read = Self::parse(text).map_err(|(why, help)| {
                    bad(node, Code::BadValue, format!("`{}` {why}", short(text)), help, sink);
                });
                read.ok()
            }
        }
    )*};
}

by_grammar! {
    Line, "text";
    Mail, "a mail address";
    Selector, "a selector";
    Service, "a service";
}

impl Value for Flag {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        if matches!(node.kind, Kind::Scalar { plain: false, .. }) {
            let help = "write true or false, without quotes";
            bad(
                node,
                Code::BadValue,
                "a quoted text is neither true nor false".into(),
                help,
                sink,
            );
            return None;
        }
        choice(node, &[("true", Self(true)), ("false", Self(false))], sink)
    }
}

impl Value for Priority {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let text = scalar(node, "a number", sink)?;
        let plain = matches!(node.kind, Kind::Scalar { plain: true, .. });
        let read = text.parse().ok().filter(|_| plain && !text.starts_with('+'));
        if read.is_none() {
            let message = format!("`{}` is not a priority", short(text));
            bad(
                node,
                Code::BadValue,
                message,
                "write a whole number, as 10 or -10",
                sink,
            );
        }
        read.map(Self)
    }
}

/// One of a few words.
fn choice<T: Copy>(node: &Node<'_>, words: &[(&'static str, T)], sink: &mut Sink<'_>) -> Option<T> {
    let text = scalar(node, "a word", sink)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let help = match did_you_mean(text, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("what may stand here: {}", names.join(", ")),
        };
        bad(
            node,
            Code::BadValue,
            format!("`{}` is not known here", short(text)),
            help,
            sink,
        );
    }
    found.map(|(_, value)| *value)
}

impl Value for Role {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        choice(
            node,
            &[("network", Self::Network), ("private", Self::Private)],
            sink,
        )
    }
}

impl Value for Transport {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        choice(node, &[("udp", Self::Udp), ("tcp", Self::Tcp)], sink)
    }
}

impl Value for Action {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        choice(node, &[("allow", Self::Allow), ("deny", Self::Deny)], sink)
    }
}

impl Value for Level {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        let words = [
            ("domain", Self::Domain),
            ("user", Self::User),
            ("machine", Self::Machine),
        ];
        choice(node, &words, sink)
    }
}

impl Value for Ports {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self> {
        choice(
            node,
            &[("random", Self::Random), ("preserve", Self::Preserve)],
            sink,
        )
    }
}

macro_rules! schemas {
    ($($ty:ty, $name:literal, $schema:tt;)*) => {$(
        impl JsonSchema for $ty {
            fn schema_name() -> Cow<'static, str> { $name.into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema { json_schema!($schema) }
        }
    )*};
}

schemas! {
    Name, "Name", { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$", "description": "A short name: a-z, 0-9 and `-`, at most 15 characters" };
    Fqdn, "FullName", { "type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$", "description": "A domain name in lower case" };
    Word, "Reference", { "type": "string", "description": "The name of something defined in this file" };
    Prefix, "Prefix", { "type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}$", "description": "An IPv4 network, like 192.168.1.0/24" };
    Period, "Duration", { "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "description": "A duration, like 10s" };
    Line, "Line", { "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^\\x00-\\x1f\\x7f]*$", "description": "A line of text" };
    Mail, "MailAddress", { "type": "string", "maxLength": 254, "pattern": "^[^@\\s]+@[^@\\s]+$", "description": "A mail address" };
    Selector, "Selector", { "type": "string", "pattern": "^(any|user:\\S+|tag:\\S+|machine:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+)$", "description": "Whom a policy is about: any, user:NAME, machine:FULL.NAME or tag:WORD" };
    Service, "Service", { "type": "string", "pattern": "^(any|icmp|tcp|udp|(tcp|udp)/[1-9][0-9]{0,4})$", "description": "A service: any, icmp, tcp, udp, or a port as tcp/22" };
    Flag, "Flag", { "type": "boolean" };
    Priority, "Priority", { "type": "integer", "minimum": -2147483648, "maximum": 2147483647 };
    Action, "Action", { "enum": ["allow", "deny"] };
    Level, "Level", { "enum": ["domain", "user", "machine"] };
    DirectorName, "DirectorName", { "type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$", "description": "A director's name: letters, digits, `-`, `_` and `.`, at most 64; a lab allows only short names, as of other nodes" };
    PolicyId, "PolicyName", { "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$", "description": "A policy's name: a-z, 0-9, `-`, `_` and `.`, at most 63 characters" };
    Tag, "Tag", { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[^\\s,]*$", "description": "One word" };
    Transport, "Transport", { "enum": ["udp", "tcp"] };
    Role, "Role", { "enum": ["network", "private"], "description": "What a director does: `network` sits in the public network, `private` serves the members of a site; labs have network directors only" };
    Ports, "Ports", { "enum": ["random", "preserve"], "description": "What a NAT does to source ports" };
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Number<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Number{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}
