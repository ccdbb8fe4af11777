//! Packets nobody thought of.
