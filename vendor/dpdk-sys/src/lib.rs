//! Bindings to the system's DPDK (22.11 or newer), made by bindgen at build time
