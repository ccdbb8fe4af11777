//! Safe, RAII wrapper over DPDK: Eal, Port, Mempool, Mbuf, bursts
