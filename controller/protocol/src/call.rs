//! The requests that a member makes of its manager and that get one answer: the calls of `member.proto`, but for the stream of changes.

use crate::authenticator::Kind;

/// A request that gets one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Registration, phase one.
    Register,
    /// Registration, phase two.
    Confirm,
    /// Join, phase one.
    Init,
    /// Join, phase two.
    Join,
    /// Reached elsewhere.
    Move,
    /// New keys for the channel inside the tunnel.
    Refresh,
    /// Another member, and a ticket for it.
    Locate,
    /// Members by pattern.
    Query,
    /// Out.
    Leave,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Register,
        Self::Confirm,
        Self::Init,
        Self::Join,
        Self::Move,
        Self::Refresh,
        Self::Locate,
        Self::Query,
        Self::Leave,
    ];

    /// As its authenticator names it.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Register => Kind::Register,
            Self::Confirm => Kind::Confirm,
            Self::Init => Kind::Init,
            Self::Join => Kind::Join,
            Self::Move => Kind::Move,
            Self::Refresh => Kind::Refresh,
            Self::Locate => Kind::Locate,
            Self::Query => Kind::Query,
            Self::Leave => Kind::Leave,
        }
    }

    /// As counters name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Confirm => "confirm",
            Self::Init => "init",
            Self::Join => "join",
            Self::Move => "move",
            Self::Refresh => "refresh",
            Self::Locate => "locate",
            Self::Query => "query",
            Self::Leave => "leave",
        }
    }
}

impl From<Call> for Kind {
    fn from(call: Call) -> Self {
        call.kind()
    }
}
