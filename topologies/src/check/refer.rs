//! References to what they refer to; members to their communities; nodes to where they sit.

use crate::{
    Code, Fqdn,
    diagnostic::Sink,
    policy::Selector,
    read::{Field, did_you_mean, short},
    scalars::Word,
    written::{Community, Topology},
};
use std::{collections::BTreeSet, ops::Range};

/// Where a node sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Public,
    Site(usize),
}

/// What each community, device and host refers to, in the order of the file. `None`: there is a hole, and it was reported.
pub(crate) struct Refs {
    /// Every community's directors.
    pub(crate) communities: Vec<Vec<usize>>,
    pub(crate) devices: Vec<DeviceRefs>,
    pub(crate) hosts: Vec<Option<Place>>,
}

#[derive(Default)]
pub(crate) struct DeviceRefs {
    pub(crate) place: Option<Place>,
    /// The community of each of its names.
    pub(crate) communities: Vec<Option<usize>>,
}

impl Refs {
    pub(crate) fn resolve(w: &Topology, wired: bool, sink: &mut Sink<'_>) -> Self {
        let communities = w.communities.iter().map(|field| directors(w, field, wired, sink));
        let communities = communities.collect();
        let mut devices = Vec::new();
        for field in &w.devices {
            devices.push(field.get().map_or_else(DeviceRefs::default, |device| {
                let of = |name: Option<&Field<Fqdn>>, sink: &mut Sink<'_>| {
                    let (name, span) = name?.at()?;
                    community(name, span, &w.communities, sink)
                };
                DeviceRefs {
                    place: if wired { place(w, &device.site, sink) } else { None },
                    communities: device.names().map(|name| of(name, sink)).collect(),
                }
            }));
        }
        let hosts = w.hosts.iter().map(|host| place(w, &host.get()?.site, sink));
        let hosts = hosts.collect();
        machines(w, wired, sink);
        Self {
            communities,
            devices,
            hosts,
        }
    }

    /// The devices that are members of a community.
    pub(crate) fn devices_of(&self, community: usize) -> impl Iterator<Item = &DeviceRefs> {
        self.devices
            .iter()
            .filter(move |device| device.communities.contains(&Some(community)))
    }

    /// The sites where a community's members sit.
    pub(crate) fn sites_of(&self, community: usize) -> BTreeSet<usize> {
        let site = |device: &DeviceRefs| match device.place {
            Some(Place::Site(site)) => Some(site),
            _ => None,
        };
        self.devices_of(community).filter_map(site).collect()
    }
}

/// The directors that a community names, or all there are.
/// Without wiring the manager may have others than the file's: it knows what is no director.
fn directors(w: &Topology, field: &Field<Community>, wired: bool, sink: &mut Sink<'_>) -> Vec<usize> {
    let Some(community) = field.get() else {
        return Vec::new();
    };
    let span = match community.directors.as_slice() {
        [] => community.domain.span.clone(),
        [first, ..] => first.span.clone(),
    };
    let found: Vec<usize> = if community.directors.is_empty() {
        (0..w.directors.len()).collect()
    } else {
        let named = community.directors.iter();
        named
            .filter_map(|name| match wired {
                true => reference(name, "director", director_names(w), w.directors.len(), sink),
                false => director_names(w)
                    .find(|(_, known)| name.get().is_some_and(|n| n.0 == *known))
                    .map(|(at, _)| at),
            })
            .collect()
    };
    if found.len() > 1 {
        let message = format!("members of this community may be at {} directors", found.len());
        let help = "directors do not relay to each other: name one with `directors: […]`, or members at different ones will not reach each other";
        sink.warning(span, Code::SplitCommunity, message, help);
    }
    found
}

