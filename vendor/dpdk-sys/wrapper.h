/*
 * What bindgen reads: DPDK's own headers, and the few things in them that a
 * header translator cannot see (thread-local macros, constants built by macros
 * that take arguments).
 */
#ifndef DPDK_SYS_WRAPPER_H
#define DPDK_SYS_WRAPPER_H

#include <stddef.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_swx_ctl.h>
#include <rte_swx_pipeline.h>
#include <rte_version.h>

/* rte_errno is a macro over a thread-local variable. */
static inline int dpdk_sys_errno(void) { return rte_errno; }

/* rte_eth_link is a bit field whose shape differs between versions. Speed in Mbit/s. */
static inline int dpdk_sys_link_get_nowait(uint16_t port, uint32_t *speed, int *up)
{
	struct rte_eth_link link = { 0 };
	int rc = rte_eth_link_get_nowait(port, &link);

	*speed = link.link_speed;
	*up = link.link_status;
	return rc;
}

/*
 * The fields of rte_mbuf that the data path touches, at their offsets. DPDK moves these fields into and out of
 * anonymous unions between versions without moving a byte (the ABI is stable); a flat mirror keeps one set of names,
 * and the assertions below, compiled by libclang and by the C compiler, keep it honest.
 */
struct dpdk_sys_mbuf {
	void *buf_addr;
	uint64_t buf_iova;
	uint16_t data_off;
	uint16_t refcnt;
	uint16_t nb_segs;
	uint16_t port;
	uint64_t ol_flags;
	uint32_t packet_type;
	uint32_t pkt_len;
	uint16_t data_len;
	uint16_t vlan_tci;
	uint32_t rss;
	uint32_t hash_hi;
	uint16_t vlan_tci_outer;
	uint16_t buf_len;
	struct rte_mempool *pool;
	struct rte_mbuf *next;
	uint64_t tx_offload;
	uint8_t rest[48];
} __attribute__((aligned(64)));

#define DPDK_SYS_SAME(ours, theirs) \
	_Static_assert(offsetof(struct dpdk_sys_mbuf, ours) == offsetof(struct rte_mbuf, theirs) && \
		sizeof(((struct dpdk_sys_mbuf *)0)->ours) == sizeof(((struct rte_mbuf *)0)->theirs), \
		"rte_mbuf." #theirs " has moved: correct struct dpdk_sys_mbuf")

DPDK_SYS_SAME(buf_addr, buf_addr);
DPDK_SYS_SAME(data_off, data_off);
DPDK_SYS_SAME(refcnt, refcnt);
DPDK_SYS_SAME(nb_segs, nb_segs);
DPDK_SYS_SAME(port, port);
DPDK_SYS_SAME(ol_flags, ol_flags);
DPDK_SYS_SAME(packet_type, packet_type);
DPDK_SYS_SAME(pkt_len, pkt_len);
DPDK_SYS_SAME(data_len, data_len);
DPDK_SYS_SAME(vlan_tci, vlan_tci);
DPDK_SYS_SAME(rss, hash.rss);
DPDK_SYS_SAME(vlan_tci_outer, vlan_tci_outer);
DPDK_SYS_SAME(buf_len, buf_len);
DPDK_SYS_SAME(pool, pool);
DPDK_SYS_SAME(next, next);
DPDK_SYS_SAME(tx_offload, tx_offload);
_Static_assert(sizeof(struct dpdk_sys_mbuf) == sizeof(struct rte_mbuf), "rte_mbuf has another size");

/* The flags are RTE_BIT64(n) or (1ULL << n): as typed constants they reach Rust as u64, whatever the DPDK version. */
#define DPDK_SYS_U64(name) static const uint64_t DPDK_##name = RTE_##name

DPDK_SYS_U64(MBUF_F_RX_RSS_HASH);
DPDK_SYS_U64(MBUF_F_RX_IP_CKSUM_MASK);
DPDK_SYS_U64(MBUF_F_RX_IP_CKSUM_UNKNOWN);
DPDK_SYS_U64(MBUF_F_RX_IP_CKSUM_BAD);
DPDK_SYS_U64(MBUF_F_RX_IP_CKSUM_GOOD);
DPDK_SYS_U64(MBUF_F_RX_IP_CKSUM_NONE);
DPDK_SYS_U64(MBUF_F_RX_L4_CKSUM_MASK);
DPDK_SYS_U64(MBUF_F_RX_L4_CKSUM_UNKNOWN);
DPDK_SYS_U64(MBUF_F_RX_L4_CKSUM_BAD);
DPDK_SYS_U64(MBUF_F_RX_L4_CKSUM_GOOD);
DPDK_SYS_U64(MBUF_F_RX_L4_CKSUM_NONE);
DPDK_SYS_U64(MBUF_F_TX_IPV4);
DPDK_SYS_U64(MBUF_F_TX_IP_CKSUM);
DPDK_SYS_U64(MBUF_F_TX_UDP_CKSUM);
DPDK_SYS_U64(MBUF_F_TX_TCP_CKSUM);
DPDK_SYS_U64(MBUF_F_TX_L4_MASK);
DPDK_SYS_U64(MBUF_F_TX_OFFLOAD_MASK);

DPDK_SYS_U64(ETH_RX_OFFLOAD_IPV4_CKSUM);
DPDK_SYS_U64(ETH_RX_OFFLOAD_UDP_CKSUM);
DPDK_SYS_U64(ETH_RX_OFFLOAD_RSS_HASH);
DPDK_SYS_U64(ETH_TX_OFFLOAD_IPV4_CKSUM);
DPDK_SYS_U64(ETH_TX_OFFLOAD_UDP_CKSUM);

DPDK_SYS_U64(ETH_RSS_IPV4);
DPDK_SYS_U64(ETH_RSS_NONFRAG_IPV4_UDP);

#endif
