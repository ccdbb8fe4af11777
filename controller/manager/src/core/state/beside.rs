//! What is stored of a member beside `records::Member`: when its code was sent.
//!
//! Two encodings one behind the other are one message to protobuf (encoding, "Last One Wins": embedded messages are merged), and fields that a
//! reader does not know it skips. So these octets are a `Member` whose `Registering` has an eighth field, whoever reads them.

use super::Registering;
use prost::Message;

/// Part of a `records::Member`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Beside {
    #[prost(message, optional, tag = "12")]
    registering: Option<Sent>,
}

/// Part of a `records::Registering`.
#[derive(Clone, PartialEq, Message)]
struct Sent {
    #[prost(uint64, tag = "8")]
    code_sent_ms: u64,
}

impl Beside {
    /// Of a member that is registering, or was.
    pub(super) fn of(registering: Option<&Registering>) -> Self {
        let registering = registering.map(|registering| Sent {
            code_sent_ms: registering.code_sent_ms,
        });
        Self { registering }
    }

    /// Enters it. What was written before this was stored says nothing: then a repeated request gets a new code.
    pub(super) fn enter(self, registering: Option<&mut Registering>) {
        if let (Some(registering), Some(sent)) = (registering, self.registering) {
            registering.code_sent_ms = sent.code_sent_ms;
        }
    }
}
