//! kith-dataplane: workers, ports, slow path, statistics
#![forbid(unsafe_code)]
