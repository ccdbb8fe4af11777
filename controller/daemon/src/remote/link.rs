//! One director's stream to its manager, made again whenever it breaks.

use super::Remote;
use super::backoff::Backoff;
use super::view::View;
use crate::config;
use crate::host::{Change, Report};
use crate::status::ManagerStanding;
use kith_api::config::{ConfigError, read_private};
use kith_protocol::attendance::{Disorder, INTERVAL, Mirror, News, ORDER_MESSAGE};
use kith_protocol::director::director_report;
use kith_protocol::director::directors_client::DirectorsClient;
use kith_protocol::director::{DirectorOrder, DirectorReport, Health, Hello};
use kith_protocol::tls::DialError;
use ring::rand::{SecureRandom, SystemRandom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status, Streaming};
use tracing::{info, warn};
use zeroize::Zeroizing;

/// Until the manager has answered a request to attend.
const ANSWER: Duration = Duration::from_secs(10);
/// Two reports are at least so far apart.
const APART: Duration = Duration::from_millis(100);
/// A stream that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(5);
/// Reports that wait for the connection.
const AHEAD: usize = 4;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Token(#[from] ConfigError),
    #[error("{0} holds no token")]
    NoToken(PathBuf),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the manager does not answer")]
    Slow,
    #[error("the manager refuses: {}", .0.message())]
    Refused(Status),
    #[error("the connection to the manager broke: {}", .0.message())]
    Broken(Status),
    #[error("the manager has ended the stream")]
    Ended,
    #[error("the manager sends what makes no sense: {0}; attending anew")]
    Disorder(#[from] Disorder),
}

/// How a director does, as its desk says: whether it serves, and how many sessions it has.
type Doing = (bool, u64);

/// A director's way to its manager.
pub(crate) struct Link {
    remote: Remote,
    token: PathBuf,
    name: String,
    about: Health,
    doing: watch::Receiver<Doing>,
    changes: UnboundedSender<Change>,
    view: Arc<View>,
    mirror: Mirror,
}

/// What a desk gets of it.
pub(crate) struct Ends {
    pub(crate) changes: UnboundedReceiver<Change>,
    pub(crate) report: Report,
    pub(crate) view: Arc<View>,
}

impl Link {
    pub(crate) fn new(remote: Remote, director: &config::Director) -> (Self, Ends) {
        let (tell, doing) = watch::channel((false, 0));
        // Bounded by what the manager grants: a desk empties it ten times a second at least.
        let (put, changes) = unbounded_channel();
        let view = Arc::new(View::new(remote.address.clone()));
        let about = Health {
            capacity: director.pseudo_pool.count.into(),
            udp: true,
            address: director.address.into(),
            port: director.udp_port.into(),
            ..Health::default()
        };
        let link = Self {
            remote,
            token: director.token_file.clone().unwrap_or_default(),
            name: director.name.clone(),
            about,
            doing,
            changes: put,
            view: view.clone(),
            mirror: Mirror::default(),
        };
        let report: Report = Box::new(move |serving, sessions| {
            tell.send_replace((serving, sessions));
        });
        let ends = Ends {
            changes,
            report,
            view,
        };
        (link, ends)
    }

    /// Attends until told to stop.
    pub(crate) async fn work(mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::new();
        while !*stop.borrow_and_update() {
            let began = Instant::now();
            let error = tokio::select! {
                error = self.attend() => error,
                _ = stop.changed() => continue,
            };
            if began.elapsed() >= GOOD {
                backoff.reset();
            }
            let (director, manager) = (&self.name, &self.remote.address);
            warn!(%director, %manager, %error, "not attended; what was granted goes on to count");
            self.view.stand(ManagerStanding::Away, Some(error.to_string()));
            tokio::select! {
                () = sleep(backoff.next(random())) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// One stream, from its beginning to its end.
    async fn attend(&mut self) -> LinkError {
        match self.stream().await {
            Ok((orders, reports)) => self.follow(orders, reports).await,
            Err(error) => error,
        }
    }

    async fn stream(
        &mut self,
    ) -> Result<(Streaming<DirectorOrder>, mpsc::Sender<DirectorReport>), LinkError> {
        let token = self.token()?;
        let channel = self.remote.dial.connect().await?;
        let mut client = DirectorsClient::new(channel).max_decoding_message_size(ORDER_MESSAGE);
        let (epoch, sequence) = self.mirror.begin();
        let hello = Hello {
            director: self.name.clone(),
            instance: self.remote.instance.to_vec(),
            epoch,
            sequence,
            program: concat!("kith ", env!("CARGO_PKG_VERSION")).into(),
        };
        let (put, take) = mpsc::channel(AHEAD);
        let report = director_report::Report::Hello(hello);
        // There is room: it is the first.
        drop(put.try_send(DirectorReport { report: Some(report) }));
        let mut request = Request::new(ReceiverStream::new(take));
        request.metadata_mut().insert("authorization", token);
        let answer = timeout(ANSWER, client.attend(request)).await;
        let orders = answer.map_err(|_| LinkError::Slow)?.map_err(said)?;
        Ok((orders.into_inner(), put))
    }

    fn token(&self) -> Result<MetadataValue<Ascii>, LinkError> {
        let text = read_private(&self.token)?;
        let bearer = Zeroizing::new(format!("Bearer {}", text.trim()));
        let wrong = || LinkError::NoToken(self.token.clone());
        if text.trim().is_empty() {
            return Err(wrong());
        }
        let mut token: MetadataValue<Ascii> = bearer.parse().map_err(|_| wrong())?;
        token.set_sensitive(true);
        Ok(token)
    }

    async fn follow(
        &mut self,
        mut orders: Streaming<DirectorOrder>,
        reports: mpsc::Sender<DirectorReport>,
    ) -> LinkError {
        let mut doing = self.doing.clone();
        let (mut last, mut due) = (None::<Instant>, Instant::now());
        loop {
            tokio::select! {
                order = orders.message() => match order {
                    Ok(Some(order)) => {
                        if let Err(disorder) = self.obey(order) {
                            return disorder.into();
                        }
                    }
                    Ok(None) => return LinkError::Ended,
                    Err(status) => return said(status),
                },
                changed = doing.changed() => match changed {
                    Ok(()) => due = due.min(last.map_or_else(Instant::now, |last| last + APART)),
                    // The desk has ended.
                    Err(_) => return LinkError::Ended,
                },
                () = sleep_until(due) => {
                    let (serving, sessions) = *doing.borrow();
                    let health = Health { serving, sessions, ..self.about };
                    let report = Some(director_report::Report::Health(health));
                    // A connection that takes nothing more is found dead by its signs of life.
                    drop(reports.try_send(DirectorReport { report }));
                    let now = Instant::now();
                    (last, due) = (Some(now), now + INTERVAL);
                }
            }
        }
    }

    fn obey(&mut self, order: DirectorOrder) -> Result<(), Disorder> {
        use kith_protocol::director::director_order::Order;
        if let Some(Order::Welcome(_)) = &order.order {
            self.view.stand(ManagerStanding::Reading, None);
        }
        let mut news = Vec::new();
        let outcome = self.mirror.order(order, &mut news);
        self.view.sequence(self.mirror.sequence());
        for one in news {
            let change = match one {
                News::Added(key_id, grant) => {
                    Change::granted(key_id, &grant.key, grant.community, &grant.name)
                }
                News::Removed(key_id) => Change::Remove(kith_wire::control::KeyId(key_id)),
                News::Complete => {
                    let (director, manager) = (&self.name, &self.remote.address);
                    info!(%director, %manager, "attended; all grants are known");
                    self.view.stand(ManagerStanding::Attended, None);
                    Change::Complete
                }
            };
            // A desk that has ended decides nothing any more.
            drop(self.changes.send(change));
        }
        outcome
    }
}

/// Refused by the manager, or a connection that broke: tonic has statuses of its own for that.
fn said(status: Status) -> LinkError {
    use tonic::Code::{Cancelled, Internal, Unknown};
    match status.code() {
        Unknown | Cancelled | Internal => LinkError::Broken(status),
        _ => LinkError::Refused(status),
    }
}

fn random() -> u32 {
    let mut octets = [0; 4];
    // Without: all the same pause, no harm.
    SystemRandom::new().fill(&mut octets).ok();
    u32::from_be_bytes(octets)
}
