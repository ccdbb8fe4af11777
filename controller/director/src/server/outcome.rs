//! What comes of a message, and what the host has to do: every outcome has a name and a counter.

use crate::journal::Entry;
use core::net::SocketAddrV4;
use kith_wire::control::KeyId;
use kith_wire::shim::PseudoIp;

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in statistics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// A message that was obeyed.
    Action {
        /// A new session.
        Opened = "opened",
        /// An address request for a session bound to the same address.
        Renewed = "renewed",
        /// The session is bound to another address now.
        Moved = "moved",
        /// A keep-alive.
        Extended = "extended",
        /// The member left.
        Left = "left",
        /// A ping.
        Ponged = "ponged",
        /// A challenge sent because the fast path saw the member elsewhere.
        Hinted = "hinted",
    }
}

named! {
    /// Why a message was not obeyed.
    Refusal {
        /// It is no message of the protocol.
        Malformed = "malformed",
        /// An answer, or something that members do not send to directors.
        UnexpectedType = "unexpected_type",
        /// It names another director.
        NotForUs = "not_for_us",
        /// Nobody was granted this key.
        UnknownKey = "unknown_key",
        /// More than the rates allow.
        RateLimited = "rate_limited",
        /// Not made with the key it names.
        BadAuthenticator = "bad_authenticator",
        /// A replay, or overtaken by a later message.
        StaleCounter = "stale_counter",
        /// The source has not proved itself yet: it was challenged.
        NoCookie = "no_cookie",
        /// The cookie is old, or another source's: it was challenged again.
        BadCookie = "bad_cookie",
        /// There is no session to extend, move or end.
        NoSession = "no_session",
        /// To leave, a member must speak from the address its session is bound to.
        WrongSource = "wrong_source",
        /// No pseudo address is left.
        Full = "full",
        /// The community has as many sessions as it may.
        CommunityFull = "community_full",
        /// The packet that the fast path reported is shorter than the challenge.
        TooShort = "too_short",
        /// The fast path reported a source to which the session is bound by now.
        AlreadyBound = "already_bound",
    }
}

impl Refusal {
    /// Is it told to the sender? Only to who has shown the key; a replay is told nothing.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        matches!(
            self,
            Self::NoCookie
                | Self::BadCookie
                | Self::NoSession
                | Self::WrongSource
                | Self::Full
                | Self::CommunityFull
        )
    }
}

/// What came of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict(pub Result<Action, Refusal>);

impl Verdict {
    /// Does the buffer hold an answer now, to be sent to where the datagram came from?
    #[must_use]
    pub fn is_answered(self) -> bool {
        self.0.map_or_else(Refusal::is_answered, |_| true)
    }
}

/// How often what happened. `received` is the sum of all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams and reports of the fast path.
    pub received: u64,
    actions: [u64; Action::ALL.len()],
    refusals: [u64; Refusal::ALL.len()],
}

impl Counters {
    /// How often a message was obeyed so.
    #[must_use]
    pub fn action(&self, action: Action) -> u64 {
        self.actions[action as usize]
    }

    /// How often a message was refused so.
    #[must_use]
    pub fn refusal(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize]
    }

    /// Every counter but `received`, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let actions = Action::ALL
            .iter()
            .map(|&action| (action.name(), self.action(action)));
        let refusals = Refusal::ALL
            .iter()
            .map(|&refusal| (refusal.name(), self.refusal(refusal)));
        actions.chain(refusals)
    }

    pub(super) fn count(&mut self, result: Result<Action, Refusal>) {
        self.received += 1;
        match result {
            Ok(action) => self.actions[action as usize] += 1,
            Err(refusal) => self.refusals[refusal as usize] += 1,
        }
    }
}

/// A change of the fast path's session table. Both kinds may be repeated without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableOp {
    /// Insert, or overwrite.
    Bind {
        /// The session's pseudo address.
        pseudo: PseudoIp,
        /// Where its member is, and the only source it may send from.
        bound: SocketAddrV4,
        /// Whom it may talk to.
        community: u16,
        /// Largest outer packet, octets.
        mtu: u16,
        /// Relay nothing to it.
        sender_only: bool,
    },
    /// Remove.
    Unbind {
        /// The session's pseudo address.
        pseudo: PseudoIp,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The member left.
    Left,
    /// No keep-alive came for a lifetime.
    Expired,
    /// Its grant was removed.
    Revoked,
}

/// Something worth a line in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A session began.
    Opened {
        /// Its pseudo address.
        pseudo: PseudoIp,
        /// Whose.
        key_id: KeyId,
        /// Where.
        bound: SocketAddrV4,
    },
    /// A session's member is elsewhere.
    Moved {
        /// Its pseudo address.
        pseudo: PseudoIp,
        /// Where it was.
        from: SocketAddrV4,
        /// Where it is.
        to: SocketAddrV4,
    },
    /// A session ended.
    Ended {
        /// The pseudo address it had.
        pseudo: PseudoIp,
        /// Whose.
        key_id: KeyId,
        /// Why.
        why: Ended,
    },
    /// A member was refused for want of a pseudo address; said once until one is given out again.
    PoolExhausted,
}

/// Work for the host, in the order it must be done. Do all of it before sending the answer that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Append to the journal, if there is one.
    Journal(Entry),
    /// Apply to the fast path's table.
    Table(TableOp),
    /// Log.
    Event(Event),
}
