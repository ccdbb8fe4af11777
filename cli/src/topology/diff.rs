//! `kith topology diff`: the file and what the manager has, side by side as lines.
//!
//! Problem: the same network can be written in many ways. Idea: both sides are written anew, by [`super::document`]; and what the manager's plan
//! does not change is the same on both sides, however the file spells it. So a difference is shown exactly where `apply` would make one.

use super::document::document;
use super::plan::{self, Action, How, Step};
use crate::error::Error;
use crate::manager::{Link, Reach};
use crate::output::{self, Format};
use kith_protocol::admin::{Director, Invitee, Network, Policy};
use serde::Serialize;
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Serialize)]
struct Difference {
    file: String,
    manager: String,
    different: bool,
    /// Unified, with three lines around every difference.
    diff: String,
}

/// `kith topology diff`
pub fn run(file: &Path, prune: bool, reach: &Reach, format: Format) -> Result<u8, Error> {
    match compare(file, prune, reach) {
        Ok(found) => {
            output::show(format, &found, |found| painted(&found.diff, plan::colour()))?;
            Ok(u8::from(found.different))
        }
        // 1 has a meaning of its own here, as in diff(1).
        Err(error) => {
            eprint!("{}", error.render());
            Ok(2)
        }
    }
}

fn compare(file: &Path, prune: bool, reach: &Reach) -> Result<Difference, Error> {
    let listed = super::listed(file)?;
    let mut link = Link::connect(reach)?;
    let how = How {
        prune,
        ..How::default()
    };
    let (wanted, plan) = plan::make(&mut link, file, &listed, how)?;
    let there = super::export::ask(&mut link, Vec::new())?;
    let (old, new) = sides(&there, &wanted, &plan.changes);
    let (old, new) = (document(&old).yaml(), document(&new).yaml());
    let diff = TextDiff::from_lines(&old, &new);
    let manager = link.name();
    let diff = diff
        .unified_diff()
        .context_radius(3)
        .header(
            &format!("{manager} (has)"),
            &format!("{} (wants)", file.display()),
        )
        .to_string();
    Ok(Difference {
        file: file.display().to_string(),
        manager,
        different: !plan.changes.is_empty(),
        diff,
    })
}

/// Both sides, of what the file names and the plan removes. `there` is all that the manager has.
fn sides(there: &Network, wanted: &Network, changes: &[Step]) -> (Network, Network) {
    let changed: BTreeMap<String, &Step> = changes
        .iter()
        .map(|step| (format!("{} {}", step.object.kind, step.object.name), step))
        .collect();
    let (directors, new_directors) = part(
        &there.directors,
        &wanted.directors,
        &changed,
        director,
        |_, _, _| {},
    );
    let community = |one: &kith_protocol::admin::Community| format!("community {}", one.domain);
    let (communities, new_communities) = part(
        &there.communities,
        &wanted.communities,
        &changed,
        community,
        |_, _, _| {},
    );
    let (members, new_members) = part(&there.members, &wanted.members, &changed, member, keep_platform);
    let (policies, new_policies) = part(&there.policies, &wanted.policies, &changed, policy, |_, _, _| {});
    let old = Network {
        communities,
        members,
        policies,
        directors,
    };
    let new = Network {
        communities: new_communities,
        members: new_members,
        policies: new_policies,
        directors: new_directors,
    };
    (old, new)
}

/// Objects of one kind. What is not changed is on both sides as the manager has it; what goes is on its side alone.
fn part<T: Clone>(
    there: &[T],
    wanted: &[T],
    changed: &BTreeMap<String, &Step>,
    name: impl Fn(&T) -> String,
    mend: impl Fn(&T, &mut T, &Step),
) -> (Vec<T>, Vec<T>) {
    let known: BTreeMap<String, &T> = there.iter().map(|one| (name(one), one)).collect();
    let named: BTreeSet<String> = wanted.iter().map(&name).collect();
    let goes = |name: &String| {
        changed
            .get(name)
            .is_some_and(|step| step.action == Action::Remove)
    };
    let old = known
        .iter()
        .filter(|(name, _)| named.contains(*name) || goes(name));
    let new = wanted.iter().map(|one| {
        let name = name(one);
        match (known.get(&name), changed.get(&name)) {
            (Some(old), None) => (*old).clone(),
            (Some(old), Some(step)) => {
                let mut one = one.clone();
                mend(old, &mut one, step);
                one
            }
            (None, _) => one.clone(),
        }
    });
    (old.map(|(_, one)| (*one).clone()).collect(), new.collect())
}

/// A device that has enrolled knows its platform better than a file.
fn keep_platform(old: &Invitee, new: &mut Invitee, step: &Step) {
    if !step.details.iter().any(|detail| detail.starts_with("platform: ")) {
        new.platform.clone_from(&old.platform);
    }
}

fn director(one: &Director) -> String {
    format!("director {}", one.name)
}

fn member(one: &Invitee) -> String {
    format!("member {}", one.fqdn)
}

fn policy(one: &Policy) -> String {
    format!("policy {}/{}", one.community, one.id)
}

fn painted(diff: &str, colour: bool) -> String {
    if !colour {
        return diff.to_owned();
    }
    let hue = |line: &str| match line.as_bytes().first() {
        _ if line.starts_with("--- ") || line.starts_with("+++ ") => "\x1b[1m",
        Some(b'-') => "\x1b[31m",
        Some(b'+') => "\x1b[32m",
        Some(b'@') => "\x1b[36m",
        _ => "",
    };
    let lines = diff.lines().map(|line| match hue(line) {
        "" => format!("{line}\n"),
        hue => format!("{hue}{line}\x1b[0m\n"),
    });
    lines.collect()
}
