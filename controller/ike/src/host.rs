//! What an endpoint asks its host, and is answered at once: who may come, and with what.

use crate::codec::{Identity, Ticket};
use crate::terms::Terms;
use crate::units::{Moment, Path};
use kith_esp::Spi;
use std::sync::Arc;
use thiserror::Error;

/// Decisions that are not IKE's.
pub trait Host {
    /// Fills a slice with randomness fit for keys.
    fn entropy(&mut self, out: &mut [u8]);

    /// An SPI of ours that names no inbound SA yet; `None` if there is no room.
    fn take_spi(&mut self) -> Option<Spi>;

    /// An SPI got from [`Self::take_spi`] names nothing any more.
    fn give_back_spi(&mut self, spi: Spi);

    /// A stranger begins a handshake. Nothing is proved yet: this must keep nothing, and cost little.
    ///
    /// # Errors
    /// Why it is not even answered.
    fn screen(&mut self, now: Moment, path: Path, ticket: Option<&Ticket>) -> Result<(), Refused>;

    /// Somebody says who it is, and is to prove it next. This may note that the ticket was used.
    ///
    /// # Errors
    /// Why it may not come. It hears AUTHENTICATION_FAILED and nothing else.
    fn admit(&mut self, now: Moment, claim: &Claim<'_>) -> Result<Arc<Terms>, Refused>;
}

/// Who somebody says it is.
pub struct Claim<'a> {
    /// Where from.
    pub path: Path,
    /// Its name for itself.
    pub peer: &'a Identity,
    /// Whom it wants to talk to, if it says so.
    pub wanted: Option<&'a Identity>,
    /// What it brought in its first message.
    pub ticket: Option<&'a Ticket>,
}

/// Why somebody may not come.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Nobody here knows it.
    #[error("unknown peer")]
    Unknown,
    /// It wants somebody whom we are not.
    #[error("it wants somebody else")]
    NotUs,
    /// Its ticket is no good; the name that it is counted under.
    #[error("its ticket is refused: {0}")]
    Ticket(String),
    /// No room.
    #[error("no room for another peer")]
    Full,
}
