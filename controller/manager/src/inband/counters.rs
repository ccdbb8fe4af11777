//! What the hub counts: everything it does, and every packet it does not take, under a word.

use crate::dns::Outcome;
use kith_pipeline::counters::Counter;
use kith_pipeline::reason::DropReason;

macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $( $variant:ident $word:literal $text:literal, )* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $( #[doc = $text] $variant, )* }

        impl $name {
            /// All of them, in order of their numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word for counters and listings.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }
    };
}

words! {
    /// What was done.
    Did {
        Received "received" "A datagram came.",
        Sent "sent" "A datagram was given out.",
        Roamed "roamed" "A member's newest packet came from elsewhere than the one before.",
        Rekeyed "rekeyed" "A member used its new keys for the first time: the old ones are gone.",
        Dummy "dummies" "An authentic dummy: its sender is alive.",
        Echo "echoes" "A ping was answered.",
        HeartbeatHeard "heartbeats_heard" "A member's heartbeat.",
        HeartbeatSent "heartbeats_sent" "A heartbeat to a member.",
        TcpConnection "tcp_connections" "A connection to the name service came to be.",
    }
}

words! {
    /// Why an authentic packet, or a connection, came to nothing. What is wrong outside ESP has the dataplane's words.
    Refused {
        MemberLimited "member_limited" "The member asks more than one member may.",
        TotalLimited "total_limited" "All members together ask more than is done here.",
        InnerMalformed "inner_malformed" "UDP, TCP or ICMP inside is cut short or has a wrong length or checksum.",
        InnerProtocol "inner_protocol" "Neither UDP nor TCP nor ICMP.",
        PortUnknown "port_unknown" "Nobody listens on this port.",
        IcmpUnknown "icmp_unknown" "ICMP that is no echo request.",
        HeartbeatMalformed "heartbeat_malformed" "No heartbeat of a member.",
        HeartbeatForeign "heartbeat_foreign" "The heartbeat names another run than the one that joined.",
        TcpUnknown "tcp_unknown" "A segment of a connection that is not there.",
        TcpEvicted "tcp_evicted" "Connections of the member that used them longest ago gave way to another's.",
        TcpSlow "tcp_slow" "A connection ended that asked no whole question in time.",
        TcpQueryLength "tcp_query_length" "A connection ended that announced a question of no length that there is.",
        TcpNoQuery "tcp_no_query" "A connection ended that sent something else than a question.",
        SendFailed "send_failed" "The system did not take a datagram.",
    }
}

/// All counters of a hub: written by it alone, read by anyone.
#[derive(Debug)]
pub struct Counters {
    did: Vec<Counter>,
    refused: Vec<Counter>,
    tunnel: Vec<Counter>,
    dns: Vec<Counter>,
}

impl Default for Counters {
    fn default() -> Self {
        let zeroes = |count| std::iter::repeat_with(Counter::default).take(count).collect();
        Self {
            did: zeroes(Did::ALL.len()),
            refused: zeroes(Refused::ALL.len()),
            tunnel: zeroes(DropReason::COUNT),
            dns: zeroes(Outcome::ALL.len()),
        }
    }
}

impl Counters {
    /// How often this was done.
    #[must_use]
    pub fn did(&self, what: Did) -> u64 {
        self.did[what as usize].get()
    }

    /// How often this was refused.
    #[must_use]
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize].get()
    }

    /// How many packets were dropped outside ESP, or by it, for this reason.
    #[must_use]
    pub fn tunnel(&self, why: DropReason) -> u64 {
        self.tunnel[why as usize].get()
    }

    /// How many questions ended so.
    #[must_use]
    pub fn dns(&self, how: Outcome) -> u64 {
        self.dns[how as usize].get()
    }

    /// All of them: kind (`event`, `drop` or `dns`), word, count.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let did = Did::ALL
            .iter()
            .map(|what| ("event", what.name(), self.did(*what)));
        let refused = Refused::ALL
            .iter()
            .map(|why| ("drop", why.name(), self.refused(*why)));
        let tunnel = DropReason::ALL
            .iter()
            .map(|why| ("drop", why.name(), self.tunnel(*why)));
        let dns = Outcome::ALL.iter().map(|how| ("dns", how.name(), self.dns(*how)));
        did.chain(refused).chain(tunnel).chain(dns)
    }

    pub(super) fn count(&self, what: impl Into<Word>) {
        match what.into() {
            Word::Did(what) => self.did[what as usize].add(1),
            Word::Refused(why) => self.refused[why as usize].add(1),
            Word::Tunnel(why) => self.tunnel[why as usize].add(1),
            Word::Dns(how) => self.dns[how as usize].add(1),
        }
    }
}

/// Anything that is counted.
pub(super) enum Word {
    Did(Did),
    Refused(Refused),
    Tunnel(DropReason),
    Dns(Outcome),
}

impl From<Did> for Word {
    fn from(what: Did) -> Self {
        Self::Did(what)
    }
}

impl From<Refused> for Word {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

impl From<DropReason> for Word {
    fn from(why: DropReason) -> Self {
        Self::Tunnel(why)
    }
}

impl From<Outcome> for Word {
    fn from(how: Outcome) -> Self {
        Self::Dns(how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_once_and_counts_for_itself() {
        let counters = Counters::default();
        for what in Did::ALL {
            counters.count(*what);
        }
        for why in Refused::ALL {
            counters.count(*why);
        }
        for why in DropReason::ALL {
            counters.count(*why);
        }
        for how in Outcome::ALL {
            counters.count(how);
        }
        let mut words: Vec<_> = counters.all().map(|(kind, word, _)| (kind, word)).collect();
        assert!(counters.all().all(|(_, _, count)| count == 1));
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count, "no two things under one word");
    }
}
