//! MTUs that can carry the encapsulation, and times that can work together.

use super::refer::Refs;
use crate::{
    Code,
    diagnostic::Sink,
    read::Field,
    scalars::{Number, Period},
    written::{Director, Topology},
};
use std::{ops::Range, time::Duration};

/// The MTU of the public network if the file says nothing.
pub(crate) const DEFAULT_MTU: u16 = 1500;
/// The lifetime of a session if the file says nothing.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(120);
/// The interval of keep-alives if the file says nothing.
pub(crate) const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What encapsulation adds to a virtual packet at most: outer IPv4 20, UDP 8, shim 20, ESP header 8, IV 8, padding to 4 octets 3, ESP
/// trailer 2, tag 16 (RFC 4303, section 2; RFC 4106, section 3).
const OVERHEAD: u16 = 20 + 8 + 20 + 8 + 8 + 3 + 2 + 16;
/// Every host must take packets of 576 octets (RFC 791, section 3.1): so must a virtual network.
const MIN_MTU: u16 = 576 + OVERHEAD;
/// The largest jumbo frame that common network cards take.
const MAX_MTU: u16 = 9216;
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn check(w: &Topology, refs: &Refs, sink: &mut Sink<'_>) {
    let public = w.public.as_ref().and_then(|p| p.get()?.mtu.as_ref());
    let public_mtu = match public {
        Some(field) => mtu(field, sink),
        None => Some(DEFAULT_MTU),
    };
    for site in w.sites.iter().filter_map(|s| s.get()) {
        let wan = site
            .wan_mtu
            .as_ref()
            .and_then(|field| Some((mtu(field, sink)?, field.span.clone())));
        if let (Some((wan, span)), Some(public)) = (wan, public_mtu)
            && wan > public
        {
            let message = format!("{wan} is more than the {public} octets of the public network");
            sink.error(
                span,
                Code::ImpossibleMtu,
                message,
                "leave it out, or write a smaller number",
            );
        }
        if let Some((timeout, span)) = site.nat.get().and_then(|n| n.udp_timeout.at()) {
            bounds(timeout, span, Duration::from_secs(1), sink);
        }
    }
    for community in w.communities.iter().filter_map(|c| c.get()) {
        if let Some((lifetime, span)) = community.ticket_lifetime.as_ref().and_then(|field| field.at()) {
            bounds(lifetime, span.clone(), Duration::from_secs(60), sink);
            if !lifetime.0.subsec_millis().is_multiple_of(1000) {
                let message = format!("{lifetime} is no whole number of seconds");
                sink.error(span, Code::BadValue, message, "write it in s, m or h");
            }
        }
    }
    for (at, director) in w
        .directors
        .iter()
        .enumerate()
        .filter_map(|(at, d)| Some((at, d.get()?)))
    {
        times(w, refs, at, director, sink);
    }
}

fn mtu(field: &Field<Number<0, 65535>>, sink: &mut Sink<'_>) -> Option<u16> {
    let (mtu, span) = field
        .at()
        .and_then(|(n, span)| Some((u16::try_from(n.0).ok()?, span)))?;
    if mtu < MIN_MTU {
        let message = format!("with {mtu} octets less than 576 are left for a virtual packet");
        let help = format!("write at least {MIN_MTU}: encapsulation takes up to {OVERHEAD} octets");
        sink.error(span, Code::ImpossibleMtu, message, help);
    } else if mtu > MAX_MTU {
        let message = format!("no network card carries {mtu} octets");
        sink.error(
            span,
            Code::ImpossibleMtu,
            message,
            format!("write at most {MAX_MTU}; 1500 is usual"),
        );
    } else {
        return Some(mtu);
    }
    None
}

fn times(w: &Topology, refs: &Refs, at: usize, director: &Director, sink: &mut Sink<'_>) {
    let lifetime = period(&director.session_lifetime, DEFAULT_LIFETIME, director);
    let keep_alive = period(&director.keep_alive, DEFAULT_KEEP_ALIVE, director);
    if let Some((lifetime, span)) = &lifetime {
        bounds(lifetime, span.clone(), Duration::from_secs(1), sink);
    }
    let Some((keep_alive, span)) = keep_alive else {
        return;
    };
    bounds(&keep_alive, span.clone(), Duration::from_millis(100), sink);
    if let Some((lifetime, _)) = lifetime
        && lifetime.0 < keep_alive.0.saturating_mul(3)
    {
        let message =
            format!("a session of {lifetime} ends when two keep-alives, every {keep_alive}, are lost");
        let help = "make the session lifetime at least three times the keep-alive interval";
        sink.error(span.clone(), Code::Timing, message, help);
    }
    // The shortest timeout among the NATs that members who may be at this director sit behind.
    let communities = refs.communities.iter().enumerate();
    let here = communities.filter(|(_, directors)| directors.contains(&at));
    let sites = here
        .flat_map(|(community, _)| refs.sites_of(community))
        .filter_map(|site| w.sites[site].get());
    let shortest = sites
        .filter_map(|s| Some((s.nat.get()?.udp_timeout.get()?, s.name.get()?)))
        .min();
    let Some((timeout, site)) = shortest else { return };
    let help = format!(
        "write `keep_alive: {}` or less",
        Period(shorter_than_half(timeout.0))
    );
    if keep_alive >= *timeout {
        let message = format!(
            "the NAT of `{site}` forgets a session after {timeout}, before its keep-alive after {keep_alive}"
        );
        sink.error(span, Code::Timing, message, help);
    } else if keep_alive.0.saturating_mul(2) >= timeout.0 {
        let message = format!(
            "the NAT of `{site}` forgets a session after {timeout} if one keep-alive, every {keep_alive}, is lost"
        );
        sink.warning(span, Code::Timing, message, help);
    }
}

/// A whole number of seconds below half of it, where there is one.
fn shorter_than_half(timeout: Duration) -> Duration {
    let half = timeout / 2;
    let seconds = Duration::from_secs(half.saturating_sub(Duration::from_millis(1)).as_secs());
    if seconds.is_zero() {
        Duration::from_millis((half.as_millis() as u64).saturating_sub(1).max(100))
    } else {
        seconds
    }
}

/// A period as given, or the default, which is then reported at the director's name.
fn period(
    field: &Option<Field<Period>>,
    default: Duration,
    director: &Director,
) -> Option<(Period, Range<usize>)> {
    match field {
        Some(field) => field.at().map(|(period, span)| (*period, span)),
        None => Some((Period(default), director.name.span.clone())),
    }
}

fn bounds(period: &Period, span: Range<usize>, least: Duration, sink: &mut Sink<'_>) {
    if period.0 < least || period.0 > DAY {
        let help = format!("write something from {} to {}", Period(least), Period(DAY));
        sink.error(span, Code::OutOfRange, format!("{period} is out of bounds"), help);
    }
}
