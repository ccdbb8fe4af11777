//! The virtual network manager.
#![forbid(unsafe_code)]
