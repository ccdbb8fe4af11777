//! The status socket: a Unix socket for the owner and the group, a JSON object a line.
//!
//! One thread accepts, one more serves each connection, at most [`CONNECTIONS`] at a time; who is silent for a minute is
//! disconnected. A director is held up only while an answer about it is put together.

use super::{MAX_REQUEST, Request, Response, VERSION, Versioned};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What is answered to whom asks.
pub type Answers = dyn Fn(Request) -> Response + Send + Sync;

/// Connections at a time.
pub const CONNECTIONS: usize = 16;
const SILENCE: Duration = Duration::from_secs(60);

/// Why there is no status socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Two of us.
    #[error("a controller runs already and listens at {0}; stop it, or give each its own status_socket")]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0} is there and is no socket; remove it, or choose another status_socket")]
    Foreign(PathBuf),
    /// The system refuses.
    #[error(
        "cannot listen at {path}: {error}; status_socket must be in a folder that kith-controller may write to"
    )]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A socket that nobody is answered at yet. Removed when dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

/// The running server; stops when dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Socket {
    /// Takes the socket's place. One that a killed controller left is replaced; one that answers is not.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let fail = |error| SocketError::Listen {
            path: path.to_owned(),
            error,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => return Err(SocketError::Foreign(path.to_owned())),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketError::InUse(path.to_owned())),
            Ok(_) => fs::remove_file(path).map_err(fail)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(fail)?;
        let path = path.to_owned();
        Ok(Self { path, listener })
    }

    /// Answers from now on.
    pub fn serve(self, answers: Arc<Answers>) -> io::Result<Server> {
        let stop = Arc::new(AtomicBool::new(false));
        let (path, stopped) = (self.path.clone(), stop.clone());
        let thread = thread::Builder::new().name("kith-status".into()).spawn(move || {
            // The socket goes with the thread.
            let socket = self;
            accept(&socket.listener, &answers, &stopped);
        })?;
        let thread = Some(thread);
        Ok(Server { path, stop, thread })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the status socket cannot be removed");
        }
    }
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
    use crate::status::{Client, ClientError, Grants, Part};

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
        let server = Socket::bind(&path).unwrap().serve(Arc::new(answers)).unwrap();
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

    #[test]
    fn a_dead_socket_is_replaced_a_live_one_or_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/socket");
        let live = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse(_))));
        drop(live);
        assert!(!path.exists(), "it takes its file along");
        drop(UnixListener::bind(&path).unwrap());
        assert!(Socket::bind(&path).is_ok());
        let file = folder.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(Socket::bind(&file), Err(SocketError::Foreign(_))));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }
}
