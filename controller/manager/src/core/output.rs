//! What the core wants done. Everything that depends on a change comes only when that change is on disk.

use super::command::{AdminError, AdminReply};
use super::ids::{CommitId, CommunityIndex, MemberId, RunId, StreamId, Token};
use kith_protocol::join::ChannelKeys;
use kith_protocol::member::{
    ConfirmAck, InitAck, JoinAck, LeaveAck, MoveAck, Peer, QueryAck, RefreshAck, RegisterAck,
};
use kith_protocol::member::{Refusal, Update};
use kith_protocol::{admin, secret::Secret32};
use kith_store::Transaction;
use std::net::Ipv4Addr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the core wants done, in this order.
pub enum Output {
    /// Give this to the store, in this order, and tell what became of it.
    Commit {
        /// Names it.
        id: CommitId,
        /// The change.
        transaction: Transaction,
    },
    /// Answer a member.
    Answer {
        /// Whom.
        token: Token,
        /// What.
        answer: Answer,
    },
    /// Answer an operator.
    AdminAnswer {
        /// Whom.
        token: Token,
        /// What.
        answer: Result<AdminReply, AdminError>,
    },
    /// Tell a member of a change. If the stream's queue is full: drop it and say `StreamFull`.
    Push {
        /// On this stream.
        stream: StreamId,
        /// What.
        update: Update,
    },
    /// Close a stream after what was pushed to it.
    StreamEnd {
        /// Which.
        stream: StreamId,
        /// Why.
        why: StreamEnd,
    },
    /// Tell operators who watch.
    Event(admin::Event),
    /// Send a mail and tell what became of it.
    Mail {
        /// Names it.
        id: u64,
        /// The mail.
        mail: Mail,
    },
    /// For the hub inside the tunnel.
    Channel(ChannelOp),
    /// For a director.
    Grant(GrantOp),
}

/// What a member's call is answered with.
pub enum Answer {
    /// The code is on its way.
    Register(RegisterAck),
    /// The registration file.
    Confirm(ConfirmAck),
    /// Now join.
    Init(Box<InitAck>),
    /// It is joined.
    Join(Box<JoinAck>),
    /// It is reached there from now on.
    Move(MoveAck),
    /// New keys.
    Refresh(RefreshAck),
    /// Another member.
    Locate(Peer),
    /// Members.
    Query(QueryAck),
    /// It is out.
    Leave(LeaveAck),
    /// Not granted, and why.
    Refused(Refusal),
    /// The request is abnormal or of nobody: UNAUTHENTICATED without detail, the same for every cause (figure 12, "dropped").
    Dropped(DropCause),
}

/// Why a request got no answer. Counted by name; never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropCause {
    /// The name, the request or a part of it is not what it should be.
    Abnormal,
    /// There is no such member, or it has nothing that could prove it.
    Unknown,
    /// The authenticator is wrong.
    NotAuthentic,
    /// The signature is not by the device.
    BadSignature,
}

impl DropCause {
    /// As counters name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Abnormal => "dropped_abnormal",
            Self::Unknown => "dropped_unknown",
            Self::NotAuthentic => "dropped_not_authentic",
            Self::BadSignature => "dropped_bad_signature",
        }
    }
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The request was abnormal or of nobody: UNAUTHENTICATED without detail.
    Dropped(DropCause),
    /// The member was told on the stream why it is out, or why it must join again.
    Told,
    /// Another stream of the same run took its place.
    Replaced,
    /// It has left.
    Left,
    /// The manager cannot keep anything now; watch again later.
    Store,
}

/// A mail. Its body may hold secrets: no `Debug`.
pub struct Mail {
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// Plain text.
    pub body: Zeroizing<String>,
}

/// For the hub inside the tunnel. The newest about a member is all that counts.
pub enum ChannelOp {
    /// These are a member's keys from now on. Boxed: it is large and rare.
    Install(Box<Install>),
    /// It has no channel any more.
    Remove {
        /// Which member.
        member: MemberId,
    },
    /// A community is there, or its manager address changed.
    Community {
        /// Which.
        community: CommunityIndex,
        /// Its domain name.
        domain: Arc<str>,
        /// Our address in it.
        manager_address: Ipv4Addr,
    },
    /// A community is gone.
    NoCommunity {
        /// Which.
        community: CommunityIndex,
    },
}

/// A member's channel.
pub struct Install {
    /// Which member.
    pub member: MemberId,
    /// Where it belongs.
    pub community: CommunityIndex,
    /// Its virtual address.
    pub virtual_address: Ipv4Addr,
    /// Ours.
    pub manager_address: Ipv4Addr,
    /// Under which we take its packets.
    pub manager_spi: u32,
    /// Under which it takes ours.
    pub member_spi: u32,
    /// New keys: their nonces begin anew.
    pub keys: ChannelKeys,
    /// The run they were agreed with.
    pub run_id: RunId,
}

/// For a director: who may take a session. The newest about a key id is all that counts.
pub enum GrantOp {
    /// This key may.
    Add {
        /// At which director.
        director: Arc<str>,
        /// Names the key.
        key_id: u64,
        /// The key.
        key: Secret32,
        /// The member's community.
        community: CommunityIndex,
        /// The member's full name.
        name: Arc<str>,
    },
    /// This key may not any more; its session ends.
    Remove {
        /// At which director.
        director: Arc<str>,
        /// Names the key.
        key_id: u64,
    },
}