/// A policy about a machine that is no member says nothing: likely a slip.
fn machines(w: &Topology, wired: bool, sink: &mut Sink<'_>) {
    let members: BTreeSet<&str> = w
        .devices
        .iter()
        .filter_map(|device| device.get())
        .flat_map(|device| device.names())
        .filter_map(|name| Some(name?.get()?.as_str()))
        .collect();
    let policies = w.communities.iter().filter_map(|community| community.get());
    let policies = policies.flat_map(|community| community.policies.iter().map(move |p| (community, p)));
    for (community, policy) in policies {
        let Some(policy) = policy.get() else { continue };
        for field in [&policy.from, &policy.to].into_iter().flatten() {
            let Some((Selector::Machine(name), span)) = field.at() else {
                continue;
            };
            if members.contains(name.as_str()) && community.domain.get().is_some_and(|d| name.is_in(d)) {
                continue;
            }
            let help = match did_you_mean(name.as_str(), members.iter().copied()) {
                Some(near) => format!("did you mean `machine:{near}`?"),
                None => "write the full name of a member of this community".into(),
            };
            let message = format!("no member of this community is named `{}`", short(name.as_str()));
            // The manager may know it: a file without wiring need not be all there is.
            if wired {
                sink.error(span, Code::UnknownReference, message, help);
            } else {
                sink.warning(span, Code::UnknownReference, message, help);
            }
        }
    }
}

/// The index of what is referred to. Fewer `names` than `all` things: some have no name that could be read, and what is referred to may
/// be one of them, so nothing is reported a second time.
fn reference<'n>(
    field: &Field<Word>,
    what: &str,
    names: impl Iterator<Item = (usize, &'n str)> + Clone,
    all: usize,
    sink: &mut Sink<'_>,
) -> Option<usize> {
    let Word(wanted) = field.get()?;
    let found = names.clone().find(|(_, name)| name == wanted).map(|(at, _)| at);
    if found.is_none() && names.clone().count() == all {
        let known: Vec<&str> = names.map(|(_, name)| name).collect();
        let help = match did_you_mean(wanted, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("this file defines no {what}; add one"),
            None => format!("there are: {}", some(&known)),
        };
        let message = format!("no {what} is named `{}`", short(wanted));
        sink.error(field.span.clone(), Code::UnknownReference, message, help);
    }
    found
}

/// A list of names that fits a line.
fn some(names: &[&str]) -> String {
    let more = if names.len() > 8 { ", …" } else { "" };
    names.iter().take(8).copied().collect::<Vec<_>>().join(", ") + more
}

fn director_names(w: &Topology) -> impl Iterator<Item = (usize, &str)> + Clone {
    w.directors
        .iter()
        .enumerate()
        .filter_map(|(at, d)| Some((at, d.get()?.name.get()?.as_str())))
}

fn site_names(w: &Topology) -> impl Iterator<Item = (usize, &str)> + Clone {
    w.sites
        .iter()
        .enumerate()
        .filter_map(|(at, s)| Some((at, s.get()?.name.get()?.as_str())))
}

/// The community with the longest domain that the name is in.
fn community(
    name: &Fqdn,
    span: Range<usize>,
    all: &[Field<Community>],
    sink: &mut Sink<'_>,
) -> Option<usize> {
    let domains = all
        .iter()
        .enumerate()
        .filter_map(|(at, c)| Some((at, c.get()?.domain.get()?)));
    let found = domains
        .clone()
        .filter(|(_, d)| name.is_in(d))
        .min_by_key(|(_, d)| std::cmp::Reverse(d.as_str().len()));
    // A domain that could not be read may be this member's: no second report for it.
    let hole = all
        .iter()
        .any(|c| c.get().is_none_or(|c| c.domain.get().is_none()));
    if found.is_none() && !hole {
        let known: Vec<&str> = domains.map(|(_, d)| d.as_str()).collect();
        let tail = name.as_str().split_once('.').map_or("", |(_, tail)| tail);
        let help = match did_you_mean(tail, known.iter().copied()) {
            Some(near) => format!("did you mean `{}.{near}`?", name.first_label()),
            None if known.is_empty() => "this file defines no community; add one".into(),
            None => format!("end the name in a community's domain: {}", some(&known)),
        };
        sink.error(
            span,
            Code::NoCommunity,
            format!("`{}` is in no community's domain", short(name.as_str())),
            help,
        );
    }
    found.map(|(at, _)| at)
}

/// No site is the public network.
fn place(w: &Topology, site: &Option<Field<Word>>, sink: &mut Sink<'_>) -> Option<Place> {
    match site {
        None => Some(Place::Public),
        Some(site) => reference(site, "site", site_names(w), w.sites.len(), sink).map(Place::Site),
    }
}
