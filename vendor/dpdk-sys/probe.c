/*
 * The layout of rte_mbuf as the C compiler sees it. tests/layout.rs compares it
 * with the Rust type: the data path reads these fields directly, and the two
 * compilers must agree.
 */
#include <stddef.h>
#include <stdint.h>
#include <rte_mbuf.h>

const size_t dpdk_sys_probe_mbuf[] = {
	sizeof(struct rte_mbuf),
	_Alignof(struct rte_mbuf),
	offsetof(struct rte_mbuf, buf_addr),
	offsetof(struct rte_mbuf, data_off),
	offsetof(struct rte_mbuf, refcnt),
	offsetof(struct rte_mbuf, nb_segs),
	offsetof(struct rte_mbuf, port),
	offsetof(struct rte_mbuf, ol_flags),
	offsetof(struct rte_mbuf, packet_type),
	offsetof(struct rte_mbuf, pkt_len),
	offsetof(struct rte_mbuf, data_len),
	offsetof(struct rte_mbuf, hash),
	offsetof(struct rte_mbuf, buf_len),
	offsetof(struct rte_mbuf, pool),
	offsetof(struct rte_mbuf, next),
	offsetof(struct rte_mbuf, tx_offload),
};

/* The bit field l2_len:7, l3_len:9, l4_len:8 of tx_offload, written by the C compiler. */
uint64_t dpdk_sys_probe_tx_offload(unsigned int l2_len, unsigned int l3_len, unsigned int l4_len)
{
	struct rte_mbuf mbuf = { .buf_len = 0 };

	mbuf.tx_offload = 0;
	mbuf.l2_len = l2_len;
	mbuf.l3_len = l3_len;
	mbuf.l4_len = l4_len;
	return mbuf.tx_offload;
}
