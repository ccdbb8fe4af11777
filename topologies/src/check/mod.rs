//! Written to validated: every rule that holds between values, one file per kind.
//!
//! Each check walks what could be read and skips holes: a hole was reported when it was made. Only when nothing at all was reported
//! as an error is the validated form built.

mod addresses;
mod build;
mod keys;
mod names;
mod numbers;
mod prefixes;
mod pseudo;
mod refer;

use crate::{Code, MAX_MEMBERS, diagnostic::Sink, validated, written::Topology};

pub(crate) fn check(w: &Topology, sink: &mut Sink<'_>) -> Option<validated::Topology> {
    if w.members.len() > MAX_MEMBERS {
        let message = format!("there are {} members", w.members.len());
        let help = format!("keep at most {MAX_MEMBERS} in one file: every pair of them gets a key");
        sink.error(w.members[MAX_MEMBERS].span.clone(), Code::TooMany, message, help);
        return None;
    }
    let refs = refer::Refs::resolve(w, sink);
    names::check(w, sink);
    prefixes::check(w, &refs, sink);
    addresses::check(w, &refs, sink);
    pseudo::check(w, &refs, sink);
    keys::check(w, &refs, sink);
    numbers::check(w, &refs, sink);
    if sink.has_errors() {
        None
    } else {
        build::build(w, &refs)
    }
}
