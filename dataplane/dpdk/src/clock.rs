//! The time stamp counter: a clock that costs about twenty cycles and no syscall.

/// Cycles since some moment. Monotonic on one core; compare readings of different cores only loosely.
#[inline(always)]
pub fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has RDTSC, and Linux lets user space execute it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads a counter register.
    unsafe {
        dpdk_sys::rte_rdtsc()
    }
}

/// How many [`tsc`] cycles a second has, as DPDK measured it. Zero before [`Eal::init`](crate::Eal::init).
pub fn tsc_hz() -> u64 {
    // SAFETY: reads a global that the EAL sets once.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}
