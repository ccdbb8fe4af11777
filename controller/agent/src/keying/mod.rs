//! How two members come to share keys that nobody else has, and that nobody had before.
//!
//! Problem: the pair's secret must never encrypt traffic itself: a restart would repeat nonces, and who learns it later
//! would read everything. Idea: ephemeral keys, authenticated by the secret, each time a member starts and every 120 s. There are two
//! methods behind [`KeyAgreement`]: IKEv2 with the manager's ticket in its first message ([`ike`]), and, for members that do without it, an
//! exchange of two messages, drawn here. [`Agreements`] answers both, and begins with the configured one.
//!
//! ```text
//!  initiator                                             responder
//!    │ initiation: timestamp, SPI, nonce, X25519           │  authentic? newer than any before?
//!    ├────────────────────────────────────────────────────►│  installs inbound keys
//!    │◄────────────────────────────────────────────────────┤  response: SPI, nonce, X25519
//!    │ installs both, sends on the new keys at once         │
//!    ├── ESP dummy ───────────────────────────────────────►│  the initiator is alive and has the keys:
//!    │◄── ESP dummy ───────────────────────────────────────┤  installs outbound keys
//! ```
//!
//! - **Nothing changes before the HMAC is checked**: a forged message costs one HMAC over 230 octets.
//! - **Replays**: an initiation older than the newest known is not answered. After a restart, when nothing is known, one may
//!   be; it then makes keys that nobody can use, and outbound traffic stays where it is because no packet confirms them.
//! - **Loss**: initiations are repeated unchanged, and the same initiation gets the same response; dummies are repeated
//!   until something comes back.
//! - **Both at once**: both exchanges are valid; the member with the higher virtual address gives up its own.
//! - **Rekeying**: old inbound keys stay until their hard lifetime is over, so packets under way are never lost.
//! - **Members come and go**: with a manager, secrets come with tickets and are replaced; a member that is gone leaves no keys behind.
//! - **A restart**: packets under keys of the earlier run ([`Event::Stale`]), or silence for 15 s, start an exchange.

mod both;
pub mod door;
mod exchange;
pub mod ike;
mod keys;
mod liveness;
mod machine;
pub mod message;
mod peer;
mod roster;
mod secrets;
mod spis;
#[cfg(test)]
mod tests;
mod tunnel;

pub use both::Agreements;
pub use door::{Door, Home};
pub use keys::NewKeys;
pub use machine::{Agreement, Entropy, Setup};
pub use message::Whereabouts;
pub use secrets::{PairSecret, Roles};
pub use spis::Spis;
pub use tunnel::{Fresh, NotNow, Pair, Tunnel};

use kith_esp::{Millis, Spi};
use kith_pipeline::host::decap::{IKE_PORT, KEYING_PORT};
use kith_pipeline::host::tables::MemberIndex;
use kith_protocol::ticket::TicketBody;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How two members agree on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// IKEv2, with the manager's ticket in its first message.
    #[default]
    Ike,
    /// The exchange of two messages, with the ticket behind the first.
    Ticket,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ike => "ike",
            Self::Ticket => "ticket",
        })
    }
}

impl Method {
    /// The virtual UDP port of its messages.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Ike => IKE_PORT,
            Self::Ticket => KEYING_PORT,
        }
    }

    /// The reverse.
    #[must_use]
    pub fn of(port: u16) -> Option<Self> {
        [Self::Ike, Self::Ticket]
            .into_iter()
            .find(|method| method.port() == port)
    }
}

/// A member as key agreement knows it.
#[derive(Clone)]
pub struct Known {
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Its full name.
    pub name: String,
    /// What we share.
    pub secret: Arc<PairSecret>,
    /// The ticket that makes us known to it; empty: none.
    pub ticket: Vec<u8>,
}

/// A moment by both clocks of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic, microseconds; the clock of all lifetimes.
    pub micros: u64,
    /// Wall clock, nanoseconds since 1970; may jump.
    pub wall_nanos: u64,
}

impl Moment {
    /// The monotonic clock in milliseconds.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(self.micros / 1000)
    }
}

/// What the datapath tells key agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Packets wait for keys.
    KeysNeeded,
    /// The outbound keys are past their soft lifetime, and in use.
    RekeyDue,
    /// The member uses keys that are not here: we restarted.
    Stale,
    /// Something authentic came under this SPI, the first time or after another SPI.
    Heard(Spi),
    /// What happened since the last report.
    Activity(Activity),
}

