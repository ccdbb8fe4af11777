//! Topology YAML: written, validated, compiled
#![forbid(unsafe_code)]
