//! The virtual adapter: a TUN device with segmentation offload, its address, and the community's route.

use super::route;
use super::udp::{MOST_BYTES, MOST_PACKETS};
use crate::config::{Prefix, Validated};
use kith_pipeline::host::virtual_mtu;
use kith_wire::{ipv4, udp};
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use tun_rs::{DeviceBuilder, SyncDevice};

/// Octets of the largest read: virtio header and the largest packet.
pub const READ_LEN: usize = super::segment::VNET_LEN + 65_535;

/// The device; gone when dropped.
pub struct Tun(SyncDevice);

impl Tun {
    /// Makes it, up and addressed. The pool's prefix gives the route.
    pub fn open(config: &Validated) -> io::Result<Self> {
        let address = Some((config.address, config.pool.prefix_len()));
        Self::make(&config.tun, address, config.adapter_mtu(), config.path_mtu)
    }

    /// Makes it, up, with no address yet: packets for the widest path of `path_mtu`.
    pub fn open_bare(name: &str, path_mtu: u16) -> io::Result<Self> {
        Self::make(name, None, virtual_mtu(path_mtu), path_mtu)
    }

    fn make(name: &str, address: Option<(Ipv4Addr, u8)>, mtu: u16, path_mtu: u16) -> io::Result<Self> {
        let mut device = DeviceBuilder::new().name(name).mtu(mtu).offload(true);
        if let Some((address, len)) = address {
            device = device.ipv4(address, len, None);
        }
        let device = device.build_sync()?;
        device.set_tx_queue_len(1000)?;
        device.set_nonblocking(true)?;
        limit_segments(name, segments(path_mtu));
        Ok(Self(device))
    }

    /// From now on it has this address alone, and packets to these networks come here. Takes CAP_NET_ADMIN.
    pub fn configure(&self, address: Ipv4Addr, networks: &[Prefix]) -> io::Result<()> {
        let home = networks.iter().find(|network| network.has_host(address));
        let len = home.map_or(32, |network| network.prefix_len());
        // With the address go all routes that the kernel made for it.
        self.0.set_network_address(address, len, None)?;
        for network in networks.iter().filter(|network| Some(*network) != home) {
            route::replace(self.index()?, *network)?;
        }
        Ok(())
    }

    /// No packets to these networks come here any more, and there is no address. Takes CAP_NET_ADMIN.
    pub fn clear(&self, address: Ipv4Addr, networks: &[Prefix]) -> io::Result<()> {
        for network in networks.iter().filter(|network| !network.has_host(address)) {
            match route::remove(self.index()?, *network) {
                Err(error) if error.raw_os_error() != Some(nix::libc::ESRCH) => return Err(error),
                _ => {}
            }
        }
        self.0.remove_address(address.into())
    }

    fn index(&self) -> io::Result<u32> {
        self.0.if_index()
    }

    /// Does the kernel take joined UDP datagrams?
    #[must_use]
    pub fn joins_udp(&self) -> bool {
        self.0.udp_gso()
    }

    /// One packet, large or not, with its virtio header; `None` if there is none now.
    #[inline]
    pub fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(self.as_fd(), into) {
            Ok(len) => Ok(Some(len)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes one packet, large or not, given as pieces that begin with its virtio header.
    #[inline]
    pub fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        loop {
            match rustix::io::writev(self.as_fd(), pieces) {
                Err(Errno::INTR) => {}
                result => return result.map(|_| ()).map_err(Into::into),
            }
        }
    }
}

/// How many full packets one send takes.
fn segments(path_mtu: u16) -> usize {
    let data = usize::from(path_mtu) - ipv4::HEADER_LEN - udp::HEADER_LEN;
    (MOST_BYTES / data).min(MOST_PACKETS)
}

/// Asks the kernel for large packets that one send can carry once they are cut and sealed: read, send, receive and write
/// are then one call each (measured: a quarter more throughput than with 48 segments a read and 44 a send). Without
/// the `ip` program all works, with more calls.
fn limit_segments(device: &str, segments: usize) {
    let mut ip = Command::new("ip");
    ip.args([
        "link",
        "set",
        "dev",
        device,
        "gso_max_segs",
        &segments.to_string(),
    ]);
    match ip.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        result => tracing::debug!(?result, "cannot limit the adapter's segments"),
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_fits_a_send() {
        assert_eq!((segments(1500), segments(576), segments(9000)), (44, 64, 7));
    }
}
