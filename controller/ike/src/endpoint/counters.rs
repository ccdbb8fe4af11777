//! Every datagram that leads to nothing has a name.

/// Why a datagram led to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drop {
    /// Not IKE, or not whole.
    Malformed,
    /// Another major version.
    Version,
    /// No IKE SA here has this SPI.
    UnknownSpi,
    /// A first message that is none.
    NotForUs,
    /// A stranger must return a cookie first.
    CookieAsked,
    /// Too many handshakes or associations.
    Full,
    /// The host does not want it, for example for its ticket.
    Screened,
    /// A stranger's handshake that it did not finish.
    HandshakeAbandoned,
    /// Not from whom the SPI says, or changed on the way.
    NotAuthentic,
    /// An old message, or one that nobody asked for.
    OutOfWindow,
    /// A message for another stage of the handshake.
    WrongStage,
}

impl Drop {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Version,
        Self::UnknownSpi,
        Self::NotForUs,
        Self::CookieAsked,
        Self::Full,
        Self::Screened,
        Self::HandshakeAbandoned,
        Self::NotAuthentic,
        Self::OutOfWindow,
        Self::WrongStage,
    ];

    /// As operators read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "ike_malformed",
            Self::Version => "ike_version",
            Self::UnknownSpi => "ike_unknown_spi",
            Self::NotForUs => "ike_not_for_us",
            Self::CookieAsked => "ike_cookie_asked",
            Self::Full => "ike_full",
            Self::Screened => "ike_screened",
            Self::HandshakeAbandoned => "ike_handshake_abandoned",
            Self::NotAuthentic => "ike_not_authentic",
            Self::OutOfWindow => "ike_out_of_window",
            Self::WrongStage => "ike_wrong_stage",
        }
    }
}

/// Datagrams that led to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters([u64; Drop::ALL.len()]);

impl Counters {
    /// How many, for this reason.
    #[must_use]
    pub fn get(&self, why: Drop) -> u64 {
        self.0[why as usize]
    }

    pub(crate) fn count(&mut self, why: Drop) {
        self.0[why as usize] += 1;
    }
}
