//! Mail to people: invitations and confirmation codes.
//!
//! Problem: a code must reach its member although the mail server is slow or away, and a manager that was started without any
//! configuration must do something useful with it. Idea: two ways out behind one [`Mailer`]: SMTP with TLS, or a folder of `.eml` files
//! that an operator or a mail program reads.
//!
//! ```text
//!  core ── Output::Mail ──► queue (bounded) ──► at most 4 at a time ─┬─► spool/0001…-ada@acme.example.eml   (0600, by rename)
//!    ▲                                                               └─► SMTP, TLS or STARTTLS, once again if it may help
//!    └────── Input::Mail { id, result } ─────────────────────────────
//! ```
//!
//! Letters hold secrets: nothing here has `Debug`, and errors never quote a letter.

mod letter;
mod smtp;
mod spool;

pub use letter::Letter;
pub use smtp::{SmtpSettings, SmtpTls};

use letter::MailboxError;
use lettre::message::Mailbox;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tracing::{info, warn};

/// Letters that wait at most; more are refused at once.
pub const QUEUE: usize = 1024;
/// Letters under way at a time.
const AT_ONCE: usize = 4;
/// A letter that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where letters go.
#[derive(Clone)]
pub enum Way {
    /// Into this folder, a file a letter.
    Spool(PathBuf),
    /// To a mail server.
    Smtp(SmtpSettings),
}

/// How mail is sent.
#[derive(Clone)]
pub struct MailSettings {
    /// Who it is from: `Kith <kith@acme.example>`.
    pub from: String,
    /// Where it goes.
    pub way: Way,
}

/// Why a letter is not on its way. Written for people.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// An address is none.
    #[error(transparent)]
    Address(#[from] MailboxError),
    /// The letter cannot be written down.
    #[error("the letter cannot be put together: {0}")]
    Compose(String),
    /// The spool folder.
    #[error("cannot write to the mail folder {path}: {error}")]
    Spool {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The mail server.
    #[error("the mail server {host} did not take it: {why}")]
    Smtp {
        /// Which.
        host: String,
        /// What it said.
        why: String,
    },
    /// It took too long.
    #[error("the mail server did not answer within {} s", PATIENCE.as_secs())]
    Late,
    /// Too many letters wait.
    #[error("{QUEUE} letters wait already; try again later")]
    Full,
}

/// Sends letters. Cheap to share.
#[derive(Clone)]
pub struct Mailer {
    queue: mpsc::Sender<Job>,
    words: Arc<str>,
}

/// Could letters be from, or go to, this address? Written `name@domain` or `Name <name@domain>`.
pub fn check_address(address: &str) -> Result<(), MailError> {
    letter::mailbox(address)?;
    Ok(())
}

/// What became of a letter.
pub type Done = Box<dyn FnOnce(Result<(), MailError>) + Send>;

struct Job {
    letter: Letter,
    done: Done,
}

enum Post {
    Spool(spool::Spool),
    Smtp(smtp::Smtp),
}

impl Mailer {
    /// Makes ready to send; must be called inside a runtime. A spool folder is made, a mail server is not asked yet.
    pub fn start(settings: MailSettings) -> Result<Self, MailError> {
        let from = letter::mailbox(&settings.from)?;
        let (post, words) = match settings.way {
            Way::Spool(folder) => {
                let words = format!("folder {}", folder.display());
                (Post::Spool(spool::Spool::open(folder)?), words)
            }
            Way::Smtp(smtp) => {
                let words = format!("server {}:{}", smtp.host, smtp.port);
                (Post::Smtp(smtp::Smtp::new(smtp)?), words)
            }
        };
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(work(jobs, Arc::new(post), from));
        Ok(Self {
            queue,
            words: words.into(),
        })
    }

    /// Where mail goes, for a status page.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.words
    }

    /// Sends a letter; `done` is called once, from another task or, if the queue is full, at once.
    pub fn send(&self, letter: Letter, done: Done) {
        if let Err(refused) = self.queue.try_send(Job { letter, done }) {
            (refused.into_inner().done)(Err(MailError::Full));
        }
    }
}

async fn work(mut jobs: mpsc::Receiver<Job>, post: Arc<Post>, from: Mailbox) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(Job { letter, done }) = jobs.recv().await {
        // Closed never: the semaphore lives as long as this task.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (post, from) = (post.clone(), from.clone());
        tokio::spawn(async move {
            let result = tokio::time::timeout(PATIENCE, deliver(&post, &from, &letter)).await;
            let result = result.unwrap_or(Err(MailError::Late));
            match &result {
                Ok(()) => info!(to = %letter.to, subject = %letter.subject, "mail sent"),
                Err(problem) => warn!(to = %letter.to, subject = %letter.subject, %problem, "mail not sent"),
            }
            drop(place);
            done(result);
        });
    }
}

async fn deliver(post: &Post, from: &Mailbox, letter: &Letter) -> Result<(), MailError> {
    let message = letter::compose(from, letter)?;
    match post {
        Post::Spool(spool) => spool.put(&letter.to, message.formatted()).await,
        Post::Smtp(smtp) => smtp.send(message).await,
    }
}

#[cfg(test)]
mod tests;
