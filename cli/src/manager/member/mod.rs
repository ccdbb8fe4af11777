//! `kith member`: who belongs to a community, with which device, and where it is.

mod invite;
mod table;

pub use invite::Invite;
pub(crate) use invite::{shown as invitation, table as invitations};

use super::confirm::Yes;
use super::error::ManagerError;
use super::link::Link;
use super::pages::pages;
use super::place::Reach;
use super::span::now;
use super::view::{self, Member};
use super::words::done;
use crate::error::Error;
use crate::output::{self, Format};
use clap::{Args, Subcommand, ValueEnum};
use kith_protocol::admin;
use kith_protocol::names::Fqdn;
use table::{describe, table};

/// `kith member …`
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Invite devices: each gets a name and an initial password that works once, by mail
    #[command(after_long_help = invite::EXAMPLES)]
    Invite(Box<Invite>),
    /// Members, by name, state and platform
    #[command(
        visible_alias = "ls",
        after_long_help = "\
Examples:
  kith member list
  kith member list 'printer*' --state joined
  kith member list --community acme.example --state registering --state not-registered
  kith -o json member list | jq -r '.[] | select(.behind_nat) | .fqdn'"
    )]
    List {
        /// Which members.
        #[command(flatten)]
        which: Which,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// One member, with all that is known of it
    #[command(after_long_help = "Example:\n  kith member show laptop.acme.example")]
    Show {
        /// Its full name.
        fqdn: String,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Change what is named, and nothing else
    #[command(after_long_help = "\
Examples:
  kith member update laptop.acme.example --user alice --tag staff --tag printers
  kith member update printer.acme.example --address 10.77.0.9
  kith member update laptop.acme.example --no-tags")]
    Update {
        /// Its full name.
        fqdn: String,
        /// What changes.
        #[command(flatten)]
        change: Change,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Put a member out at once: its session, its keys, its traffic; it stays listed
    #[command(after_long_help = "\
Examples:
  kith member revoke laptop.acme.example --reason 'stolen'
  kith member invite --again laptop.acme.example        # lets it in again, with a new device")]
    Revoke {
        /// Its full name.
        fqdn: String,
        /// Why, for the audit log and for whoever asks later.
        #[arg(long)]
        reason: String,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Delete a member: it is out, and its name and address are free
    #[command(after_long_help = "Example:\n  kith member delete laptop.acme.example")]
    Delete {
        /// Its full name.
        fqdn: String,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
}

/// How far a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Invited.
    NotRegistered,
    /// A code is under way to it.
    Registering,
    /// It has its device, and is not online.
    Registered,
    /// Online.
    Joined,
    /// Put out.
    Revoked,
}

/// Which members.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Of the full name; `*` and `?` stand for any.
    #[arg(default_value = "", hide_default_value = true)]
    pattern: String,
    /// Of this community.
    #[arg(long, value_name = "DOMAIN", default_value = "", hide_default_value = true)]
    community: String,
    /// In this state; several are possible.
    #[arg(long, value_enum)]
    state: Vec<State>,
    /// Of this platform; several are possible.
    #[arg(long)]
    platform: Vec<String>,
    /// As many at most; without it, all.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// What changes about a member.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// Where invitations and codes go.
    #[arg(long)]
    email: Option<String>,
    /// To whom it belongs.
    #[arg(long)]
    user: Option<String>,
    /// What it is: linux, printer, …
    #[arg(long)]
    platform: Option<String>,
    /// The virtual address that it always gets.
    #[arg(long)]
    address: Option<String>,
    /// It gets any address.
    #[arg(long, conflicts_with = "address")]
    any_address: bool,
    /// A word that policies can name; all that it has are replaced by those given.
    #[arg(long)]
    tag: Vec<String>,
    /// It has no tags.
    #[arg(long, conflicts_with = "tag")]
    no_tags: bool,
}

impl Change {
    fn make(self, member: &mut admin::Member) {
        let set = |field: &mut String, value: Option<String>| {
            if let Some(value) = value {
                *field = value;
            }
        };
        set(&mut member.email, self.email);
        set(&mut member.user, self.user);
        set(&mut member.platform, self.platform);
        if let Some(address) = self.address {
            member.virtual_address = address;
            member.address_reserved = true;
        }
        if self.any_address {
            member.address_reserved = false;
        }
        if self.no_tags || !self.tag.is_empty() {
            member.tags = self.tag;
        }
    }
}

/// Runs a `kith member` command.
pub fn run(command: MemberCommand, format: Format) -> Result<u8, Error> {
    match command {
        MemberCommand::Invite(invite) => invite::run(*invite, format),
        MemberCommand::List { which, reach } => {
            let (members, more) = list(&mut Link::connect(&reach)?, which)?;
            let members: Vec<Member> = view::all(members);
            output::show(format, &members, |members| table(now(), members, more))?;
            Ok(0)
        }
        MemberCommand::Show { fqdn, reach } => {
            let member = find(&mut Link::connect(&reach)?, &fqdn)?;
            show(format, member)
        }
        MemberCommand::Update { fqdn, change, reach } => {
            let mut link = Link::connect(&reach)?;
            let mut member = find(&mut link, &fqdn)?;
            change.make(&mut member);
            let changed = link.ask("change a member", async |admin| admin.update_member(member).await)?;
            show(format, changed)
        }
        MemberCommand::Revoke {
            fqdn,
            reason,
            yes,
            reach,
        } => {
            let mut link = Link::connect(&reach)?;
            yes.sure(&format!("Put {fqdn} out, with its traffic, now?"))?;
            let request = admin::RevokeRequest {
                fqdn: fqdn.clone(),
                reason,
            };
            link.ask("revoke a member", async |admin| {
                admin.revoke_member(request).await
            })?;
            done(format, &fqdn, "revoked")
        }
        MemberCommand::Delete { fqdn, yes, reach } => {
            let mut link = Link::connect(&reach)?;
            yes.sure(&format!(
                "Delete {fqdn}? It is out, and its name and address are free."
            ))?;
            let name = admin::Name { name: fqdn.clone() };
            link.ask("delete a member", async |admin| admin.delete_member(name).await)?;
            done(format, &fqdn, "deleted")
        }
    }
}

fn list(link: &mut Link, which: Which) -> Result<(Vec<admin::Member>, bool), Error> {
    let words = which.state.iter().filter_map(State::to_possible_value);
    let query = admin::MemberQuery {
        community: which.community,
        pattern: which.pattern,
        states: words.map(|word| word.get_name().to_owned()).collect(),
        platforms: which.platform,
        ..admin::MemberQuery::default()
    };
    let page = |query| {
        let page = link.ask("list members", async |admin| admin.list_members(query).await)?;
        Ok((page.members, page.more))
    };
    pages(query, which.limit, page, |member| &member.fqdn)
}

fn find(link: &mut Link, fqdn: &str) -> Result<admin::Member, Error> {
    let missing = || {
        let (kind, name) = ("member", fqdn.to_owned());
        ManagerError::Missing { kind, name }
    };
    // What is no name could be a pattern.
    let wanted = Fqdn::normalise(fqdn).map_err(|_| missing())?.to_string();
    let query = admin::MemberQuery {
        pattern: wanted.clone(),
        limit: 1,
        ..admin::MemberQuery::default()
    };
    let page = link.ask("show a member", async |admin| admin.list_members(query).await)?;
    let found = page.members.into_iter().find(|member| member.fqdn == wanted);
    Ok(found.ok_or_else(missing)?)
}

fn show(format: Format, member: admin::Member) -> Result<u8, Error> {
    output::show(format, &Member::from(member), |member| describe(now(), member))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_changed() {
        let change = Change {
            email: None,
            user: Some("bob".into()),
            platform: None,
            address: None,
            any_address: false,
            tag: Vec::new(),
            no_tags: true,
        };
        let mut member = admin::Member {
            email: "a@b".into(),
            tags: vec!["staff".into()],
            virtual_address: "10.77.0.2".into(),
            ..admin::Member::default()
        };
        change.make(&mut member);
        let wanted = admin::Member {
            email: "a@b".into(),
            user: "bob".into(),
            virtual_address: "10.77.0.2".into(),
            ..admin::Member::default()
        };
        assert_eq!(member, wanted);
    }
}
