//! What can be asked of a port, what came of it, and what can go wrong.

use crate::Errno;
use core::fmt;

/// How a port is to be opened.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// A virtual device with its arguments (`net_af_packet0,iface=eth1`), or a PCI address (`0000:00:05.0`).
    pub device: String,
    /// Receive queues, one per worker.
    pub rx_queues: u16,
    /// Transmit queues, one per worker.
    pub tx_queues: u16,
    /// Descriptors in each receive queue. Rounded to what the driver can do.
    pub rx_desc: u16,
    /// Descriptors in each transmit queue. Rounded to what the driver can do.
    pub tx_desc: u16,
    /// Largest IP packet, in octets.
    pub mtu: u16,
    /// Receive frames for other stations, too.
    pub promiscuous: bool,
    /// Spread IPv4 and UDP flows over the receive queues.
    pub want_rss: bool,
    /// Let the port verify and compute IPv4 and UDP checksums.
    pub want_checksum_offload: bool,
}

impl PortConfig {
    /// A port with one queue each way, an MTU of 1500, and whatever offload it has.
    pub fn new(device: impl Into<String>) -> Self {
        Self {
            device: device.into(),
            rx_queues: 1,
            tx_queues: 1,
            rx_desc: 1024,
            tx_desc: 1024,
            mtu: 1500,
            promiscuous: false,
            want_rss: true,
            want_checksum_offload: true,
        }
    }
}

/// What the driver granted of what was wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Flows are spread over the receive queues by a hash. False with one queue, where there is nothing to spread.
    pub rss: bool,
    /// Buffers carry that hash: [`Mbuf::rss_hash`](crate::Mbuf::rss_hash).
    pub rss_hash: bool,
    /// IPv4 header checksums are verified: [`Mbuf::ip_checksum`](crate::Mbuf::ip_checksum).
    pub rx_ipv4_checksum: bool,
    /// UDP checksums are verified: [`Mbuf::l4_checksum`](crate::Mbuf::l4_checksum).
    pub rx_udp_checksum: bool,
    /// IPv4 header checksums can be asked for: [`Mbuf::set_tx_offload`](crate::Mbuf::set_tx_offload).
    pub tx_ipv4_checksum: bool,
    /// UDP checksums can be asked for.
    pub tx_udp_checksum: bool,
    /// Frames for other stations are received.
    pub promiscuous: bool,
}

/// Of queues: which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the wire.
    Receive,
    /// To the wire.
    Transmit,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Receive => "receive",
            Self::Transmit => "transmit",
        })
    }
}

/// Why a port cannot be opened, or a setting not be made.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// No driver, no such device, or the driver failed.
    #[error(
        "device {device:?} cannot be attached: {reason}; check its name and arguments (DPDK says more on standard error), \
         and that a PCI address is among those allowed to the environment"
    )]
    Attach {
        /// As configured.
        device: String,
        /// What DPDK says.
        reason: Errno,
    },
    /// The device exists but is no Ethernet port.
    #[error("device {device:?} is there, but it is no Ethernet port")]
    NotEthernet {
        /// As configured.
        device: String,
    },
    /// Someone in this process has it.
    #[error("device {device:?} is open already, as port {port}")]
    AlreadyOpen {
        /// As configured.
        device: String,
        /// Its number.
        port: u16,
    },
    /// No pool to receive into.
    #[error("device {device:?}: no mempool was given to receive into")]
    NoPool {
        /// As configured.
        device: String,
    },
    /// None, or more than the driver has.
    #[error("device {device:?}: {wanted} {direction} queues are wanted, it can have 1 to {offered}")]
    Queues {
        /// As configured.
        device: String,
        /// Which kind.
        direction: Direction,
        /// As configured.
        wanted: u16,
        /// What the driver has.
        offered: u16,
    },
    /// Not possible for the driver, or no room in a buffer.
    #[error(
        "device {device:?}: an MTU of {wanted} is wanted, it can be {least} to {most} (driver, and buffers of {data_room} octets)"
    )]
    Mtu {
        /// As configured.
        device: String,
        /// As configured.
        wanted: u16,
        /// The driver's lower bound.
        least: u16,
        /// The upper bound of driver and buffers.
        most: u16,
        /// Of the smallest pool.
        data_room: u16,
    },
    /// The driver said no.
    #[error("device {device:?}: the driver refuses to {what}: {reason}")]
    Refused {
        /// As configured, without arguments.
        device: String,
        /// What it was to do.
        what: &'static str,
        /// What it says.
        reason: Errno,
    },
}
