//! A blocking client of the status socket.

use super::{Grants, Part, Request, Response, Sessions, Status, VERSION};
use kith_api::lines::Versioned;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of an answer at most: ten thousand sessions take about three million.
const MAX_ANSWER: u64 = 64 << 20;

/// A connection to a controller.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why a controller did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket, or nobody listens.
    #[error(
        "no controller runs with status socket {path}; start kith-controller, or name its socket with --socket"
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// Not ours to ask.
    #[error("not allowed to use {path}; run as the controller's user or group, or as root")]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// It listens but does not answer.
    #[error("the controller at {path} did not answer within {} s; it may hang: look at its log", TIMEOUT.as_secs())]
    Timeout {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the connection to the controller at {path} broke: {error}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Tool and controller are of different versions.
    #[error(
        "the controller at {path} speaks version {theirs}, this program {VERSION}; use programs of one release"
    )]
    Version {
        /// The socket.
        path: PathBuf,
        /// The controller's version.
        theirs: u32,
    },
    /// It is no answer.
    #[error("what listens at {path} gave no valid answer ({what}); is it a controller?")]
    Invalid {
        /// The socket.
        path: PathBuf,
        /// What is wrong with the answer.
        what: String,
    },
    /// The controller says no.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// Connects to the controller with this status socket.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref().to_owned();
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error) => return Err(cannot_connect(path, error)),
        };
        let timed = stream
            .set_read_timeout(Some(TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        match timed {
            Ok(()) => Ok(Self {
                path,
                stream: BufReader::new(stream),
            }),
            Err(error) => Err(ClientError::Broken { path, error }),
        }
    }

    /// What runs, and how it stands with each dataplane.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.ask(Request::Status, |response| match response {
            Response::Status(status) => Some(status),
            _ => None,
        })
    }

    /// Some of a director's sessions.
    pub fn sessions(&mut self, part: Part) -> Result<Sessions, ClientError> {
        self.ask(Request::Sessions(part), |response| match response {
            Response::Sessions(sessions) => Some(sessions),
            _ => None,
        })
    }

    /// Some of a director's grants.
    pub fn grants(&mut self, part: Part) -> Result<Grants, ClientError> {
        self.ask(Request::Grants(part), |response| match response {
            Response::Grants(grants) => Some(grants),
            _ => None,
        })
    }

    fn ask<T>(
        &mut self,
        request: Request,
        expected: impl FnOnce(Response) -> Option<T>,
    ) -> Result<T, ClientError> {
        let line = self.exchange(request)?;
        // The version comes first: another one may look different in everything else.
        let about: About = serde_json::from_str(&line).map_err(|error| self.invalid(error.to_string()))?;
        if about.version != VERSION {
            return Err(ClientError::Version {
                path: self.path.clone(),
                theirs: about.version,
            });
        }
        let answer: Versioned<Response> =
            serde_json::from_str(&line).map_err(|error| self.invalid(error.to_string()))?;
        match answer.body {
            Response::Error(why) => Err(ClientError::Refused(why)),
            other => expected(other).ok_or_else(|| self.invalid("it answers something else".into())),
        }
    }

    fn exchange(&mut self, request: Request) -> Result<String, ClientError> {
        let mut line = serde_json::to_string(&Versioned::new(VERSION, request))
            .map_err(|error| self.invalid(error.to_string()))?;
        line.push('\n');
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(|error| self.broken(error))?;
        line.clear();
        let read = (&mut self.stream).take(MAX_ANSWER).read_line(&mut line);
        read.map_err(|error| self.broken(error))?;
        if line.ends_with('\n') {
            Ok(line)
        } else {
            Err(self.broken(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    fn broken(&self, error: io::Error) -> ClientError {
        let path = self.path.clone();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout { path },
            _ => ClientError::Broken { path, error },
        }
    }

    fn invalid(&self, what: String) -> ClientError {
        let path = self.path.clone();
        ClientError::Invalid { path, what }
    }
}

#[derive(serde::Deserialize)]
struct About {
    version: u32,
}

fn cannot_connect(path: PathBuf, error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { path },
        io::ErrorKind::PermissionDenied => ClientError::Permission { path },
        _ => ClientError::Broken { path, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// A server that answers one request with these octets.
    fn answering(answer: &'static str) -> (tempfile::TempDir, Client) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            stream.read_line(&mut String::new()).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        });
        let client = Client::connect(path).unwrap();
        (folder, client)
    }

    const NONE: &str =
        "{\"version\":1,\"kind\":\"sessions\",\"data\":{\"total\":3,\"offset\":0,\"sessions\":[]}}\n";

    #[test]
    fn an_answer_is_typed() {
        let (_folder, mut client) = answering(NONE);
        assert_eq!(client.sessions(Part::default()).unwrap().total, 3);
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let (_folder, mut client) = answering("{\"version\":2,\"new\":true}\n");
        let error = client.status().unwrap_err();
        assert!(matches!(error, ClientError::Version { theirs: 2, .. }));
        let (_folder, mut client) = answering("hello\n");
        assert!(matches!(client.status(), Err(ClientError::Invalid { .. })));
        let (_folder, mut client) = answering("{\"version\":1,");
        assert!(matches!(client.status(), Err(ClientError::Broken { .. })));
        let (_folder, mut client) =
            answering("{\"version\":1,\"kind\":\"error\",\"data\":\"there is no director\"}\n");
        assert!(matches!(client.status(), Err(ClientError::Refused(why)) if why == "there is no director"));
        let (_folder, mut client) = answering(NONE);
        assert!(matches!(
            client.grants(Part::default()),
            Err(ClientError::Invalid { .. })
        ));
    }

    #[test]
    fn nobody_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(matches!(
            Client::connect(&path),
            Err(ClientError::NotRunning { .. })
        ));
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(
            Client::connect(&path),
            Err(ClientError::NotRunning { .. })
        ));
    }
}
