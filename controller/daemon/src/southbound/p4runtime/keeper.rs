//! Keeps a connection: makes it, bids for primary on it, passes events and calls, makes another when it breaks.

use super::{CALLS, Link, PACKETS, Told, codec};
use crate::southbound::{Event, Refused, Request, Update};
use kith_p4runtime::client::{Address, Client, ClientError, Event as Heard, Session};
use kith_p4runtime::target::Atomicity;
use kith_pipeline::units::PortIndex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tonic::Code;

/// The first pause between two tries to connect, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A connection that lasted so long was a good one: the next pause is the first again.
const GOOD: Duration = Duration::from_secs(2);
/// How long nobody may be primary before a backup bids higher.
pub const VACANCY: Duration = Duration::from_secs(10);

/// How long to wait before the next try.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSES.0 }
    }
}

impl Backoff {
    /// The pause after a connection that lasted so long, or after none.
    pub fn pause(&mut self, lasted: Duration) -> Duration {
        if lasted >= GOOD {
            self.next = PAUSES.0;
        }
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        pause
    }
}

pub(super) struct Keeper {
    pub(super) address: Address,
    pub(super) device_id: u64,
    pub(super) election_id: u128,
    pub(super) tell: mpsc::Sender<Told>,
    pub(super) reconnect: Arc<Notify>,
}

/// Nobody listens any more: the director has ended.
struct Over;

impl Keeper {
    /// Works until the director ends.
    pub(super) async fn keep(mut self) {
        let mut backoff = Backoff::default();
        let reconnect = self.reconnect.clone();
        loop {
            let began = Instant::now();
            let why = tokio::select! {
                ended = self.connection() => match ended {
                    Ok(why) => why.to_string(),
                    Err(Over) => return,
                },
                () = reconnect.notified() => "given up to make another connection".into(),
            };
            if self.tell.send(Told::Down(why)).await.is_err() {
                return;
            }
            tokio::time::sleep(backoff.pause(began.elapsed())).await;
        }
    }

    /// One connection, from its beginning to why it ended.
    async fn connection(&mut self) -> Result<ClientError, Over> {
        let (client, mut session) = match self.open().await {
            Ok(open) => open,
            Err(error) => return Ok(error),
        };
        let (calls, asked) = mpsc::channel(CALLS);
        let (packets, mut outgoing) = mpsc::channel(PACKETS);
        self.tell
            .send(Told::Up(Link { calls, packets }))
            .await
            .map_err(|_| Over)?;
        let sender = session.sender();
        // Both end with this connection.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(request) = outgoing.recv().await {
                let Request::PacketOut { port, frame } = request else {
                    continue;
                };
                let Ok(port) = u8::try_from(port) else { continue };
                let packet = codec::packet_out(PortIndex(port), frame);
                if sender.send(packet).await.is_err() {
                    break;
                }
            }
            ClientError::Closed
        });
        let (bid, shown) = watch::channel(self.election_id);
        tasks.spawn(call(client, shown, asked, self.tell.clone()));
        let mut vacant: Option<(Instant, u128)> = None;
        loop {
            let wait = vacant.map_or(VACANCY, |(since, _)| VACANCY.saturating_sub(since.elapsed()));
            let heard = tokio::select! {
                heard = session.next() => heard,
                Some(ended) = tasks.join_next() => return Ok(ended.unwrap_or(ClientError::Closed)),
                () = tokio::time::sleep(wait), if vacant.is_some() => {
                    let (_, highest) = vacant.take().unwrap_or((Instant::now(), 0));
                    self.election_id = highest.saturating_add(1);
                    // Before it can win, so that no write shows the old one then.
                    bid.send_replace(self.election_id);
                    if let Err(error) = session.arbitrate(Some(self.election_id)).await {
                        return Ok(error);
                    }
                    continue;
                }
            };
            let event = match heard {
                Ok(Heard::Arbitration { primary: true, .. }) => {
                    vacant = None;
                    Event::Primary
                }
                Ok(Heard::Arbitration { any, highest, .. }) => {
                    let highest = highest.unwrap_or(self.election_id).max(self.election_id);
                    vacant = (!any).then(|| (Instant::now(), highest));
                    Event::Backup
                }
                Ok(Heard::Packet(packet)) => Event::PacketIn {
                    port: packet.ingress_port.0.into(),
                    reason: packet.reason,
                    frame: packet.frame,
                },
                Ok(Heard::Refused(refused)) => {
                    tracing::debug!(?refused, "the dataplane did not send a packet");
                    continue;
                }
                Ok(Heard::Foreign(..) | Heard::Other(_)) => continue,
                Err(error) => return Ok(error),
            };
            self.tell.send(Told::Event(event)).await.map_err(|_| Over)?;
        }
    }

    async fn open(&self) -> Result<(Client, Session), ClientError> {
        let mut client = Client::connect(&self.address, self.device_id).await?;
        let session = client.arbitrate(Some(self.election_id)).await?;
        Ok((client, session))
    }
}

/// Reads and writes, one after the other, until one shows that the connection is of no use.
async fn call(
    mut client: Client,
    shown: watch::Receiver<u128>,
    mut asked: mpsc::Receiver<Request>,
    tell: mpsc::Sender<Told>,
) -> ClientError {
    while let Some(request) = asked.recv().await {
        client.show(Some(*shown.borrow()));
        let event = match request {
            Request::Read => match client.read_all(codec::everything()).await {
                Ok(entities) => Event::Entries(codec::entries(&entities)),
                Err(error) => return error,
            },
            Request::Write { number, updates } => match write(&mut client, &updates).await {
                Ok(results) => Event::Written { number, results },
                Err(error) => return error,
            },
            Request::PacketOut { .. } | Request::Reconnect => continue,
        };
        if tell.send(Told::Event(event)).await.is_err() {
            break;
        }
    }
    ClientError::Closed
}

/// What became of each update; an error if nobody knows.
async fn write(client: &mut Client, updates: &[Update]) -> Result<Vec<Result<(), Refused>>, ClientError> {
    let encoded: Vec<_> = updates.iter().map(codec::update).collect();
    let possible: Vec<_> = encoded.iter().flatten().cloned().collect();
    let outcome = client.write(&possible, Atomicity::Continue).await;
    let of_possible = match outcome {
        Ok(()) => vec![Ok(()); possible.len()],
        Err(ClientError::Batch(failures)) => {
            let mut results = vec![Ok(()); possible.len()];
            for failure in &failures.failed {
                let why = codec::refused(failure.code);
                if matches!(why, Refused::Failed | Refused::OutOfRange) {
                    tracing::debug!(code = ?failure.code, message = %failure.message, "an update failed");
                }
                if let Some(result) = results.get_mut(failure.index) {
                    *result = Err(why);
                }
            }
            results
        }
        Err(ClientError::Call(status)) if status.code() == Code::PermissionDenied => {
            vec![Err(Refused::NotPrimary); possible.len()]
        }
        Err(error) => return Err(error),
    };
    let mut of_possible = of_possible.into_iter();
    let mut result = |encoded: &Option<_>| match encoded {
        Some(_) => of_possible.next().unwrap_or(Err(Refused::Failed)),
        None => Err(Refused::OutOfRange),
    };
    Ok(encoded.iter().map(&mut result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_two_seconds_and_begin_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..8)
            .map(|_| backoff.pause(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(backoff.pause(GOOD), PAUSES.0);
        assert_eq!(backoff.pause(Duration::from_millis(1)), PAUSES.0 * 2);
    }
}
