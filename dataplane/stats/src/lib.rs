//! What the statistics socket of the dataplane says, and a client for it
#![forbid(unsafe_code)]
