//! Statistics and settings of a running port.

use super::{Port, PortError, open};
use crate::Errno;
use core::fmt;
use dpdk_sys::{rte_eth_stats, rte_eth_xstat, rte_eth_xstat_name, rte_ether_addr};
use std::ffi::CStr;

/// What a port counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub ipackets: u64,
    /// Packets sent.
    pub opackets: u64,
    /// Octets received.
    pub ibytes: u64,
    /// Octets sent.
    pub obytes: u64,
    /// Packets lost because the receive queues were full.
    pub imissed: u64,
    /// Packets received with errors.
    pub ierrors: u64,
    /// Packets that could not be sent.
    pub oerrors: u64,
    /// Times that no buffer was left to receive into.
    pub rx_nombuf: u64,
}

/// State of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether packets can pass.
    pub up: bool,
    /// Mbit/s; none if unknown.
    pub speed: Option<u32>,
}

/// A station's address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Port {
    /// The counters.
    pub fn stats(&self) -> Result<PortStats, PortError> {
        let mut raw = rte_eth_stats::default();
        // SAFETY: the port runs; raw is written.
        let code = unsafe { dpdk_sys::rte_eth_stats_get(self.id(), &mut raw) };
        self.checked("count", code)?;
        Ok(PortStats {
            ipackets: raw.ipackets,
            opackets: raw.opackets,
            ibytes: raw.ibytes,
            obytes: raw.obytes,
            imissed: raw.imissed,
            ierrors: raw.ierrors,
            oerrors: raw.oerrors,
            rx_nombuf: raw.rx_nombuf,
        })
    }

    /// The driver's own counters, by its names.
    pub fn xstats(&self) -> Result<Vec<(String, u64)>, PortError> {
        // SAFETY: the port runs; with no room given, nothing is written.
        let count = unsafe { dpdk_sys::rte_eth_xstats_get_names(self.id(), core::ptr::null_mut(), 0) };
        self.checked("name its counters", count)?;
        let room = count as u32;
        let mut names = vec![rte_eth_xstat_name::default(); count as usize];
        let mut values = vec![rte_eth_xstat::default(); count as usize];
        // SAFETY: the port runs; there is room for as many names and values as said.
        let (named, valued) = unsafe {
            (
                dpdk_sys::rte_eth_xstats_get_names(self.id(), names.as_mut_ptr(), room),
                dpdk_sys::rte_eth_xstats_get(self.id(), values.as_mut_ptr(), room),
            )
        };
        self.checked("name its counters", named)?;
        self.checked("count", valued)?;
        if named > count || valued > count {
            // There are more by now, and nothing was written. Drivers do not do that while a port runs.
            return Ok(Vec::new());
        }
        names.truncate(named as usize);
        values.truncate(valued as usize);
        let named_value = |value: &rte_eth_xstat| {
            let name = names.get(usize::try_from(value.id).ok()?)?;
            // SAFETY: plain characters; seen as the unsigned octets that they are.
            let octets = unsafe { &*(&raw const name.name).cast::<[u8; 64]>() };
            Some((
                CStr::from_bytes_until_nul(octets)
                    .ok()?
                    .to_string_lossy()
                    .into_owned(),
                value.value,
            ))
        };
        Ok(values.iter().filter_map(named_value).collect())
    }

    /// The port's own address.
    pub fn mac(&self) -> Result<MacAddr, PortError> {
        let mut raw = rte_ether_addr::default();
        // SAFETY: the port runs; raw is written.
        let code = unsafe { dpdk_sys::rte_eth_macaddr_get(self.id(), &mut raw) };
        self.checked("tell its address", code)?;
        Ok(MacAddr(raw.addr_bytes))
    }

    /// The MTU in force.
    pub fn mtu(&self) -> Result<u16, PortError> {
        let mut mtu = 0;
        // SAFETY: the port runs; mtu is written.
        let code = unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.id(), &mut mtu) };
        self.checked("tell its MTU", code)?;
        Ok(mtu)
    }

    /// Changes the MTU while the port runs, if the driver can. Frames must still fit one buffer.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<(), PortError> {
        let _control = self.inner.eal.control();
        open::mtu_fits(&self.inner, mtu)?;
        // SAFETY: the port runs; drivers that cannot change it meanwhile refuse.
        let code = unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.id(), mtu) };
        self.checked("change its MTU", code)
    }

    /// The link, without waiting for it.
    pub fn link(&self) -> Result<Link, PortError> {
        let (mut speed, mut up) = (0, 0);
        // SAFETY: the port runs; both are written.
        let code = unsafe { dpdk_sys::dpdk_sys_link_get_nowait(self.id(), &mut speed, &mut up) };
        self.checked("tell its link's state", code)?;
        // 0 is "none", all ones "unknown" (RTE_ETH_SPEED_NUM_*).
        Ok(Link {
            up: up != 0,
            speed: (speed != 0 && speed != u32::MAX).then_some(speed),
        })
    }

    fn checked(&self, what: &'static str, code: i32) -> Result<(), PortError> {
        Errno::check(code).map_err(|reason| self.inner.refused(what, reason))
    }
}
