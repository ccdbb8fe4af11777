//! All memberships of the running agent, for those who ask, and how more of them are begun.

use super::UpError;
use super::control;
use super::member::Message;
use crate::agent::Handle;
use crate::manager::membership::{Input, View};
use crate::state::State;
use crate::status::{Rekey, Status};
use kith_protocol::names::Fqdn;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// All memberships.
pub struct Board {
    entries: Mutex<Vec<Entry>>,
    state: PathBuf,
    /// None once the agent stops.
    starts: Mutex<Option<mpsc::Sender<Start>>>,
    /// Memberships that are being begun, until they are at work or failed.
    starting: AtomicUsize,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) fqdn: String,
    pub(super) adapter: String,
    pub(super) udp_port: u16,
    pub(super) handle: Handle,
    pub(super) member: mpsc::Sender<Message>,
    /// It is over, and its adapter is gone.
    pub(super) ended: bool,
}

/// A membership is to be begun; says how that went.
pub(super) struct Start {
    pub(super) fqdn: Fqdn,
    pub(super) answer: oneshot::Sender<Result<(), UpError>>,
}

/// Why a membership was not begun.
#[derive(Debug, thiserror::Error)]
pub enum StartRefused {
    /// That is no registration of ours.
    #[error(
        "the running agent keeps its enrolments in {0}; start another one for this folder with `kith-agent up`"
    )]
    Elsewhere(PathBuf),
    /// It has begun too many.
    #[error("the agent has too much to do at the moment, or is stopping; try again")]
    Busy,
    /// It does not work.
    #[error(transparent)]
    Failed(#[from] UpError),
}

/// Memberships that may wait to be begun.
const STARTS: usize = 8;

impl Board {
    /// Nobody yet; the memberships to begin come out at the other end.
    pub(super) fn new(state: &State) -> (Self, mpsc::Receiver<Start>) {
        let (starts, begin) = mpsc::channel(STARTS);
        let board = Self {
            entries: Mutex::default(),
            state: canonical(state.path()),
            starts: Mutex::new(Some(starts)),
            starting: AtomicUsize::new(0),
        };
        (board, begin)
    }

    /// All memberships.
    pub async fn memberships(&self) -> Vec<control::Membership> {
        let mut memberships = Vec::new();
        for entry in self.all() {
            let view = entry.view().await;
            memberships.push(control::Membership {
                fqdn: entry.fqdn.clone(),
                phase: view.as_ref().map_or("over", |view| view.phase).into(),
                address: view.as_ref().and_then(|view| Some(view.place.as_ref()?.address)),
                manager: view
                    .as_ref()
                    .and_then(|view| Some(view.manager.as_ref()?.to_string())),
                adapter: entry.adapter.clone(),
                udp_port: entry.udp_port,
                trouble: view.and_then(|view| view.trouble),
            });
        }
        memberships
    }

    /// What the datapath of this membership says, or that of the first one.
    pub async fn status(&self, fqdn: Option<&str>) -> Option<Status> {
        let entry = self
            .all()
            .into_iter()
            .find(|entry| fqdn.is_none_or(|fqdn| entry.fqdn == fqdn))?;
        tokio::task::spawn_blocking(move || entry.handle.status())
            .await
            .ok()?
    }

    /// What the datapaths of all memberships say.
    pub async fn statuses(&self) -> Vec<Status> {
        let mut all = Vec::new();
        for entry in self.all() {
            let said = tokio::task::spawn_blocking(move || entry.handle.status()).await;
            all.extend(said.ok().flatten());
        }
        all
    }

    /// Has keys with a member replaced, in whichever membership knows it, or in the one that is named.
    ///
    /// # Errors
    /// Why that cannot be, for people.
    pub async fn rekey(&self, what: Rekey) -> Result<(), String> {
        let mut why = match &what.own {
            Some(own) => format!("there is no membership {own} here"),
            None => "there is no membership here".to_owned(),
        };
        let wanted = what.own.clone();
        let is_meant = |own: &str| wanted.as_ref().is_none_or(|wanted| wanted == own);
        for entry in self.all().into_iter().filter(|entry| is_meant(&entry.fqdn)) {
            let what = what.clone();
            let asked = tokio::task::spawn_blocking(move || entry.handle.rekey(what)).await;
            match asked {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(message)) => why = message,
                Err(_) => {}
            }
        }
        Err(why)
    }

    /// Has this membership leave, or all; false if there is no such one.
    pub async fn leave(&self, fqdn: Option<&str>) -> bool {
        let mut found = fqdn.is_none();
        for entry in self.all() {
            if fqdn.is_none_or(|fqdn| entry.fqdn == fqdn) {
                found = true;
                let _over = entry.member.send(Message::Input(Input::Leave)).await;
            }
        }
        found
    }

    /// Begins a membership that this device was enrolled in, in this folder, while the agent runs; or again, if it is over.
    pub async fn start(&self, fqdn: Fqdn, folder: &Path) -> Result<(), StartRefused> {
        if canonical(folder) != self.state {
            return Err(StartRefused::Elsewhere(self.state.clone()));
        }
        let (answer, outcome) = oneshot::channel();
        // Before the agent could come to think that there is nothing left to do.
        self.starting.fetch_add(1, Ordering::SeqCst);
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = starts.is_some_and(|starts| starts.try_send(Start { fqdn, answer }).is_ok());
        if !asked {
            self.started();
            return Err(StartRefused::Busy);
        }
        Ok(outcome.await.map_err(|_| StartRefused::Busy)??)
    }

    /// Nothing is begun any more.
    pub(super) fn close(&self) {
        *self.starts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// One that was being begun is at work, or failed.
    pub(super) fn started(&self) {
        self.starting.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn is_starting(&self) -> bool {
        self.starting.load(Ordering::SeqCst) > 0
    }

    /// Takes the place of one of the same name that is over.
    pub(super) fn enter(&self, entry: Entry) {
        let mut entries = self.entries();
        entries.retain(|other| other.fqdn != entry.fqdn);
        entries.push(entry);
        entries.sort_by(|a, b| a.fqdn.cmp(&b.fqdn));
    }

    /// This one is over.
    pub(super) fn ended(&self, fqdn: &str) {
        let mut entries = self.entries();
        for entry in entries.iter_mut().filter(|entry| entry.fqdn == fqdn) {
            entry.ended = true;
        }
    }

    pub(super) fn find(&self, fqdn: &Fqdn) -> Option<Entry> {
        self.all().into_iter().find(|entry| entry.fqdn == fqdn.as_str())
    }

    /// A name that no adapter of ours has.
    pub(super) fn free_adapter(&self) -> String {
        let entries = self.entries();
        let taken = |name: &String| {
            let mut working = entries.iter().filter(|entry| !entry.ended);
            working.any(|entry| entry.adapter == *name)
        };
        let mut names = (0..=entries.len()).map(|index| format!("kith{index}"));
        // Of one name more than there are memberships one is free.
        names.find(|name| !taken(name)).unwrap_or_default()
    }

    fn all(&self) -> Vec<Entry> {
        self.entries().clone()
    }

    /// Nobody panics while the list is open, and were it so, the list would be whole.
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    async fn view(&self) -> Option<View> {
        let (answer, view) = oneshot::channel();
        self.member.send(Message::View(answer)).await.ok()?;
        tokio::time::timeout(Duration::from_secs(1), view)
            .await
            .ok()?
            .ok()
    }
}

/// However the folder is written.
fn canonical(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}
