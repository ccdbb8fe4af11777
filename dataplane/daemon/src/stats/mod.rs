//! The statistics socket: a Unix socket for the owner, a JSON object a line.
//!
//! One thread accepts, one more serves each connection, at most [`CONNECTIONS`] at a time; who is silent for a minute is
//! disconnected. Nothing here touches the packet path: counters are read, and the slow path is held up only while an
//! answer about neighbours or sessions is put together.

mod answer;

use crate::dataplane::State;
use kith_api::socket::Socket;
use kith_api::stats::{MAX_REQUEST, Request, Response, VERSION, Versioned};
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

/// Answers from now on.
pub fn serve(socket: Socket, state: Arc<State>) -> io::Result<Server> {
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped) = (socket.path().to_owned(), stop.clone());
    // The socket goes with the thread.
    let thread = thread::Builder::new()
        .name("kith-stats".into())
        .spawn(move || accept(&socket, &state, &stopped))?;
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

fn accept(socket: &Socket, state: &Arc<State>, stop: &AtomicBool) {
    let memory = Arc::new(answer::Memory::new(state.workers.len()));
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
            drop(reply(
                &stream,
                Response::Error(format!("{CONNECTIONS} connections are open; close one")),
            ));
            continue;
        }
        let (state, memory, open) = (state.clone(), memory.clone(), connections.clone());
        let spawned = thread::Builder::new()
            .name("kith-stats-conn".into())
            .spawn(move || {
                // Whoever asks has gone, or will find out that the connection ended.
                drop(converse(&stream, &state, &memory));
                open.fetch_sub(1, Ordering::Relaxed);
            });
        if spawned.is_err() {
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn converse(stream: &UnixStream, state: &State, memory: &answer::Memory) -> io::Result<()> {
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
            return reply(
                stream,
                Response::Error(format!("a request has at most {MAX_REQUEST} octets")),
            );
        }
        reply(stream, respond(&line, state, memory))?;
    }
}

fn respond(line: &[u8], state: &State, memory: &answer::Memory) -> Response {
    match serde_json::from_slice::<Versioned<Request>>(line) {
        Ok(request) if request.version == VERSION => answer::answer(request.body, state, memory),
        Ok(request) => Response::Error(format!(
            "version {} is asked for, this dataplane speaks version {VERSION}",
            request.version
        )),
        Err(error) => Response::Error(format!("no request that this dataplane knows: {error}")),
    }
}

fn reply(mut stream: &UnixStream, response: Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Versioned::new(response))?;
    line.push(b'\n');
    stream.write_all(&line)
}
