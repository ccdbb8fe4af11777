//! Questions and answers over a Unix socket, a JSON object a line: what the sockets of dataplane and controller share.
//!
//! ```text
//!  Client ── {"version":2,"get":…} ──► Server ── Request ──► an answer function
//!         ◄─ {"version":2,"kind":…} ──        ◄─ Response ──
//! ```
//!
//! A [`Protocol`] says what can be asked and answered, in which version, and how messages name who answers.

mod client;
mod server;

pub use client::{Client, ClientError, TIMEOUT};
pub use server::{CONNECTIONS, Server, serve};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Octets of a request line at most.
pub const MAX_REQUEST: usize = 4096;

/// What is asked and answered at a socket.
pub trait Protocol: 'static {
    /// Who answers.
    const PEER: Peer;
    /// What can be asked.
    type Request: Serialize + DeserializeOwned;
    /// What is answered.
    type Response: Serialize + DeserializeOwned;

    /// The answer that says why there is none.
    fn refusal(why: String) -> Self::Response;
    /// Why there is no answer, if this one says so.
    fn refused(response: Self::Response) -> Result<Self::Response, String>;
}

/// Who answers at a socket: for messages, and for telling releases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// `dataplane` or `controller`.
    pub program: &'static str,
    /// What its socket is called.
    pub socket: &'static str,
    /// The version of its messages. Both sides refuse another one.
    pub version: u32,
}

/// A message with its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// [`Peer::version`].
    pub version: u32,
    /// The message.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Versioned<T> {
    /// A message of this version.
    pub fn new(version: u32, body: T) -> Self {
        Self { version, body }
    }
}
