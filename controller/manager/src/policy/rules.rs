//! Rules in the making: what can never be reached, and what the default says anyway, is left out.

use super::addresses::{ANY, Masked};
use kith_protocol::member::Rule;
use std::collections::HashSet;

/// Rules that a member's table takes at most. What does not fit is left out, the final allow with it: so it is denied.
pub const MAX_RULES: usize = 4096;

/// Most members have fewer rules: to look through them takes less than to hash one.
const FEW: usize = 16;

/// Protocol, source port, destination port; 0 for any.
type Ports = (u32, u32, u32);

/// Rules in the making.
pub(super) struct Rules {
    rules: Vec<Rule>,
    /// What they match, once there are many.
    seen: HashSet<(Masked, Masked, Ports)>,
    /// The last one matches everything.
    pub(super) complete: bool,
}

/// Between member and manager all is allowed, whatever policies say: names and heartbeats go there.
pub(super) const OWN: usize = 2;

impl Rules {
    pub(super) fn new(own: Masked, manager: Masked) -> Self {
        let mut rules = Self {
            rules: Vec::with_capacity(FEW / 2),
            seen: HashSet::new(),
            complete: false,
        };
        rules.add(true, own, manager, (0, 0, 0));
        rules.add(true, manager, own, (0, 0, 0));
        rules
    }

    /// A rule that can never be reached is left out.
    pub(super) fn add(&mut self, allow: bool, source: Masked, destination: Masked, ports: (u8, u16, u16)) {
        let (protocol, source_port, port) = (ports.0.into(), ports.1.into(), ports.2.into());
        if self.complete || self.is_there((source, destination, (protocol, source_port, port))) {
            return;
        }
        self.complete = (source, destination, protocol, source_port, port) == (ANY, ANY, 0, 0, 0);
        self.rules.push(Rule {
            allow,
            source: source.0,
            source_mask: source.1,
            destination: destination.0,
            destination_mask: destination.1,
            protocol,
            source_port,
            destination_port: port,
        });
    }

    /// Is there a rule before that matches the same? If not it is noted: it will be.
    fn is_there(&mut self, matched: (Masked, Masked, Ports)) -> bool {
        if self.rules.len() < FEW {
            return self.rules.iter().any(|rule| what(rule) == matched);
        }
        if self.seen.is_empty() {
            self.seen.extend(self.rules.iter().map(what));
        }
        !self.seen.insert(matched)
    }

    /// What comes last and decides as the default does is left to the default.
    pub(super) fn finish(mut self, allow_by_default: bool) -> Vec<Rule> {
        if !self.complete {
            self.add(allow_by_default, ANY, ANY, (0, 0, 0));
        }
        let last = self.rules.last().is_some_and(|rule| rule.allow);
        let tail = self
            .rules
            .iter()
            .skip(OWN)
            .rev()
            .take_while(|rule| rule.allow == last)
            .count();
        self.rules.truncate(self.rules.len() - tail);
        if self.rules.len() >= MAX_RULES {
            self.rules.truncate(MAX_RULES);
        } else if last {
            self.rules.push(Rule {
                allow: true,
                ..Rule::default()
            });
        }
        self.rules
    }
}

fn what(rule: &Rule) -> (Masked, Masked, Ports) {
    (
        (rule.source, rule.source_mask),
        (rule.destination, rule.destination_mask),
        (rule.protocol, rule.source_port, rule.destination_port),
    )
}
