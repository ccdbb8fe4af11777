//! The packet path: tables, stages, drop reasons, counters
#![forbid(unsafe_code)]
