//! The status socket: one request line, one answer line, one connection at a time.

use crate::datapath::shared::Note;
use crate::status::{Answer, Rekey, Request, Status};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

/// Requests are short.
const MAX_REQUEST: u64 = 4096;
/// Nobody keeps the others waiting for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Binds the socket. A file left behind by an earlier run is replaced; one that somebody answers is not.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another agent answers there",
        ));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Serves until the process ends.
pub fn serve(listener: &UnixListener, notes: &SyncSender<Note>) {
    for stream in listener.incoming().flatten() {
        if let Err(error) = answer(&stream, notes) {
            tracing::debug!(%error, "status connection broke");
        }
    }
}

fn answer(mut stream: &UnixStream, notes: &SyncSender<Note>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_line(&mut request)?;
    let answer = match serde_json::from_str(&request) {
        Ok(Request::Status) => status(notes),
        Ok(Request::All) => match status(notes) {
            Answer::Status(status) => Answer::All {
                members: vec![*status],
            },
            other => other,
        },
        Ok(Request::Rekey(what)) => match rekey(notes, what) {
            Ok(()) => Answer::Done,
            Err(message) => Answer::refusal(message),
        },
        Err(error) => Answer::refusal(format!("not a request: {error}")),
    };
    stream.write_all(&crate::status::line(&answer)?)
}

/// How the agent is, if it has time to say so.
pub fn ask(notes: &SyncSender<Note>) -> Option<Status> {
    let (sender, receiver) = sync_channel(1);
    notes.try_send(Note::Status(sender)).ok()?;
    receiver.recv_timeout(PATIENCE).ok()
}

/// Has keys replaced, or says why that cannot be.
pub fn rekey(notes: &SyncSender<Note>, what: Rekey) -> Result<(), String> {
    let busy = || "the agent is busy or stopping".to_owned();
    let (sender, receiver) = sync_channel(1);
    notes.try_send(Note::Rekey(what, sender)).map_err(|_| busy())?;
    receiver.recv_timeout(PATIENCE).map_err(|_| busy())?
}

fn status(notes: &SyncSender<Note>) -> Answer {
    match ask(notes) {
        Some(status) => Answer::Status(Box::new(status)),
        None => Answer::refusal("the agent is busy or stopping"),
    }
}
