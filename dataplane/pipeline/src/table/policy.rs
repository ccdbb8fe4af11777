//! `policy`: which packets may pass, in either direction. What matches nothing is denied.
//!
//! A flow is one number of 120 bits, and a rule a value and a mask: a match is one AND and one comparison. Rules stand in order of their
//! priority, the highest first.

use super::TableError;
use crate::schema::{Action, Match, Table};
use std::cmp::Reverse;
use std::sync::Arc;

/// What it is in P4.
pub const SCHEMA: Table = Table {
    name: "policy",
    keys: &[
        ("community", Match::Ternary, 16),
        ("source", Match::Ternary, 32),
        ("destination", Match::Ternary, 32),
        ("protocol", Match::Ternary, 8),
        ("source_port", Match::Ternary, 16),
        ("destination_port", Match::Ternary, 16),
    ],
    actions: &[
        Action {
            name: "allow",
            params: &[],
        },
        Action {
            name: "deny",
            params: &[],
        },
    ],
    default_action: Some("deny"),
    size: 4096,
};

/// What a packet is to the policy; also the mask of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flow {
    /// Community's number.
    pub community: u16,
    /// Virtual source address.
    pub source: u32,
    /// Virtual destination address.
    pub destination: u32,
    /// IPv4 protocol number.
    pub protocol: u8,
    /// 0 where the protocol has no ports.
    pub source_port: u16,
    /// 0 where the protocol has no ports.
    pub destination_port: u16,
}

impl Flow {
    fn word(self) -> u128 {
        let addresses = u128::from(self.source) << 72 | u128::from(self.destination) << 40;
        let ports = u128::from(self.source_port) << 16 | u128::from(self.destination_port);
        u128::from(self.community) << 104 | addresses | u128::from(self.protocol) << 32 | ports
    }

    fn of(word: u128) -> Self {
        Self {
            community: (word >> 104) as u16,
            source: (word >> 72) as u32,
            destination: (word >> 40) as u32,
            protocol: (word >> 32) as u8,
            source_port: (word >> 16) as u16,
            destination_port: word as u16,
        }
    }
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Pass.
    Allow,
    /// Drop, under the name `policy_denied`.
    Deny,
}

/// Which packets a rule is about. Two rules of one priority with the same bits are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    priority: i32,
    value: u128,
    mask: u128,
}

impl Rule {
    /// Packets that are as `value` in all bits of `mask`. The larger priority is asked first.
    #[must_use]
    pub fn new(priority: i32, value: Flow, mask: Flow) -> Self {
        Self {
            priority,
            value: value.word() & mask.word(),
            mask: mask.word(),
        }
    }

    /// Which rule is asked first.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// What packets are compared with; 0 where the mask is.
    #[must_use]
    pub fn value(&self) -> Flow {
        Flow::of(self.value)
    }

    /// Which bits are compared.
    #[must_use]
    pub fn mask(&self) -> Flow {
        Flow::of(self.mask)
    }

    /// Highest priority first; among equals the order is that of the bits, whichever came first.
    fn order(&self) -> (Reverse<i32>, u128, u128) {
        (Reverse(self.priority), self.mask, self.value)
    }
}

/// Flow → decision.
#[derive(Debug, Clone, Default)]
pub struct PolicyTable(Arc<Vec<(Rule, Decision)>>);

impl PolicyTable {
    /// What is decided about a packet: by the first rule that matches, else it is denied.
    #[inline]
    #[must_use]
    pub fn decide(&self, flow: Flow) -> Decision {
        let word = flow.word();
        let matching = self.0.iter().find(|(rule, _)| word & rule.mask == rule.value);
        matching.map_or(Decision::Deny, |(_, decision)| *decision)
    }

    /// Enters a rule that is not there yet.
    pub fn insert(&mut self, rule: Rule, decision: Decision) -> Result<(), TableError> {
        let at = match self.find(&rule) {
            Ok(_) => return Err(TableError::Exists),
            Err(at) => at,
        };
        if self.0.len() >= SCHEMA.size {
            return Err(TableError::Full(SCHEMA.size));
        }
        Arc::make_mut(&mut self.0).insert(at, (rule, decision));
        Ok(())
    }

    /// Changes what a rule decides, and gives what it decided.
    pub fn modify(&mut self, rule: Rule, decision: Decision) -> Result<Decision, TableError> {
        let at = self.find(&rule).map_err(|_| TableError::Missing)?;
        let there = &mut Arc::make_mut(&mut self.0)[at].1;
        Ok(std::mem::replace(there, decision))
    }

