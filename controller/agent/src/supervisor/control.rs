//! The socket of `kith-agent up`: what `status` and `leave` ask. One JSON line each way, as on [`crate::status`]'s sockets.
//!
//! ```text
//!  ► {"request":"memberships"}
//!  ◄ {"answer":"memberships","memberships":[{"fqdn":"alice.acme.example","phase":"joined","address":"10.77.0.2", …}]}
//!  ► {"request":"status","fqdn":"alice.acme.example"}      ◄ what that membership's datapath says
//!  ► {"request":"start","fqdn":"bob.acme.example","state":"/var/lib/kith-agent"}    ◄ {"answer":"done"}: it is at work
//!  ► {"request":"leave","fqdn":null}                       ◄ {"answer":"done"}
//! ```

use super::Board;
use crate::status::{MAX_LINE, Rekey, Status};
use kith_protocol::names::Fqdn;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Where it is unless said otherwise.
pub const DEFAULT: &str = "/run/kith/agent.sock";

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// All memberships.
    Memberships,
    /// The datapath of one; of the first one if none is named.
    Status {
        /// Which.
        #[serde(default)]
        fqdn: Option<String>,
    },
    /// The datapaths of all.
    All,
    /// Replace keys with a member now.
    Rekey(Rekey),
    /// Begin one that this device was enrolled in while the agent runs, or that is over.
    Start {
        /// Which.
        fqdn: String,
        /// The folder in which it is kept.
        state: PathBuf,
    },
    /// Leave one, or all.
    Leave {
        /// Which.
        #[serde(default)]
        fqdn: Option<String>,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Memberships`].
    Memberships {
        /// In order of their names.
        memberships: Vec<Membership>,
    },
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::All`]: of those that are not busy.
    All {
        /// In order of their names.
        members: Vec<Status>,
    },
    /// It is done.
    Done,
    /// It is not.
    Error {
        /// Why.
        message: String,
    },
}

/// A membership, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its full name.
    pub fqdn: String,
    /// How far it is, in a word.
    pub phase: String,
    /// Its virtual address, while it is joined.
    pub address: Option<Ipv4Addr>,
    /// The manager that it asks.
    pub manager: Option<String>,
    /// Its adapter.
    pub adapter: String,
    /// Its UDP port.
    pub udp_port: u16,
    /// What is wrong, if something is.
    pub trouble: Option<String>,
}

/// Why the agent was not asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody there.
    #[error("no agent runs here ({path}: {source}); start it with `kith-agent up`")]
    Connect {
        /// The socket.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// It broke.
    #[error("the agent did not answer: {0}")]
    Io(#[from] io::Error),
    /// It makes no sense.
    #[error("the agent's answer cannot be read; is it of another version? ({0})")]
    Answer(#[from] serde_json::Error),
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

/// Connections at a time, and how long one may take.
const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_REQUEST: u64 = 4096;

/// Asks the agent at this socket.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, AskError> {
    let connected = std::os::unix::net::UnixStream::connect(socket);
    let mut stream = connected.map_err(|source| AskError::Connect {
        path: socket.display().to_string(),
        source,
    })?;
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    stream.write_all(&crate::status::line(request)?)?;
    let mut answer = String::new();
    std::io::BufReader::new(stream.take(MAX_LINE)).read_line(&mut answer)?;
    match serde_json::from_str(&answer)? {
        Answer::Error { message } => Err(AskError::Refused(message)),
        answer => Ok(answer),
    }
}

/// Serves until the task is ended.
pub async fn serve(listener: UnixListener, board: Arc<Board>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let board = board.clone();
                tokio::spawn(async move {
                    if let Ok(Err(error)) = tokio::time::timeout(2 * PATIENCE, answer(stream, &board)).await {
                        tracing::debug!(%error, "a request's connection broke");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, board: &Board) -> io::Result<()> {
    let asker = stream.peer_cred()?.uid();
    let (reading, mut writing) = stream.into_split();
    let mut request = String::new();
    let mut reader = tokio::io::BufReader::new(reading.take(LONGEST_REQUEST));
    let read = tokio::time::timeout(PATIENCE, reader.read_line(&mut request));
    read.await.map_err(io::Error::from)??;
    let answer = match serde_json::from_str(&request) {
        Ok(Request::Memberships) => Answer::Memberships {
            memberships: board.memberships().await,
        },
        Ok(Request::Status { fqdn }) => match board.status(fqdn.as_deref()).await {
            Some(status) => Answer::Status(Box::new(status)),
            None => refuse("there is no such membership here, or it is busy"),
        },
        Ok(Request::All) => Answer::All {
            members: board.statuses().await,
        },
        Ok(Request::Leave { .. } | Request::Start { .. } | Request::Rekey(_))
            if asker != 0 && asker != nix::unistd::geteuid().as_raw() =>
        {
            refuse("only root, or whoever runs the agent, may do that")
        }
        Ok(Request::Start { fqdn, state }) => match Fqdn::normalise(&fqdn) {
            Ok(fqdn) => match board.start(fqdn, &state).await {
                Ok(()) => Answer::Done,
                Err(error) => refuse(&error.to_string()),
            },
            Err(error) => refuse(&format!("{fqdn:?} is no member's name: {error}")),
        },
        Ok(Request::Rekey(what)) => match board.rekey(what).await {
            Ok(()) => Answer::Done,
            Err(message) => refuse(&message),
        },
        Ok(Request::Leave { fqdn }) => {
            if board.leave(fqdn.as_deref()).await {
                Answer::Done
            } else {
                refuse("there is no such membership here; `kith-agent status` shows which there are")
            }
        }
        Err(error) => refuse(&format!("not a request: {error}")),
    };
    writing.write_all(&crate::status::line(&answer)?).await
}

fn refuse(message: &str) -> Answer {
    Answer::Error {
        message: message.into(),
    }
}
