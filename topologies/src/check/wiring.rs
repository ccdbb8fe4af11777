//! Wiring: a lab needs all of it, a manager none. A file has it or not; a part of it alone is a slip.

use super::Purpose;
use crate::{
    Code, Name,
    compiled::Role,
    diagnostic::Sink,
    read::Field,
    scalars::Transport,
    written::{Director, Topology},
};
use std::ops::Range;

/// Whether the file has wiring, and all of it.
pub(crate) fn check(w: &Topology, start: Range<usize>, purpose: Purpose, sink: &mut Sink<'_>) -> bool {
    let start = start.start..start.start;
    if w.public.is_none() {
        if purpose == Purpose::Lab && parts(w).is_empty() {
            let missing = if w.name.is_some() { "" } else { "`name`, " };
            let message = format!(
                "this file has no wiring: {missing}`public` and `manager` are missing, and where devices sit"
            );
            let help = "a lab needs them: add `name: lab`, `public: { prefix: 203.0.113.0/24 }`, `manager: { name: manager }`, and `sites` with \
                        `site: …` for devices behind a NAT; for `kith topology plan` and `apply` the file is good as it is";
            sink.error(start, Code::MissingField, message, help);
        } else {
            unwired(w, sink);
        }
        return false;
    }
    for (there, key) in [(w.name.is_some(), "name"), (w.manager.is_some(), "manager")] {
        if !there {
            let message = format!("`{key}` is missing here");
            sink.error(
                start.clone(),
                Code::MissingField,
                message,
                format!("add `{key}: …`"),
            );
        }
    }
    for director in w.directors.iter().filter_map(|d| d.get()) {
        of_lab(w, director, sink);
    }
    for device in w
        .devices
        .iter()
        .filter_map(|d| d.get())
        .filter(|d| d.name.is_none())
    {
        if let Some((label, span)) = device.called()
            && let Err(why) = Name::parse(label)
        {
            let message = format!("this device has no `name`, and `{label}` {why}");
            sink.error(span, Code::BadName, message, "add a short `name: …`");
        }
    }
    true
}

/// What stands in a file without `public` and means nothing there.
fn parts(w: &Topology) -> Vec<(&'static str, Range<usize>)> {
    let first = |list: Option<Range<usize>>, key| list.map(|span| (key, span));
    let manager = w.manager.as_ref().map(|m| m.span.clone());
    let found = [
        first(manager, "manager"),
        first(w.sites.first().map(|s| s.span.clone()), "sites"),
        first(w.hosts.first().map(|h| h.span.clone()), "hosts"),
    ];
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    for device in w.devices.iter().filter_map(|d| d.get()) {
        let address = device.address.as_ref().map(|a| a.span.clone());
        let site = device.site.as_ref().map(|s| s.span.clone());
        found.extend(first(address, "address").into_iter().chain(first(site, "site")));
    }
    found
}

fn unwired(w: &Topology, sink: &mut Sink<'_>) {
    if let Some((key, span)) = parts(w).into_iter().next() {
        let message =
            format!("`{key}` is wiring, and `public`, the network that all sites hang on, is missing");
        let help = format!(
            "add `public: {{ prefix: 203.0.113.0/24 }}` for a lab; take `{key}` out if only a manager is to know this network"
        );
        sink.error(span, Code::MissingField, message, help);
    }
    for director in w.directors.iter().filter_map(|d| d.get()) {
        if director.address.is_none() {
            let span = director.name.span.clone();
            let message = "nothing says where this director is: without `public` no address is given out";
            sink.error(
                span,
                Code::MissingField,
                message,
                "add `address: …`, where members reach it",
            );
        }
        let inside = director.private_address.as_ref();
        match (director.role.get(), inside) {
            (Some(Role::Private), None) => {
                let message = "a private director has an address inside its network too";
                let help = "add `private_address: …`";
                sink.error(director.name.span.clone(), Code::MissingField, message, help);
            }
            (Some(Role::Network), Some(inside)) => {
                let message = "only a private director has an address inside a network";
                let help = "take it out, or write `role: private`";
                sink.error(inside.span.clone(), Code::BadValue, message, help);
            }
            _ => {}
        }
    }
}

/// Labs have network directors that all speak one port of UDP.
fn of_lab(w: &Topology, director: &Director, sink: &mut Sink<'_>) {
    if let Some((name, span)) = director.name.at()
        && let Err(why) = Name::parse(name.as_str())
    {
        let help = "use a short word such as `nrd1`: it names a network namespace too";
        sink.error(span, Code::BadName, format!("`{}` {why}", name.as_str()), help);
    }
    let mut refuse = |span: Range<usize>, what: &str, help: &str| {
        let message = format!("{what}, which a lab cannot have");
        sink.error(span, Code::BadValue, message, help);
    };
    if director.role.get() == Some(&Role::Private) {
        let help = "write `role: network`; private directors stand in files without `public`, for `kith topology plan` and `apply`";
        refuse(director.role.span.clone(), "this is a private director", help);
    }
    if let Some(inside) = &director.private_address {
        refuse(
            inside.span.clone(),
            "this is a private director's address",
            "take it out",
        );
    }
    let tcp = |one: &&Field<Transport>| one.get() == Some(&Transport::Tcp);
    if let Some(tcp) = director.transports.iter().find(tcp) {
        refuse(
            tcp.span.clone(),
            "this director takes TCP",
            "write `transports: [udp]`",
        );
    }
    let own = director.port.as_ref().and_then(|port| port.at());
    let common = w
        .udp_port
        .as_ref()
        .map_or(Some(super::build::DEFAULT_PORT.into()), |port| {
            Some(port.get()?.0)
        });
    if let (Some((own, span)), Some(common)) = (own, common)
        && own.0 != common
    {
        let help = format!("take it out, or write `udp_port: {}` for the whole file", own.0);
        refuse(span, "this director speaks a port of its own", &help);
    }
}
