//! The UDP socket: many packets to one endpoint in one call, many from anywhere in one call, and what routers report.
//!
//! Sending uses UDP segmentation (UDP_SEGMENT): one buffer of equal packets, cut by the kernel or the NIC. Receiving uses
//! UDP_GRO, the reverse. DF is always set and the kernel's own path MTU cache ignored (IP_PMTUDISC_PROBE): routers' reports are read
//! from the error queue and kept a member.

use crate::config;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::{
    Ipv4RecvErr, RcvBuf, RcvBufForce, RxqOvfl, SndBuf, SndBufForce, UdpGroSegment,
};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SetSockOpt, SockaddrIn, recvmsg, sendmsg, setsockopt,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Octets of UDP data that one call may carry: the largest IPv4 packet without its headers.
pub const MOST_BYTES: usize = 65_507;
/// Packets that one call may carry (UDP_MAX_SEGMENTS of older kernels).
pub const MOST_PACKETS: usize = 64;
/// Asked for; the kernel may give less to who may not have more.
const BUFFER: usize = 4 << 20;

/// The socket. Shared by threads; every call is one system call.
pub struct Udp(UdpSocket);

/// What one receive gave.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Octets.
    pub len: usize,
    /// Octets of each datagram but the last, which may be shorter.
    pub segment: usize,
    /// From where.
    pub from: SocketAddrV4,
    /// How many datagrams the kernel has thrown away since the socket was opened because its buffer was full (wraps);
    /// `None` while it has thrown away none.
    pub overflow: Option<u32>,
}

/// A report that packets were too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBig {
    /// The endpoint they were sent to.
    pub to: SocketAddrV4,
    /// The largest that fits; 0 if the router does not say.
    pub mtu: u16,
    /// Octets of the reported packet's UDP data that are quoted.
    pub quoted: usize,
}

/// Room for control messages of one receive.
pub struct Control(Vec<u8>);

impl Default for Control {
    fn default() -> Self {
        Self(cmsg_space!(i32, u32, [u8; 64]))
    }
}

impl Udp {
    /// Binds it.
    pub fn open(config: config::Udp) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddrV4::new(config.address, config.port))?;
        enlarge(&socket, RcvBufForce, RcvBuf)?;
        enlarge(&socket, SndBufForce, SndBuf)?;
        setsockopt(&socket, UdpGroSegment, &true)?;
        setsockopt(&socket, Ipv4RecvErr, &true)?;
        setsockopt(&socket, RxqOvfl, &1)?;
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
        Ok(Self(socket))
    }

    /// Sends one datagram.
    pub fn send(&self, data: &[u8], to: SocketAddrV4) -> io::Result<()> {
        // An error that waits on the socket, from an earlier packet, is reported once instead of sending.
        match self.0.send_to(data, to) {
            Err(error) if is_pending(&error) => self.0.send_to(data, to).map(|_| ()),
            result => result.map(|_| ()),
        }
    }

    /// Sends `data` as datagrams of `segment` octets, the last of which may be shorter.
    #[inline]
    pub fn send_segments(&self, data: &[u8], segment: usize, to: SocketAddrV4) -> io::Result<()> {
        let (Ok(size), true) = (u16::try_from(segment), data.len() > segment) else {
            return self.send(data, to);
        };
        let (address, pieces) = (SockaddrIn::from(to), [IoSlice::new(data)]);
        let send = || {
            let control = [ControlMessage::UdpGsoSegments(&size)];
            sendmsg(
                self.0.as_raw_fd(),
                &pieces,
                &control,
                MsgFlags::empty(),
                Some(&address),
            )
        };
        match send().map_err(io::Error::from) {
            Err(error) if is_pending(&error) => send().map(|_| ()).map_err(Into::into),
            result => result.map(|_| ()),
        }
    }

    /// What has come; `None` if nothing.
    #[inline]
    pub fn receive(&self, into: &mut [u8], control: &mut Control) -> io::Result<Option<Received>> {
        let mut pieces = [IoSliceMut::new(into)];
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmsg::<SockaddrIn>(self.0.as_raw_fd(), &mut pieces, Some(&mut control.0), flags) {
            Ok(message) => {
                let len = message.bytes;
                let (mut segment, mut overflow) = (len, None);
                for control in message.cmsgs()? {
                    match control {
                        ControlMessageOwned::UdpGroSegments(size) => {
                            segment = usize::try_from(size).unwrap_or(len);
                        }
                        ControlMessageOwned::RxqOvfl(count) => overflow = Some(count),
                        _ => {}
                    }
                }
                let from = message.address.map_or(UNKNOWN, SocketAddrV4::from);
                Ok(Some(Received {
                    len,
                    segment,
                    from,
                    overflow,
                }))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The next report of the error queue; `None` if there is no more. What is quoted of the packet goes to `quote`.
    pub fn error(&self, quote: &mut [u8], control: &mut Control) -> io::Result<Option<Option<TooBig>>> {
        let mut pieces = [IoSliceMut::new(quote)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        match recvmsg::<SockaddrIn>(self.0.as_raw_fd(), &mut pieces, Some(&mut control.0), flags) {
            Ok(message) => {
                let (quoted, to) = (message.bytes, message.address);
                let mut report = None;
                for control in message.cmsgs()? {
                    if let (ControlMessageOwned::Ipv4RecvErr(error, _), Some(to)) = (control, to)
                        && is_too_big(&error)
                    {
                        report = Some(TooBig {
                            to: to.into(),
                            mtu: u16::try_from(error.ee_info).unwrap_or(u16::MAX),
                            quoted,
                        });
                    }
                }
                Ok(Some(report))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The address and port it is bound to.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const UNKNOWN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// Does the kernel refuse to segment here, so that packets must go one by one? (No checksum offload: EIO; larger than the
/// interface's MTU: EINVAL or EMSGSIZE.)
#[must_use]
pub fn refuses_segments(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE)
    )
}

/// Errors that ICMP left on the socket for whoever calls next.
fn is_pending(error: &io::Error) -> bool {
    let codes = [
        libc::ECONNREFUSED,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EPROTO,
        libc::EMSGSIZE,
    ];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// By ICMP "fragmentation needed", or by our own stack because the interface is narrower.
fn is_too_big(error: &libc::sock_extended_err) -> bool {
    let icmp = error.ee_origin == libc::SO_EE_ORIGIN_ICMP && (error.ee_type, error.ee_code) == (3, 4);
    let local = error.ee_origin == libc::SO_EE_ORIGIN_LOCAL;
    error.ee_errno == libc::EMSGSIZE as u32 && (icmp || local)
}

fn enlarge<F, N>(socket: &UdpSocket, force: F, normal: N) -> io::Result<()>
where
    F: SetSockOpt<Val = usize>,
    N: SetSockOpt<Val = usize>,
{
    // The first needs CAP_NET_ADMIN; the second is cut to the system's limit.
    setsockopt(socket, force, &BUFFER).or_else(|_| setsockopt(socket, normal, &BUFFER))?;
    Ok(())
}
