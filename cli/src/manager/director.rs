//! `kith director`: the route directors that members are sent to.

use super::confirm::Yes;
use super::credential;
use super::error::ManagerError;
use super::link::Link;
use super::place::Reach;
use super::span::{ago, now};
use super::view::{self, Director};
use super::words::{done, list};
use crate::error::Error;
use crate::output::{self, Format, age};
use clap::{Args, Subcommand};
use kith_protocol::admin;

/// Where directors listen unless they are told otherwise.
const PORT: u16 = kith_wire::shim::DEFAULT_PORT;

/// `kith director …`
#[derive(Debug, Subcommand)]
pub enum DirectorCommand {
    /// Enter a route director. Those in the manager's own process are there already.
    #[command(after_long_help = "\
Examples:
  kith director add nrd1 --address 203.0.113.10
  kith director add nrd2 --address 203.0.113.11 --site berlin --capacity 5000
  kith director add prd1 --private --address 198.51.100.1 --private-address 192.168.1.5 --site office

For one in another process, with the token that it attends with, shown once and the only line of the output:
  (umask 077; kith director add prd1 --private --address 198.51.100.1 --private-address 192.168.1.5 --site office \\
     --token > prd1.token)")]
    Add {
        /// Its name.
        name: String,
        /// What it is.
        #[command(flatten)]
        about: About,
        /// Make the token that its process attends with (remote_manager in its configuration).
        #[arg(long)]
        token: bool,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Change what is named, and nothing else
    #[command(after_long_help = "\
A list is replaced as a whole by the values given.

Examples:
  kith director update nrd1 --draining true         # no new members; then wait, and remove it
  kith director update nrd1 --capacity 2000")]
    Update {
        /// Its name.
        name: String,
        /// What changes.
        #[command(flatten)]
        about: About,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// All route directors, and how they are
    #[command(
        visible_alias = "ls",
        after_long_help = "\
Examples:
  kith director list
  kith -o json director list | jq '.[] | select(.health != \"healthy\")'"
    )]
    List {
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Remove a route director
    #[command(
        visible_alias = "rm",
        after_long_help = "Example:\n  kith director remove nrd1"
    )]
    Remove {
        /// Its name.
        name: String,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
}

/// What a director is.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct About {
    /// Where members reach it from outside.
    #[arg(long)]
    address: Option<String>,
    /// Its port, 20202 as a rule.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// It stands inside a site, for members there.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    private: Option<bool>,
    /// A private director's address inside its network.
    #[arg(long, value_name = "ADDRESS")]
    private_address: Option<String>,
    /// Whether members may reach it over UDP.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    udp: Option<bool>,
    /// Whether members may reach it over TCP.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    tcp: Option<bool>,
    /// A site that it is near to; several are possible.
    #[arg(long)]
    site: Vec<String>,
    /// A public address of the NAT in front of a private director; several are possible.
    #[arg(long, value_name = "ADDRESS")]
    nat_address: Vec<String>,
    /// Sessions that it can hold.
    #[arg(long)]
    capacity: Option<u32>,
    /// Whether it takes no new members.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    draining: Option<bool>,
}

impl About {
    fn make(self, director: &mut admin::Director) {
        let set = |field: &mut bool, value: Option<bool>| *field = value.unwrap_or(*field);
        set(&mut director.private, self.private);
        set(&mut director.udp, self.udp);
        set(&mut director.tcp, self.tcp);
        set(&mut director.draining, self.draining);
        if let Some(address) = self.address {
            director.address = address;
        }
        if let Some(address) = self.private_address {
            director.private_address = address;
        }
        if let Some(port) = self.port {
            director.port = port.into();
        }
        if let Some(capacity) = self.capacity {
            director.capacity = capacity;
        }
        if !self.site.is_empty() {
            director.sites = self.site;
        }
        if !self.nat_address.is_empty() {
            director.nat_addresses = self.nat_address;
        }
    }
}

/// Runs a `kith director` command.
pub fn run(command: DirectorCommand, format: Format) -> Result<u8, Error> {
    match command {
        DirectorCommand::Add {
            name,
            about,
            token,
            reach,
        } => {
            let mut link = Link::connect(&reach)?;
            let mut wish = admin::Director {
                name,
                port: PORT.into(),
                udp: true,
                ..admin::Director::default()
            };
            about.make(&mut wish);
            let there = all(&mut link)?;
            if there
                .iter()
                .any(|other| other.name == wish.name && !same(other, &wish))
            {
                let (kind, name) = ("director", wish.name);
                return Err(ManagerError::Exists { kind, name }.into());
            }
            if token {
                return put_with_token(&mut link, wish, format);
            }
            put(&mut link, wish, format)
        }
        DirectorCommand::Update { name, about, reach } => {
            let mut link = Link::connect(&reach)?;
            let found = all(&mut link)?.into_iter().find(|other| other.name == name);
            let missing = || {
                let kind = "director";
                ManagerError::Missing { kind, name }
            };
            let mut director = found.ok_or_else(missing)?;
            about.make(&mut director);
            put(&mut link, director, format)
        }
        DirectorCommand::List { reach } => {
            let directors: Vec<Director> = view::all(all(&mut Link::connect(&reach)?)?);
            output::show(format, &directors, |directors| table(now(), directors))?;
            Ok(0)
        }
        DirectorCommand::Remove { name, yes, reach } => {
            let mut link = Link::connect(&reach)?;
            yes.sure(&format!("Remove the route director {name}?"))?;
            let wish = admin::Name { name: name.clone() };
            link.ask("remove a director", async |admin| {
                admin.delete_director(wish).await
            })?;
            done(format, &name, "removed")
        }
    }
}

