//! Tables: one immutable snapshot a generation, and two kinds of table inside it.
//!
//! [`exact::ExactTable`] is built whole and never changes. [`session::SessionTable`] is large and changes in place, under a rule that
//! its module states and a model checker verifies. [`snapshot`] publishes generations to workers.

pub mod exact;
pub mod session;
pub mod snapshot;
