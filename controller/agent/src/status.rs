//! What the agent says about itself, as JSON lines over a Unix socket: one request line, one answer line.
//!
//! ```text
//!  ► {"request":"status"}
//!  ◄ {"answer":"status","name":"alice.acme.example","address":"10.77.0.1", …}
//! ```

use crate::keying::{self, Method};
pub use crate::tunnel::{Pair, Room, Tunnel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// The membership; of several the first.
    Status,
    /// All memberships.
    All,
    /// Replace keys with a member now.
    Rekey(Rekey),
}

/// Which keys are to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekey {
    /// With whom: its name or virtual address.
    pub peer: String,
    /// The IKE SA, not only the pair of ESP SAs.
    #[serde(default)]
    pub ike: bool,
    /// As which member; as any that knows the other one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::All`].
    All {
        /// In order of their names.
        members: Vec<Status>,
    },
    /// To [`Request::Rekey`]: it has begun.
    Done,
    /// The request could not be answered.
    Error {
        /// Why.
        message: String,
    },
}

impl Answer {
    /// No, and why.
    pub fn refusal(message: impl Into<String>) -> Self {
        Self::Error {
            message: message.into(),
        }
    }
}

/// What is asked and answered, as it stands on a socket.
pub fn line(of: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(of)?;
    line.push(b'\n');
    Ok(line)
}

/// An agent's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The member's name.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Name of its virtual adapter.
    pub tun: String,
    /// MTU of the adapter.
    pub mtu: u16,
    /// Milliseconds since start.
    pub uptime_ms: u64,
    /// The director session, if one is configured.
    pub director: Option<DirectorStatus>,
    /// The other members.
    pub peers: Vec<PeerStatus>,
    /// Dropped packets by reason; reasons without drops are left out.
    pub drops: BTreeMap<String, u64>,
    /// Packets in and out: nothing is lost without a name.
    pub packets: Packets,
    /// Introductions and tickets that were not taken, by name; names without any are left out.
    #[serde(default)]
    pub refusals: BTreeMap<String, u64>,
}

/// The director session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectorStatus {
    /// Where the director is.
    pub address: SocketAddrV4,
    /// How far the session is.
    pub state: SessionState,
    /// The pseudo address there: while there is a session as far as the director has said.
    pub pseudo: Option<Ipv4Addr>,
    /// The address and port that the director sees us under.
    pub observed: Option<SocketAddrV4>,
    /// How long the session has been up, milliseconds.
    pub since_ms: Option<u64>,
}

/// How far a director session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Asking for an address.
    Requesting,
    /// Up.
    Up,
    /// Given back.
    Left,
}

/// What is known of another member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// Its virtual address.
    pub address: Ipv4Addr,
    /// Where its packets go now.
    pub endpoint: SocketAddrV4,
    /// Its pseudo address, if it is behind a director.
    pub pseudo: Option<Ipv4Addr>,
    /// State of the keys.
    pub keys: KeyState,
    /// Age of the keys in use, milliseconds.
    pub keys_age_ms: Option<u64>,
    /// How the keys in use were agreed on.
    #[serde(default)]
    pub method: Option<Method>,
    /// The association with it, if the keys were agreed on by IKE.
    #[serde(default)]
    pub tunnel: Option<Tunnel>,
    /// SPI of what we send.
    pub spi_out: Option<u32>,
    /// SPI of what we receive, newest.
    pub spi_in: Option<u32>,
    /// Key agreements completed so far.
    pub agreements: u64,
    /// Round-trip time of the last key agreement, milliseconds.
    pub rtt_ms: Option<f64>,
    /// Milliseconds since anything authentic came.
    pub heard_ms: Option<u64>,
    /// The largest outer packet on the way there.
    pub path_mtu: u16,
    /// Packets sealed for it.
    pub tx_packets: u64,
    /// Octets of the UDP payloads that carried them.
    pub tx_bytes: u64,
    /// Packets of its that were opened.
    pub rx_packets: u64,
    /// Their octets on the adapter.
    pub rx_bytes: u64,
}

