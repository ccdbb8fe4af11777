//! `kith member invite`: one device, several, or a file of them.
//!
//! An invitation is a secret until it is used. It is shown only when nobody gets it by mail, or when it is asked for.

use crate::error::Error;
use crate::manager::error::ManagerError;
use crate::manager::link::Link;
use crate::manager::place::{Reach, file_error};
use crate::manager::span::{Span, date};
use crate::manager::view::Invitation;
use crate::manager::words::or_dash;
use crate::output::{self, Format};
use clap::Args;
use kith_protocol::admin;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Members in one request: deriving their passwords takes the manager a while.
const AT_ONCE: usize = 500;

pub(super) const EXAMPLES: &str = "\
A file has a line for each device: its name, the mail address, and what else there is to say. `#` begins a comment.

  laptop.acme.example   alice@acme.example  user=alice platform=linux tag=staff
  printer.acme.example  it@acme.example     address=10.77.0.9 tag=printers

What is given on the command line goes for all that have nothing else in the file.

Examples:
  kith member invite laptop.acme.example --email alice@acme.example --user alice --tag staff
  kith member invite --file devices.txt --valid 2d
  kith member invite laptop.acme.example --email alice@acme.example --no-mail      # shows the invitation
  kith member invite laptop.acme.example --email alice@acme.example --again        # a new device in place of the old";

/// What to invite.
#[derive(Debug, Clone, Args)]
pub struct Invite {
    /// Full names.
    #[arg(value_name = "FQDN", required_unless_present = "file")]
    fqdns: Vec<String>,
    /// A file of names; `-` for the standard input.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Where the invitation goes, and later the confirmation code.
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    email: String,
    /// To whom it belongs.
    #[arg(long, default_value = "", hide_default_value = true)]
    user: String,
    /// What it is: linux, printer, …
    #[arg(long, default_value = "", hide_default_value = true)]
    platform: String,
    /// The virtual address that it always gets; without it, a free one.
    #[arg(long, default_value = "", hide_default_value = true)]
    address: String,
    /// A word that policies can name; several are possible.
    #[arg(long)]
    tag: Vec<String>,
    /// How long the invitation is good.
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    valid: Span,
    /// Send no mail; show the invitation.
    #[arg(long)]
    no_mail: bool,
    /// Show the invitation, though it is mailed.
    #[arg(long)]
    show: bool,
    /// Invite who was invited before: a device that registered is out.
    #[arg(long)]
    again: bool,
    /// Which manager.
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(invite: Invite, format: Format) -> Result<u8, Error> {
    let invitees = invite.invitees()?;
    let mut link = Link::connect(&invite.reach)?;
    let mut made: Vec<Invitation> = Vec::new();
    for some in invitees.chunks(AT_ONCE) {
        let request = admin::InviteRequest {
            community: String::new(),
            invitees: some.to_vec(),
            valid_s: invite.valid.0,
            no_mail: invite.no_mail,
            again: invite.again,
        };
        match link.ask("invite", async |admin| admin.invite(request).await) {
            Ok(answer) => made.extend(answer.invitations.into_iter().map(|one| shown(one, invite.show))),
            Err(error) => {
                // Those who are invited are invited, and their invitations are shown this once.
                if !made.is_empty() {
                    output::show(format, &made, |made| table(made))?;
                }
                return Err(error);
            }
        }
    }
    output::show(format, &made, |made| table(made))?;
    Ok(0)
}

impl Invite {
    fn invitees(&self) -> Result<Vec<admin::Invitee>, Error> {
        let named = self.fqdns.iter().map(|fqdn| admin::Invitee {
            fqdn: fqdn.clone(),
            ..admin::Invitee::default()
        });
        let mut all: Vec<_> = named.collect();
        if let Some(file) = &self.file {
            let text = read(file)?;
            all.extend(parse(&text).map_err(|mistakes| ManagerError::List {
                file: file.clone(),
                mistakes,
            })?);
        }
        for invitee in &mut all {
            self.complete(invitee);
        }
        Ok(all)
    }

