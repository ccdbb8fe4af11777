//! Route-director sessions as a sans-I/O core: pseudo addresses, keep-alives, leave, ping
#![forbid(unsafe_code)]