impl KeyState {
    /// Of what key agreement says.
    pub(crate) fn of(view: &keying::View) -> Self {
        match (view.outbound, view.agreeing) {
            (None, false) => Self::None,
            (None, true) => Self::Agreeing,
            (Some(_), false) => Self::Up,
            (Some(_), true) => Self::Rekeying,
        }
    }
}

/// State of the keys with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// None, and none asked for: nothing was sent yet.
    None,
    /// Being agreed on for the first time.
    Agreeing,
    /// In use.
    Up,
    /// In use, and being replaced.
    Rekeying,
}

/// Packets by way. `tun_rx + dummies_tx = udp_tx + waiting + drops` on the way out, and `udp_rx = tun_tx + dummies_rx + keying_rx +
/// control_rx + drops` on the way in; both kinds of drops are in [`Status::drops`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// From the adapter, after segmentation.
    pub tun_rx: u64,
    /// To the adapter, before coalescing.
    pub tun_tx: u64,
    /// Data and dummies to the socket.
    pub udp_tx: u64,
    /// Datagrams from the socket.
    pub udp_rx: u64,
    /// Dummies made.
    pub dummies_tx: u64,
    /// Dummies received.
    pub dummies_rx: u64,
    /// Key agreement messages received.
    pub keying_rx: u64,
    /// Key agreement messages sent; not among `udp_tx`.
    pub keying_tx: u64,
    /// Directors' messages received.
    pub control_rx: u64,
    /// Messages to the director; not among `udp_tx`.
    pub control_tx: u64,
    /// Packets that wait for keys now.
    pub waiting: u64,
    /// Drops on the way out.
    pub drops_out: u64,
    /// Drops on the way in.
    pub drops_in: u64,
    /// Reads from the adapter: `tun_rx` over this is how well segmentation offload does.
    pub tun_reads: u64,
    /// Writes to the adapter.
    pub tun_writes: u64,
    /// Sends to the socket.
    pub udp_sends: u64,
    /// Receives from the socket.
    pub udp_receives: u64,
    /// Datagrams that the kernel threw away because the socket's buffer was full; not among `udp_rx`.
    #[serde(default)]
    pub udp_overflow: u64,
}

/// Why the agent could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// No agent listens there.
    #[error("cannot reach an agent at {path}: {source}; is kith-agent running?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the agent's status socket broke: {0}")]
    Io(#[from] io::Error),
    /// The answer makes no sense.
    #[error("the agent's answer cannot be read, is it of another version? {0}")]
    Answer(#[from] serde_json::Error),
    /// The agent says why it does not answer.
    #[error("the agent refuses: {0}")]
    Refused(String),
}

/// The longest line that either side takes.
pub const MAX_LINE: u64 = 1 << 22;

/// Asks the agent at this socket for its status.
pub fn query(socket: &Path) -> Result<Status, StatusError> {
    match ask(socket, &Request::Status)? {
        Answer::Status(status) => Ok(*status),
        Answer::Error { message } => Err(StatusError::Refused(message)),
        Answer::All { .. } | Answer::Done => Err(something_else()),
    }
}

/// Asks the agent at this socket for all memberships.
pub fn query_all(socket: &Path) -> Result<Vec<Status>, StatusError> {
    match ask(socket, &Request::All)? {
        Answer::All { members } => Ok(members),
        Answer::Error { message } => Err(StatusError::Refused(message)),
        Answer::Status(_) | Answer::Done => Err(something_else()),
    }
}

fn something_else() -> StatusError {
    StatusError::Refused("it answered something else".into())
}

/// Has the agent at this socket replace keys.
pub fn rekey(socket: &Path, what: Rekey) -> Result<(), StatusError> {
    match ask(socket, &Request::Rekey(what))? {
        Answer::Status(_) | Answer::All { .. } | Answer::Done => Ok(()),
        Answer::Error { message } => Err(StatusError::Refused(message)),
    }
}

fn ask(socket: &Path, request: &Request) -> Result<Answer, StatusError> {
    let mut stream = UnixStream::connect(socket).map_err(|source| StatusError::Connect {
        path: socket.into(),
        source,
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&line(request)?)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
