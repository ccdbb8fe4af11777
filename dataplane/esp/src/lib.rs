//! ESP security associations: AEAD, sequence numbers, replay window, lifetimes
#![forbid(unsafe_code)]
