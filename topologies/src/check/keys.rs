//! Keys: nobody shares one, ids differ, and pairs are pairs of members.

use super::refer::Refs;
use crate::{
    Code, Secret,
    compile::key_id,
    diagnostic::Sink,
    read::{Field, did_you_mean, short},
    scalars::Word,
    written::{Pair, Topology},
};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

pub(crate) fn check(w: &Topology, refs: &Refs, sink: &mut Sink<'_>) {
    let mut seen = HashMap::new();
    for (key, span) in secrets(w) {
        let line = sink.line(span.start);
        if let Some(first) = seen.get(&key.fingerprint()) {
            let message = format!("the same key is used on line {first}");
            sink.error(
                span,
                Code::SharedKey,
                message,
                "make one key for each use with `openssl rand -hex 32`",
            );
        } else {
            seen.insert(key.fingerprint(), line);
        }
    }
    let mut ids = HashMap::new();
    for (name, span) in w.members.iter().filter_map(|m| m.get()?.name.at()) {
        match ids.insert(key_id(name), name) {
            Some(other) if other != name => {
                let message = format!("the key id of this name is that of `{other}`");
                sink.error(span, Code::DuplicateName, message, "rename one of the two");
            }
            _ => {}
        }
    }
    for (at, community) in w
        .communities
        .iter()
        .enumerate()
        .filter_map(|(at, c)| Some((at, c.get()?)))
    {
        let mut seen = HashSet::new();
        for (field, pair) in community.pairs.iter().filter_map(|f| Some((f, f.get()?))) {
            let ends = pair_of(w, refs, at, (field, pair), sink);
            if ends.is_some_and(|ends| !seen.insert(ends)) {
                sink.error(
                    field.span.clone(),
                    Code::BadPair,
                    "this pair has a key already",
                    "keep one of them",
                );
            }
        }
    }
}

/// The two members of a pair by index, the smaller first; reports what is wrong with them.
pub(crate) fn pair_of(
    w: &Topology,
    refs: &Refs,
    community: usize,
    (field, pair): (&Field<Pair>, &Pair),
    sink: &mut Sink<'_>,
) -> Option<(usize, usize)> {
    let [one, other] = pair.members.as_slice() else {
        let message = format!("a pair has two members, not {}", pair.members.len());
        sink.error(
            field.span.clone(),
            Code::BadPair,
            message,
            "write `members: [alice.acme.example, bob.acme.example]`",
        );
        return None;
    };
    let ends = (
        member(w, refs, community, one, sink),
        member(w, refs, community, other, sink),
    );
    let (Some(one), Some(other)) = ends else {
        return None;
    };
    if one == other {
        sink.error(
            field.span.clone(),
            Code::BadPair,
            "both ends of this pair are the same member",
            "name two members",
        );
        return None;
    }
    Some((one.min(other), one.max(other)))
}

fn member(
    w: &Topology,
    refs: &Refs,
    community: usize,
    field: &Field<Word>,
    sink: &mut Sink<'_>,
) -> Option<usize> {
    let Word(wanted) = field.get()?;
    let here = w
        .members
        .iter()
        .zip(&refs.members)
        .enumerate()
        .filter(|(_, (_, r))| r.community == Some(community));
    let names: Vec<(usize, &str)> = here
        .filter_map(|(at, (m, _))| Some((at, m.get()?.name.get()?.as_str())))
        .collect();
    let found = names.iter().find(|(_, name)| name == wanted).map(|(at, _)| *at);
    if found.is_none() {
        let help = match did_you_mean(wanted, names.iter().map(|(_, name)| *name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write the full name of a member".into(),
        };
        let message = format!("no member of this community is named `{}`", short(wanted));
        sink.error(field.span.clone(), Code::UnknownReference, message, help);
    }
    found
}

fn secrets(w: &Topology) -> impl Iterator<Item = (&Secret, Range<usize>)> {
    let communities = w.communities.iter().filter_map(|c| c.get());
    let own = communities.clone().filter_map(|c| c.secret.at());
    let pairs = communities
        .flat_map(|c| &c.pairs)
        .filter_map(|p| p.get()?.secret.at());
    let members = w.members.iter().filter_map(|m| m.get()?.director_key.at());
    own.chain(pairs).chain(members)
}
