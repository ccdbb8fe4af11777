//! The way from a device's name to a running port.

use super::{Direction, Granted, Inner, PortConfig, PortError};
use crate::{Eal, Errno, Mempool};
use dpdk_sys::{rte_eth_conf, rte_eth_dev_info};
use std::ffi::{CStr, CString};

/// Octets of a frame beyond its MTU: Ethernet header, two VLAN tags, frame check sequence.
const FRAME_OVERHEAD: u16 = 14 + 4 + 4 + 4;

/// Attaches, configures and starts. What was done is undone if a later step fails: `Inner` closes on drop.
pub(super) fn open(eal: &Eal, config: &PortConfig, pools: &[Mempool]) -> Result<(Inner, Granted), PortError> {
    if pools.is_empty() {
        return Err(PortError::NoPool {
            device: config.device.clone(),
        });
    }
    let mut inner = attach(eal, config, pools)?;
    let control = eal.0.control();
    let started = start(&mut inner, config);
    // Closing, if it comes to that, takes the lock itself.
    drop(control);
    Ok((inner, started?))
}

/// Finds the port, making the device first if need be.
fn attach(eal: &Eal, config: &PortConfig, pools: &[Mempool]) -> Result<Inner, PortError> {
    let device = config.device.clone();
    // A text with a NUL in it names no device: EINVAL.
    let c_string = |text: &str| {
        CString::new(text).map_err(|_| PortError::Attach {
            device: device.clone(),
            reason: Errno(22),
        })
    };
    let name = device.split(',').next().unwrap_or_default();
    let (c_device, c_name) = (c_string(&device)?, c_string(name)?);

    let control = eal.0.control();
    let id = match find(&c_name) {
        Some(id) => id,
        None => {
            // SAFETY: the environment is up, and the argument a C string.
            let code = unsafe { dpdk_sys::rte_dev_probe(c_device.as_ptr()) };
            Errno::check(code).map_err(|reason| PortError::Attach {
                device: device.clone(),
                reason,
            })?;
            find(&c_name).ok_or_else(|| PortError::NotEthernet {
                device: device.clone(),
            })?
        }
    };
    if !eal.0.port_opens(id) {
        return Err(PortError::AlreadyOpen { device, port: id });
    }
    drop(control);
    Ok(Inner {
        id,
        device: name.to_owned(),
        driver: String::new(),
        handle: core::ptr::null_mut(),
        running_rx_queues: 0,
        pools: pools.to_vec(),
        eal: eal.0.clone(),
    })
}

fn find(name: &CStr) -> Option<u16> {
    let mut id = 0;
    // SAFETY: the environment is up; name is a C string, and id is written on success.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) };
    (code == 0).then_some(id)
}

/// Configures and starts an attached port.
fn start(inner: &mut Inner, config: &PortConfig) -> Result<Granted, PortError> {
    let info = info(inner)?;
    inner.handle = info.device;
    if !info.driver_name.is_null() {
        // SAFETY: drivers' names are C strings that live as long as the driver is loaded.
        inner.driver = unsafe { CStr::from_ptr(info.driver_name) }
            .to_string_lossy()
            .into_owned();
    }
    check_queues(config, Direction::Receive, config.rx_queues, info.max_rx_queues)?;
    check_queues(config, Direction::Transmit, config.tx_queues, info.max_tx_queues)?;
    check_mtu(inner, &info, config.mtu)?;

    let (eth, mut granted) = negotiate(config, &info);
    // SAFETY: the port is attached and ours; eth is copied.
    let code = unsafe { dpdk_sys::rte_eth_dev_configure(inner.id, config.rx_queues, config.tx_queues, &eth) };
    Errno::check(code).map_err(|reason| inner.refused("be configured", reason))?;
    set_up_queues(inner, config, &info, &eth)?;

    // SAFETY: the port is configured and its queues are set up.
    let code = unsafe { dpdk_sys::rte_eth_dev_start(inner.id) };
    Errno::check(code).map_err(|reason| inner.refused("start", reason))?;
    inner.running_rx_queues = config.rx_queues;
    if config.promiscuous {
        // SAFETY: the port runs. A driver that cannot is seen by what it answers afterwards: 1 is on.
        granted.promiscuous = unsafe {
            dpdk_sys::rte_eth_promiscuous_enable(inner.id);
            dpdk_sys::rte_eth_promiscuous_get(inner.id) == 1
        };
    }
    Ok(granted)
}

fn info(inner: &Inner) -> Result<rte_eth_dev_info, PortError> {
    let mut info = rte_eth_dev_info::default();
    // SAFETY: the port is attached; info is written.
    let code = unsafe { dpdk_sys::rte_eth_dev_info_get(inner.id, &mut info) };
    Errno::check(code).map_err(|reason| inner.refused("describe itself", reason))?;
    Ok(info)
}

