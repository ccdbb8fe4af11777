//! The virtual adapter: a TUN device with segmentation offload, its address, and the community's route.

use super::udp::{MOST_BYTES, MOST_PACKETS};
use crate::config::Validated;
use kith_wire::{ipv4, udp};
use rustix::io::Errno;
use std::io::{self, IoSlice};
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
        let device = DeviceBuilder::new()
            .name(&config.tun)
            .ipv4(config.address, config.pool.prefix_len(), None)
            .mtu(config.adapter_mtu())
            .offload(true)
            .build_sync()?;
        device.set_tx_queue_len(1000)?;
        device.set_nonblocking(true)?;
        limit_segments(&config.tun, segments(config.path_mtu));
        Ok(Self(device))
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
