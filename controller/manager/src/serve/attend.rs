//! Directors in other processes: each attends on one stream, is told its grants, and reports how it does.
//!
//! ```text
//!  token ─► hello ─► claim ─► welcome, snapshot, changes … ◄── roster, asked for the next order when there is room for it
//!    │        │        │      reports ──► health
//!    └────────┴────────┴─ refused by name       ends: gone, silence, flood, behind, token taken back, another stream of the same process
//! ```
//!
//! Two processes that claim one name are two dataplanes that give out the same pseudo addresses: the *newer* one is refused, and it is written to
//! the audit log. So a mistake in a new configuration, or a stolen token, disturbs nobody who is served; and a process that was killed is
//! replaced as soon as its stream ends, or after three intervals of silence if its computer went with it. Only the same process (16 random octets
//! of its own say so) takes the place of its earlier stream at once.
//!
//! Nothing waits in a queue but two orders: a slow reader makes its stream stand still, and one that falls behind the roster's log is ended
//! (ABORTED) and begins anew. Cost: a task and a timer a director.

use super::door::Attendant;
use super::host::Host;
use super::outlets::{Claim, Taken};
use crate::core::{Input, Place, Time};
use kith_protocol::attendance::{Cursor, INTERVAL, Next, SILENCE};
use kith_protocol::director::director_report::Report;
use kith_protocol::director::directors_server::Directors;
use kith_protocol::director::{DirectorOrder, DirectorReport, Health, Hello, director_order::Order};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

/// Orders that wait for a slow reader.
const AHEAD: usize = 2;
/// Until the hello.
const HELLO: Duration = Duration::from_secs(5);
/// Reports in one interval at most: it is told to report on change, not to make a business of it.
const REPORTS: u32 = 64;
/// How long the reason of an end waits for a reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a stream ends, or does not begin. Each is counted under its name.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the director has ended the stream")]
    Gone,
    #[error("the first report must be a hello, within {} seconds, with a name and 16 octets that name the process", HELLO.as_secs())]
    Hello,
    #[error("{token} is of the director {mine}, not of {wanted}")]
    Another {
        token: String,
        mine: String,
        wanted: String,
    },
    #[error("{0}")]
    Taken(#[from] Taken),
    #[error("a report makes no sense here")]
    Abnormal,
    #[error("a report cannot be read: {0}")]
    Unreadable(Status),
    #[error("more than {REPORTS} reports in {} seconds", INTERVAL.as_secs())]
    Flood,
    #[error("no report for {} seconds", SILENCE.as_secs())]
    Silent,
    #[error("too slow: changes were missed; attend again")]
    Behind,
    #[error("another stream of this process has taken its place")]
    Replaced,
    #[error("the token, or the director, has been taken back")]
    Revoked,
    #[error("the manager is being loaded; try again")]
    Loading,
    #[error("the manager stops")]
    Stopping,
}

impl End {
    fn name(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Hello => "hello",
            Self::Another { .. } => "another",
            Self::Taken(_) => "taken",
            Self::Abnormal => "abnormal",
            Self::Unreadable(_) => "unreadable",
            Self::Flood => "flood",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::Loading => "loading",
            Self::Stopping => "stopping",
        }
    }

    fn status(&self) -> Status {
        let words = self.to_string();
        match self {
            Self::Gone => Status::ok(words),
            Self::Hello | Self::Abnormal => Status::invalid_argument(words),
            Self::Another { .. } => Status::permission_denied(words),
            Self::Taken(_) => Status::already_exists(words),
            Self::Unreadable(status) => Status::new(status.code(), words),
            Self::Flood => Status::resource_exhausted(words),
            Self::Silent => Status::deadline_exceeded(words),
            Self::Behind | Self::Replaced => Status::aborted(words),
            Self::Revoked => Status::unauthenticated(words),
            Self::Loading | Self::Stopping => Status::unavailable(words),
        }
    }
}

/// The directors' service.
#[derive(Clone)]
pub struct DirectorsService {
    host: Arc<Host>,
    stop: watch::Receiver<bool>,
}

impl DirectorsService {
    pub(super) fn new(host: Arc<Host>, stop: watch::Receiver<bool>) -> Self {
        Self { host, stop }
    }
}

