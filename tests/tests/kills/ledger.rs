//! What was asked of the manager and what it acknowledged, as numbers that only grow.
//!
//! Every writer counts: before it asks for number n it says so, and when the answer has come it says that too. Whatever is found
//! later must lie between: less than acknowledged is a loss, more than asked for is an invention.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Instant;

/// How far a member was brought; in the ledger under its name.
pub mod stage {
    pub const INVITED: u64 = 1;
    pub const REGISTERING: u64 = 2;
    pub const REGISTERED: u64 = 3;
    pub const JOINED: u64 = 4;
    pub const LEFT: u64 = 5;
}

/// What may be found of one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Acknowledged: it is at least this.
    pub kept: u64,
    /// Asked for: it is at most this.
    pub tried: u64,
}

/// All of it, at a time.
#[derive(Clone, Default)]
pub struct Book {
    /// `community/<domain>`, `policy/<domain>/<id>`, `apply/<domain>`, `member/<fqdn>`.
    pub spans: BTreeMap<String, Span>,
    /// Virtual addresses that members were given.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// The highest revision that the manager has shown.
    pub revision: u64,
}

/// What all writers share.
pub struct Ledger {
    book: Mutex<Book>,
    /// What the manager refused although it should have granted it.
    wrong: Mutex<Vec<String>>,
    began: Instant,
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            book: Mutex::default(),
            wrong: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// Somebody is about to ask for this.
    pub fn try_for(&self, what: &str, number: u64) {
        let mut book = self.book.lock().unwrap();
        let span = book.spans.entry(what.to_owned()).or_default();
        span.tried = span.tried.max(number);
    }

    /// It was acknowledged.
    pub fn kept(&self, what: &str, number: u64) {
        let mut book = self.book.lock().unwrap();
        let span = book.spans.entry(what.to_owned()).or_default();
        assert!(span.tried >= number, "{what}: nobody asked for {number}");
        span.kept = span.kept.max(number);
    }

    pub fn address(&self, fqdn: &str, address: Ipv4Addr) {
        let before = self
            .book
            .lock()
            .unwrap()
            .addresses
            .insert(fqdn.to_owned(), address);
        if before.is_some_and(|before| before != address) {
            self.wrong(format!("{fqdn} had {before:?} and was given {address} later"));
        }
    }

    /// The manager says that it has come to this revision.
    pub fn revision(&self, revision: u64) {
        let mut book = self.book.lock().unwrap();
        let before = book.revision;
        book.revision = before.max(revision);
        drop(book);
        if revision < before {
            self.wrong(format!("revision {revision} was shown after {before}"));
        }
    }

    pub fn wrong(&self, what: String) {
        let at = self.began.elapsed().as_millis();
        self.wrong.lock().unwrap().push(format!("{at} ms: {what}"));
    }

    pub fn mistakes(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub fn book(&self) -> Book {
        self.book.lock().unwrap().clone()
    }
}

impl Book {
    /// Is this what may be there? If not, what is wrong.
    pub fn check(&self, what: &str, found: u64) -> Result<(), String> {
        let span = self.spans.get(what).copied().unwrap_or_default();
        if found < span.kept {
            return Err(format!(
                "{what}: {} was acknowledged and {found} is there",
                span.kept
            ));
        }
        if found > span.tried {
            return Err(format!(
                "{what}: {found} is there and nobody asked for more than {}",
                span.tried
            ));
        }
        Ok(())
    }

    /// Things whose names begin so.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, Span)> {
        let all = self.spans.range(prefix.to_owned()..);
        all.take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, span)| (name.as_str(), *span))
    }

    /// Sum of all that was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.spans.values().map(|span| span.kept).sum()
    }
}
