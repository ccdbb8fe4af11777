//! The virtual adapter: a TUN device with segmentation offload, its address, and the community's route.

use crate::config::Validated;
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
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
        Ok(Self(device))
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

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
