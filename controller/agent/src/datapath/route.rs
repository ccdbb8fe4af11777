//! Routes into the adapter, by rtnetlink (RFC 3549).
//!
//! ```text
//!  | nlmsghdr: length, type, flags, number | rtmsg: IPv4, prefix length, table … | RTA_DST network | RTA_OIF adapter |
//!  ◄ | nlmsghdr | 0, or minus the error's number |
//! ```

use crate::config::Prefix;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, sendto, socket_with};
use std::io;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

// <linux/rtnetlink.h>, <linux/netlink.h>
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const NLMSG_ERROR: u16 = 2;
const REQUEST_AND_ACK: u16 = 0x01 | 0x04;
const REPLACE_OR_CREATE: u16 = 0x100 | 0x400;
const AF_INET: u8 = 2;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_NOWHERE: u8 = 255;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_LEN: u16 = 8;

/// A request, in the order of the octets of this machine but for the network.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Request {
    len: u32,
    kind: u16,
    flags: u16,
    number: u32,
    port: u32,
    family: u8,
    destination_len: u8,
    source_len: u8,
    tos: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    route_type: u8,
    route_flags: u32,
    rta_dst: [u16; 2],
    network: [u8; 4],
    rta_oif: [u16; 2],
    adapter: u32,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Answer {
    len: u32,
    kind: u16,
    flags: u16,
    number: u32,
    port: u32,
    error: i32,
}

/// Packets to this network go into the adapter of this index.
pub fn replace(adapter: u32, network: Prefix) -> io::Result<()> {
    ask(&Request::new(
        RTM_NEWROUTE,
        REPLACE_OR_CREATE,
        RT_SCOPE_LINK,
        adapter,
        network,
    ))
}

/// No longer.
pub fn remove(adapter: u32, network: Prefix) -> io::Result<()> {
    ask(&Request::new(RTM_DELROUTE, 0, RT_SCOPE_NOWHERE, adapter, network))
}

impl Request {
    fn new(kind: u16, flags: u16, scope: u8, adapter: u32, network: Prefix) -> Self {
        Self {
            len: size_of::<Self>() as u32,
            kind,
            flags: REQUEST_AND_ACK | flags,
            number: 1,
            port: 0,
            family: AF_INET,
            destination_len: network.prefix_len(),
            source_len: 0,
            tos: 0,
            table: RT_TABLE_MAIN,
            protocol: RTPROT_STATIC,
            scope,
            route_type: RTN_UNICAST,
            route_flags: 0,
            rta_dst: [RTA_LEN, RTA_DST],
            network: network.network().octets(),
            rta_oif: [RTA_LEN, RTA_OIF],
            adapter,
        }
    }
}

fn ask(request: &Request) -> io::Result<()> {
    let family = AddressFamily::NETLINK;
    let socket = socket_with(
        family,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0.
        None,
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, request.as_bytes(), SendFlags::empty(), &kernel)?;
    let mut octets = [0; 256];
    let (len, _) = recv(&socket, &mut octets, RecvFlags::empty())?;
    match Answer::read_from_prefix(&octets[..len]) {
        Ok((answer, _)) if answer.kind == NLMSG_ERROR && answer.error == 0 => Ok(()),
        Ok((answer, _)) if answer.kind == NLMSG_ERROR => Err(io::Error::from_raw_os_error(-answer.error)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel's answer about a route makes no sense",
        )),
    }
}
