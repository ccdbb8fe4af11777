//! One connection: HTTP/2 with bounds, and when it is closed.
//!
//! ```text
//!  octets ─► hyper (window 64 KiB, headers 16 KiB, streams 16, PING every 20 s) ─► front ─► services
//!              └ closed: strangers after their time; idle ones; those that do not answer a PING; all when the manager stops
//! ```
//!
//! Cost: one task a connection, and hyper's one for each request under way; an open stream holds no more than its queue's head.

use super::front::Front;
use super::limits::Limits;
use super::peer::Peer;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Whoever does not answer a PING for this time is gone.
const PING_ANSWER: Duration = Duration::from_secs(20);
/// Between two PINGs.
const PING: Duration = Duration::from_secs(20);
/// How long requests under way may last when a connection is to end.
const GRACE: Duration = Duration::from_secs(2);
/// Octets that a request may send ahead of being read.
const WINDOW: u32 = 64 * 1024;
/// Octets that all requests of a connection may send ahead.
const CONNECTION_WINDOW: u32 = WINDOW;
/// Octets of an answer that wait for a slow reader.
const SEND_BUFFER: usize = 64 * 1024;
/// Octets of a request's headers.
const HEADERS: u32 = 16 * 1024;

/// Serves a connection until it ends.
///
/// What it is made of is moved to where it stays before the future begins: else the future would have room for it twice.
pub(super) fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    front: Arc<Front>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    let of = peer.clone();
    let service = service_fn(move |request| {
        let (front, peer) = (front.clone(), of.clone());
        // Gone when the answer begins; a stream may go on for days.
        Box::pin(front.answer(peer, request))
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_ANSWER)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS);
    let mut connection = Box::pin(http.serve_connection(TokioIo::new(io), service));
    async move {
        let mut ending: Option<Instant> = None;
        loop {
            let ends = || peer.ends(limits.stranger, limits.idle).map(Instant::from_std);
            // One that is in use now is looked at again when it could have become idle.
            let look = ending
                .or_else(ends)
                .unwrap_or_else(|| Instant::now() + limits.idle);
            tokio::select! {
                // Why it ended is the other side's business.
                _ = &mut connection => return,
                () = sleep_until(look) => {
                    // Much may have happened meanwhile.
                    let due = ends().is_some_and(|at| at <= Instant::now());
                    if ending.is_some() || (due && !peer.is_known()) {
                        return;
                    }
                    if due {
                        connection.as_mut().graceful_shutdown();
                        ending = Some(Instant::now() + GRACE);
                    }
                }
                _ = stop.changed(), if ending.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    ending = Some(Instant::now() + GRACE);
                }
            }
        }
    }
}
