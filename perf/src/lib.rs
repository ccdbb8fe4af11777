//! Performance harness: make bench
#![forbid(unsafe_code)]
