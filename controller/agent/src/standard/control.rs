//! Requests of the operator: one line in, one line of JSON out, over a Unix socket that only root reaches.

use crate::server;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

const MAX_REQUEST: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(2);

/// What may be asked. The names are those of peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// How everything is.
    Status,
    /// Begin with a peer.
    Connect(String),
    /// Replace its newest pair of ESP SAs.
    RekeyChild(String),
    /// Replace its IKE SA.
    RekeyIke(String),
    /// Close its newest pair of ESP SAs.
    CloseChild(String),
    /// Close everything with it; it is not begun again before it is asked for.
    Close(String),
}

/// A request and where its answer goes.
pub(super) type Asked = (Request, SyncSender<Value>);

/// Asks a running program.
///
/// # Errors
/// It does not run there, or does not answer.
pub fn request(socket: &Path, request: &Request) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE * 2))?;
    stream.write_all(&crate::status::line(request)?)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Binds the socket.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    let listener = server::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves in a thread of its own until the process ends; `wake` is called for each request.
pub(super) fn serve(listener: UnixListener, wake: impl Fn() + Send + 'static) -> io::Result<Receiver<Asked>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("kith-requests".into())
        .spawn(move || listen(&listener, &sender, wake))?;
    Ok(receiver)
}

fn listen(listener: &UnixListener, asked: &Sender<Asked>, wake: impl Fn()) {
    for stream in listener.incoming().flatten() {
        if let Err(error) = answer(&stream, asked, &wake) {
            tracing::debug!(%error, "a request broke");
        }
    }
}

fn answer(mut stream: &UnixStream, asked: &Sender<Asked>, wake: &impl Fn()) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_line(&mut line)?;
    let refused = |message: String| serde_json::json!({ "error": message });
    let answer = match serde_json::from_str(&line) {
        Err(error) => refused(format!("not a request: {error}")),
        Ok(request) => {
            let (sender, receiver) = sync_channel(1);
            let sent = asked.send((request, sender));
            wake();
            match sent.ok().and_then(|()| receiver.recv_timeout(PATIENCE).ok()) {
                Some(answer) => answer,
                None => refused("busy or stopping".into()),
            }
        }
    };
    stream.write_all(&crate::status::line(&answer)?)
}
