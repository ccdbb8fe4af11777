//! The DNS plug-in (001 figure 8): names of our communities are asked of their managers, through the tunnel; all others are the system's business.
//!
//! ```text
//!  application ─► system's resolver ─► stub ─┬─ name or address of a community ─► its manager's virtual address, port 53
//!                                            │      A + TXT: facts, ticket, sealed key ─► the membership ─► peer in force ─► A
//!                                            └─ anything else ─► the servers that the system had, or REFUSED
//! ```
//!
//! Problem: when an application learns an address it sends at once, and the first packet should find the way, the keys and
//! the policy in place. Idea: the answer is held back until the member is in force; the application sees a name that took a
//! millisecond longer.
//!
//! Who sends us what is the system's affair ([`system`]): systemd-resolved sends our domains only, a rewritten resolv.conf sends
//! everything, without either somebody may ask the stub directly.

mod ask;
mod question;
mod stub;
pub mod system;
mod upstream;
pub mod zones;

use crate::state::State;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::PathBuf;
use stub::Stub;
use system::{Mode, System};
use tokio::task::AbortHandle;
use zones::Zones;

/// What is done about names.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the system is told.
    pub mode: Mode,
    /// Where the stub listens; the first free one of a few if not given.
    pub listen: Option<SocketAddrV4>,
    /// The file that says which servers the system asks.
    pub resolv_conf: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            listen: None,
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// Why names cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The port.
    #[error("cannot answer DNS at {at}: {source}{}", advice(.source))]
    Listen {
        /// Where.
        at: SocketAddrV4,
        /// Why not.
        source: io::Error,
    },
    /// The file lists servers without ports.
    #[error("with --dns resolv-conf the stub must listen on port 53, not {0}")]
    Port(u16),
}

/// The stub's sockets, open.
pub struct Bound {
    udp: UdpSocket,
    tcp: TcpListener,
    system: System,
}

/// The plug-in at work.
pub struct Running {
    tasks: Vec<AbortHandle>,
    system: Option<(tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
}

/// Where the stub listens: the first one that is free. systemd-resolved has the first one itself in newer versions.
const LISTEN: [u8; 4] = [54, 55, 56, 57];

/// Opens the stub's sockets: what needs rights.
pub fn bind(options: &Options, state: &State) -> Result<Bound, DnsError> {
    let default = LISTEN.map(|last| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 53));
    let candidates = options.listen.map_or(default.to_vec(), |listen| vec![listen]);
    let mut failed = None;
    for at in candidates {
        match open(at) {
            Ok((at, udp, tcp)) => {
                let system = System::new(options.mode, at, &options.resolv_conf, state);
                if system.mode() == Mode::ResolvConf && at.port() != 53 {
                    return Err(DnsError::Port(at.port()));
                }
                return Ok(Bound { udp, tcp, system });
            }
            Err(source) => {
                let next = source.kind() == io::ErrorKind::AddrInUse;
                failed = Some(DnsError::Listen { at, source });
                if !next {
                    break;
                }
            }
        }
    }
    Err(failed.unwrap_or(DnsError::Port(0)))
}

fn open(at: SocketAddrV4) -> io::Result<(SocketAddrV4, UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(at)?;
    tcp.set_nonblocking(true)?;
    let at = SocketAddrV4::new(*at.ip(), tcp.local_addr()?.port());
    let udp = UdpSocket::bind(at)?;
    udp.set_nonblocking(true)?;
    Ok((at, udp, tcp))
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; port 53 takes root or CAP_NET_BIND_SERVICE. Another: --dns none --dns-listen 127.0.0.1:5353"
        }
        io::ErrorKind::AddrInUse => {
            "; another program answers there. Choose another: --dns-listen ADDRESS:PORT"
        }
        io::ErrorKind::AddrNotAvailable => "; is the loopback interface up?",
        _ => "",
    }
}

impl Bound {
    /// Where the stub listens.
    #[must_use]
    pub fn listen(&self) -> SocketAddrV4 {
        self.system.listen()
    }

    /// Serves, and has the system ask here, until stopped.
    #[must_use]
    pub fn run(self, zones: Zones) -> Running {
        let upstream = self.system.upstream();
        let mode = self.system.mode();
        tracing::info!(at = %self.listen(), mode = %mode, "names");
        let stub = Stub::new(zones.clone(), upstream, self.listen());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let system = tokio::spawn(self.system.run(zones, stopped));
        let mut tasks = Vec::new();
        match tokio::net::UdpSocket::from_std(self.udp) {
            Ok(socket) => tasks.push(tokio::spawn(stub::serve_udp(socket, stub.clone())).abort_handle()),
            Err(error) => tracing::error!(%error, "no DNS over UDP"),
        }
        match tokio::net::TcpListener::from_std(self.tcp) {
            Ok(listener) => tasks.push(tokio::spawn(stub::serve_tcp(listener, stub)).abort_handle()),
            Err(error) => tracing::error!(%error, "no DNS over TCP"),
        }
        Running {
            tasks,
            system: Some((stop, system)),
        }
    }
}

impl Running {
    /// Puts back what was changed in the system, then stops answering.
    pub async fn stop(mut self) {
        if let Some((stop, system)) = self.system.take() {
            let _ended = stop.send(());
            let _failed = system.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
