//! What the kernel says of addresses, links and routes as they change, by rtnetlink (RFC 3549).
//!
//! What has changed is not read from it but for one thing, whether it was a default route: whoever is told looks at the system as it is now.
//! So a notification that was lost, because too many came, is a notification all the same.
//!
//! ```text
//!  | nlmsghdr: length, type, flags, number | rtmsg: family, destination's prefix length … |
//! ```

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

// <linux/rtnetlink.h>: links, IPv4 addresses, IPv4 routes, IPv4 rules.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const NLMSG_HEADER: usize = 16;

/// A socket on which the kernel tells of changes.
pub struct Changes(AsyncFd<OwnedFd>);

/// What has changed, as far as that is looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// A default route came, went, or leads elsewhere; or perhaps.
    pub default_route: bool,
}

impl Changes {
    /// In the network namespace of the calling thread.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // NETLINK_ROUTE is protocol 0.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        #[expect(
            deprecated,
            reason = "what it was deprecated for, types that lie about their descriptor, is no matter of an OwnedFd; its successor is unsafe"
        )]
        let socket = AsyncFd::new(socket)?;
        Ok(Self(socket))
    }

    /// The next change.
    pub async fn next(&self) -> io::Result<Changed> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Some(changed) = self.so_far()? {
                return Ok(changed);
            }
            ready.clear_ready();
        }
    }

    /// What has changed until now, if anything has.
    pub fn so_far(&self) -> io::Result<Option<Changed>> {
        let mut changed: Option<Changed> = None;
        let mut octets = [0; 8192];
        loop {
            match recv(self.0.get_ref(), &mut octets, RecvFlags::empty()) {
                Ok((len, _)) => {
                    let default_route = is_default_route(&octets[..len.min(8192)]);
                    changed.get_or_insert_default().default_route |= default_route;
                }
                // Some were lost: they may have been about anything.
                Err(Errno::NOBUFS) => changed = Some(Changed { default_route: true }),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(changed),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Is one of these messages about a default route?
fn is_default_route(mut octets: &[u8]) -> bool {
    while let Some((header, rest)) = octets.split_at_checked(NLMSG_HEADER) {
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        // struct rtmsg: the family, then the length of the destination's prefix.
        let is_route = kind == RTM_NEWROUTE || kind == RTM_DELROUTE;
        if is_route && rest.get(1) == Some(&0) {
            return true;
        }
        // Each begins at a multiple of four.
        let next = len.next_multiple_of(4);
        if len < NLMSG_HEADER || next >= octets.len() {
            return false;
        }
        octets = &octets[next..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let len = (NLMSG_HEADER + payload.len()) as u32;
        let mut message = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], payload].concat();
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    #[test]
    fn a_default_route_is_seen_among_other_messages_and_nonsense_is_none() {
        let address = message(20, &[2, 0, 0, 0, 1]);
        let narrow = message(RTM_NEWROUTE, &[2, 24, 0, 0]);
        let default = message(RTM_DELROUTE, &[2, 0, 0, 0]);
        assert!(!is_default_route(&[&address[..], &narrow].concat()));
        assert!(is_default_route(&[&address[..], &narrow, &default].concat()));
        for len in 0..default.len() {
            let _no_panic = is_default_route(&default[..len]);
        }
        let mut endless = address;
        endless[..4].fill(0);
        assert!(!is_default_route(&[endless, default].concat()));
    }
}