    /// What the line does not say, the command line does.
    fn complete(&self, invitee: &mut admin::Invitee) {
        let fields = [
            (&mut invitee.email, &self.email),
            (&mut invitee.user, &self.user),
            (&mut invitee.platform, &self.platform),
            (&mut invitee.address, &self.address),
        ];
        for (field, general) in fields {
            if field.is_empty() {
                field.clone_from(general);
            }
        }
        if invitee.tags.is_empty() {
            invitee.tags.clone_from(&self.tag);
        }
    }
}

fn read(file: &Path) -> Result<String, ManagerError> {
    let read = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = read.map_err(|error| file_error(file, error))?;
    if text.lines().all(|line| blank(line).is_empty()) {
        return Err(file_error(file, "it names nobody"));
    }
    Ok(text)
}

/// A line without its comment.
fn blank(line: &str) -> &str {
    line.split('#').next().unwrap_or("").trim()
}

/// A list of devices; every mistake with its line.
fn parse(text: &str) -> Result<Vec<admin::Invitee>, Vec<String>> {
    let (mut all, mut mistakes) = (Vec::new(), Vec::new());
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, blank(line)));
    for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
        match parse_line(line) {
            Ok(invitee) => all.push(invitee),
            Err(what) => mistakes.push(format!("  line {at}: {what}")),
        }
    }
    if mistakes.is_empty() {
        Ok(all)
    } else {
        Err(mistakes)
    }
}

fn parse_line(line: &str) -> Result<admin::Invitee, String> {
    let mut words = line.split_whitespace();
    let mut invitee = admin::Invitee {
        fqdn: words.next().unwrap_or_default().to_owned(),
        ..admin::Invitee::default()
    };
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or(("email", word));
        if value.is_empty() {
            return Err(format!("`{word}` has no value"));
        }
        let field = match name {
            "email" => &mut invitee.email,
            "user" => &mut invitee.user,
            "platform" => &mut invitee.platform,
            "address" => &mut invitee.address,
            "tag" => {
                invitee.tags.push(value.to_owned());
                continue;
            }
            _ => {
                return Err(format!(
                    "there is nothing named `{name}`; there are email, user, platform, address and tag"
                ));
            }
        };
        if !field.is_empty() {
            return Err(format!("`{word}`: {name} stands there twice"));
        }
        value.clone_into(field);
    }
    Ok(invitee)
}

/// An invitation to be shown; with its text only if nobody gets it by mail, or if it is `wanted`.
pub(crate) fn shown(invitation: admin::Invitation, wanted: bool) -> Invitation {
    let show = wanted || invitation.mailed_to.is_empty();
    Invitation {
        fqdn: invitation.fqdn,
        mailed_to: invitation.mailed_to,
        expires_ms: invitation.expires_ms,
        text: show.then_some(invitation.text),
    }
}

/// Who was invited, and what to type where nobody got mail.
pub(crate) fn table(invitations: &[Invitation]) -> String {
    let rows: Vec<Vec<String>> = invitations
        .iter()
        .map(|one| vec![one.fqdn.clone(), or_dash(&one.mailed_to), date(one.expires_ms)])
        .collect();
    let mut out = output::table(&["invited", "mailed to", "good until"], &rows);
    for one in invitations {
        if let Some(text) = &one.text {
            out += &format!("\non {}:\n  kith-agent enroll {text}\n", one.fqdn);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_devices_is_names_with_what_there_is_to_say() {
        let text = "\
# Acme
laptop.acme.example   alice@acme.example  user=alice platform=linux tag=staff tag=east

printer.acme.example  address=10.77.0.9 # upstairs
";
        let [laptop, printer] = parse(text).unwrap().try_into().unwrap();
        assert_eq!(
            (
                laptop.fqdn.as_str(),
                laptop.email.as_str(),
                laptop.user.as_str(),
                laptop.platform.as_str()
            ),
            ("laptop.acme.example", "alice@acme.example", "alice", "linux")
        );
        assert_eq!(laptop.tags, ["staff", "east"]);
        assert_eq!(
            (printer.email.as_str(), printer.address.as_str()),
            ("", "10.77.0.9")
        );
    }

    #[test]
    fn every_mistake_of_a_list_is_told_with_its_line() {
        let mistakes = parse("a.b x@y z@y\nc.d\n\ne.f colour=red\ng.h user=\n").unwrap_err();
        assert_eq!(
            mistakes,
            [
                "  line 1: `z@y`: email stands there twice",
                "  line 4: there is nothing named `colour`; there are email, user, platform, address and tag",
                "  line 5: `user=` has no value",
            ]
        );
    }

    #[test]
    fn an_invitation_that_is_mailed_is_not_shown_unless_asked_for() {
        let one = |mailed: &str| admin::Invitation {
            fqdn: "a.acme.example".into(),
            text: "kith1-SECRET".into(),
            expires_ms: 1_772_366_407_000,
            mailed_to: mailed.into(),
        };
        let text = |mailed: &str, wanted| table(&[shown(one(mailed), wanted)]);
        assert!(!text("a@acme.example", false).contains("SECRET"));
        assert!(text("a@acme.example", true).contains("SECRET"));
        insta::assert_snapshot!(text("", false));
    }
}
