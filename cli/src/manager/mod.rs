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
mod invite;
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
pub use invite::Invite;
pub use place::Reach;
pub use span::{NoSpan, Span};
