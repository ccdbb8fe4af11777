//! The status socket: a Unix socket for the owner, a JSON object a line.
//!
//! One thread accepts, one more serves each connection, at most [`CONNECTIONS`] at a time; who is silent for a minute is
//! disconnected. A director is held up only while an answer about it is put together.

use super::{MAX_REQUEST, Request, Response, VERSION, Versioned};
use kith_api::socket::Socket;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What is answered to whom asks.
pub type Answers = dyn Fn(Request) -> Response + Send + Sync;

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
pub fn serve(socket: Socket, answers: Arc<Answers>) -> io::Result<Server> {
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped) = (socket.path().to_owned(), stop.clone());
    // The socket goes with the thread.
    let thread = thread::Builder::new()
        .name("kith-status".into())
        .spawn(move || accept(socket.listener(), &answers, &stopped))?;
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

fn accept(listener: &UnixListener, answers: &Arc<Answers>, stop: &AtomicBool) {
    let connections = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
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
        let (answers, open) = (answers.clone(), connections.clone());
        let spawned = thread::Builder::new()
            .name("kith-status-conn".into())
            .spawn(move || {
                // Whoever asks has gone, or will find out that the connection ended.
                drop(converse(&stream, &*answers));
                open.fetch_sub(1, Ordering::Relaxed);
            });
        if spawned.is_err() {
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn converse(stream: &UnixStream, answers: &Answers) -> io::Result<()> {
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
        reply(stream, respond(&line, answers))?;
    }
}

fn respond(line: &[u8], answers: &Answers) -> Response {
    match serde_json::from_slice::<Versioned<Request>>(line) {
        Ok(request) if request.version == VERSION => answers(request.body),
        Ok(request) => Response::Error(format!(
            "version {} is asked for, this controller speaks version {VERSION}",
            request.version
        )),
        Err(error) => Response::Error(format!("no request that this controller knows: {error}")),
    }
}

fn reply(mut stream: &UnixStream, response: Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Versioned::new(response))?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Client, ClientError, Grants, Part, SETTING};
    use kith_api::socket::PRIVATE;

    #[test]
    fn questions_are_answered_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let answers = |request| match request {
            Request::Grants(Part { offset, .. }) => Response::Grants(Grants {
                total: 7,
                offset,
                grants: Vec::new(),
            }),
            _ => Response::Error("not now".into()),
        };
        let server = serve(Socket::bind(&path, PRIVATE, SETTING).unwrap(), Arc::new(answers)).unwrap();
        let mut client = Client::connect(&path).unwrap();
        for offset in 0..3 {
            let part = Part {
                offset,
                ..Part::default()
            };
            assert_eq!(client.grants(part).unwrap().offset, offset);
        }
        assert!(matches!(client.status(), Err(ClientError::Refused(why)) if why == "not now"));
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_question_is_told_so() {
        let answers: &Answers = &|_| unreachable!("nothing is asked");
        for line in [
            "",
            "{}",
            "hello",
            r#"{"version":2,"get":"status"}"#,
            r#"{"version":1,"get":"keys"}"#,
        ] {
            assert!(
                matches!(respond(line.as_bytes(), answers), Response::Error(_)),
                "{line}"
            );
        }
    }
}
