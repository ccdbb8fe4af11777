//! `kith topology plan`: what applying a file would change.
//!
//! The manager compares: it alone knows what is there, and it checks the whole at once. What is shown here is its answer to a dry run, with the
//! revision that it holds for; `apply` gives that back, and the manager refuses if an operator has changed anything meanwhile.
//!
//! ```text
//!  file ─► network ─► Apply (dry run)         ─► what would be created, changed, removed
//!                  └► Apply (dry run, prune)  ─► what is there beside it, and left alone
//! ```

use super::network::network;
use crate::error::Error;
use crate::manager::{Link, Reach};
use crate::output::{self, Format};
use kith_protocol::admin::change::Kind;
use kith_protocol::admin::{ApplyAnswer, ApplyRequest, Change, Network};
use kith_topologies::Listed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

/// What would change, as it is shown.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The file as it was named.
    pub file: String,
    /// The manager's place.
    pub manager: String,
    /// What the plan was made from: `apply --revision` takes it.
    pub revision: u64,
    /// Whether what the file does not name goes.
    pub prune: bool,
    /// One by one, in the order of directors, communities, members and policies.
    pub changes: Vec<Step>,
    /// Who is invited, and where the invitation is mailed.
    pub invitations: Vec<Letter>,
    /// What `--prune` would remove besides.
    pub left_alone: Vec<Object>,
    /// How many of each.
    pub totals: Totals,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// To what.
    #[serde(flatten)]
    pub object: Object,
    /// How it is, or every field with its old and new value.
    pub details: Vec<String>,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Create,
    /// It is there, and different.
    Change,
    /// It is there, and not wanted.
    Remove,
}

/// A part of a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Object {
    /// Director, community, member or policy.
    pub kind: String,
    /// Its name; a policy's with its community's in front.
    pub name: String,
}

/// An invitation to be.
#[derive(Debug, Serialize)]
pub struct Letter {
    /// Who is invited.
    pub fqdn: String,
    /// Where it is mailed; nowhere with `--no-mail`.
    pub mailed_to: String,
}

/// How many changes of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// New ones.
    pub create: usize,
    /// Those that change.
    pub change: usize,
    /// Those that go.
    pub remove: usize,
}

/// How a plan is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// What the file does not name goes.
    pub prune: bool,
    /// Nobody gets mail.
    pub no_mail: bool,
    /// Refuse if anything has changed since; 0 for whatever it is.
    pub revision: u64,
}

/// `kith topology plan`
pub fn run(file: &Path, how: How, exit_code: bool, reach: &Reach, format: Format) -> Result<u8, Error> {
    let planned = super::listed(file).and_then(|listed| {
        let mut link = Link::connect(reach)?;
        Ok(make(&mut link, file, &listed, how)?.1)
    });
    let plan = match planned {
        Ok(plan) => plan,
        // 2 has a meaning of its own here.
        Err(error) if exit_code => {
            eprint!("{}", error.render());
            return Ok(1);
        }
        Err(error) => return Err(error),
    };
    output::show(format, &plan, |plan| plan.text(colour()) + &plan.hint())?;
    Ok(if exit_code && !plan.changes.is_empty() {
        2
    } else {
        0
    })
}

/// The network that is wanted, and what would change.
pub(super) fn make(
    link: &mut Link,
    file: &Path,
    listed: &Listed,
    how: How,
) -> Result<(Network, Plan), Error> {
    let network = network(&listed.managed);
    let answer = dry_run(link, &network, how)?;
    let left_alone = if how.prune {
        Vec::new()
    } else {
        let pruned = dry_run(link, &network, How { prune: true, ..how });
        // What cannot be removed is nothing that `--prune` would remove.
        pruned.map(|answer| removed(&answer)).unwrap_or_default()
    };
    let emails = emails(&network);
    let changes: Vec<Step> = answer.changes.iter().map(Step::from).collect();
    let invited = changes
        .iter()
        .filter(|step| step.action == Action::Create && step.object.kind == "member");
    let invitations = invited.map(|step| Letter {
        fqdn: step.object.name.clone(),
        mailed_to: match emails.get(step.object.name.as_str()) {
            Some(to) if !how.no_mail => (*to).to_owned(),
            _ => String::new(),
        },
    });
    let plan = Plan {
        file: file.display().to_string(),
        manager: link.name(),
        revision: answer.revision,
        prune: how.prune,
        invitations: invitations.collect(),
        left_alone,
        totals: Totals::of(&changes),
        changes,
    };
    Ok((network, plan))
}

/// The manager's answer to what it would do.
pub(super) fn dry_run(link: &mut Link, network: &Network, how: How) -> Result<ApplyAnswer, Error> {
    let asked = ApplyRequest {
        network: Some(network.clone()),
        dry_run: true,
        prune: how.prune,
        expected_revision: how.revision,
        no_mail: how.no_mail,
    };
    link.ask("plan", async |admin| admin.apply(asked).await)
}

