//! `kith community`, `member`, `policy`, `director`, `credential`, `events`, `audit`, `accounting`, `manager`: what operators say to a
//! manager.
//!
//! **Problem.** Operators work on the manager's computer, from elsewhere, and in a lab; they mistype, and what they type may put people
//! out. **Idea.** One contract, `admin.proto`, whichever way there; the manager checks and says what is wrong, and its words are what is
//! shown; what cannot be taken back is asked once, on a terminal.
//!
//! ```text
//!  words ─► place ─► link ──────────────────────► manager
//!             │        │ Unix socket: the user asks      │
//!             │        │ TLS, pinned key: a token asks   │
//!  table, JSON ◄─ view ◄─────────────── messages ◄───────┘
//!  one sentence ◄─ error ◄── statuses of gRPC, of the system, of TLS
//! ```

pub mod accounting;
pub mod audit;
mod backup;
pub mod community;
mod confirm;
pub mod credential;
pub mod director;
mod error;
pub mod events;
mod link;
pub mod member;
mod pages;
mod place;
pub mod policy;
mod span;
pub mod status;
mod view;
mod words;

pub use confirm::Yes;
pub use error::{ManagerError, Shown};
pub(crate) use link::Link;
pub(crate) use member::{invitation, invitations};
pub use place::Reach;
pub use span::{NoSpan, Span};
pub(crate) use view::Invitation;

#[cfg(test)]
mod tests {
    use crate::args::Cli;
    use clap::{Command, CommandFactory};

    const OURS: [&str; 10] = [
        "community",
        "member",
        "policy",
        "director",
        "events",
        "audit",
        "accounting",
        "credential",
        "manager",
        "topology",
    ];

    fn leaves(command: &Command, at: &str, each: &mut impl FnMut(&str, &Command)) {
        let at = format!("{at} {}", command.get_name());
        if !command.has_subcommands() {
            each(&at, command);
        }
        for inner in command.get_subcommands() {
            leaves(inner, &at, each);
        }
    }

    #[test]
    fn every_command_shows_an_example_of_itself() {
        let cli = Cli::command();
        let mut seen = 0;
        for command in cli
            .get_subcommands()
            .filter(|command| OURS.contains(&command.get_name()))
        {
            leaves(command, "kith", &mut |name, command| {
                let help = command
                    .get_after_long_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let inner = name.trim_start_matches("kith ");
                assert!(
                    help.contains(&format!("kith {inner}")) || help.contains(&format!("-o json {inner}")),
                    "{name}"
                );
                seen += 1;
            });
        }
        assert_eq!(seen, 35, "commands were added or taken away");
    }
}
