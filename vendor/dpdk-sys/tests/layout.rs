//! The Rust layout of `rte_mbuf` is the C compiler's, and the constants are what DPDK says.

use core::mem::{align_of, offset_of, size_of};
use dpdk_sys::dpdk_sys_mbuf as Mbuf;
use dpdk_sys::probe::{dpdk_sys_probe_mbuf, dpdk_sys_probe_tx_offload};

#[test]
fn mbuf_has_the_layout_the_c_compiler_gives_it() {
    let rust = [
        size_of::<Mbuf>(),
        align_of::<Mbuf>(),
        offset_of!(Mbuf, buf_addr),
        offset_of!(Mbuf, data_off),
        offset_of!(Mbuf, refcnt),
        offset_of!(Mbuf, nb_segs),
        offset_of!(Mbuf, port),
        offset_of!(Mbuf, ol_flags),
        offset_of!(Mbuf, packet_type),
        offset_of!(Mbuf, pkt_len),
        offset_of!(Mbuf, data_len),
        offset_of!(Mbuf, rss),
        offset_of!(Mbuf, buf_len),
        offset_of!(Mbuf, pool),
        offset_of!(Mbuf, next),
        offset_of!(Mbuf, tx_offload),
    ];
    assert_eq!(rust, dpdk_sys_probe_mbuf);
}

#[test]
fn an_mbuf_is_two_cache_lines() {
    assert_eq!((size_of::<Mbuf>(), align_of::<Mbuf>()), (128, 64));
    assert_eq!(size_of::<dpdk_sys::rte_mbuf>(), 128);
}

#[test]
fn tx_offload_packs_lengths_from_the_lowest_bit() {
    assert_eq!(dpdk_sys_probe_tx_offload(14, 20, 8), 14 | 20 << 7 | 8 << 16);
}

#[test]
fn checksum_flags_are_distinct_bits_of_their_masks() {
    use dpdk_sys::*;
    assert_eq!(
        DPDK_MBUF_F_RX_IP_CKSUM_MASK,
        DPDK_MBUF_F_RX_IP_CKSUM_BAD | DPDK_MBUF_F_RX_IP_CKSUM_GOOD
    );
    assert_eq!(
        DPDK_MBUF_F_RX_L4_CKSUM_MASK,
        DPDK_MBUF_F_RX_L4_CKSUM_BAD | DPDK_MBUF_F_RX_L4_CKSUM_GOOD
    );
    assert_eq!(DPDK_MBUF_F_RX_IP_CKSUM_MASK & DPDK_MBUF_F_RX_L4_CKSUM_MASK, 0);
}
