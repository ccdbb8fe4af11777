//! `kith-controller`: the manager, and route directors as a process of their own, beside the dataplanes they decide for.
//!
//! Problem: who has a session is decided from secrets and a journal, slowly and carefully; packets are relayed fast and must
//! go on when whoever decides is gone. Idea: two processes, and between them only tables and packets, over P4Runtime.
//!
//! ```text
//!                 ┌──────────────── kith-controller ────────────────┐
//!  status socket ◄┤ status   config: directors, grants (secret)     │
//!                 │   ┌──────────── one a dataplane ─────────────┐  │
//!  sessions.journal ◄─┤ journal ◄── director::Core ◄─► southbound├──┼─► P4Runtime ─► dataplane
//!                 │   └──────────────────────────────────────────┘  │
//!                 └─────────────────────────────────────────────────┘
//! ```
//!
//! The manager is [`kith_manager`]; [`manager`] is its part of this process: it lists the directors here by itself, gives them
//! their grants, and hears from them how they do. A manager in another process does the same over a stream a director (`remote`). [`director`] is sans-I/O; [`southbound`] is what it asks of a dataplane; [`config`] is the file; [`journal`] keeps sessions
//! over a restart; [`status`] is asked by tools.
#![forbid(unsafe_code)]

pub mod config;
pub mod director;
pub mod host;
pub mod journal;
pub mod manager;
mod remote;
pub mod southbound;
pub mod status;
