//! Written to validated: every rule that holds between values, one file per kind.
//!
//! Each check walks what could be read and skips holes: a hole was reported when it was made. Only when nothing at all was reported
//! as an error is the validated form built.

mod addresses;
mod build;
mod names;
mod numbers;
mod prefixes;
mod refer;
mod room;

use crate::{Code, MAX_MEMBERS, diagnostic::Sink, validated, written::Topology};

pub(crate) fn check(w: &Topology, sink: &mut Sink<'_>) -> Option<validated::Topology> {
    if !bounded(w, sink) {
        return None;
    }
    let refs = refer::Refs::resolve(w, sink);
    names::check(w, sink);
    prefixes::check(w, &refs, sink);
    let addresses = addresses::check(w, &refs, sink);
    room::check(w, &refs, sink);
    numbers::check(w, &refs, sink);
    if sink.has_errors() {
        None
    } else {
        build::build(w, &refs, &addresses)
    }
}

/// Whether there are few enough that checks of all pairs end soon.
fn bounded(w: &Topology, sink: &mut Sink<'_>) -> bool {
    let names = w.devices.iter().filter_map(|device| Some(&device.get()?.members));
    let names: Vec<_> = names.flatten().map(|name| &name.span).collect();
    let over = match (w.devices.get(MAX_MEMBERS), names.get(MAX_MEMBERS)) {
        (Some(device), _) => (
            device.span.clone(),
            format!("there are {} devices", w.devices.len()),
        ),
        (None, Some(span)) => ((*span).clone(), format!("there are {} members", names.len())),
        (None, None) => return true,
    };
    let help = format!("keep at most {MAX_MEMBERS} in one file");
    sink.error(over.0, Code::TooMany, over.1, help);
    false
}