/// Traffic with a member since the last report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Data was sent.
    pub data_sent: bool,
    /// Anything was sent, dummies too.
    pub sent: bool,
    /// Data was received.
    pub data_heard: bool,
    /// Anything authentic was received, dummies too.
    pub heard: bool,
}

/// What key agreement wants done, in this order.
pub enum Action {
    /// Send this message to the member.
    Send(MemberIndex, Method, Vec<u8>),
    /// Send this message of IKE to somebody who is no member yet, but has shown a good ticket: it is there.
    Answer(Ipv4Addr, Whereabouts, Vec<u8>),
    /// Who brought this ticket has proved itself: [`KeyAgreement::add`] is to follow at once, or it is forgotten.
    Introduce(Box<TicketBody>),
    /// The same, of a member that is known already.
    Renewed(MemberIndex, Box<TicketBody>),
    /// Somebody was refused, for the reason of this name.
    Refused(&'static str),
    /// From now on open packets with this.
    InstallInbound(MemberIndex, Box<NewKeys>),
    /// From now on seal packets with this.
    InstallOutbound(MemberIndex, Box<NewKeys>),
    /// Forget these keys.
    RemoveInbound(Spi),
    /// Send an ESP dummy under the newest keys.
    Dummy(MemberIndex),
    /// The member is there now; it said so authentically.
    Moved(MemberIndex, Whereabouts),
    /// No answer for long: packets that wait for keys are lost.
    GaveUp(MemberIndex),
}

/// State of the keys with a member.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// The keys in use for sending, and since when.
    pub outbound: Option<(Spi, Millis)>,
    /// The newest keys for receiving.
    pub inbound: Option<Spi>,
    /// How the keys in use for sending were agreed on.
    pub method: Option<Method>,
    /// The association with it, if they were agreed on by IKE.
    pub tunnel: Option<Tunnel>,
    /// Is an exchange of ours under way?
    pub agreeing: bool,
    /// Exchanges completed.
    pub agreements: u64,
    /// Round-trip time of the last exchange that needed no repetition, microseconds.
    pub rtt_micros: Option<u64>,
    /// When anything authentic was last heard.
    pub heard: Option<Millis>,
}

/// A key agreement protocol, sans I/O, for all members of a host.
pub trait KeyAgreement {
    /// Somebody is a member from now on, in a place that is vacant.
    fn add(&mut self, now: Moment, peer: MemberIndex, known: Known);
    /// And is one no more: all keys with it are forgotten.
    fn remove(&mut self, now: Moment, peer: MemberIndex);
    /// Another secret, and the ticket with it if we have one. Used from now on, beside the last one, which the member may still use; or,
    /// if not `use_it`, only taken beside the present one. Keys that are in use stay.
    fn renew(
        &mut self,
        now: Moment,
        peer: MemberIndex,
        with: (Arc<PairSecret>, Option<Vec<u8>>),
        use_it: bool,
    );
    /// Our virtual address and name are others; there are no members at that moment.
    fn readdress(&mut self, own: Ipv4Addr, name: &str);
    /// A message that claims to be from a member, on the port of this method. Messages of a method that is not spoken here are nothing.
    fn receive(&mut self, now: Moment, method: Method, peer: MemberIndex, data: &[u8]);
    /// Keys are to be replaced now, because somebody wants that.
    ///
    /// # Errors
    /// Why that cannot be.
    fn refresh(&mut self, now: Moment, peer: MemberIndex, what: Fresh) -> Result<(), NotNow>;
    /// Something happened on the datapath.
    fn event(&mut self, now: Moment, peer: MemberIndex, event: Event);
    /// We are reached there from now on: whoever has keys with us is told.
    fn moved(&mut self, now: Moment, own: Option<Whereabouts>);
    /// Messages can be sent that could not before: what waits for an answer is repeated at once.
    fn way_open(&mut self, now: Moment);
    /// Time has passed.
    fn poll(&mut self, now: Moment);
    /// When [`KeyAgreement::poll`] is due at the latest.
    fn deadline(&self) -> Option<Millis>;
    /// The next thing to do; call until `None` after every other call.
    fn next_action(&mut self) -> Option<Action>;
    /// What is known about the keys with a member.
    fn view(&self, peer: MemberIndex) -> View;
}
