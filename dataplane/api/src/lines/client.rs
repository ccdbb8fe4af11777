//! Who asks, and waits for the answer.

use super::{Peer, Protocol, Versioned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of an answer at most: ten thousand sessions take about three million.
const MAX_ANSWER: u64 = 64 << 20;

/// A connection to who speaks this protocol.
#[derive(Debug)]
pub struct Client<P> {
    path: PathBuf,
    stream: BufReader<UnixStream>,
    protocol: PhantomData<P>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket, or nobody listens.
    #[error(
        "no {0} runs with {1} {path}; start kith-{0}, or name its socket with --socket",
        .peer.program, .peer.socket
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// Who should listen there.
        peer: Peer,
    },
    /// Not ours to ask.
    #[error("not allowed to use {path}; run as the {}'s user, or as root", .peer.program)]
    Permission {
        /// The socket.
        path: PathBuf,
        /// Who listens there.
        peer: Peer,
    },
    /// It listens but does not answer.
    #[error(
        "the {} at {path} did not answer within {} s; it may hang: look at its log",
        .peer.program, TIMEOUT.as_secs()
    )]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// Who listens there.
        peer: Peer,
    },
    /// The connection broke.
    #[error("the connection to the {} at {path} broke: {error}", .peer.program)]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Who listens there.
        peer: Peer,
        /// What the system says.
        error: io::Error,
    },
    /// Who asks and who answers are of different versions.
    #[error(
        "the {} at {path} speaks version {theirs}, this program {}; use programs of one release",
        .peer.program, .peer.version
    )]
    Version {
        /// The socket.
        path: PathBuf,
        /// Who listens there, in our version.
        peer: Peer,
        /// Their version.
        theirs: u32,
    },
    /// It is no answer.
    #[error("what listens at {path} gave no valid answer ({what}); is it a {}?", .peer.program)]
    Invalid {
        /// The socket.
        path: PathBuf,
        /// Who should listen there.
        peer: Peer,
        /// What is wrong with the answer.
        what: String,
    },
    /// The answer is no.
    #[error("{0}")]
    Refused(String),
}

impl<P: Protocol> Client<P> {
    /// Connects to who listens at this socket.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref().to_owned();
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error) => return Err(cannot_connect(path, P::PEER, error)),
        };
        let timed = stream
            .set_read_timeout(Some(TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        match timed {
            Ok(()) => Ok(Self {
                path,
                stream: BufReader::new(stream),
                protocol: PhantomData,
            }),
            Err(error) => Err(ClientError::Broken {
                path,
                peer: P::PEER,
                error,
            }),
        }
    }

    /// Asks, and takes out of the answer what is expected there.
    pub fn ask<T>(
        &mut self,
        request: P::Request,
        expected: impl FnOnce(P::Response) -> Option<T>,
    ) -> Result<T, ClientError> {
        let line = self.exchange(request)?;
        // The version comes first: another one may look different in everything else.
        let about: About = serde_json::from_str(&line).map_err(|error| self.invalid(error.to_string()))?;
        if about.version != P::PEER.version {
            return Err(ClientError::Version {
                path: self.path.clone(),
                peer: P::PEER,
                theirs: about.version,
            });
        }
        let answer: Versioned<P::Response> =
            serde_json::from_str(&line).map_err(|error| self.invalid(error.to_string()))?;
        let answer = P::refused(answer.body).map_err(ClientError::Refused)?;
        expected(answer).ok_or_else(|| self.invalid("it answers something else".into()))
    }

    fn exchange(&mut self, request: P::Request) -> Result<String, ClientError> {
        let mut line = serde_json::to_string(&Versioned::new(P::PEER.version, request))
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
        broken(self.path.clone(), P::PEER, error)
    }

    fn invalid(&self, what: String) -> ClientError {
        let path = self.path.clone();
        let peer = P::PEER;
        ClientError::Invalid { path, peer, what }
    }
}

#[derive(serde::Deserialize)]
struct About {
    version: u32,
}

fn cannot_connect(path: PathBuf, peer: Peer, error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { path, peer },
        io::ErrorKind::PermissionDenied => ClientError::Permission { path, peer },
        _ => ClientError::Broken { path, peer, error },
    }
}

fn broken(path: PathBuf, peer: Peer, error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout { path, peer },
        _ => ClientError::Broken { path, peer, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
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

    #[test]
    fn an_answer_is_typed() {
        let (_folder, mut client) =
            answering("{\"version\":2,\"kind\":\"drops\",\"data\":{\"drops\":[],\"total\":3}}\n");
        assert_eq!(client.drops().unwrap().total, 3);
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let (_folder, mut client) = answering("{\"version\":3,\"new\":true}\n");
        assert!(matches!(
            client.drops(),
            Err(ClientError::Version { theirs: 3, .. })
        ));
        let (_folder, mut client) = answering("hello\n");
        assert!(matches!(client.drops(), Err(ClientError::Invalid { .. })));
        let (_folder, mut client) = answering("{\"version\":2,");
        assert!(matches!(client.drops(), Err(ClientError::Broken { .. })));
        let (_folder, mut client) =
            answering("{\"version\":2,\"kind\":\"error\",\"data\":\"ask otherwise\"}\n");
        assert!(matches!(client.neighbors(), Err(ClientError::Refused(why)) if why == "ask otherwise"));
        let (_folder, mut client) =
            answering("{\"version\":2,\"kind\":\"drops\",\"data\":{\"drops\":[],\"total\":3}}\n");
        assert!(matches!(client.stats(), Err(ClientError::Invalid { .. })));
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

    #[test]
    fn messages_name_who_should_answer() {
        let peer = Peer {
            program: "controller",
            socket: "status socket",
            version: 1,
        };
        let path = || PathBuf::from("/s");
        let other = io::ErrorKind::Other;
        for (error, text) in [
            (
                cannot_connect(path(), peer, io::ErrorKind::NotFound.into()),
                "no controller runs with status socket /s; start kith-controller, or name its socket with --socket",
            ),
            (
                cannot_connect(path(), peer, io::ErrorKind::PermissionDenied.into()),
                "not allowed to use /s; run as the controller's user, or as root",
            ),
            (
                broken(path(), peer, io::ErrorKind::TimedOut.into()),
                "the controller at /s did not answer within 5 s; it may hang: look at its log",
            ),
            (
                broken(path(), peer, other.into()),
                "the connection to the controller at /s broke: other error",
            ),
            (
                ClientError::Version {
                    path: path(),
                    peer,
                    theirs: 2,
                },
                "the controller at /s speaks version 2, this program 1; use programs of one release",
            ),
            (
                ClientError::Invalid {
                    path: path(),
                    peer,
                    what: "x".into(),
                },
                "what listens at /s gave no valid answer (x); is it a controller?",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
