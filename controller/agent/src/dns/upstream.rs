//! Names that are not ours: passed on, octet by octet, to the servers that the system had before us.

use super::ask::fitting;
use hickory_proto::op::Message;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// The servers, shared; `None`: names that are not ours are refused.
#[derive(Clone, Default)]
pub struct Upstream(Arc<RwLock<Option<Vec<SocketAddr>>>>);

/// How long one server is given, and how often the list is gone through.
const PATIENCE: Duration = Duration::from_millis(1_500);
const ROUNDS: usize = 2;
/// More servers are not asked (resolv.conf(5) knows three).
const MOST: usize = 3;

impl Upstream {
    /// These servers from now on.
    pub fn set(&self, servers: Vec<SocketAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(servers);
    }

    /// Nobody from now on.
    pub fn refuse(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn servers(&self) -> Option<Vec<SocketAddr>> {
        let servers = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(servers.into_iter().take(MOST).collect())
    }

    /// The answer's octets; `None` if names that are not ours are refused here.
    pub async fn ask(&self, octets: &[u8], query: &Message, tcp: bool) -> Option<io::Result<Vec<u8>>> {
        let servers = self.servers()?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
            let asked = async {
                if tcp {
                    over_tcp(octets, query, *server).await
                } else {
                    over_udp(octets, query, *server).await
                }
            };
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => return Some(Ok(answer)),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Some(Err(last))
    }
}

async fn over_udp(octets: &[u8], query: &Message, server: SocketAddr) -> io::Result<Vec<u8>> {
    // A port of its own each time, and another number than the application's (RFC 5452 9.2).
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let (asked, renumbered) = renumber(octets, query);
    socket.send(&asked).await?;
    let mut buffer = vec![0; 65_535];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if fitting(&buffer[..len], &renumbered).is_some() {
            buffer.truncate(len);
            buffer[..2].copy_from_slice(&query.metadata.id.to_be_bytes());
            return Ok(buffer);
        }
    }
}

async fn over_tcp(octets: &[u8], query: &Message, server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(octets.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), octets].concat()).await?;
    let len = stream.read_u16().await?;
    let mut answer = vec![0; len.into()];
    stream.read_exact(&mut answer).await?;
    fitting(&answer, query).ok_or(io::ErrorKind::InvalidData)?;
    Ok(answer)
}

fn renumber(octets: &[u8], query: &Message) -> (Vec<u8>, Message) {
    let mut id = [0; 2];
    crate::entropy::fill(&mut id);
    let mut asked = octets.to_vec();
    // It was parsed: it has a header.
    asked[..2].copy_from_slice(&id);
    let mut renumbered = query.clone();
    renumbered.metadata.id = u16::from_be_bytes(id);
    (asked, renumbered)
}
