//! Heartbeats with the manager, inside the tunnel: an ordinary UDP socket at our virtual address, port 9001 both ways.

use super::member::Message;
use crate::manager::membership::Input;
use kith_protocol::heartbeat::{Heartbeat, LEN, PORT};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The socket and its task; both end when this is dropped.
pub struct Beats {
    own: Ipv4Addr,
    manager: Ipv4Addr,
    sender: mpsc::Sender<Heartbeat>,
    task: AbortHandle,
}

/// The adapter gets its address a moment after the join.
const RETRY: Duration = Duration::from_millis(100);
/// A heartbeat that waits is soon too old to be sent.
const WAITING: usize = 2;

impl Beats {
    /// From our virtual address to the manager's.
    #[must_use]
    pub fn start(own: Ipv4Addr, manager: Ipv4Addr, inbox: mpsc::Sender<Message>) -> Self {
        let (sender, beats) = mpsc::channel(WAITING);
        let task = tokio::spawn(run(own, manager, beats, inbox));
        Self {
            own,
            manager,
            sender,
            task: task.abort_handle(),
        }
    }

    /// Are these the addresses it works with?
    #[must_use]
    pub fn is_at(&self, own: Ipv4Addr, manager: Ipv4Addr) -> bool {
        (self.own, self.manager) == (own, manager)
    }

    /// Sends it, as soon as that is possible; if it is not for long, others follow.
    pub fn send(&self, heartbeat: Heartbeat) {
        let _full = self.sender.try_send(heartbeat);
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    own: Ipv4Addr,
    manager: Ipv4Addr,
    mut beats: mpsc::Receiver<Heartbeat>,
    inbox: mpsc::Sender<Message>,
) {
    let socket = loop {
        match UdpSocket::bind((own, PORT)).await {
            Ok(socket) => break socket,
            Err(error) => tracing::debug!(%error, %own, "heartbeats wait for the adapter's address"),
        }
        tokio::time::sleep(RETRY).await;
    };
    let from = SocketAddr::from((manager, PORT));
    let mut buffer = [0; LEN + 1];
    loop {
        tokio::select! {
            beat = beats.recv() => {
                let Some(beat) = beat else { return };
                if let Err(error) = socket.send_to(&beat.encode(), from).await {
                    tracing::debug!(%error, "cannot send a heartbeat");
                }
            }
            received = socket.recv_from(&mut buffer) => match received {
                Ok((len, source)) if source == from => {
                    if let Ok(heartbeat) = Heartbeat::decode(&buffer[..len])
                        && inbox.send(Message::Input(Input::Heartbeat(heartbeat))).await.is_err()
                    {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot receive heartbeats");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}
