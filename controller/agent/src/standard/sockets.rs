//! UDP 500 for IKE alone; UDP 4500 for ESP, and for IKE behind four zero octets (RFC 3948 2.2).

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, SndBufForce};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// For IKE where no translator is found.
pub(super) const IKE_PORT: u16 = 500;
/// For everything else.
pub(super) const NAT_PORT: u16 = 4500;
/// Marks IKE on port 4500: no ESP packet has SPI 0.
pub(super) const MARKER: [u8; 4] = [0; 4];
/// What keeps a translator's entry alive (RFC 3948 2.3).
const KEEP_ALIVE: [u8; 1] = [0xff];
/// Asked for; without the right to more the kernel's default stays.
const BUFFER: usize = 4 << 20;

/// Both.
pub(super) struct Sockets {
    pub(super) ike: UdpSocket,
    pub(super) nat: UdpSocket,
    address: Ipv4Addr,
    scratch: Vec<u8>,
}

impl Sockets {
    /// Binds both.
    pub(super) fn open(address: Ipv4Addr) -> io::Result<Self> {
        Ok(Self {
            ike: bind(address, IKE_PORT)?,
            nat: bind(address, NAT_PORT)?,
            address,
            scratch: Vec::new(),
        })
    }

    /// Where one of them is.
    pub(super) fn local(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }

    /// Sends an IKE message from the port that its path begins at.
    pub(super) fn send_ike(&mut self, path: kith_ike::Path, octets: &[u8]) -> io::Result<()> {
        if path.local.port() == NAT_PORT {
            self.scratch.clear();
            self.scratch.extend_from_slice(&MARKER);
            self.scratch.extend_from_slice(octets);
            send(&self.nat, &self.scratch, path.remote)
        } else {
            send(&self.ike, octets, path.remote)
        }
    }

    /// Sends an ESP packet.
    pub(super) fn send_esp(&self, octets: &[u8], to: SocketAddr) -> io::Result<()> {
        send(&self.nat, octets, to)
    }

    /// Keeps a translator's entry alive.
    pub(super) fn keep_alive(&self, to: SocketAddr) -> io::Result<()> {
        send(&self.nat, &KEEP_ALIVE, to)
    }
}

/// Is it one?
pub(super) fn is_keep_alive(octets: &[u8]) -> bool {
    octets == KEEP_ALIVE
}

fn bind(address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let at = SocketAddr::new(IpAddr::V4(address), port);
    let socket = UdpSocket::bind(at)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot bind UDP {at}: {error}")))?;
    socket.set_nonblocking(true)?;
    // A burst waits here while another is sealed.
    let _ = setsockopt(&socket, RcvBufForce, &BUFFER);
    let _ = setsockopt(&socket, SndBufForce, &BUFFER);
    Ok(socket)
}

/// An error of an earlier packet, that a router reported, is told once instead of sending.
fn send(socket: &UdpSocket, octets: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket.send_to(octets, to) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.send_to(octets, to),
        result => result,
    }
    .map(|_| ())
}
