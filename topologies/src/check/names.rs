//! Names: no two nodes, members, or communities share one.

use crate::{Code, Name, diagnostic::Sink, written::Topology};
use std::{collections::HashMap, ops::Range};

pub(crate) fn check(w: &Topology, sink: &mut Sink<'_>) {
    let mut nodes = Seen::new(
        "nodes",
        "every node gets a namespace of that name: give this one another name",
    );
    for director in w.directors.iter().filter_map(|d| d.get()?.name.at()) {
        nodes.see(director.0.as_str(), director.1, sink);
    }
    for site in w.sites.iter().filter_map(|s| s.get()?.name.at()) {
        nodes.see(site.0.as_str(), site.1, sink);
    }
    let mut members = Seen::new("members", "give this one another first label");
    for member in w.members.iter().filter_map(|m| m.get()) {
        if let Some((name, span)) = member.name.at() {
            if !members.see(name.as_str(), span.clone(), sink) {
                continue;
            }
            match &member.node {
                Some(node) => {
                    node.at().map(|(node, span)| nodes.see(node.as_str(), span, sink));
                }
                None => match Name::parse(name.first_label()) {
                    Ok(node) => {
                        nodes.see(node.as_str(), span, sink);
                    }
                    Err(why) => {
                        let message =
                            format!("`{}`, the name of this member's node, {why}", name.first_label());
                        sink.error(span, Code::BadName, message, "add `node: …` with a short name");
                    }
                },
            }
        }
    }
    for host in w.hosts.iter().filter_map(|h| h.get()?.name.at()) {
        nodes.see(host.0.as_str(), host.1, sink);
    }
    let mut domains = Seen::new("communities", "give each community a domain of its own");
    for domain in w.communities.iter().filter_map(|c| c.get()?.domain.at()) {
        domains.see(domain.0.as_str(), domain.1, sink);
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
