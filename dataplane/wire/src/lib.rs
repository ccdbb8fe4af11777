//! Headers and checksums of everything Kith puts on or takes off a wire
#![forbid(unsafe_code)]
