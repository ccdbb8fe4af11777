//! The statistics socket: a Unix socket for the owner, a JSON object a line.
//!
//! Nothing here touches the packet path: counters are read, and the slow path is held up only while an answer about
//! neighbours or sessions is put together.

mod answer;

use crate::dataplane::State;
use kith_api::lines::{self, Server};
use kith_api::socket::Socket;
use kith_api::stats::StatsProtocol;
use std::io;
use std::sync::Arc;

/// Answers from now on.
pub fn serve(socket: Socket, state: Arc<State>) -> io::Result<Server> {
    let memory = answer::Memory::new(state.workers.len());
    lines::serve::<StatsProtocol>(socket, "kith-stats", move |request| {
        answer::answer(request, &state, &memory)
    })
}
