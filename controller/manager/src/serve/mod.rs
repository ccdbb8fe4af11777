//! Serving.

pub mod clock;
pub mod identity;
pub mod limits;
pub mod peer;
pub mod settings;
pub mod streams;
