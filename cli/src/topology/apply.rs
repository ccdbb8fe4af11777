//! `kith topology apply`: makes it so, all of it or nothing, and only if it is still what was planned.

use super::plan::{self, How, Plan};
use crate::error::Error;
use crate::manager::{Invitation, Link, ManagerError, Reach, Yes, invitation, invitations};
use crate::output::{self, Format};
use kith_protocol::admin::{ApplyRequest, Network};
use serde::Serialize;
use std::path::Path;

/// What was done.
#[derive(Serialize)]
struct Applied<'a> {
    /// Whether anything was changed.
    applied: bool,
    #[serde(flatten)]
    plan: &'a Plan,
    /// With their texts, where nobody got mail.
    invited: Vec<Invitation>,
}

/// `kith topology apply`
pub fn run(file: &Path, how: How, yes: Yes, reach: &Reach, format: Format) -> Result<u8, Error> {
    let listed = super::listed(file)?;
    let mut link = Link::connect(reach)?;
    let (network, plan) = plan::make(&mut link, file, &listed, how).map_err(|error| {
        // A dry run is refused for its content, or because of the revision: that has no mistake in it.
        match error {
            Error::Manager(ManagerError::Refused { wrong: false, .. }) if how.revision != 0 => {
                ManagerError::Stale.into()
            }
            other => other,
        }
    })?;
    if format == Format::Table {
        output::print(&plan.text(plan::colour()));
    }
    if plan.is_empty() {
        return report(format, &plan, false, Vec::new());
    }
    yes.agreed(&question(&plan))?;
    let invited = carry_out(&mut link, network, how, &plan)?;
    report(format, &plan, true, invited)
}

fn question(plan: &Plan) -> String {
    match plan.totals.remove {
        0 => "Apply this?".into(),
        1 => "Apply this, and remove 1 object?".into(),
        n => format!("Apply this, and remove {n} objects?"),
    }
}

/// Does what was planned, and nothing else.
fn carry_out(link: &mut Link, network: Network, how: How, plan: &Plan) -> Result<Vec<Invitation>, Error> {
    let asked = ApplyRequest {
        network: Some(network.clone()),
        dry_run: false,
        prune: how.prune,
        expected_revision: plan.revision,
        no_mail: how.no_mail,
    };
    let answer = link.ask("apply a topology", async |admin| admin.apply(asked).await);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ Error::Manager(ManagerError::Refused { wrong: false, .. })) => {
            let then = How {
                revision: plan.revision,
                ..how
            };
            // The same question without consequences: if that is refused too, it is for the revision, and for nothing else.
            return Err(match plan::dry_run(link, &network, then) {
                Err(Error::Manager(ManagerError::Refused { wrong: false, .. })) => ManagerError::Stale.into(),
                _ => error,
            });
        }
        Err(error) => return Err(error),
    };
    Ok(answer
        .invitations
        .into_iter()
        .map(|one| invitation(one, false))
        .collect())
}

fn report(format: Format, plan: &Plan, applied: bool, invited: Vec<Invitation>) -> Result<u8, Error> {
    let done = Applied {
        applied,
        plan,
        invited,
    };
    if format == Format::Json {
        output::print_json(&done)?;
    } else if applied {
        let totals = plan.totals;
        let mut text = format!(
            "applied: {} created, {} changed, {} removed\n",
            totals.create, totals.change, totals.remove
        );
        if !done.invited.is_empty() {
            text += &format!("\n{}", invitations(&done.invited));
        }
        output::print(&text);
    }
    Ok(0)
}
