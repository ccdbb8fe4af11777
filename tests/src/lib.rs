//! End-to-end tests in network namespaces
#![forbid(unsafe_code)]
