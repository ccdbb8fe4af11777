//! Who answers.
//!
//! One thread accepts, one more serves each connection, at most [`CONNECTIONS`] at a time; who is silent for a minute is
//! disconnected.

use super::{MAX_REQUEST, Protocol, Versioned};
use crate::socket::Socket;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Connections at a time.
pub const CONNECTIONS: usize = 16;
const SILENCE: Duration = Duration::from_secs(60);

/// The running server; stops when dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Answers from now on, on threads of this name.
pub fn serve<P: Protocol>(
    socket: Socket,
    name: &'static str,
    answer: impl Fn(P::Request) -> P::Response + Send + Sync + 'static,
) -> io::Result<Server> {
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped) = (socket.path().to_owned(), stop.clone());
    // The socket goes with the thread.
    let thread = thread::Builder::new()
        .name(name.into())
        .spawn(move || accept::<P>(&socket, name, Arc::new(answer), &stopped))?;
    let thread = Some(thread);
    Ok(Server { path, stop, thread })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let woken = UnixStream::connect(&self.path);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            // Its panic was reported when it happened.
            drop(thread.join());
        }
    }
}

fn accept<P: Protocol>(
    socket: &Socket,
    name: &str,
    answer: Arc<impl Fn(P::Request) -> P::Response + Send + Sync + 'static>,
    stop: &AtomicBool,
) {
    let connections = Arc::new(AtomicUsize::new(0));
    for stream in socket.listener().incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors, most likely.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            connections.fetch_sub(1, Ordering::Relaxed);
            let why = format!("{CONNECTIONS} connections are open; close one");
            drop(reply::<P>(&stream, P::refusal(why)));
            continue;
        }
        let (answer, open) = (answer.clone(), connections.clone());
        let spawned = thread::Builder::new()
            .name(format!("{name}-conn"))
            .spawn(move || {
                // Whoever asks has gone, or will find out that the connection ended.
                drop(converse::<P>(&stream, &*answer));
                open.fetch_sub(1, Ordering::Relaxed);
            });
        if spawned.is_err() {
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn converse<P: Protocol>(stream: &UnixStream, answer: impl Fn(P::Request) -> P::Response) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let limit = MAX_REQUEST as u64 + 1;
        let read = (&mut lines).take(limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.len() > MAX_REQUEST {
            let why = format!("a request has at most {MAX_REQUEST} octets");
            return reply::<P>(stream, P::refusal(why));
        }
        reply::<P>(stream, respond::<P>(&line, &answer))?;
    }
}

fn respond<P: Protocol>(line: &[u8], answer: impl Fn(P::Request) -> P::Response) -> P::Response {
    let (who, ours) = (P::PEER.program, P::PEER.version);
    match serde_json::from_slice::<Versioned<P::Request>>(line) {
        Ok(request) if request.version == ours => answer(request.body),
        Ok(request) => P::refusal(format!(
            "version {} is asked for, this {who} speaks version {ours}",
            request.version
        )),
        Err(error) => P::refusal(format!("no request that this {who} knows: {error}")),
    }
}

fn reply<P: Protocol>(mut stream: &UnixStream, response: P::Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Versioned::new(P::PEER.version, response))?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, ClientError};
    use crate::socket::{PRIVATE, Setting};
    use crate::stats::{Request, Response, Sessions, StatsProtocol};
    use std::path::Path;

    fn start(path: &Path) -> Server {
        let socket = Socket::bind(path, PRIVATE, Setting::new("dataplane", "here")).unwrap();
        serve::<StatsProtocol>(socket, "kith-test", |request| match request {
            Request::Sessions { offset, .. } => Response::Sessions(Sessions {
                total: 7,
                offset,
                sessions: Vec::new(),
            }),
            _ => Response::Error("not now".into()),
        })
        .unwrap()
    }

    #[test]
    fn questions_are_answered_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = start(&path);
        let mut client = Client::connect(&path).unwrap();
        for offset in 0..3 {
            assert_eq!(client.sessions(offset, 0).unwrap().offset, offset);
        }
        assert!(matches!(client.status(), Err(ClientError::Refused(why)) if why == "not now"));
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn who_comes_when_all_connections_are_taken_is_told_so_until_one_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _server = start(&path);
        let ask = || {
            let mut client = Client::connect(&path).unwrap();
            client.sessions(0, 0).map(|_| client)
        };
        let mut open: Vec<_> = (0..CONNECTIONS).map(|_| ask().unwrap()).collect();
        let mut answer = String::new();
        let refused = UnixStream::connect(&path).unwrap();
        BufReader::new(refused).read_line(&mut answer).unwrap();
        assert!(answer.contains("16 connections are open"), "{answer}");
        open.pop();
        // Its thread finds out in a moment.
        let closed = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(5));
            ask().is_ok()
        });
        assert!(closed);
    }

    #[test]
    fn what_is_no_question_is_told_so() {
        let told = |line: &str| {
            let response = respond::<StatsProtocol>(line.as_bytes(), |_| unreachable!("nothing is asked"));
            let Response::Error(why) = response else {
                panic!("{line}")
            };
            why
        };
        for line in ["", "{}", "hello", r#"{"version":2,"get":"keys"}"#] {
            assert!(
                told(line).starts_with("no request that this dataplane knows"),
                "{line}"
            );
        }
        let other = told(r#"{"version":3,"get":"status"}"#);
        assert_eq!(other, "version 3 is asked for, this dataplane speaks version 2");
    }

    #[test]
    fn a_request_that_is_too_long_is_told_so_and_ends_the_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _server = start(&path);
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(&[b' '; MAX_REQUEST + 1]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("at most 4096 octets") && answer.lines().count() == 1);
    }
}
