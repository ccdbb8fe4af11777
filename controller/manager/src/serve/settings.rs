//! How a manager is served: compiled from a configuration, checked by whoever wrote it.

use super::limits::Limits;
use crate::core;
use crate::mail::MailSettings;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;

/// What a local user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// Its name, or its number.
    pub user: String,
    /// What it may do.
    pub role: core::Role,
}

/// Everything the manager's host is told.
#[derive(Clone)]
pub struct Settings {
    /// The store's file.
    pub store: PathBuf,
    /// Where members connect: TLS over TCP.
    pub listen: SocketAddrV4,
    /// Where the manager takes packets of the tunnel.
    pub tunnel: SocketAddrV4,
    /// How members reach it, if that is not found out: name or address, and port; and the tunnel's address and port from outside.
    pub public: Public,
    /// Users beside root and this process's own who may use the local socket.
    pub local_users: Vec<LocalUser>,
    /// How letters go.
    pub mail: MailSettings,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Bounds of the TLS listener.
    pub limits: Limits,
    /// How often somebody may ask.
    pub core_limits: core::Limits,
    /// Durations of the protocol.
    pub times: core::Times,
}

/// How the manager is reached from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// Name or address for invitations.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Where members send packets for the manager.
    pub tunnel: SocketAddrV4,
}

impl Public {
    /// What can be known without being told: the listening address, or else the one that this computer uses towards the world.
    #[must_use]
    pub fn guess(host: Option<String>, listen: SocketAddrV4, tunnel: SocketAddrV4) -> Self {
        let own = |bound: Ipv4Addr| if bound.is_unspecified() { outward() } else { bound };
        let tunnel = SocketAddrV4::new(
            // A host given as an address is the tunnel's as well.
            match host.as_deref().map(str::parse) {
                Some(Ok(address)) if tunnel.ip().is_unspecified() => address,
                _ => own(*tunnel.ip()),
            },
            tunnel.port(),
        );
        let host = host.unwrap_or_else(|| own(*listen.ip()).to_string());
        Self {
            host,
            port: listen.port(),
            tunnel,
        }
    }
}

/// The address that packets to the world would come from. Nothing is sent.
fn outward() -> Ipv4Addr {
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // RFC 5737: an address of documentation, which every default route covers.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    match found {
        Ok(SocketAddr::V4(own)) => *own.ip(),
        _ => Ipv4Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_goes_before_what_is_found_out() {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 443);
        let tunnel = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 20202);
        let told = Public::guess(Some("203.0.113.5".into()), any, tunnel);
        assert_eq!(
            (told.host.as_str(), told.tunnel.to_string().as_str()),
            ("203.0.113.5", "203.0.113.5:20202")
        );
        let bound = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 5), 8443);
        let local = Public::guess(None, bound, SocketAddrV4::new(*bound.ip(), 20202));
        assert_eq!(
            (local.host.as_str(), local.port, local.tunnel.to_string().as_str()),
            ("127.0.0.5", 8443, "127.0.0.5:20202")
        );
        assert!(!Public::guess(None, any, tunnel).tunnel.ip().is_unspecified());
    }
}