/// Whether the standard output may be coloured: on a terminal, unless somebody asked for none (no-color.org).
pub(super) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl Plan {
    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// For people.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        for step in &self.changes {
            let (mark, hue) = step.action.mark();
            let (on, off) = if colour { (hue, "\x1b[0m") } else { ("", "") };
            let object = &step.object;
            out += &format!("{on}{mark} {} {}{off}\n", object.kind, clean(&object.name));
            for detail in &step.details {
                out += &format!("    {}\n", clean(detail));
            }
            if step.action == Action::Remove && object.kind == "member" {
                out += "    its device is out at once\n";
            }
        }
        if !self.changes.is_empty() {
            out.push('\n');
        }
        out + &self.letters() + &self.sum() + &self.beside()
    }

    fn letters(&self) -> String {
        let rows = self.invitations.iter();
        let rows: Vec<_> = rows
            .map(|one| vec![one.fqdn.clone(), clean(&one.mailed_to)])
            .collect();
        let mailed = self.invitations.iter().any(|one| !one.mailed_to.is_empty());
        let head = match (rows.len(), mailed) {
            (0, _) => return String::new(),
            (1, true) => "1 member is new; an invitation is mailed, good for a week:\n".to_owned(),
            (1, false) => {
                return "1 member is new; its invitation is shown when this is applied, and not mailed\n\n"
                    .into();
            }
            (n, true) => format!("{n} members are new; an invitation is mailed for each, good for a week:\n"),
            (n, false) => {
                return format!(
                    "{n} members are new; invitations are shown when this is applied, and not mailed\n\n"
                );
            }
        };
        let table = output::table(&["member", "an invitation is mailed to"], &rows);
        let lines = table.lines().map(|line| format!("  {line}\n"));
        head + &lines.collect::<String>() + "\n"
    }

    fn sum(&self) -> String {
        if self.is_empty() {
            return format!("nothing to change: the manager has what {} says\n", self.file);
        }
        let Totals {
            create,
            change,
            remove,
        } = self.totals;
        format!("{create} to create, {change} to change, {remove} to remove\n")
    }

    fn beside(&self) -> String {
        let names: Vec<_> = self
            .left_alone
            .iter()
            .map(|one| format!("{} {}", one.kind, one.name))
            .collect();
        let (objects, them) = if names.len() == 1 {
            ("object", "it")
        } else {
            ("objects", "them")
        };
        let more = if names.len() > 5 { ", …" } else { "" };
        match names.len() {
            0 => String::new(),
            n => format!(
                "left alone: {n} {objects} not in the file; --prune would remove {them}: {}{more}\n",
                names[..n.min(5)].join(", ")
            ),
        }
    }

    /// How to do just this.
    fn hint(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let prune = if self.prune { " --prune" } else { "" };
        format!(
            "to do this, and nothing else if somebody changes something meanwhile: kith topology apply {}{prune} --revision {}\n",
            self.file, self.revision
        )
    }
}

impl Action {
    fn mark(self) -> (char, &'static str) {
        match self {
            Self::Create => ('+', "\x1b[32m"),
            Self::Change => ('~', "\x1b[33m"),
            Self::Remove => ('-', "\x1b[31m"),
        }
    }
}

impl From<&Change> for Step {
    fn from(change: &Change) -> Self {
        let action = match change.kind() {
            Kind::Create => Action::Create,
            Kind::Update => Action::Change,
            Kind::Delete => Action::Remove,
        };
        let (kind, name) = change.subject.split_once(' ').unwrap_or(("", &change.subject));
        Self {
            action,
            object: Object {
                kind: kind.to_owned(),
                name: name.to_owned(),
            },
            details: change.details.clone(),
        }
    }
}

impl Totals {
    fn of(changes: &[Step]) -> Self {
        let count = |action| changes.iter().filter(|step| step.action == action).count();
        Self {
            create: count(Action::Create),
            change: count(Action::Change),
            remove: count(Action::Remove),
        }
    }
}

fn removed(answer: &ApplyAnswer) -> Vec<Object> {
    let steps = answer.changes.iter().map(Step::from);
    steps
        .filter(|step| step.action == Action::Remove)
        .map(|step| step.object)
        .collect()
}

/// Where mail for a member goes: as the manager has it, to the user's address if there is no other.
fn emails(network: &Network) -> BTreeMap<&str, &str> {
    let to = |email: &'_ str| !email.is_empty();
    let members = network.members.iter();
    members
        .map(|m| {
            (
                m.fqdn.as_str(),
                if to(&m.email) {
                    m.email.as_str()
                } else {
                    m.user.as_str()
                },
            )
        })
        .collect()
}

/// What others wrote, without what moves a terminal's cursor.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
