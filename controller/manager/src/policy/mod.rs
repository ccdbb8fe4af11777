//! Policies: who may talk with whom about what, in words; and what comes of them in every member's table.
//!
//! Problem: an operator says "alice may reach the servers' port 22, nobody else may"; a member's datapath compares addresses and ports of one packet
//! at a time and remembers nothing. Idea: a policy is about conversations. A packet belongs to one if it goes from one end to the other with the
//! service's port as its destination, or back with that port as its source. So the two directions always meet the same policy, and each member
//! needs just the rules that have itself at one end.
//!
//! ```text
//!  records::Policy ──parse──► Policy ──► Book ──► compile(member) ──► [Rule]  pushed to it, enforced when it sends and when it receives
//!                                        └───► explain(from, to, service)
//!
//!  order   own address ◄──► manager      always allowed
//!          machine level                 higher priority first, then deny before allow
//!          user level                    likewise
//!          domain level                  likewise
//!          default                       the community's
//! ```
//!
//! What it cannot do: without memory of connections, whoever may be asked on tcp/22 may also send from its port 22. Where that matters, write a
//! policy for both ends.

pub mod addresses;
mod book;
mod books;
mod explain;
mod rule;
mod rules;
#[cfg(test)]
mod tests;
mod words;

pub use book::{Book, Bound, Touched};
pub use books::{Books, compile};
pub use rule::{Policy, PolicyErrors, is_id, parse};
pub use rules::MAX_RULES;
pub use words::{Level, LevelError, Selector, SelectorError, Service, ServiceError, Who, is_word};
