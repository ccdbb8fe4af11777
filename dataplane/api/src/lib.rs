//! What the dataplane and operators' tools say to each other: its configuration file and its statistics socket.
#![forbid(unsafe_code)]