#[tonic::async_trait]
impl Directors for DirectorsService {
    type AttendStream = ReceiverStream<Result<DirectorOrder, Status>>;

    async fn attend(
        &self,
        request: Request<Streaming<DirectorReport>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let who = request.extensions().get::<(Attendant, SocketAddrV4)>().cloned();
        let (attendant, from) = who.ok_or_else(|| Status::internal("nobody attends"))?;
        let (put, take) = mpsc::channel(AHEAD);
        let attendance = Attendance {
            host: self.host.clone(),
            stop: self.stop.clone(),
            attendant,
            from,
            reports: request.into_inner(),
            put,
        };
        tokio::spawn(attendance.serve());
        Ok(Response::new(ReceiverStream::new(take)))
    }
}

/// One stream.
struct Attendance {
    host: Arc<Host>,
    stop: watch::Receiver<bool>,
    attendant: Attendant,
    from: SocketAddrV4,
    reports: Streaming<DirectorReport>,
    put: mpsc::Sender<Result<DirectorOrder, Status>>,
}

/// What a stream holds while it is the director's. The director is lost when it is dropped, whatever happened.
struct Held {
    host: Arc<Host>,
    name: String,
    stream: u64,
    from: SocketAddrV4,
    since: Time,
    room: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.host.desk().outlets.leave(&self.name, self.stream) {
            self.place(Place::Lost {
                from: self.from,
                since: Time(self.host.clock.now()),
            });
        }
    }
}

impl Held {
    fn place(&self, place: Place) {
        self.host.tell(Input::DirectorPlace {
            name: self.name.clone(),
            place,
            room: self.room,
        });
    }

    fn attended(&self) {
        self.place(Place::Attended {
            from: self.from,
            since: self.since,
        });
    }

    fn health(&mut self, health: &Health) {
        self.room = health.capacity;
        // Said again every time: a core that was loaded anew knows nothing of it.
        self.attended();
        self.host
            .metrics
            .director(&self.name, health.serving, health.sessions);
        self.host.tell(Input::DirectorHealth {
            name: self.name.clone(),
            healthy: health.serving,
            sessions: health.sessions,
            udp: health.serving && health.udp,
            tcp: health.serving && health.tcp,
        });
    }
}

impl Attendance {
    async fn serve(mut self) {
        let end = match self.begin().await {
            Ok((held, claim)) => self.go_on(held, claim).await,
            Err(end) => end,
        };
        self.host.metrics.attendance(end.name());
        let (director, from) = (&self.attendant.director, self.from);
        match &end {
            End::Gone | End::Stopping | End::Replaced => info!(%director, %from, %end, "attended no more"),
            _ => warn!(%director, %from, why = %end, "attended no more"),
        }
        if let End::Another { wanted, .. } = &end {
            self.refused(wanted, &end);
        } else if let End::Taken(_) = &end {
            self.refused(&self.attendant.director, &end);
        }
        if !matches!(end, End::Gone) {
            drop(timeout(LAST_WORDS, self.put.send(Err(end.status()))).await);
        }
    }

    fn refused(&self, director: &str, end: &End) {
        self.host.tell(Input::DirectorRefused {
            name: director.to_owned(),
            actor: format!("{} from {}", self.attendant.name, self.from),
            why: end.to_string(),
        });
    }

    async fn begin(&mut self) -> Result<(Held, Claim), End> {
        let first = timeout(HELLO, self.reports.message())
            .await
            .map_err(|_| End::Hello)?;
        let first = first.map_err(End::Unreadable)?.ok_or(End::Gone)?;
        let Some(Report::Hello(Hello {
            director,
            instance,
            epoch,
            sequence,
            program,
        })) = first.report
        else {
            return Err(End::Hello);
        };
        let instance: [u8; 16] = instance.try_into().map_err(|_| End::Hello)?;
        if director.is_empty() || director.len() > 64 || program.len() > 64 {
            return Err(End::Hello);
        }
        if director != self.attendant.director {
            return Err(End::Another {
                token: self.attendant.name.clone(),
                mine: self.attendant.director.clone(),
                wanted: director,
            });
        }
        self.valid()?;
        let stream = self.host.number();
        let place = (instance, self.from);
        let claim = self
            .host
            .desk()
            .outlets
            .claim(&director, stream, place, (epoch, sequence))?;
        let held = Held {
            host: self.host.clone(),
            name: director,
            stream,
            from: self.from,
            since: Time(self.host.clock.now()),
            room: 0,
        };
        held.attended();
        info!(director = %held.name, from = %self.from, snapshot = claim.welcome.snapshot, "attended");
        Ok((held, claim))
    }

