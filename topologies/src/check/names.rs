//! Names: no two nodes, members, or communities share one, nor do two policies of a community.

use crate::{Code, Fqdn, Name, diagnostic::Sink, read::Field, written::Topology};
use std::{collections::HashMap, ops::Range};

/// Nodes are a lab's: without wiring, devices are told apart by their full names.
pub(crate) fn check(w: &Topology, wired: bool, sink: &mut Sink<'_>) {
    let mut nodes = Seen::new(
        "nodes",
        "every node gets a namespace of that name: give this one another name",
    );
    fn text(name: &Field<Name>) -> Option<(&str, Range<usize>)> {
        name.at().map(|(name, span)| (name.as_str(), span))
    }
    let manager = w.manager.iter().filter_map(|m| text(&m.get()?.name));
    let directors = w.directors.iter();
    let directors = directors.filter_map(|d| d.get()?.name.at().map(|(name, span)| (name.as_str(), span)));
    let sites = w.sites.iter().filter_map(|s| text(&s.get()?.name));
    let devices = w.devices.iter().filter_map(|d| d.get()?.called());
    let devices = devices.filter(|_| wired);
    let hosts = w.hosts.iter().filter_map(|h| text(&h.get()?.name));
    let all = manager.chain(directors).chain(sites);
    for (name, span) in all.chain(devices).chain(hosts) {
        nodes.see(name, span, sink);
    }
    let mut members = Seen::new("members", "give this one another first label");
    for (field, device) in w.devices.iter().filter_map(|d| Some((d, d.get()?))) {
        for (name, span) in device.names().filter_map(|name| name?.at()) {
            members.see(name.as_str(), span, sink);
        }
        let user = device.user.as_ref().and_then(|user| user.get());
        if device.email.is_none() && !user.is_some_and(|user| user.0.contains('@')) {
            let at = field.span.start..field.span.start;
            sink.error(
                at,
                Code::MissingField,
                "`email` is missing here",
                "add `email: …`",
            );
        }
        if device.members.is_empty() {
            let help = "add `members: [alice.acme.example]`, or write it under `hosts`";
            let span = device.span();
            let message = "this device is a member of nothing";
            sink.error(span, Code::MissingField, message, help);
        }
    }
    communities(w, sink);
}

fn communities(w: &Topology, sink: &mut Sink<'_>) {
    let mut domains = Seen::new("communities", "give each community a domain of its own");
    let mut before: Vec<(&Fqdn, usize)> = Vec::new();
    for community in w.communities.iter().filter_map(|c| c.get()) {
        let mut policies = Seen::new("policies", "give each policy of a community a name of its own");
        for policy in community.policies.iter().filter_map(|p| p.get()) {
            policy
                .id
                .at()
                .map(|(id, span)| policies.see(id.as_str(), span, sink));
        }
        let Some((domain, span)) = community.domain.at() else {
            continue;
        };
        let line = sink.line(span.start);
        if domains.see(domain.as_str(), span.clone(), sink) {
            for (other, line) in &before {
                if domain.is_in(other) || other.is_in(domain) {
                    let message = format!("`{domain}` and `{other}` (line {line}) lie in each other");
                    let help = "take domains of which none ends in another";
                    sink.error(span.clone(), Code::Overlap, message, help);
                }
            }
        }
        before.push((domain, line));
    }
}

/// Names seen so far, and on which line.
struct Seen {
    what: &'static str,
    help: &'static str,
    names: HashMap<String, usize>,
}

impl Seen {
    fn new(what: &'static str, help: &'static str) -> Self {
        Self {
            what,
            help,
            names: HashMap::new(),
        }
    }

    /// Whether the name is new.
    fn see(&mut self, name: &str, span: Range<usize>, sink: &mut Sink<'_>) -> bool {
        let line = sink.line(span.start);
        let Some(first) = self.names.get(name) else {
            self.names.insert(name.into(), line);
            return true;
        };
        let message = format!(
            "two {} are named `{name}`; the first is on line {first}",
            self.what
        );
        sink.error(span, Code::DuplicateName, message, self.help);
        false
    }
}
