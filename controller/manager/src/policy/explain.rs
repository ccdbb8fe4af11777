//! Which policy decides about a conversation, and why not the others.

use super::book::Book;
use super::rule::Policy;
use super::words::{Service, Who};
use kith_protocol::admin::Explanation;

/// How a policy stands to a conversation.
enum Stand {
    /// It decides.
    Decides,
    /// It is about one of the two, or about neither.
    OtherEnds,
    /// It is about both, and about other services.
    OtherService,
    /// The question is wider than what it is about.
    PartOnly,
}

impl Book {
    /// What happens when `from` begins a conversation with `to`, step by step. A conversation's packets meet the same policy in both directions,
    /// so what is said of the first packet is true of all. Asked about `any`, only policies about all services decide.
    #[must_use]
    pub fn explain(&self, from: &Who<'_>, to: &Who<'_>, service: Service) -> Explanation {
        let mut steps = Vec::new();
        for policy in self.policies() {
            let words = words(policy);
            steps.push(match stand(policy, from, to, service) {
                Stand::Decides => {
                    let verb = if policy.allow { "allows" } else { "denies" };
                    steps.push(format!("{words}: {verb} it"));
                    return Explanation {
                        allow: policy.allow,
                        policy: policy.id.to_string(),
                        steps,
                    };
                }
                Stand::OtherEnds => format!("{words}: not about these two"),
                Stand::OtherService => format!("{words}: about other services"),
                Stand::PartOnly => {
                    format!("{words}: decides about a part of {service} only; ask about that by itself")
                }
            });
        }
        let (allow, verb) = if self.deny_by_default() {
            (false, "denies")
        } else {
            (true, "allows")
        };
        steps.push(format!("default: {verb} what no policy is about"));
        Explanation {
            allow,
            policy: String::new(),
            steps,
        }
    }
}

fn stand(policy: &Policy, from: &Who<'_>, to: &Who<'_>, service: Service) -> Stand {
    let forward = policy.from.matches(from) && policy.to.matches(to);
    // Without a port nothing tells who began: such a policy is about both directions.
    let back = policy.from.matches(to) && policy.to.matches(from);
    let portless = |about: &Service| !matches!(about, Service::Port { .. });
    let about = |about: &&Service| forward || back && portless(about);
    let mut services = policy.services.iter().filter(about).peekable();
    if services.peek().is_none() {
        return Stand::OtherEnds;
    }
    let services: Vec<&Service> = services.collect();
    if services.iter().any(|about| about.covers(service)) {
        Stand::Decides
    } else if services.iter().any(|about| service.covers(**about)) {
        Stand::PartOnly
    } else {
        Stand::OtherService
    }
}

/// "machine 10 ssh (deny any to machine:vault.acme.example, tcp/22)"
fn words(policy: &Policy) -> String {
    let services: Vec<String> = policy.services.iter().map(ToString::to_string).collect();
    let verb = if policy.allow { "allow" } else { "deny" };
    let (level, priority, id) = (policy.level, policy.priority, &policy.id);
    format!(
        "{id} ({level} level, priority {priority}: {verb} {} to {}, {})",
        policy.from,
        policy.to,
        services.join(" ")
    )
}
