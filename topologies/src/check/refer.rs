//! References to what they refer to; members to their communities; nodes to where they sit.

use crate::{
    Code, Fqdn,
    diagnostic::Sink,
    read::{Field, did_you_mean, short},
    scalars::Word,
    written::{Community, Topology},
};
use std::{collections::BTreeMap, net::Ipv4Addr, ops::Range};

/// Where a node sits, as far as it could be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    Public(Ipv4Addr, Range<usize>),
    Site(usize, Ipv4Addr, Range<usize>),
}

/// What each member and host refers to, in the order of the file. `None`: there is a hole, and it was reported.
pub(crate) struct Refs {
    pub(crate) members: Vec<MemberRefs>,
    pub(crate) hosts: Vec<Option<Place>>,
}

#[derive(Default)]
pub(crate) struct MemberRefs {
    pub(crate) community: Option<usize>,
    pub(crate) director: Option<usize>,
    pub(crate) place: Option<Place>,
}

impl Refs {
    pub(crate) fn resolve(w: &Topology, sink: &mut Sink<'_>) -> Self {
        let mut members = Vec::new();
        for field in &w.members {
            members.push(field.get().map_or_else(MemberRefs::default, |m| {
                MemberRefs {
                    community: m
                        .name
                        .at()
                        .and_then(|(name, span)| community(name, span, &w.communities, sink)),
                    director: reference(
                        &m.director,
                        "director",
                        director_names(w),
                        w.directors.len(),
                        sink,
                    ),
                    place: place(w, field.span.clone(), (&m.site, &m.address, &m.public), sink),
                }
            }));
        }
        let mut hosts = Vec::new();
        for field in &w.hosts {
            let fields = field.get().map(|h| (&h.site, &h.address, &h.public));
            hosts.push(fields.and_then(|fields| place(w, field.span.clone(), fields, sink)));
        }
        let refs = Self { members, hosts };
        refs.same_director(w, sink);
        refs
    }

    /// All nodes that sit somewhere: members, then hosts.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.members
            .iter()
            .filter_map(|m| m.place.as_ref())
            .chain(self.hosts.iter().flatten())
    }

    /// Directors do not relay to each other, so a community that is split over two would fall apart without a word.
    fn same_director(&self, w: &Topology, sink: &mut Sink<'_>) {
        let mut first: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (at, refs) in self.members.iter().enumerate() {
            let (Some(community), Some(director), Some(member)) =
                (refs.community, refs.director, w.members[at].get())
            else {
                continue;
            };
            let (other, line) = *first
                .entry(community)
                .or_insert((director, sink.line(member.director.span.start)));
            if other != director {
                let name = |at: usize| {
                    w.directors[at]
                        .get()
                        .and_then(|d| d.name.get())
                        .map_or("?", |n| n.as_str())
                };
                let message = format!(
                    "its community is at `{}` (line {line}), this member at `{}`",
                    name(other),
                    name(director)
                );
                let help = format!(
                    "write `director: {}`: directors do not relay to each other",
                    name(other)
                );
                sink.error(member.director.span.clone(), Code::SplitCommunity, message, help);
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

type PlaceFields<'f> = (
    &'f Option<Field<Word>>,
    &'f Option<Field<Ipv4Addr>>,
    &'f Option<Field<Ipv4Addr>>,
);

fn place(w: &Topology, span: Range<usize>, fields: PlaceFields<'_>, sink: &mut Sink<'_>) -> Option<Place> {
    let help = "give either `site` and `address`, or `public`";
    let start = span.start..span.start;
    match fields {
        (None, None, Some(public)) => public.at().map(|(address, span)| Place::Public(*address, span)),
        (Some(site), Some(address), None) => {
            let site = reference(site, "site", site_names(w), w.sites.len(), sink);
            address
                .at()
                .zip(site)
                .map(|((address, span), site)| Place::Site(site, *address, span))
        }
        (None, None, None) => {
            sink.error(start, Code::Location, "it is not said where this sits", help);
            None
        }
        (Some(site), None, None) => {
            sink.error(
                site.span.clone(),
                Code::Location,
                "its address in the site is missing",
                "add `address: …`",
            );
            None
        }
        (None, Some(address), None) => {
            sink.error(
                address.span.clone(),
                Code::Location,
                "the site of this address is missing",
                "add `site: …`, or call the address `public`",
            );
            None
        }
        (_, _, Some(public)) => {
            sink.error(
                public.span.clone(),
                Code::Location,
                "this sits in a site and in the public network",
                help,
            );
            None
        }
    }
}
