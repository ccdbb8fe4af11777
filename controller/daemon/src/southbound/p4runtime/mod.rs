//! The way to a dataplane over P4Runtime: one stream for packets and for who is primary, one call a write.
//!
//! ```text
//!  Core ─ submit ─► [this] ─┬─ packet-outs (queue of 1,024; full: refused) ─► stream ─┐
//!                           └─ reads, writes, one after the other ──────────► calls ──┤ connection ─► dataplane
//!       ◄─ event ── [queue of 4,096; full: the stream waits] ◄────── stream, results ─┘
//!                                                                        ▲
//!                 keeper: connects, bids for primary, connects again ────┘ 50 ms … 2 s between two tries
//! ```
//!
//! Bounded all the way: a director that is slow leaves packets in the stream, whose window fills, and the dataplane drops
//! what finds no room there, by name. A dataplane that is slow has one write to work on.
//!
//! Who is primary: the highest election id. If the primary has been gone for [`VACANCY`], a backup bids one more than the
//! highest; a primary whose connection broke is back long before that.

mod codec;
mod keeper;

use crate::config;
use crate::southbound::{Event, Request, Southbound};
use keeper::Keeper;
use kith_p4runtime::client::Address;
use kith_p4runtime::service::TlsFiles;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

pub use keeper::{Backoff, VACANCY};

/// Events that wait for the director.
const EVENTS: usize = 4_096;
/// Packet-outs that wait for the stream.
const PACKETS: usize = 1_024;
/// Reads and writes that wait: the core asks for one at a time, after a preparation.
const CALLS: usize = 8;

/// A dataplane over P4Runtime.
pub struct P4Runtime {
    told: mpsc::Receiver<Told>,
    link: Option<Link>,
    reconnect: Arc<Notify>,
    keeper: AbortHandle,
}

/// What the keeper tells, in order.
enum Told {
    /// There is a connection.
    Up(Link),
    /// Something happened on it.
    Event(Event),
    /// It is gone, or there is still none.
    Down(String),
}

/// The queues of one connection.
struct Link {
    calls: mpsc::Sender<Request>,
    packets: mpsc::Sender<Request>,
}

impl P4Runtime {
    /// The way to this director's dataplane; connecting begins at once. Inside a tokio runtime.
    pub fn new(director: &config::Director, election_id: u64) -> Result<Self, String> {
        let dataplane = &director.dataplane;
        let files = dataplane.tls.as_ref().map(|tls| TlsFiles {
            authority: tls.ca.clone(),
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
        });
        let address =
            Address::parse(&dataplane.address.to_string(), files).map_err(|error| error.to_string())?;
        let (tell, told) = mpsc::channel(EVENTS);
        let reconnect = Arc::new(Notify::new());
        let keeper = Keeper {
            address,
            device_id: dataplane.device_id,
            election_id: election_id.into(),
            tell,
            reconnect: reconnect.clone(),
        };
        let keeper = tokio::spawn(keeper.keep()).abort_handle();
        Ok(Self {
            told,
            link: None,
            reconnect,
            keeper,
        })
    }

    /// What of it the core hears.
    fn take(&mut self, told: Told) -> Option<Event> {
        match told {
            Told::Up(link) => {
                self.link = Some(link);
                None
            }
            Told::Event(event) => Some(event),
            Told::Down(why) => {
                self.link = None;
                Some(Event::Away { why })
            }
        }
    }
}

impl Southbound for P4Runtime {
    fn submit(&mut self, request: Request) -> Result<(), Request> {
        if request == Request::Reconnect {
            self.link = None;
            self.reconnect.notify_one();
            return Ok(());
        }
        let Some(link) = &self.link else {
            return Err(request);
        };
        let queue = match request {
            Request::PacketOut { .. } => &link.packets,
            _ => &link.calls,
        };
        queue.try_send(request).map_err(|refused| refused.into_inner())
    }

    async fn event(&mut self) -> Event {
        loop {
            match self.told.recv().await {
                Some(told) => {
                    if let Some(event) = self.take(told) {
                        return event;
                    }
                }
                // The keeper ends only with this.
                None => std::future::pending().await,
            }
        }
    }

    fn ready(&mut self) -> Option<Event> {
        loop {
            let told = self.told.try_recv().ok()?;
            if let Some(event) = self.take(told) {
                return Some(event);
            }
        }
    }
}

impl Drop for P4Runtime {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[cfg(test)]
mod tests;
