//! Written to validated: every rule that holds between values, one file per kind.
//!
//! Each check walks what could be read and skips holes: a hole was reported when it was made. Only when nothing at all was reported
//! as an error is the validated form built.

mod addresses;
pub(crate) mod build;
mod names;
mod numbers;
mod prefixes;
mod refer;
mod reserved;
mod room;
mod wiring;

use crate::{Code, MAX_LISTED, MAX_MEMBERS, diagnostic::Sink, managed, validated, written::Topology};
use std::ops::Range;

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be brought up: it must have wiring.
    Lab,
    /// To be told to a manager: wiring is checked if it is there.
    Manager,
}

/// What the manager is to know, and the whole if there is wiring. `start` is where the file begins.
pub(crate) fn check(
    w: &Topology,
    start: Range<usize>,
    purpose: Purpose,
    sink: &mut Sink<'_>,
) -> Option<(managed::Managed, Option<validated::Topology>)> {
    if !bounded(w, sink) {
        return None;
    }
    let wired = wiring::check(w, start, purpose, sink);
    let refs = refer::Refs::resolve(w, wired, sink);
    names::check(w, wired, sink);
    prefixes::check(w, &refs, sink);
    let addresses = wired.then(|| addresses::check(w, &refs, sink));
    reserved::check(w, &refs, sink);
    room::check(w, &refs, wired, sink);
    numbers::check(w, &refs, sink);
    if sink.has_errors() {
        return None;
    }
    let directors = addresses
        .as_ref()
        .map_or(&[][..], |addresses| &addresses.directors);
    let managed = managed::managed(w, directors)?;
    match addresses {
        Some(addresses) => build::build(w, &refs, &addresses).map(|whole| (managed, Some(whole))),
        None => Some((managed, None)),
    }
}

/// Whether there are few enough that checks of all pairs end soon.
fn bounded(w: &Topology, sink: &mut Sink<'_>) -> bool {
    let most = if w.public.is_some() {
        MAX_MEMBERS
    } else {
        MAX_LISTED
    };
    let names = w.devices.iter().filter_map(|device| Some(&device.get()?.members));
    let names: Vec<_> = names.flatten().map(|member| &member.span).collect();
    let over = match (w.devices.get(most), names.get(most)) {
        (Some(device), _) => (
            device.span.clone(),
            format!("there are {} devices", w.devices.len()),
        ),
        (None, Some(span)) => ((*span).clone(), format!("there are {} members", names.len())),
        (None, None) => return true,
    };
    let help = format!("keep at most {most} in one file");
    sink.error(over.0, Code::TooMany, over.1, help);
    false
}