fn check_queues(
    config: &PortConfig,
    direction: Direction,
    wanted: u16,
    offered: u16,
) -> Result<(), PortError> {
    if wanted == 0 || wanted > offered {
        return Err(PortError::Queues {
            device: config.device.clone(),
            direction,
            wanted,
            offered,
        });
    }
    Ok(())
}

/// The driver must be able to, and a frame must fit one buffer, as scatter is off.
fn check_mtu(inner: &Inner, info: &rte_eth_dev_info, wanted: u16) -> Result<(), PortError> {
    let data_room = inner.pools.iter().map(Mempool::data_room).min().unwrap_or(0);
    let most = data_room.saturating_sub(FRAME_OVERHEAD).min(info.max_mtu);
    if wanted < info.min_mtu || wanted > most {
        let (device, least) = (inner.device.clone(), info.min_mtu);
        return Err(PortError::Mtu {
            device,
            wanted,
            least,
            most,
            data_room,
        });
    }
    Ok(())
}

/// Intersects what is wanted with what is offered.
fn negotiate(config: &PortConfig, info: &rte_eth_dev_info) -> (rte_eth_conf, Granted) {
    use dpdk_sys::*;
    let (mut rx, mut tx) = (0, 0);
    let mut eth = rte_eth_conf::default();
    if config.want_checksum_offload {
        rx |= DPDK_ETH_RX_OFFLOAD_IPV4_CKSUM | DPDK_ETH_RX_OFFLOAD_UDP_CKSUM;
        tx |= DPDK_ETH_TX_OFFLOAD_IPV4_CKSUM | DPDK_ETH_TX_OFFLOAD_UDP_CKSUM;
    }
    let flows = (DPDK_ETH_RSS_IPV4 | DPDK_ETH_RSS_NONFRAG_IPV4_UDP) & info.flow_type_rss_offloads;
    // A redirection table smaller than the number of queues would leave some without packets.
    let table_ok = info.reta_size == 0 || info.reta_size >= config.rx_queues;
    let rss = config.want_rss && config.rx_queues > 1 && flows != 0 && table_ok;
    if rss {
        eth.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        eth.rx_adv_conf.rss_conf.rss_hf = flows;
        rx |= DPDK_ETH_RX_OFFLOAD_RSS_HASH;
    }
    rx &= info.rx_offload_capa;
    tx &= info.tx_offload_capa;
    eth.rxmode.mtu = config.mtu.into();
    eth.rxmode.offloads = rx;
    eth.txmode.offloads = tx;
    let granted = Granted {
        rss,
        rss_hash: rx & DPDK_ETH_RX_OFFLOAD_RSS_HASH != 0,
        rx_ipv4_checksum: rx & DPDK_ETH_RX_OFFLOAD_IPV4_CKSUM != 0,
        rx_udp_checksum: rx & DPDK_ETH_RX_OFFLOAD_UDP_CKSUM != 0,
        tx_ipv4_checksum: tx & DPDK_ETH_TX_OFFLOAD_IPV4_CKSUM != 0,
        tx_udp_checksum: tx & DPDK_ETH_TX_OFFLOAD_UDP_CKSUM != 0,
        promiscuous: false,
    };
    (eth, granted)
}

fn set_up_queues(
    inner: &Inner,
    config: &PortConfig,
    info: &rte_eth_dev_info,
    eth: &rte_eth_conf,
) -> Result<(), PortError> {
    let (mut rx_desc, mut tx_desc) = (config.rx_desc, config.tx_desc);
    // SAFETY: the port is configured; both numbers are written.
    let code = unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(inner.id, &mut rx_desc, &mut tx_desc) };
    Errno::check(code).map_err(|reason| inner.refused("say how many descriptors it takes", reason))?;
    // SAFETY: the port is attached. -1, for any node, is what the unsigned parameter below takes, too.
    let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(inner.id) } as u32;

    let mut rx = info.default_rxconf;
    rx.offloads = eth.rxmode.offloads;
    for (queue, pool) in (0..config.rx_queues).zip(inner.pools.iter().cycle()) {
        // SAFETY: the port is configured with that many queues, rx is copied, and inner keeps the pool alive.
        let code =
            unsafe { dpdk_sys::rte_eth_rx_queue_setup(inner.id, queue, rx_desc, socket, &rx, pool.as_ptr()) };
        Errno::check(code).map_err(|reason| inner.refused("set up a receive queue", reason))?;
    }
    let mut tx = info.default_txconf;
    tx.offloads = eth.txmode.offloads;
    for queue in 0..config.tx_queues {
        // SAFETY: as above.
        let code = unsafe { dpdk_sys::rte_eth_tx_queue_setup(inner.id, queue, tx_desc, socket, &tx) };
        Errno::check(code).map_err(|reason| inner.refused("set up a transmit queue", reason))?;
    }
    Ok(())
}

/// The bound that [`check_mtu`] sets, for a port that runs.
pub(super) fn mtu_fits(inner: &Inner, wanted: u16) -> Result<(), PortError> {
    check_mtu(inner, &info(inner)?, wanted)
}