    /// May this token still do what it was shown for?
    fn valid(&self) -> Result<(), End> {
        let Attendant {
            credential, director, ..
        } = &self.attendant;
        let still = self.host.drive(|now, manager| {
            let named = manager.attends_for(credential, now);
            named == Some(director.as_str())
        });
        match still {
            Some(true) => Ok(()),
            Some(false) => Err(End::Revoked),
            None => Err(End::Loading),
        }
    }

    async fn go_on(&mut self, mut held: Held, claim: Claim) -> End {
        let Claim {
            welcome,
            mut cursor,
            wake,
        } = claim;
        let mut next = Some(DirectorOrder {
            order: Some(Order::Welcome(welcome)),
        });
        let mut heard = Heard::new(Instant::now());
        let mut look = Instant::now() + INTERVAL;
        loop {
            if next.is_none() {
                next = match self.next(&held, &mut cursor) {
                    Ok(next) => next,
                    Err(end) => return end,
                };
            }
            tokio::select! {
                report = self.reports.message() => match report {
                    Ok(Some(report)) => match heard.report(Instant::now(), report) {
                        Ok(health) => held.health(&health),
                        Err(end) => return end,
                    },
                    Ok(None) => return End::Gone,
                    Err(status) => return broken(status),
                },
                place = self.put.reserve(), if next.is_some() => match (place, next.take()) {
                    (Ok(place), Some(order)) => place.send(Ok(order)),
                    _ => return End::Gone,
                },
                () = wake.notified() => {}
                () = sleep_until(look) => {
                    look = Instant::now() + INTERVAL;
                    // A store that failed is read again: that is no reason to let go.
                    if let Err(end @ End::Revoked) = self.valid() {
                        return end;
                    }
                }
                () = sleep_until(heard.silent_at()) => return End::Silent,
                () = self.put.closed() => return End::Gone,
                _ = self.stop.changed() => return End::Stopping,
            }
        }
    }

    /// The next order; none if there is none now.
    fn next(&self, held: &Held, cursor: &mut Cursor) -> Result<Option<DirectorOrder>, End> {
        let Attendant {
            credential, director, ..
        } = &self.attendant;
        let now = Time(self.host.clock.now());
        let desk = self.host.desk();
        // Not one grant more for a token that was taken back.
        let manager = desk.manager.as_ref();
        if manager.is_some_and(|manager| manager.attends_for(credential, now) != Some(director.as_str())) {
            return Err(End::Revoked);
        }
        match desk.outlets.next(&held.name, held.stream, cursor) {
            Some(Next::Order(order)) => Ok(Some(order)),
            Some(Next::Idle) => Ok(None),
            Some(Next::Behind) => Err(End::Behind),
            None => Err(End::Replaced),
        }
    }
}

/// A connection that breaks says so in many ways; what cannot be read is the director's own.
fn broken(status: Status) -> End {
    match status.code() {
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted | tonic::Code::Internal => {
            End::Unreadable(status)
        }
        _ => End::Gone,
    }
}

/// When a director was heard, and how often.
struct Heard {
    last: Instant,
    window: Instant,
    reports: u32,
}

impl Heard {
    fn new(now: Instant) -> Self {
        Self {
            last: now,
            window: now,
            reports: 0,
        }
    }

    fn report(&mut self, now: Instant, report: DirectorReport) -> Result<Health, End> {
        if now.duration_since(self.window) >= INTERVAL {
            (self.window, self.reports) = (now, 0);
        }
        self.reports += 1;
        if self.reports > REPORTS {
            return Err(End::Flood);
        }
        self.last = now;
        match report.report {
            Some(Report::Health(health)) => Ok(health),
            _ => Err(End::Abnormal),
        }
    }

    fn silent_at(&self) -> Instant {
        self.last + SILENCE
    }
}