    /// Takes a rule out, and gives what it decided.
    pub fn remove(&mut self, rule: Rule) -> Result<Decision, TableError> {
        let at = self.find(&rule).map_err(|_| TableError::Missing)?;
        Ok(Arc::make_mut(&mut self.0).remove(at).1)
    }

    /// What exactly this rule decides.
    #[must_use]
    pub fn get(&self, rule: Rule) -> Option<Decision> {
        self.find(&rule).ok().map(|at| self.0[at].1)
    }

    /// All rules, in the order in which they are asked.
    pub fn iter(&self) -> impl Iterator<Item = (Rule, Decision)> {
        self.0.iter().copied()
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none? Then nothing passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, rule: &Rule) -> Result<usize, usize> {
        self.0
            .binary_search_by_key(&rule.order(), |(there, _)| there.order())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SSH: Flow = Flow {
        community: 1,
        source: 0x0a4d_0001,
        destination: 0x0a4d_0002,
        protocol: 6,
        source_port: 40_000,
        destination_port: 22,
    };

    const PORT_ONLY: Flow = Flow {
        community: 0,
        source: 0,
        destination: 0,
        protocol: 0,
        source_port: 0,
        destination_port: 0xffff,
    };

    #[test]
    fn an_empty_policy_denies() {
        assert_eq!(PolicyTable::default().decide(SSH), Decision::Deny);
    }

    #[test]
    fn the_highest_priority_decides_whatever_came_first() {
        let all = |priority| Rule::new(priority, SSH, Flow::default());
        let ssh = Rule::new(20, SSH, PORT_ONLY);
        let mut policy = PolicyTable::default();
        policy.insert(all(10), Decision::Allow).unwrap();
        policy.insert(ssh, Decision::Deny).unwrap();
        assert_eq!(policy.decide(SSH), Decision::Deny);
        let web = Flow {
            destination_port: 80,
            ..SSH
        };
        assert_eq!(policy.decide(web), Decision::Allow);
        policy.insert(all(30), Decision::Allow).unwrap();
        assert_eq!(policy.decide(SSH), Decision::Allow);
    }

    #[test]
    fn a_rule_about_a_port_says_nothing_about_packets_without_ports() {
        let mut policy = PolicyTable::default();
        policy
            .insert(Rule::new(1, SSH, PORT_ONLY), Decision::Allow)
            .unwrap();
        let ping = Flow {
            protocol: 1,
            source_port: 0,
            destination_port: 0,
            ..SSH
        };
        assert_eq!(
            (policy.decide(SSH), policy.decide(ping)),
            (Decision::Allow, Decision::Deny)
        );
    }

    #[test]
    fn a_rule_is_entered_changed_and_taken_out() {
        let mut policy = PolicyTable::default();
        let rule = Rule::new(1, SSH, PORT_ONLY);
        let same = Rule::new(1, Flow { source: 7, ..SSH }, PORT_ONLY);
        assert_eq!(policy.modify(rule, Decision::Deny), Err(TableError::Missing));
        assert_eq!(policy.insert(rule, Decision::Allow), Ok(()));
        assert_eq!(policy.insert(same, Decision::Allow), Err(TableError::Exists));
        assert_eq!(policy.modify(rule, Decision::Deny), Ok(Decision::Allow));
        assert_eq!(
            (rule.value(), rule.mask().destination_port),
            (
                Flow {
                    destination_port: 22,
                    ..Flow::default()
                },
                0xffff
            )
        );
        assert_eq!(policy.iter().collect::<Vec<_>>(), [(rule, Decision::Deny)]);
        assert_eq!(policy.remove(rule), Ok(Decision::Deny));
        assert_eq!(policy.remove(rule), Err(TableError::Missing));
    }

    proptest! {
        #[test]
        fn each_field_is_compared_by_itself(value: [u8; 15], other: [u8; 15], mask: [u8; 15]) {
            let word = |octets: [u8; 15]| octets.iter().fold(0, |word, octet| word << 8 | u128::from(*octet));
            let flow = Flow::of(word(value));
            prop_assert_eq!(flow.word(), word(value), "no field overlaps another");
            let mut policy = PolicyTable::default();
            policy.insert(Rule::new(1, flow, Flow::of(word(mask))), Decision::Allow).unwrap();
            let same = value.iter().zip(&other).zip(&mask).all(|((a, b), mask)| a & mask == b & mask);
            prop_assert_eq!(policy.decide(Flow::of(word(other))) == Decision::Allow, same);
        }
    }
}
