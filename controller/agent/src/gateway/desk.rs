//! The status socket: the same lines as a member's agent takes and gives ([`crate::status`]).

use super::core::Core;
use crate::status::{Answer, Request};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Requests are short.
const MAX_REQUEST: u64 = 4096;
/// Nobody keeps the others waiting for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves one connection after the other, until the task is ended.
pub(super) async fn serve(listener: UnixListener, core: Rc<RefCell<Core>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match timeout(PATIENCE, answer(stream, &core)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a request's connection broke"),
                Err(_) => tracing::debug!("who asked took too long"),
            },
            Err(error) => {
                tracing::debug!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, core: &RefCell<Core>) -> io::Result<()> {
    let asker = stream.peer_cred()?.uid();
    let (reading, mut writing) = stream.into_split();
    let mut request = String::new();
    BufReader::new(reading.take(MAX_REQUEST))
        .read_line(&mut request)
        .await?;
    let now = super::connection::moment();
    let answer = match serde_json::from_str(&request) {
        Ok(Request::All) => Answer::All {
            members: core.borrow().statuses(now),
        },
        Ok(Request::Status) => match core.borrow().statuses(now).into_iter().next() {
            Some(status) => Answer::Status(Box::new(status)),
            None => Answer::refusal("there is no device"),
        },
        Ok(Request::Rekey(_)) if asker != 0 && asker != nix::unistd::geteuid().as_raw() => {
            Answer::refusal("only root, or whoever runs the agent, may do that")
        }
        Ok(Request::Rekey(what)) => match core.borrow_mut().rekey(now, &what) {
            Ok(()) => Answer::Done,
            Err(why) => Answer::refusal(why),
        },
        Err(error) => Answer::refusal(format!("not a request: {error}")),
    };
    writing.write_all(&crate::status::line(&answer)?).await
}