fn put(link: &mut Link, wish: admin::Director, format: Format) -> Result<u8, Error> {
    let kept = link.ask("enter a director", async |admin| admin.put_director(wish).await)?;
    output::show(format, &Director::from(kept), |director| {
        table(now(), std::slice::from_ref(director))
    })?;
    Ok(0)
}

/// The token alone goes to the standard output.
fn put_with_token(link: &mut Link, wish: admin::Director, format: Format) -> Result<u8, Error> {
    let kept = link.ask("enter a director", async |admin| admin.put_director(wish).await)?;
    let wish = admin::CredentialRequest {
        name: credential_name(&kept.name),
        role: "director".into(),
        director: kept.name.clone(),
        ..admin::CredentialRequest::default()
    };
    let made = link.ask("make a token", async |admin| admin.create_credential(wish).await)?;
    if format == Format::Table {
        eprint!("{}", table(now(), &view::all(vec![kept])));
    }
    credential::created(made, format)
}

/// A credential's name has no upper case letters.
fn credential_name(director: &str) -> String {
    format!("director-{}", director.to_ascii_lowercase())
}

fn all(link: &mut Link) -> Result<Vec<admin::Director>, Error> {
    let answer = link.ask("list directors", async |admin| {
        admin.list_directors(admin::Empty {}).await
    })?;
    Ok(answer.directors)
}

/// The same, as far as operators decide.
fn same(there: &admin::Director, wish: &admin::Director) -> bool {
    let decided = admin::Director {
        health: there.health.clone(),
        sessions: there.sessions,
        place: there.place.clone(),
        attended_from: there.attended_from.clone(),
        since_ms: there.since_ms,
        ..wish.clone()
    };
    *there == decided
}

/// Where its process is.
fn place(now: u64, director: &Director) -> String {
    let Director {
        attended_from: from,
        since_ms: since,
        ..
    } = director;
    match director.place.as_str() {
        "in-process" => "in the manager".into(),
        "attended" => format!("{from}, for {}", age(now.saturating_sub(*since))),
        "lost" => format!("{from}, until {}", ago(now, *since)),
        _ => "never seen".into(),
    }
}

fn table(now: u64, directors: &[Director]) -> String {
    if directors.is_empty() {
        return "no director\n".into();
    }
    let rows: Vec<Vec<String>> = directors
        .iter()
        .map(|director| {
            let inside = match director.private_address.as_str() {
                "" => String::new(),
                address => format!(" ({address} inside)"),
            };
            let takes = match (director.udp, director.tcp) {
                (true, true) => "udp,tcp",
                (true, false) => "udp",
                (false, true) => "tcp",
                (false, false) => "-",
            };
            let capacity = match director.capacity {
                0 => String::new(),
                capacity => format!("/{capacity}"),
            };
            vec![
                director.name.clone(),
                if director.private { "private" } else { "network" }.into(),
                format!("{}:{}{inside}", director.address, director.port),
                takes.into(),
                list(&director.sites),
                list(&director.nat_addresses),
                if director.draining {
                    format!("{}, draining", director.health)
                } else {
                    director.health.clone()
                },
                format!("{}{capacity}", director.sessions),
                place(now, director),
            ]
        })
        .collect();
    let headers = [
        "director",
        "kind",
        "address",
        "takes",
        "sites",
        "behind",
        "health",
        ">sessions",
        "where",
    ];
    output::table(&headers, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directors_read_like_this() {
        let network = admin::Director {
            name: "nrd1".into(),
            address: "203.0.113.10".into(),
            port: 20202,
            udp: true,
            tcp: true,
            capacity: 1024,
            health: "healthy".into(),
            sessions: 3,
            place: "in-process".into(),
            ..admin::Director::default()
        };
        let private = admin::Director {
            name: "prd1".into(),
            private: true,
            address: "198.51.100.1".into(),
            private_address: "192.168.1.5".into(),
            tcp: false,
            sites: vec!["office".into(), "lab".into()],
            nat_addresses: vec!["198.51.100.1".into()],
            draining: true,
            capacity: 0,
            ..network.clone()
        };
        let noon = 1_772_366_407_000;
        let attended = admin::Director {
            name: "prd2".into(),
            draining: false,
            place: "attended".into(),
            attended_from: "198.51.100.1:40112".into(),
            since_ms: noon - 61_000,
            ..private.clone()
        };
        let lost = admin::Director {
            name: "prd3".into(),
            health: "down".into(),
            place: "lost".into(),
            ..attended.clone()
        };
        let private = admin::Director {
            place: "never".into(),
            ..private
        };
        let all = view::all(vec![network, private, attended, lost]);
        insta::assert_snapshot!(table(noon, &all));
    }
}
