//! The stub: where the system asks, over UDP and TCP.

use super::ask;
use super::question::{self, Decision, PAYLOAD};
use super::upstream::Upstream;
use super::zones::Zones;
use hickory_proto::op::{Message, ResponseCode};
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// Questions under way at a time; more are dropped, and asked again.
const QUESTIONS: usize = 512;
/// TCP connections at a time, how long one may be idle, and how many questions one may bring.
const CONNECTIONS: usize = 32;
const IDLE: Duration = Duration::from_secs(10);
const QUESTIONS_A_CONNECTION: usize = 64;
/// The smallest that "as large as UDP takes" may be (RFC 1035 2.3.4).
const SMALLEST: u16 = 512;

/// What answers.
#[derive(Clone)]
pub struct Stub {
    zones: Zones,
    upstream: Upstream,
    listen: SocketAddrV4,
    room: Arc<Semaphore>,
}

impl Stub {
    /// Answers for these communities.
    #[must_use]
    pub fn new(zones: Zones, upstream: Upstream, listen: SocketAddrV4) -> Self {
        Self {
            zones,
            upstream,
            listen,
            room: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    /// The answer to a query; `None` if it gets none.
    async fn answer(&self, octets: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let (query, answer) = match question::decide(octets, &self.zones) {
            Decision::Drop => return None,
            Decision::Reply(answer) => return answer.to_vec().ok(),
            Decision::Ask(query, zone) => {
                let answer = ask::manager(&query, &zone).await;
                (query, answer)
            }
            Decision::Elsewhere(query) => match self.upstream.ask(octets, &query, tcp).await {
                Some(Ok(answer)) => return Some(answer),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the system's servers do not answer");
                    let answer = question::answer(&query, ResponseCode::ServFail);
                    (query, answer)
                }
                None => {
                    let answer = question::answer(&query, ResponseCode::Refused);
                    (query, answer)
                }
            },
        };
        fit(&query, answer, tcp)
    }

    /// Only programs on this computer are answered: others have their own agent.
    fn is_local(&self, from: SocketAddr) -> bool {
        from.ip().is_loopback() || from.ip() == IpAddr::V4(*self.listen.ip())
    }
}

/// Our answers are small; one that is too large all the same says so.
fn fit(query: &Message, answer: Message, tcp: bool) -> Option<Vec<u8>> {
    let octets = answer.to_vec().ok()?;
    let most = query
        .edns
        .as_ref()
        .map_or(SMALLEST, |edns| edns.max_payload().clamp(SMALLEST, PAYLOAD));
    if tcp || octets.len() <= usize::from(most) {
        return Some(octets);
    }
    answer.truncate().to_vec().ok()
}

/// Answers over UDP until its task is ended.
pub async fn serve_udp(socket: UdpSocket, stub: Stub) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 65_535];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // Most likely somebody who asked has gone (RFC 1122 4.1.3.3).
                tracing::debug!(%error, "DNS over UDP");
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        let (true, Ok(permit)) = (stub.is_local(from), stub.room.clone().try_acquire_owned()) else {
            continue;
        };
        let (socket, stub, query) = (socket.clone(), stub.clone(), buffer[..len].to_vec());
        tokio::spawn(async move {
            if let Some(answer) = stub.answer(&query, false).await
                && let Err(error) = socket.send_to(&answer, from).await
            {
                tracing::debug!(%error, %from, "cannot answer");
            }
            drop(permit);
        });
    }
}

/// Answers over TCP until its task is ended.
pub async fn serve_tcp(listener: TcpListener, stub: Stub) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, from)) if stub.is_local(from) => {
                let stub = stub.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &stub).await {
                        tracing::debug!(%error, "DNS over TCP");
                    }
                    drop(permit);
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "DNS over TCP");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, stub: &Stub) -> std::io::Result<()> {
    for _ in 0..QUESTIONS_A_CONNECTION {
        // RFC 7766 8: each message behind its length.
        let read = tokio::time::timeout(IDLE, async {
            let len = stream.read_u16().await?;
            let mut query = vec![0; len.into()];
            stream.read_exact(&mut query).await?;
            std::io::Result::Ok(query)
        });
        let query = match read.await? {
            Ok(query) => query,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(answer) = stub.answer(&query, true).await else {
            return Ok(());
        };
        let len = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
        tokio::time::timeout(
            IDLE,
            stream.write_all(&[&len.to_be_bytes(), answer.as_slice()].concat()),
        )
        .await??;
    }
    Ok(())
}

#[cfg(test)]
#[path = "stub_tests.rs"]
mod tests;
